package spanfilter

import (
	"fmt"
	"time"

	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/trace/valuetest"
)

// holding is what a field holds.
type holding byte

const (
	text holding = iota
	duration
	instant
	kindWord
	statusWord
)

func (h holding) String() string {
	return [...]string{"text", "a duration", "an instant", "a span kind", "a status"}[h]
}

// ordered reports whether there is more and less of it.
func (h holding) ordered() bool { return h <= instant }

// field is a field of a level.
type field struct {
	level level
	name  string
}

var fields = map[field]holding{
	{ofSpan, "traceID"}: text, {ofSpan, "spanID"}: text, {ofSpan, "parentSpanID"}: text, {ofSpan, "traceState"}: text, {ofSpan, "name"}: text,
	{ofSpan, "kind"}: kindWord, {ofSpan, "startTime"}: instant, {ofSpan, "endTime"}: instant, {ofSpan, "duration"}: duration,
	{ofSpan, "status"}: statusWord, {ofSpan, "statusMessage"}: text,
	{ofResource, "service"}: text, {ofResource, "schemaURL"}: text,
	{ofScope, "name"}: text, {ofScope, "version"}: text, {ofScope, "schemaURL"}: text,
	{ofEvent, "name"}: text, {ofEvent, "time"}: instant, {ofEvent, "timeSinceStart"}: duration,
	{ofLink, "traceID"}: text, {ofLink, "spanID"}: text, {ofLink, "traceState"}: text,
}

var statusWords = []string{"unset", "ok", "error"}

// constant reads the text of a constant that a field is compared with.
func (h holding) constant(typ valuetest.Type, s string) (valuetest.Constant, error) {
	none := valuetest.Constant{}
	switch h {
	case duration, instant:
		if typ != valuetest.Any {
			return none, fmt.Errorf("a constant of type %v, where %v is compared", typ, h)
		}
		if h == duration {
			d, err := time.ParseDuration(s)
			if err != nil {
				return none, fmt.Errorf("%.60q is no duration such as 2s or 50us", s)
			}
			return valuetest.OfInt(int64(d)), nil
		}
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return none, fmt.Errorf("%.60q is no time of RFC 3339", s)
		}
		return valuetest.OfInt(nanoseconds(t)), nil
	}
	if typ != valuetest.Any && typ != valuetest.String {
		return none, fmt.Errorf("a constant of type %v, where %v is compared", typ, h)
	}
	words := statusWords
	if h == kindWord {
		if _, err := trace.ParseKind(s); err != nil {
			return none, err
		}
	} else if h == statusWord && !contains(words, s) {
		return none, fmt.Errorf("status %.40q is none of %q", s, words)
	}
	return valuetest.NewConstant(valuetest.String, s)
}

func contains(words []string, s string) bool {
	for _, w := range words {
		if w == s {
			return true
		}
	}
	return false
}

// nanoseconds is t.UnixNano, or the nearest int64.
func nanoseconds(t time.Time) int64 {
	const earliest, latest = -1 << 63, 1<<63 - 1
	switch {
	case t.Before(time.Unix(0, earliest)):
		return earliest
	case t.After(time.Unix(0, latest)):
		return latest
	}
	return t.UnixNano()
}
