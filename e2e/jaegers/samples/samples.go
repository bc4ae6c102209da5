package samples

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gogo/protobuf/jsonpb"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/jaegertracing/jaeger/model"
)

// Now is one instant for all spans of a run, in whole microseconds: Jaeger's thrift knows no less.
var Now = time.Now().UTC().Truncate(time.Microsecond)

// Plain is a span with nothing special about it.
func Plain(trace model.TraceID, id uint64, service string) *model.Span {
	return &model.Span{
		TraceID:       trace,
		SpanID:        model.NewSpanID(id),
		OperationName: "op",
		StartTime:     Now.Add(-time.Minute),
		Duration:      1500 * time.Microsecond,
		Process:       model.NewProcess(service, nil),
	}
}

// Odd is one trace of spans of one process, each with something that a store may lose.
func Odd(trace model.TraceID, service string) []*model.Span {
	process := model.NewProcess(service, []model.KeyValue{
		model.String("host.name", "a"),
		model.Int64("pid", 4711),
		model.Float64("load", 0.25),
		model.Bool("leader", true),
		model.Binary("key", []byte{0, 255, 128}),
		model.String("host.name", "twice"),
	})
	var spans []*model.Span
	add := func(change func(s *model.Span)) {
		s := Plain(trace, uint64(len(spans)+1), service)
		s.Process = process
		change(s)
		spans = append(spans, s)
	}
	elsewhere := model.NewTraceID(0xfeed, 0xbeef)
	add(func(*model.Span) {})
	add(func(s *model.Span) { s.OperationName = "" })
	add(func(s *model.Span) { s.OperationName = "żółw 乌龟 🐢 \u0000 \"'\\\n" })
	add(func(s *model.Span) {
		s.Tags = []model.KeyValue{
			model.String("string", "text"), model.String("empty", ""), model.String("", "no key"),
			model.String("unicode", "🐢 \u2028 é é"),
			model.Bool("yes", true), model.Bool("no", false),
			model.Int64("zero", 0), model.Int64("least", math.MinInt64), model.Int64("most", math.MaxInt64),
			model.Float64("pi", math.Pi), model.Float64("tiny", math.SmallestNonzeroFloat64), model.Float64("whole", 3),
			model.Binary("bytes", []byte{0, 1, 2, 254, 255}), model.Binary("no bytes", []byte{}),
		}
	})
	add(func(s *model.Span) {
		s.Tags = []model.KeyValue{
			model.String("same", "1"), model.String("same", "2"), model.Int64("same", 1), model.String("same", "1"),
		}
	})
	// Tags that mean something to OTLP.
	for _, kind := range []string{"client", "server", "producer", "consumer", "internal", "odd", ""} {
		add(func(s *model.Span) { s.Tags = []model.KeyValue{model.String("span.kind", kind)} })
	}
	add(func(s *model.Span) {
		s.Tags = []model.KeyValue{
			model.Bool("error", true), model.String("otel.status_code", "ERROR"), model.String("otel.status_description", "no"),
			model.String("w3c.tracestate", "a=b,c=d"), model.String("otel.library.name", "lib"), model.String("otel.library.version", "1"),
			model.String("otel.scope.name", "scope"), model.String("otel.scope.version", "2"),
		}
	})
	add(func(s *model.Span) { s.Tags = []model.KeyValue{model.Bool("error", false)} })
	add(func(s *model.Span) {
		s.Tags = []model.KeyValue{model.String("error", "true"), model.Int64("http.status_code", 500)}
	})
	add(func(s *model.Span) { s.References = []model.SpanRef{model.NewChildOfRef(trace, 1)} })
	add(func(s *model.Span) { s.References = []model.SpanRef{model.NewFollowsFromRef(trace, 1)} })
	add(func(s *model.Span) {
		s.References = []model.SpanRef{
			model.NewFollowsFromRef(trace, 3), model.NewChildOfRef(elsewhere, 9), model.NewChildOfRef(trace, 2),
			model.NewFollowsFromRef(elsewhere, 8), model.NewChildOfRef(trace, 1), model.NewChildOfRef(trace, 1),
		}
	})
	add(func(s *model.Span) { s.References = []model.SpanRef{model.NewChildOfRef(elsewhere, 7)} })
	add(func(s *model.Span) {
		at := s.StartTime.Add(time.Millisecond)
		s.Logs = []model.Log{
			{Timestamp: at, Fields: []model.KeyValue{model.String("event", "one")}},
			{Timestamp: at, Fields: []model.KeyValue{model.String("event", "two"), model.String("event", "again"), model.Binary("b", []byte{255})}},
			{Timestamp: at.Add(-time.Microsecond), Fields: []model.KeyValue{model.String("message", "earlier, but later in the list")}},
			{Timestamp: at},
			{Timestamp: at.Add(-time.Hour), Fields: []model.KeyValue{model.Int64("before the span", 1), model.String("event", "")}},
		}
	})
	add(func(s *model.Span) { s.Flags = 0xffffffff })
	add(func(s *model.Span) { s.Flags = model.SampledFlag | model.DebugFlag | model.FirehoseFlag })
	add(func(s *model.Span) { s.Duration = 0 })
	add(func(s *model.Span) { s.Duration = -5 * time.Millisecond })
	add(func(s *model.Span) { s.Duration = 400 * 24 * time.Hour })
	add(func(s *model.Span) { s.StartTime = Now.Add(time.Hour) })
	add(func(s *model.Span) { s.StartTime = time.Unix(0, 0).UTC() })
	add(func(s *model.Span) { s.SpanID = math.MaxUint64 })
	// One SpanID, two spans.
	add(func(s *model.Span) { s.SpanID, s.OperationName = 0x77, "client side" })
	add(func(s *model.Span) { s.SpanID, s.OperationName = 0x77, "server side" })
	return spans
}

