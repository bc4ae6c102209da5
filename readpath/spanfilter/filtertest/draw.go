// Package filtertest draws spans and filters for tests, and says of each filter on which spans it holds: naively, from the documentation, with the
// generated types of OTLP.
package filtertest

import (
	"math"
	"strings"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
)

// Begin is when spans start, and a little later.
var Begin = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

var (
	keys = []string{
		"k", "k", "http.status_code", "error", "event", "span.kind", "otel.status_code", "otel.status_description", "w3c.tracestate", "otel.scope.name", "service.name",
		"@jaeger@k",
	}
	texts = []string{
		"", "GET", "500", "404", "5e2", "9", "0", "1", "true", "false", "error", "ok", "server", "ERROR", "cafe", "0.1", "exception", "refund the Policy", "a=b",
		strings.Repeat("x", 255), strings.Repeat("x", 300), strings.Repeat("x ", 130) + "policy",
	}
	names    = []string{"", "GET", "exception", "checkout"}
	services = []string{"cart", "shop", "5"}
	words    = []string{"refund", "policy", "X", "the", "500"}
	times    = []time.Duration{0, 1, time.Microsecond, time.Millisecond}
)

func pick[T any](t *rapid.T, label string, of []T) T { return rapid.SampledFrom(of).Draw(t, label) }

func drawValue(t *rapid.T) *commonv1.AnyValue {
	switch rapid.IntRange(0, 9).Draw(t, "type of value") {
	case 0:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: rapid.Bool().Draw(t, "bool")}}
	case 1, 2:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: pick(t, "int", []int64{0, 1, 9, 404, 500, 1 << 60, int64(time.Microsecond)})}}
	case 3:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_DoubleValue{DoubleValue: pick(t, "double", []float64{0, 0.1, 0.10000000000000002, 500, 1 << 60, math.NaN(), math.Inf(-1)})}}
	case 4:
		return pick(t, "opaque", []*commonv1.AnyValue{
			{}, {Value: &commonv1.AnyValue_BytesValue{BytesValue: []byte{0xca, 0xfe}}}, {Value: &commonv1.AnyValue_KvlistValue{}}, nil,
			{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: &commonv1.ArrayValue{Values: []*commonv1.AnyValue{{}}}}},
		})
	default:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: pick(t, "text", texts)}}
	}
}

func drawAttributes(t *rapid.T) (all []*commonv1.KeyValue) {
	for range rapid.IntRange(0, 3).Draw(t, "attributes") {
		all = append(all, &commonv1.KeyValue{Key: pick(t, "key", keys), Value: drawValue(t)})
	}
	return all
}

// DrawSpan draws a span, alone in its resource and scope, of a trace and with an ID of these numbers.
func DrawSpan(t *rapid.T, trace, span byte) *tracev1.ResourceSpans {
	start := Begin.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "start")) * time.Microsecond)
	s := &tracev1.Span{
		TraceId: []byte{trace, 15: 1}, SpanId: []byte{span, 7: 1}, TraceState: pick(t, "trace state", []string{"", "", "a=b"}), Name: pick(t, "name", names),
		Kind: tracev1.Span_SpanKind(rapid.IntRange(0, 7).Draw(t, "kind")), StartTimeUnixNano: uint64(start.UnixNano()),
		EndTimeUnixNano: uint64(start.Add(pick(t, "duration", times)).UnixNano()), Attributes: drawAttributes(t),
		ParentSpanId: pick(t, "parent", [][]byte{nil, make([]byte, 8), {9, 7: 1}}),
	}
	if rapid.Bool().Draw(t, "has a status") {
		s.Status = &tracev1.Status{Code: tracev1.Status_StatusCode(rapid.IntRange(0, 3).Draw(t, "status")), Message: pick(t, "message", []string{"", "GET", "no"})}
	}
	for range rapid.IntRange(0, 2).Draw(t, "events") {
		s.Events = append(s.Events, &tracev1.Span_Event{
			TimeUnixNano: uint64(start.Add(pick(t, "time", times)).UnixNano()), Name: pick(t, "event", names), Attributes: drawAttributes(t),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "links") {
		s.Links = append(s.Links, &tracev1.Span_Link{
			TraceId: pick(t, "link's trace", [][]byte{make([]byte, 16), {1, 15: 1}, {2, 15: 1}}), SpanId: pick(t, "link's span", [][]byte{make([]byte, 8), {9, 7: 1}}),
			TraceState: pick(t, "link's state", []string{"", "a=b"}), Attributes: drawAttributes(t),
		})
	}
	r := &tracev1.ResourceSpans{SchemaUrl: pick(t, "schema", []string{"", "GET"}), ScopeSpans: []*tracev1.ScopeSpans{{
		Scope:     &commonv1.InstrumentationScope{Name: pick(t, "scope", names), Version: pick(t, "version", []string{"", "1"}), Attributes: drawAttributes(t)},
		SchemaUrl: pick(t, "scope's schema", []string{"", "GET"}), Spans: []*tracev1.Span{s},
	}}}
	if rapid.IntRange(0, 5).Draw(t, "resource") > 0 {
		r.Resource = &resourcev1.Resource{Attributes: drawAttributes(t)}
		if rapid.IntRange(0, 5).Draw(t, "service") > 0 {
			r.Resource.Attributes = append(r.Resource.Attributes, &commonv1.KeyValue{
				Key: "service.name", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: pick(t, "service", services)}},
			})
		}
	}
	return r
}

