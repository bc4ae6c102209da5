package jaegerv1

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jaegertracing/jaeger/model"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

var (
	testTrace = model.NewTraceID(0x0102030405060708, 0x090a0b0c0d0e0f10)
	otherOne  = model.NewTraceID(0, 7)
	traceByte = []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
)

func spanByte(n byte) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, n} }

func toOTLP(t *testing.T, span *model.Span) *tracepb.ResourceSpans {
	t.Helper()
	data, err := AppendOTLP(nil, span)
	if err != nil {
		t.Fatal(err)
	}
	var td tracepb.TracesData
	if err := proto.Unmarshal(data, &td); err != nil {
		t.Fatal(err)
	}
	if len(td.ResourceSpans) != 1 || len(td.ResourceSpans[0].ScopeSpans) != 1 || len(td.ResourceSpans[0].ScopeSpans[0].Spans) != 1 {
		t.Fatalf("want one resource, one scope, one span: %v", &td)
	}
	return td.ResourceSpans[0]
}

func otlpSpan(t *testing.T, span *model.Span) *tracepb.Span {
	t.Helper()
	return toOTLP(t, span).ScopeSpans[0].Spans[0]
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func number(key string, value int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}}
}

func truth(key string, value bool) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: value}}}
}

// What an ordinary span of Jaeger looks like to a reader of OTLP.
func TestAJaegerSpanIsAnOTLPSpan(t *testing.T) {
	start := time.Unix(1_700_000_000, 123_456_789)
	got := toOTLP(t, &model.Span{
		TraceID: testTrace, SpanID: 3, OperationName: "GET /", Flags: 1,
		StartTime: start, Duration: 250 * time.Millisecond,
		References: []model.SpanRef{
			model.NewChildOfRef(testTrace, 2),
			model.NewFollowsFromRef(otherOne, 9),
		},
		Tags: []model.KeyValue{
			model.String(tagKind, "server"),
			model.Bool(tagError, true),
			model.String(tagStatusMessage, "boom"),
			model.String(tagTraceState, "k=v"),
			model.Int64("http.status_code", 500),
			model.Binary("body", []byte{0xff}),
			model.Float64("ratio", 0.5),
		},
		Logs: []model.Log{{
			Timestamp: start.Add(1),
			Fields:    []model.KeyValue{model.String("level", "info"), model.String(fieldEventName, "retry")},
		}},
		Process: model.NewProcess("shop", []model.KeyValue{model.String("host", "a")}),
	})
	at := uint64(start.UnixNano())
	want := &tracepb.ResourceSpans{
		Resource: toOTLP(t, &model.Span{TraceID: testTrace, SpanID: 1, Process: &model.Process{}}).Resource,
		ScopeSpans: []*tracepb.ScopeSpans{{
			Scope: &commonpb.InstrumentationScope{Attributes: []*commonpb.KeyValue{text("@jaeger@model", "v1")}},
			Spans: []*tracepb.Span{{
				TraceId: traceByte, SpanId: spanByte(3), ParentSpanId: spanByte(2), Name: "GET /",
				TraceState: "k=v", Kind: tracepb.Span_SPAN_KIND_SERVER, Flags: 1,
				StartTimeUnixNano: at, EndTimeUnixNano: at + 250_000_000,
				Attributes: []*commonpb.KeyValue{
					text("span.kind", "server"),
					truth("error", true),
					text("otel.status_description", "boom"),
					text("w3c.tracestate", "k=v"),
					number("http.status_code", 500),
					{Key: "body", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0xff}}}},
					{Key: "ratio", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.5}}},
				},
				Events: []*tracepb.Span_Event{{
					TimeUnixNano: at + 1, Name: "retry",
					Attributes: []*commonpb.KeyValue{text("level", "info"), text("event", "retry")},
				}},
				Links: []*tracepb.Span_Link{{
					TraceId: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, SpanId: spanByte(9),
					Attributes: []*commonpb.KeyValue{text("opentracing.ref_type", "follows_from")},
				}},
				Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "boom"},
			}},
		}},
	}
	want.Resource.Attributes = []*commonpb.KeyValue{text("service.name", "shop"), text("host", "a")}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestKindAndStatusAreDerivedFromTags(t *testing.T) {
	const unset, ok, failed = tracepb.Status_STATUS_CODE_UNSET, tracepb.Status_STATUS_CODE_OK, tracepb.Status_STATUS_CODE_ERROR
	for _, test := range []struct {
		name    string
		tags    []model.KeyValue
		kind    tracepb.Span_SpanKind
		status  tracepb.Status_StatusCode
		message string
	}{
		{name: "none"},
		{name: "kind", tags: []model.KeyValue{model.String(tagKind, "producer")}, kind: tracepb.Span_SPAN_KIND_PRODUCER},
		{name: "the first kind counts", tags: []model.KeyValue{model.String(tagKind, "client"), model.String(tagKind, "server")}, kind: tracepb.Span_SPAN_KIND_CLIENT},
		{name: "no such kind", tags: []model.KeyValue{model.String(tagKind, "Server")}},
		{name: "kind of another type", tags: []model.KeyValue{model.Int64(tagKind, 2)}},
		{name: "code", tags: []model.KeyValue{model.String(tagStatusCode, "OK")}, status: ok},
		{name: "code in small letters", tags: []model.KeyValue{model.String(tagStatusCode, "error")}, status: failed},
		{name: "no such code", tags: []model.KeyValue{model.String(tagStatusCode, "FINE"), model.String(tagStatusMessage, "m")}},
		{name: "error", tags: []model.KeyValue{model.Bool(tagError, true)}, status: failed},
		{name: "error over code", tags: []model.KeyValue{model.String(tagStatusCode, "OK"), model.Bool(tagError, true)}, status: failed},
		{name: "no error", tags: []model.KeyValue{model.Bool(tagError, false)}},
		{name: "error as a text", tags: []model.KeyValue{model.String(tagError, "true")}},
		{name: "an HTTP status is no status", tags: []model.KeyValue{model.Int64("http.status_code", 500)}},
		{name: "message", tags: []model.KeyValue{model.String(tagStatusMessage, "m"), model.Bool(tagError, true)}, status: failed, message: "m"},
	} {
		t.Run(test.name, func(t *testing.T) {
			span := otlpSpan(t, &model.Span{TraceID: testTrace, SpanID: 1, Tags: test.tags})
			if span.Kind != test.kind || span.GetStatus().GetCode() != test.status || span.GetStatus().GetMessage() != test.message {
				t.Errorf("kind %v, status %v", span.Kind, span.Status)
			}
			if test.status == unset && span.Status != nil {
				t.Error("an unset status was written")
			}
		})
	}
}