// ModelOnly are spans that only Jaeger's protobuf model can carry.
func ModelOnly(trace model.TraceID, service string) []*model.Span {
	warned := Plain(trace, 1, service)
	warned.Warnings = []string{"clock skew", "", "clock skew", "żółw"}
	nanos := Plain(trace, 2, service)
	nanos.StartTime, nanos.Duration = nanos.StartTime.Add(123), 1
	nanos.Logs = []model.Log{{Timestamp: nanos.StartTime.Add(1), Fields: []model.KeyValue{model.String("event", "nanosecond")}}}
	other := Plain(trace, 3, service+"-other")
	other.Process.Tags = []model.KeyValue{model.String("of", "another process")}
	processID := Plain(trace, 4, service)
	processID.ProcessID = "p7"
	nameless := Plain(trace, 5, service)
	nameless.Process.Tags = []model.KeyValue{model.String("service.name", "a tag of that name"), model.String("telemetry.sdk.name", "x")}
	return []*model.Span{warned, nanos, other, processID, nameless}
}

// BigValue has a tag of one MiB.
func BigValue(trace model.TraceID, service string) []*model.Span {
	s := Plain(trace, 1, service)
	s.Tags = []model.KeyValue{model.String("big", strings.Repeat("0123456789abcdef", 1<<16)), model.String("after", "it")}
	return []*model.Span{s}
}

// Many is one trace of n spans over almost three hours.
func Many(trace model.TraceID, service string, n int) []*model.Span {
	spans := make([]*model.Span, n)
	for i := range spans {
		s := Plain(trace, uint64(i+1), service)
		s.StartTime = Now.Add(-3 * time.Hour).Add(time.Duration(i) * time.Second)
		s.Tags = []model.KeyValue{model.Int64("i", int64(i))}
		if i > 0 {
			s.References = []model.SpanRef{model.NewChildOfRef(trace, model.SpanID(i))}
		}
		spans[i] = s
	}
	return spans
}