var (
	fieldsOf = map[string][]string{
		"span":     {"traceID", "spanID", "parentSpanID", "traceState", "name", "kind", "startTime", "endTime", "duration", "status", "statusMessage"},
		"resource": {"service", "schemaURL"}, "scope": {"name", "version", "schemaURL"}, "event": {"name", "time", "timeSinceStart"}, "link": {"traceID", "spanID", "traceState"},
	}
	constantsOf = map[string][]string{
		"kind": {"unspecified", "internal", "server", "client", "producer", "consumer"}, "status": {"unset", "ok", "error"},
		"duration": {"0s", "1ns", "1us", "1ms", "2s"}, "timeSinceStart": {"0s", "1ns", "1us", "-1ns"},
		"traceID": {"01000000000000000000000000000001", "02000000000000000000000000000001", ""}, "spanID": {"0100000000000001", "0900000000000001"}, "parentSpanID": {"0900000000000001"},
		"traceState": {"a=b"}, "service": append([]string{"OTLPResourceNoServiceName"}, services...), "name": names, "version": {"1"}, "schemaURL": {"GET"}, "statusMessage": {"GET", "no"},
	}
)

func constantsOfField(name string) []string {
	switch name {
	case "startTime", "endTime", "time":
		var all []string
		for i := range 6 {
			all = append(all, Begin.Add(time.Duration(i)*time.Microsecond).Format(time.RFC3339Nano))
		}
		return all
	}
	return constantsOf[name]
}

// DrawForm draws a filter that New takes.
func DrawForm(t *rapid.T) *spanfilter.Call {
	for {
		form := drawCall(t, rapid.IntRange(0, 3).Draw(t, "depth"), "")
		if _, err := spanfilter.New(form); err == nil {
			return form
		}
	}
}

// drawCall draws a call, within an operator some of that level.
func drawCall(t *rapid.T, depth int, within string) *spanfilter.Call {
	if depth > 0 {
		switch op := pick(t, "joined by", []string{"and", "or", "not", "some"}); op {
		case "and", "or":
			return &spanfilter.Call{Op: op, Args: []spanfilter.Expr{drawCall(t, depth-1, within), drawCall(t, depth-1, within)}}
		case "not":
			return &spanfilter.Call{Op: op, Args: []spanfilter.Expr{drawCall(t, depth-1, within)}}
		default:
			if within == "" {
				of := pick(t, "collection", []string{"event", "link"})
				return &spanfilter.Call{Op: op, Args: []spanfilter.Expr{&spanfilter.Collection{Level: of}, drawCall(t, depth-1, of)}}
			}
		}
	}
	return drawLeaf(t, within)
}

func drawLeaf(t *rapid.T, within string) *spanfilter.Call {
	levels := spanfilter.Levels()
	if within != "" {
		levels = append(levels, within, within, within, within)
	}
	var subject spanfilter.Expr
	constants, untyped := texts, false
	reference := func() spanfilter.Expr {
		level := pick(t, "level", levels)
		if rapid.Bool().Draw(t, "field") {
			name := pick(t, "field", fieldsOf[level])
			constants, untyped = constantsOfField(name), true
			return &spanfilter.Field{Name: name, Level: level}
		}
		if rapid.IntRange(0, 2).Draw(t, "unqualified") == 0 {
			level = ""
		}
		constants, untyped = texts, false
		return &spanfilter.Attribute{Key: pick(t, "key", keys), Level: level}
	}
	subject = reference()
	scalar := func() *spanfilter.Scalar {
		s := &spanfilter.Scalar{Value: pick(t, "constant", constants)}
		if !untyped && rapid.IntRange(0, 2).Draw(t, "typed") == 0 {
			s.Type = pick(t, "type", []string{"string", "int", "double", "bool"})
		}
		return s
	}
	list := func(of []string) *spanfilter.List {
		l := &spanfilter.List{Values: rapid.SliceOfN(rapid.SampledFrom(of), 1, 3).Draw(t, "list")}
		if !untyped && rapid.IntRange(0, 3).Draw(t, "typed") == 0 {
			l.Type = pick(t, "type", []string{"string", "int", "double", "bool"})
		}
		return l
	}
	switch op := pick(t, "operator", spanfilter.Operators()[3:]); op {
	case "exists":
		return &spanfilter.Call{Op: op, Args: []spanfilter.Expr{subject}}
	case "in", "not_in":
		return &spanfilter.Call{Op: op, Args: []spanfilter.Expr{subject, list(constants)}}
	case "regex":
		return &spanfilter.Call{Op: op, Args: []spanfilter.Expr{subject, &spanfilter.Scalar{Value: pick(t, "pattern", []string{"E", "0", "x{3}", "[^x]", "(a|r).*", ""})}}}
	case "phrase", "fulltext":
		untyped = true
		return &spanfilter.Call{Op: op, Args: []spanfilter.Expr{&spanfilter.Attribute{Key: pick(t, "key", keys[:3]), Level: pick(t, "level", levels)}, list(words)}}
	case "some":
		return drawLeaf(t, within)
	default:
		args := []spanfilter.Expr{subject, scalar()}
		switch rapid.IntRange(0, 5).Draw(t, "operands") {
		case 0:
			args[0], args[1] = args[1], args[0]
		case 1:
			args[1] = reference()
		case 2:
			if rapid.IntRange(0, 4).Draw(t, "constants") == 0 {
				args[0] = scalar()
			}
		}
		return &spanfilter.Call{Op: op, Args: args}
	}
}