func TestReferencesBecomeParentAndLinks(t *testing.T) {
	child := model.NewChildOfRef
	follows := model.NewFollowsFromRef
	for _, test := range []struct {
		name   string
		refs   []model.SpanRef
		parent []byte
		links  int
	}{
		{name: "none"},
		{name: "a parent", refs: []model.SpanRef{child(testTrace, 2)}, parent: spanByte(2)},
		{name: "a parent and others", refs: []model.SpanRef{child(testTrace, 2), child(testTrace, 4), follows(testTrace, 2)}, parent: spanByte(2), links: 2},
		{name: "a parent twice", refs: []model.SpanRef{child(testTrace, 2), child(testTrace, 2)}, parent: spanByte(2), links: 2},
		{name: "a parent later", refs: []model.SpanRef{follows(testTrace, 5), child(testTrace, 2)}, parent: spanByte(2), links: 2},
		{name: "a parent in another trace", refs: []model.SpanRef{child(otherOne, 2)}, links: 1},
		{name: "follows only", refs: []model.SpanRef{follows(testTrace, 2)}, links: 1},
		{name: "a parent with ID zero", refs: []model.SpanRef{child(testTrace, 0)}, links: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			span := otlpSpan(t, &model.Span{TraceID: testTrace, SpanID: 1, References: test.refs})
			if diff := cmp.Diff(test.parent, span.ParentSpanId); diff != "" {
				t.Errorf("parent (-want +got)\n%s", diff)
			}
			if len(span.Links) != test.links {
				t.Errorf("%d links, want %d: %v", len(span.Links), test.links, span.Links)
			}
		})
	}
}