// OTLP is a request with one trace that uses everything OTLP has.
func OTLP(trace model.TraceID, service string) []*tracepb.ResourceSpans {
	traceID := OTLPTraceID(trace)
	start := uint64(Now.Add(-time.Minute).UnixNano()) + 123
	text := func(v string) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}
	}
	whole := func(v int64) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v}}
	}
	attribute := func(key string, v *commonpb.AnyValue) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key, Value: v}
	}
	var everyType = []*commonpb.KeyValue{
		attribute("string", text("text")), attribute("empty", text("")), attribute("int", whole(-1)),
		attribute("double", &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.1}}),
		attribute("bool", &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}),
		attribute("bytes", &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255}}}),
		attribute("array", &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{
			Values: []*commonpb.AnyValue{text("a"), whole(1)}}}}),
		attribute("map", &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{
			Values: []*commonpb.KeyValue{attribute("k", text("v"))}}}}),
	}
	n := byte(0)
	span := func(change func(*tracepb.Span)) *tracepb.Span {
		n++
		s := &tracepb.Span{TraceId: traceID, SpanId: []byte{0, 0, 0, 0, 0, 0, 1, n}, Name: fmt.Sprintf("otlp %d", n),
			StartTimeUnixNano: start, EndTimeUnixNano: start + 1_234_567}
		change(s)
		return s
	}
	var spans []*tracepb.Span
	add := func(change func(*tracepb.Span)) { spans = append(spans, span(change)) }
	for kind := tracepb.Span_SPAN_KIND_UNSPECIFIED; kind <= tracepb.Span_SPAN_KIND_CONSUMER; kind++ {
		add(func(s *tracepb.Span) { s.Kind = kind })
	}
	for code := tracepb.Status_STATUS_CODE_UNSET; code <= tracepb.Status_STATUS_CODE_ERROR; code++ {
		add(func(s *tracepb.Span) { s.Status = &tracepb.Status{Code: code, Message: "says why 🐢"} })
	}
	add(func(s *tracepb.Span) { s.Attributes = everyType })
	add(func(s *tracepb.Span) { s.ParentSpanId, s.TraceState = []byte{0, 0, 0, 0, 0, 0, 1, 1}, "a=b" })
	add(func(s *tracepb.Span) {
		s.Links = []*tracepb.Span_Link{
			{TraceId: OTLPTraceID(model.NewTraceID(5, 6)), SpanId: []byte{1, 2, 3, 4, 5, 6, 7, 8}, TraceState: "x=y", Attributes: everyType},
			{TraceId: traceID, SpanId: []byte{0, 0, 0, 0, 0, 0, 1, 1}},
		}
		s.ParentSpanId = []byte{0, 0, 0, 0, 0, 0, 1, 2}
	})
	add(func(s *tracepb.Span) {
		s.Events = []*tracepb.Span_Event{
			{TimeUnixNano: start + 5, Name: "same time", Attributes: everyType},
			{TimeUnixNano: start + 5, Name: "same time, too"},
			{TimeUnixNano: start + 1, Name: ""},
		}
		s.DroppedAttributesCount, s.DroppedEventsCount, s.DroppedLinksCount = 1, 2, 3
	})
	add(func(s *tracepb.Span) { s.Name = "" })
	add(func(s *tracepb.Span) { s.EndTimeUnixNano = s.StartTimeUnixNano })
	add(func(s *tracepb.Span) { s.EndTimeUnixNano = s.StartTimeUnixNano - 1 })
	add(func(s *tracepb.Span) { s.StartTimeUnixNano, s.EndTimeUnixNano = 0, 0 })
	return []*tracepb.ResourceSpans{
		{
			Resource: &resourcepb.Resource{Attributes: append([]*commonpb.KeyValue{attribute("service.name", text(service))}, everyType...)},
			ScopeSpans: []*tracepb.ScopeSpans{
				{Scope: &commonpb.InstrumentationScope{Name: "scope", Version: "1.2", Attributes: everyType}, Spans: spans},
				{Spans: []*tracepb.Span{span(func(*tracepb.Span) {})}, SchemaUrl: "https://example.com/schema"},
			},
		},
		{
			Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("service.name", text(service+"-other"))}},
			ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{span(func(*tracepb.Span) {})}}},
		},
		{ // no resource, no service
			ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{span(func(*tracepb.Span) {})}}},
		},
	}
}

