package main

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
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
	flags.StringArrayVar(&f.tags, "tag", nil, "spans with a tag, as `KEY=VALUE`: an attribute of the span, its resource, scope or events; repeatable")
	flags.StringArrayVar(&f.tagPrefix, "tag-prefix", nil, "spans with a tag whose value begins so, as `KEY=TEXT`; repeatable")
	flags.StringArrayVar(&f.tagRegex, "tag-regex", nil, "spans with a tag whose value matches whole, as `KEY=REGEX`; repeatable. Of values above 240 bytes the first 240 are seen")
	flags.DurationVar(&f.minDuration, "min-duration", 0, "spans that took as long or longer, as `5ms`")
	flags.DurationVar(&f.maxDuration, "max-duration", 0, "spans that took as long or shorter")
	flags.StringVar(&f.since, "since", "", "spans that started at that `time` or later: 2026-01-05T09:00:00Z, or ago: 90m, 7d")
	flags.StringVar(&f.until, "until", "", "spans that started at that `time` or earlier")
}

// whole is how much of a longer value a term has; the rest is a hash.
const termText = trace.MaxValueTerm - 16

// query returns what the flags ask for; nil if they ask for everything.
func (f *queryFlags) query(now time.Time) (*index.Query, error) {
	q := &index.Query{Start: index.Everything, Duration: index.Everything}
	var all []*index.Expr
	for _, tag := range f.tags {
		key, value, err := splitTag("tag", tag)
		if err != nil {
			return nil, err
		}
		term := trace.AppendValueTerm(nil, value)
		all = append(all, anySpace(key, func(field []byte) *index.Expr { return index.Equal(field, term) }))
	}
	for _, tag := range f.tagPrefix {
		key, value, err := splitTag("tag-prefix", tag)
		if err != nil {
			return nil, err
		}
		if len(value) > termText {
			return nil, usage("--tag-prefix=%.40s…: a prefix may have %d bytes", tag, termText)
		}
		all = append(all, anySpace(key, func(field []byte) *index.Expr { return index.Prefix(field, []byte(value)) }))
	}
	for _, tag := range f.tagRegex {
		key, value, err := splitTag("tag-regex", tag)
		if err != nil {
			return nil, err
		}
		re, err := regexp.Compile(`^(?s:` + value + `)$`)
		if err != nil {
			return nil, usage("--tag-regex=%s: %w", tag, err)
		}
		all = append(all, anySpace(key, func(field []byte) *index.Expr {
			return index.Match(field, func(term []byte) bool { return re.Match(term[:textOf(term)]) })
		}))
	}
	switch {
	case f.operation != "" && f.service != "":
		var kinds []*index.Expr
		for _, kind := range trace.Kinds {
			kinds = append(kinds, index.Equal(trace.FieldOperation, trace.AppendOperation(nil, f.service, kind, f.operation)))
		}
		all = append(all, index.Or(kinds...))
	case f.operation != "":
		all = append(all, index.Match(trace.FieldOperation, func(value []byte) bool {
			_, _, name, err := trace.ParseOperation(value)
			return err == nil && name == f.operation
		}))
	case f.service != "":
		all = append(all, index.Equal(trace.FieldService, []byte(f.service)))
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

// textOf returns how many bytes of a term are those of the value.
func textOf(term []byte) int {
	if len(term) == trace.MaxValueTerm {
		return termText
	}
	return len(term)
}

func splitTag(flag, tag string) (key, value string, err error) {
	key, value, ok := strings.Cut(tag, "=")
	if !ok || key == "" {
		return "", "", usage("--%s=%s should be KEY=VALUE", flag, tag)
	}
	return key, value, nil
}

// anySpace holds where leaf does for the key in one of the spaces of attributes.
func anySpace(key string, leaf func(field []byte) *index.Expr) *index.Expr {
	var spaces []*index.Expr
	for _, space := range trace.Spaces {
		spaces = append(spaces, leaf(bytes.Clone(trace.AppendField(nil, key, space))))
	}
	return index.Or(spaces...)
}

// parseWhen returns Unix nanoseconds of a time, or of a time span before now; unset if text is empty.
func parseWhen(flag, text string, now time.Time, unset int64) (int64, error) {
	if text == "" {
		return unset, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
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