// What OTLP has no field for takes an attribute only where it is needed.
func TestReservedAttributesOnlyWhereNeeded(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for _, test := range []struct {
		name string
		span model.Span
		want []*commonpb.KeyValue
	}{
		{name: "none", span: model.Span{StartTime: at, Duration: time.Hour, Flags: 255}},
		{name: "negative duration", span: model.Span{StartTime: at, Duration: -time.Hour}},
		{name: "flags", span: model.Span{StartTime: at, Flags: 0x101}, want: []*commonpb.KeyValue{number("@jaeger@flags", 0x101)}},
		{name: "process ID", span: model.Span{StartTime: at, ProcessID: "p1"}, want: []*commonpb.KeyValue{text("@jaeger@process_id", "p1")}},
		{name: "year 1", want: []*commonpb.KeyValue{text("@jaeger@start", "-62135596800.0")}},
		{name: "year 3000", span: model.Span{StartTime: time.Date(3000, 1, 1, 0, 0, 0, 5, time.UTC)}, want: []*commonpb.KeyValue{text("@jaeger@start", "32503680000.5")}},
		{name: "end before 1970", span: model.Span{StartTime: at, Duration: math.MinInt64}, want: []*commonpb.KeyValue{number("@jaeger@duration", math.MinInt64)}},
		{name: "end after 2262", span: model.Span{StartTime: at, Duration: math.MaxInt64}, want: []*commonpb.KeyValue{number("@jaeger@duration", math.MaxInt64)}},
		{name: "a tag of that name", span: model.Span{StartTime: at, Tags: []model.KeyValue{model.Int64("@jaeger@flags", 1)}}, want: []*commonpb.KeyValue{number("@jaeger@@jaeger@flags", 1)}},
		{name: "warnings", span: model.Span{StartTime: at, Warnings: []string{"a", ""}}, want: []*commonpb.KeyValue{{
			Key: "@jaeger@warnings",
			Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{
				Values: []*commonpb.AnyValue{text("", "a").Value, text("", "").Value},
			}}},
		}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.span.TraceID, test.span.SpanID = testTrace, 1
			got := otlpSpan(t, &test.span)
			if diff := cmp.Diff(test.want, got.Attributes, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhatOTLPCannotSayIsRefused(t *testing.T) {
	const bad = "a\xffz"
	good := func(change func(*model.Span)) *model.Span {
		span := &model.Span{TraceID: testTrace, SpanID: 1, Process: &model.Process{}}
		change(span)
		return span
	}
	fine := model.String("k", "v")
	for _, test := range []struct {
		want string
		span *model.Span
	}{
		{"no span", nil},
		{"trace_id is zero", good(func(s *model.Span) { s.TraceID = model.TraceID{} })},
		{"span_id is zero", good(func(s *model.Span) { s.SpanID = 0 })},
		{"operation_name is not valid UTF-8", good(func(s *model.Span) { s.OperationName = bad })},
		{"process_id is not valid UTF-8", good(func(s *model.Span) { s.ProcessID = bad })},
		{"warnings[1] is not valid UTF-8", good(func(s *model.Span) { s.Warnings = []string{"", bad} })},
		{"process.service_name is not valid UTF-8", good(func(s *model.Span) { s.Process.ServiceName = bad })},
		{"process.tags[1].key is not valid UTF-8", good(func(s *model.Span) { s.Process.Tags = []model.KeyValue{fine, model.Int64(bad, 1)} })},
		{`tags[1].v_str (key "k") is not valid UTF-8`, good(func(s *model.Span) { s.Tags = []model.KeyValue{fine, model.String("k", bad)} })},
		{`logs[1].fields[0].v_str (key "k") is not valid UTF-8`, good(func(s *model.Span) { s.Logs = []model.Log{{}, {Fields: []model.KeyValue{model.String("k", bad)}}} })},
	} {
		t.Run(test.want, func(t *testing.T) {
			prefix := []byte("before")
			out, err := AppendOTLP(prefix, test.span)
			if err == nil || !strings.HasSuffix(err.Error(), test.want) {
				t.Fatalf("got %v", err)
			}
			if string(out) != "before" {
				t.Errorf("dst became %q", out)
			}
			if test.span != nil && !strings.Contains(err.Error(), test.span.TraceID.String()) {
				t.Errorf("%v does not name the trace", err)
			}
		})
	}
}