func OTLPTraceID(id model.TraceID) []byte {
	bytes := make([]byte, 16)
	if _, err := id.MarshalTo(bytes); err != nil {
		panic(err)
	}
	return bytes
}

// Hex is a trace ID in 32 digits.
func Hex(id model.TraceID) string { return hex.EncodeToString(OTLPTraceID(id)) }

// Zipkin is one trace in Zipkin's JSON, version 2.
func Zipkin(trace model.TraceID, service string) []map[string]any {
	id := trace.String()
	at := Now.Add(-time.Minute).UnixMicro()
	endpoint := map[string]any{"serviceName": service, "ipv4": "10.0.0.1", "port": 80}
	return []map[string]any{
		{"traceId": id, "id": "0000000000000001", "name": "get", "kind": "CLIENT", "timestamp": at, "duration": 1500, "localEndpoint": endpoint,
			"remoteEndpoint": map[string]any{"serviceName": "remote", "ipv6": "2001:db8::1", "port": 443},
			// One tag a span: Jaeger's translation of more has them in random order.
			"tags": map[string]any{"error": "boom"}},
		{"traceId": id, "id": "0000000000000001", "name": "get", "kind": "SERVER", "timestamp": at + 10, "duration": 1000, "shared": true,
			"localEndpoint": map[string]any{"serviceName": service + "-other"}, "tags": map[string]any{"http.path": "/żółw"}},
		{"traceId": id, "id": "0000000000000002", "parentId": "0000000000000001", "name": "", "timestamp": at + 20, "localEndpoint": endpoint, "tags": map[string]any{"empty": ""},
			"annotations": []map[string]any{{"timestamp": at + 21, "value": "same time"}, {"timestamp": at + 21, "value": "same time, too"}}},
		{"traceId": id, "id": "0000000000000003", "parentId": "0000000000000001", "name": "send", "kind": "PRODUCER", "timestamp": at + 30, "duration": 5, "debug": true, "localEndpoint": endpoint},
	}
}

// RequireSame fails the test unless got holds the spans of want, each field equal, in any order.
func RequireSame(t testing.TB, want, got []model.Span) {
	t.Helper()
	missing, extra := Difference(encodedSpans(t, want), encodedSpans(t, got)), Difference(encodedSpans(t, got), encodedSpans(t, want))
	if len(missing) == 0 && len(extra) == 0 {
		return
	}
	const shown = 3
	for i := range min(shown, max(len(missing), len(extra))) {
		if i < len(missing) {
			t.Logf("missing: %s", readable(t, missing[i]))
		}
		if i < len(extra) {
			t.Logf("instead: %s", readable(t, extra[i]))
		}
	}
	t.Fatalf("of %d spans %d are missing or changed; %d of the %d that came back are wrong", len(want), len(missing), len(extra), len(got))
}

// encodedSpans is each span in protobuf, which is unique to its fields, sorted.
func encodedSpans(t testing.TB, spans []model.Span) []string {
	t.Helper()
	encoded := make([]string, len(spans))
	for i := range spans {
		b, err := spans[i].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		encoded[i] = string(b)
	}
	slices.Sort(encoded)
	return encoded
}

// Difference returns what is in the sorted list a but not in b, counting copies.
func Difference(a, b []string) (only []string) {
	for len(a) > 0 {
		switch {
		case len(b) == 0 || a[0] < b[0]:
			only, a = append(only, a[0]), a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return only
}

func readable(t testing.TB, encoded string) string {
	t.Helper()
	var s model.Span
	if err := s.Unmarshal([]byte(encoded)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (&jsonpb.Marshaler{}).Marshal(&out, &s); err != nil {
		return hex.EncodeToString([]byte(encoded))
	}
	return out.String()[:min(out.Len(), 1500)]
}

func Values(spans []*model.Span) []model.Span {
	vs := make([]model.Span, len(spans))
	for i, s := range spans {
		vs[i] = *s
	}
	return vs
}
