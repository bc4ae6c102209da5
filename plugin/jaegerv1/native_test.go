package jaegerv1

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jaegertracing/jaeger/model"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

func fromOTLPSpan(t *testing.T, resource *resourcepb.Resource, scope *commonpb.InstrumentationScope, span *tracepb.Span) *model.Span {
	t.Helper()
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   resource,
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: scope, Spans: []*tracepb.Span{span}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	spans, err := Spans(data)
	if err != nil || len(spans) != 1 {
		t.Fatal(len(spans), err)
	}
	return spans[0]
}

func list(items ...*commonpb.AnyValue) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: items}}}
}

func dict(items ...*commonpb.KeyValue) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: items}}}
}

func double(f float64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: f}}
}

func raw(b ...byte) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: b}}
}

// The conventions of OpenTelemetry for Jaeger, one line each.
func TestOTLPSpansFollowTheConventions(t *testing.T) {
	type kvs = []model.KeyValue
	str := model.String
	for _, test := range []struct {
		name  string
		scope *commonpb.InstrumentationScope
		span  *tracepb.Span
		want  model.Span
	}{
		{name: "nothing", span: &tracepb.Span{}},
		{
			name: "order of tags",
			scope: &commonpb.InstrumentationScope{
				Name: "lib", Version: "1.2", Attributes: []*commonpb.KeyValue{text("scope.attribute", "is no tag")},
			},
			span: &tracepb.Span{
				Name: "op", Kind: tracepb.Span_SPAN_KIND_CLIENT, TraceState: "a=b",
				Attributes: []*commonpb.KeyValue{text("z", "1"), number("a", 2)},
				Status:     &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "boom"},
			},
			want: model.Span{OperationName: "op", Tags: kvs{
				str("otel.library.name", "lib"), str("otel.library.version", "1.2"),
				str("z", "1"), model.Int64("a", 2),
				str("span.kind", "client"), str("otel.status_code", "ERROR"), model.Bool("error", true),
				str("otel.status_description", "boom"), str("w3c.tracestate", "a=b"),
			}},
		},
		{name: "internal", span: &tracepb.Span{Kind: tracepb.Span_SPAN_KIND_INTERNAL}, want: model.Span{Tags: kvs{str("span.kind", "internal")}}},
		{name: "server", span: &tracepb.Span{Kind: tracepb.Span_SPAN_KIND_SERVER}, want: model.Span{Tags: kvs{str("span.kind", "server")}}},
		{name: "producer", span: &tracepb.Span{Kind: tracepb.Span_SPAN_KIND_PRODUCER}, want: model.Span{Tags: kvs{str("span.kind", "producer")}}},
		{name: "consumer", span: &tracepb.Span{Kind: tracepb.Span_SPAN_KIND_CONSUMER}, want: model.Span{Tags: kvs{str("span.kind", "consumer")}}},
		{name: "unknown kind", span: &tracepb.Span{Kind: 9}},
		{name: "status ok", span: &tracepb.Span{Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK}}, want: model.Span{Tags: kvs{str("otel.status_code", "OK")}}},
		{name: "status unset with a message", span: &tracepb.Span{Status: &tracepb.Status{Message: "m"}}, want: model.Span{Tags: kvs{str("otel.status_description", "m")}}},
		{
			name: "values",
			span: &tracepb.Span{Attributes: []*commonpb.KeyValue{
				{Key: "absent"},
				{Key: "empty", Value: &commonpb.AnyValue{}},
				truth("bool", false),
				{Key: "double", Value: double(1)},
				{Key: "bytes", Value: raw(0, 255)},
				{Key: "no bytes", Value: raw()},
				{Key: "list", Value: list(text("", "<x>").Value, number("", -1).Value, double(1), double(0.25), truth("", true).Value, raw(1), nil, list())},
				{Key: "dict", Value: dict(text("b", "1"), &commonpb.KeyValue{Key: "a", Value: dict()}, number("b", 2))},
			}},
			want: model.Span{Tags: kvs{
				str("absent", ""), str("empty", ""), model.Bool("bool", false), model.Float64("double", 1),
				model.Binary("bytes", []byte{0, 255}), model.Binary("no bytes", nil),
				str("list", `["\u003cx\u003e",-1,1,0.25,true,"AQ==",null,[]]`), str("dict", `{"a":{},"b":2}`),
			}},
		},
		{
			name: "attributes that look like Jaeger's own have no meaning",
			span: &tracepb.Span{Attributes: []*commonpb.KeyValue{number("@jaeger@flags", 1), text("@jaeger@@jaeger@", ""), text("span.kind", "x")}},
			want: model.Span{Tags: kvs{model.Int64("@jaeger@flags", 1), str("@jaeger@@jaeger@", ""), str("span.kind", "x")}},
		},
		{
			name: "events",
			span: &tracepb.Span{Events: []*tracepb.Span_Event{
				{TimeUnixNano: 5, Name: "named", Attributes: []*commonpb.KeyValue{text("k", "v")}},
				{TimeUnixNano: 5, Name: "overruled", Attributes: []*commonpb.KeyValue{text("k", "v"), text("event", "own")}},
				{TimeUnixNano: 5},
			}},
			want: model.Span{Logs: []model.Log{
				{Timestamp: time.Unix(0, 5), Fields: kvs{str("event", "named"), str("k", "v")}},
				{Timestamp: time.Unix(0, 5), Fields: kvs{str("k", "v"), str("event", "own")}},
				{Timestamp: time.Unix(0, 5)},
			}},
		},
		{
			name: "references",
			span: &tracepb.Span{ParentSpanId: spanByte(2), Links: []*tracepb.Span_Link{
				{TraceId: traceByte, SpanId: spanByte(3)},
				{TraceId: traceByte, SpanId: spanByte(4), Attributes: []*commonpb.KeyValue{text("opentracing.ref_type", "child_of")}},
				{TraceId: traceByte, SpanId: spanByte(5), Attributes: []*commonpb.KeyValue{text("opentracing.ref_type", "other")}},
			}},
			want: model.Span{References: []model.SpanRef{
				model.NewChildOfRef(testTrace, 2), model.NewFollowsFromRef(testTrace, 3),
				model.NewChildOfRef(testTrace, 4), model.NewFollowsFromRef(testTrace, 5),
			}},
		},
		{
			name: "a link to the parent tells its type",
			span: &tracepb.Span{ParentSpanId: spanByte(2), Links: []*tracepb.Span_Link{{TraceId: traceByte, SpanId: spanByte(2)}}},
			want: model.Span{References: []model.SpanRef{model.NewFollowsFromRef(testTrace, 2)}},
		},
		{
			name: "times",
			span: &tracepb.Span{StartTimeUnixNano: 1_700_000_000_123_456_789, EndTimeUnixNano: 1_700_000_000_123_456_788},
			want: model.Span{StartTime: time.Unix(0, 1_700_000_000_123_456_789), Duration: -1},
		},
		{name: "flags keep their low byte", span: &tracepb.Span{Flags: 0x301}, want: model.Span{Flags: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.span.TraceId, test.span.SpanId = traceByte, spanByte(1)
			test.want.TraceID, test.want.SpanID = testTrace, 1
			if test.want.StartTime.IsZero() {
				test.want.StartTime = time.Unix(0, 0)
			}
			test.want.Process = &model.Process{ServiceName: "s"}
			resource := &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "s")}}
			got := fromOTLPSpan(t, resource, test.scope, test.span)
			if diff := cmp.Diff(&test.want, got, sameSpan); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestResourceBecomesProcess(t *testing.T) {
	for _, test := range []struct {
		name     string
		resource *resourcepb.Resource
		want     model.Process
	}{
		{"no resource", nil, model.Process{ServiceName: "OTLPResourceNoServiceName"}},
		{"no service", &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("host", "a")}},
			model.Process{ServiceName: "OTLPResourceNoServiceName", Tags: []model.KeyValue{model.String("host", "a")}}},
		{"service between others", &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("b", "1"), text("service.name", "s"), text("a", "2")}},
			model.Process{ServiceName: "s", Tags: []model.KeyValue{model.String("b", "1"), model.String("a", "2")}}},
		{"empty service", &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "")}}, model.Process{}},
		{"service is a number", &resourcepb.Resource{Attributes: []*commonpb.KeyValue{number("service.name", 5)}}, model.Process{ServiceName: "5"}},
		{"what marks no process in Jaeger's spans", &resourcepb.Resource{Attributes: []*commonpb.KeyValue{truth("@jaeger@no_process", true)}},
			model.Process{ServiceName: "OTLPResourceNoServiceName", Tags: []model.KeyValue{model.Bool("@jaeger@no_process", true)}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := fromOTLPSpan(t, test.resource, nil, &tracepb.Span{TraceId: traceByte, SpanId: spanByte(1)})
			if diff := cmp.Diff(&test.want, got.Process, sameSpan); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// One resource may hold a scope of Jaeger's spans and one of OTLP's: each goes its own way back.
func TestOriginsMixUnderOneResource(t *testing.T) {
	service := &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "s"), text("service.name", "tag")}}
	span := &tracepb.Span{TraceId: traceByte, SpanId: spanByte(1), Kind: tracepb.Span_SPAN_KIND_SERVER}
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: service,
		ScopeSpans: []*tracepb.ScopeSpans{
			{Scope: &commonpb.InstrumentationScope{Attributes: []*commonpb.KeyValue{text("@jaeger@model", "v1")}}, Spans: []*tracepb.Span{span}},
			{Spans: []*tracepb.Span{span, span}},
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Spans(data)
	if err != nil || len(got) != 3 {
		t.Fatal(len(got), err)
	}
	if got[0].Tags != nil || len(got[1].Tags) != 1 {
		t.Errorf("tags %v and %v", got[0].Tags, got[1].Tags)
	}
	if got[1].Process != got[2].Process {
		t.Error("spans of one resource do not share their process")
	}
}
