package tracedb_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// span is what the conditions are about, in the plainest form.
type span struct {
	service, name   string
	start, duration int64
	attributes      map[byte]map[string]string // by space
}

var (
	keys   = []string{"a", "b", "http.url"}
	values = []string{"", "GET", "GE", "get\nT", "/cart", strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("x", 240) + "y" + strings.Repeat("z", 30)}
)

func drawSpan(t *rapid.T) span {
	s := span{
		service: rapid.SampledFrom([]string{"cart", "checkout"}).Draw(t, "service"), name: rapid.SampledFrom([]string{"Get", "Put"}).Draw(t, "name"),
		start: rapid.Int64Range(1, 9).Draw(t, "start"), duration: rapid.Int64Range(0, 9).Draw(t, "duration"),
		attributes: make(map[byte]map[string]string),
	}
	for _, space := range trace.Spaces {
		s.attributes[space] = rapid.MapOfN(rapid.SampledFrom(keys), rapid.SampledFrom(values), 0, 2).Draw(t, "attributes")
	}
	return s
}

func keyValues(m map[string]string) (list []*common.KeyValue) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: m[key]}}})
	}
	return list
}

// otlpOf returns the trace of spans.
func otlpOf(t *rapid.T, id byte, spans []span) []byte {
	m := new(otlp.TracesData)
	for i, s := range spans {
		of := maps.Clone(s.attributes[trace.SpaceResource])
		of["service.name"] = s.service
		m.ResourceSpans = append(m.ResourceSpans, &otlp.ResourceSpans{
			Resource: &resource.Resource{Attributes: keyValues(of)},
			ScopeSpans: []*otlp.ScopeSpans{{
				Scope: &common.InstrumentationScope{Attributes: keyValues(s.attributes[trace.SpaceScope])},
				Spans: []*otlp.Span{{
					TraceId: []byte{id, 15: 1}, SpanId: []byte{byte(i + 1), 7: 1}, Name: s.name, Kind: otlp.Span_SpanKind(i % 6),
					StartTimeUnixNano: uint64(s.start), EndTimeUnixNano: uint64(s.start + s.duration),
					Attributes: keyValues(s.attributes[trace.SpaceSpan]),
					Events:     []*otlp.Span_Event{{Attributes: keyValues(s.attributes[trace.SpaceEvent])}},
				}},
			}},
		})
	}
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// condition is an expression with what it means.
type condition struct {
	expr  *index.Expr
	means func(span) bool
}

func drawCondition(t *rapid.T) condition {
	made := func(e *index.Expr, err error) *index.Expr {
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	service := rapid.SampledFrom([]string{"", "cart", "nobody"}).Draw(t, "of service")
	name := rapid.SampledFrom([]string{"Get", "Put", "Nothing"}).Draw(t, "named")
	a := tracedb.Attribute{Key: rapid.SampledFrom(keys).Draw(t, "key"), Space: rapid.SampledFrom(append([]byte{0}, trace.Spaces[:]...)).Draw(t, "space")}
	// any holds where holds does of a value of the attribute.
	any := func(holds func(value string) bool) func(span) bool {
		return func(s span) bool {
			for _, space := range trace.Spaces {
				value, there := s.attributes[space][a.Key]
				if there && (a.Space == 0 || a.Space == space) && holds(value) {
					return true
				}
			}
			return false
		}
	}
	switch rapid.IntRange(0, 4).Draw(t, "condition") {
	case 0:
		return condition{tracedb.ServiceIs(service), func(s span) bool { return s.service == service }}
	case 1:
		return condition{tracedb.OperationIs(service, name), func(s span) bool { return s.name == name && (service == "" || s.service == service) }}
	case 2:
		want := rapid.SampledFrom(append(values, "G", "nothing")).Draw(t, "value")
		return condition{a.Is(want), any(func(value string) bool { return value == want })}
	case 3:
		prefix := rapid.SampledFrom([]string{"", "G", "GET", "/", strings.Repeat("x", trace.MaxTermText)}).Draw(t, "prefix")
		return condition{made(a.HasPrefix(prefix)), any(func(value string) bool { return strings.HasPrefix(value, prefix) })}
	default:
		pattern := rapid.SampledFrom([]string{"", "GE", "GE.?", "g.*T", "a|/cart|GET", "x+", ".*"}).Draw(t, "pattern")
		re := regexp.MustCompile(`(?s)\A(?:` + pattern + `)\z`)
		return condition{made(a.Matches(pattern)), any(func(value string) bool {
			if len(value) >= trace.MaxValueTerm {
				value = value[:trace.MaxTermText]
			}
			return re.MatchString(value)
		})}
	}
}

// A search finds just the traces with a span on which all conditions hold, whose start and duration are in the ranges.
func TestConditionsMeanWhatTheySayOnOneSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		traces := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(drawSpan), 1, 3), 1, 4).Draw(t, "traces")
		conditions := rapid.SliceOfN(rapid.Custom(drawCondition), 0, 3).Draw(t, "conditions")
		bounds := func(label string) index.Range {
			return index.Range{Min: rapid.Int64Range(0, 6).Draw(t, label), Max: rapid.Int64Range(4, 9).Draw(t, label)}
		}
		q := &index.Query{Start: bounds("start"), Duration: bounds("duration")}
		var all []*index.Expr
		for _, c := range conditions {
			all = append(all, c.expr)
		}
		q.Where = index.And(all...)
		// What another process is told means the same.
		told, err := index.AppendQuery(nil, q)
		if err != nil {
			t.Fatal(err)
		}
		if q, err = index.ParseQuery(told, tracedb.CompilePattern); err != nil {
			t.Fatal(err)
		}

		m := index.NewMemory()
		want := make(map[byte]bool)
		for i, spans := range traces {
			m.Own(uint32(i))
			if err := (tracedb.Codec{}).Index(otlpOf(t, byte(i+1), spans), m); err != nil {
				t.Fatal(err)
			}
			want[byte(i)] = slices.ContainsFunc(spans, func(s span) bool {
				return q.Start.Contains(s.start) && q.Duration.Contains(s.duration) && !slices.ContainsFunc(conditions, func(c condition) bool { return !c.means(s) })
			})
		}
		hits, err := m.Search(t.Context(), q, func(owner uint32) [16]byte { return [16]byte{byte(owner)} })
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[byte]bool)
		for _, hit := range hits {
			got[hit.Key[0]] = true
		}
		for i := range traces {
			if got[byte(i)] != want[byte(i)] {
				t.Errorf("trace %d is found: %v", i, got[byte(i)])
			}
		}
	})
}

func TestConditionsThatCannotBeAnsweredAreErrors(t *testing.T) {
	a := tracedb.Attribute{Key: "k"}
	if _, err := a.HasPrefix(strings.Repeat("x", trace.MaxTermText+1)); err == nil || !strings.Contains(err.Error(), "240") {
		t.Errorf("a long prefix: %v", err)
	}
	for _, pattern := range []string{"", "?what"} {
		if _, err := tracedb.CompilePattern([]byte(pattern)); err == nil {
			t.Errorf("pattern %q is taken", pattern)
		}
	}
	for _, pattern := range []string{"[", "(", "a)(b"} {
		if _, err := tracedb.CompilePattern(append([]byte{'x'}, pattern...)); err == nil {
			t.Errorf("pattern %s from elsewhere is taken", pattern)
		}
		if _, err := a.Matches(pattern); err == nil || strings.Contains(err.Error(), "(?s") {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}
