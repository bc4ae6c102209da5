package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// queryFlags say which traces are meant: those with at least one span on which all of it holds.
type queryFlags struct {
	service, operation        string
	tags, tagPrefix, tagRegex []string
	minDuration, maxDuration  time.Duration
	since, until              string
}

func (f *queryFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.service, "service", "", "spans of a `service`")
	flags.StringVar(&f.operation, "operation", "", "spans of a `name`")
	flags.StringArrayVar(&f.tags, "tag", nil, "spans with an attribute, as `KEY=VALUE` or resource:KEY=VALUE; repeatable")
	flags.StringArrayVar(&f.tagPrefix, "tag-prefix", nil, "spans with an attribute whose value begins so, as `KEY=TEXT`; repeatable")
	flags.StringArrayVar(&f.tagRegex, "tag-regex", nil, "spans with an attribute whose whole value matches, as `KEY=REGEX`; repeatable")
	flags.DurationVar(&f.minDuration, "min-duration", 0, "spans that took as long or longer, as `5ms`")
	flags.DurationVar(&f.maxDuration, "max-duration", 0, "spans that took as long or shorter")
	flags.StringVar(&f.since, "since", "", "spans that started at that `time` or later: 2026-01-05T09:00:00Z, or ago: 90m, 7d")
	flags.StringVar(&f.until, "until", "", "spans that started at that `time` or earlier")
}

// query returns what the flags ask for; nil if they ask for everything.
func (f *queryFlags) query(now time.Time) (*index.Query, error) {
	q := &index.Query{Start: index.Everything, Duration: index.Everything}
	var all []*index.Expr
	for _, flag := range []struct {
		name string
		tags []string
		expr func(a tracedb.Attribute, value string) (*index.Expr, error)
	}{
		{"tag", f.tags, func(a tracedb.Attribute, value string) (*index.Expr, error) { return a.Is(value), nil }},
		{"tag-prefix", f.tagPrefix, tracedb.Attribute.HasPrefix},
		{"tag-regex", f.tagRegex, tracedb.Attribute.Matches},
	} {
		for _, tag := range flag.tags {
			attribute, value, err := parseTag(tag)
			if err != nil {
				return nil, usage("--%s=%s: %w", flag.name, tag, err)
			}
			expr, err := flag.expr(attribute, value)
			if err != nil {
				return nil, usage("--%s=%s: %w", flag.name, cut(tag, 60), err)
			}
			all = append(all, expr)
		}
	}
	switch {
	case f.operation != "":
		all = append(all, tracedb.OperationIs(f.service, f.operation))
	case f.service != "":
		all = append(all, tracedb.ServiceIs(f.service))
	}
	if len(all) > 0 {
		q.Where = index.And(all...)
	}
	if f.minDuration < 0 || f.maxDuration < 0 {
		return nil, usage("a duration can't be negative")
	}
	if f.minDuration > 0 {
		q.Duration.Min = int64(f.minDuration)
	}
	if f.maxDuration > 0 {
		q.Duration.Max = int64(f.maxDuration)
	}
	var err error
	if q.Start.Min, err = parseWhen("since", f.since, now, math.MinInt64); err != nil {
		return nil, err
	}
	if q.Start.Max, err = parseWhen("until", f.until, now, math.MaxInt64); err != nil {
		return nil, err
	}
	if q.Start.Min > q.Start.Max {
		return nil, usage("--since=%s is later than --until=%s", f.since, f.until)
	}
	if q.Where == nil && q.Start == index.Everything && q.Duration == index.Everything {
		return nil, nil
	}
	return q, nil
}

// spaceNames are what a key may begin with to say where its attribute stands.
var spaceNames = map[string]byte{"span": trace.SpaceSpan, "resource": trace.SpaceResource, "scope": trace.SpaceScope, "event": trace.SpaceEvent}

// parseTag takes KEY=VALUE or, for the attributes in one place only, as resource:KEY=VALUE.
func parseTag(tag string) (a tracedb.Attribute, value string, err error) {
	key, value, ok := strings.Cut(tag, "=")
	if space, rest, named := strings.Cut(key, ":"); named && spaceNames[space] != 0 {
		a.Space, key = spaceNames[space], rest
	}
	if a.Key = key; !ok || key == "" {
		return a, "", errors.New("should be KEY=VALUE, where KEY may begin with span:, resource:, scope: or event: to say where it stands")
	}
	return a, value, nil
}

// parseWhen returns Unix nanoseconds of a time, or of a time span before now; unset if text is empty.
func parseWhen(flag, text string, now time.Time, unset int64) (int64, error) {
	if text == "" {
		return unset, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		t, err := time.Parse(layout, text)
		switch {
		case err != nil:
		case t.UTC().Year() < 1678 || t.UTC().Year() > 2261:
			return 0, usage("--%s=%s is no time that a span can have: nanoseconds are counted from the year 1678 to 2261", flag, text)
		default:
			return t.UnixNano(), nil
		}
	}
	if ago, err := parseAgo(text); err == nil {
		return now.Add(-ago).UnixNano(), nil
	}
	return 0, usage("--%s=%s is no time: write 2026-01-05T09:00:00Z (UTC where no zone is said), or how long ago: 90m, 12h, 7d", flag, text)
}

// parseAgo reads a duration that may be in days.
func parseAgo(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err == nil && n >= 0 && n < 100_000 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = fmt.Errorf("%s is negative", text)
	}
	return d, err
}

// parseSize reads a number of bytes, as 10GiB, 500MB or 1024.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGTPEiB")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsNaN(n) || n < 0 {
		return 0, fmt.Errorf("%q is no size: write 10GiB, 500MB or 1024", text)
	}
	unit := text[len(digits):]
	base, prefix := 1000.0, strings.TrimSuffix(unit, "B")
	if p, ok := strings.CutSuffix(prefix, "i"); ok {
		base, prefix = 1024, p
	}
	power := 0
	if prefix != "" {
		power = strings.Index("KMGTPE", prefix) + 1
	}
	if prefix != "" && (power == 0 || len(prefix) > 1) {
		return 0, fmt.Errorf("%q is no size: write 10GiB, 500MB or 1024", text)
	}
	if n *= math.Pow(base, float64(power)); n >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is more than can be counted", text)
	}
	return int64(n), nil
}
