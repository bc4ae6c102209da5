package jaegerv1

import (
	"fmt"
	"testing"
	"time"

	gogo "github.com/gogo/protobuf/proto"
	"github.com/jaegertracing/jaeger/model"
)

// shopSpan is a span as instrumented services send it: 12 process tags, 9 tags, one log.
func shopSpan() *model.Span {
	start := time.Unix(1_700_000_000, 123_456_000).UTC()
	process := model.NewProcess("checkout", nil)
	for i := range 12 {
		process.Tags = append(process.Tags, model.String(fmt.Sprintf("k8s.attribute.number.%d", i), "some-value-of-a-pod"))
	}
	return &model.Span{
		TraceID: model.NewTraceID(0x0102030405060708, 0x090a0b0c0d0e0f10), SpanID: 0x1112131415161718,
		OperationName: "POST /api/checkout", Flags: 1, StartTime: start, Duration: 17 * time.Millisecond,
		References: []model.SpanRef{model.NewChildOfRef(model.NewTraceID(0x0102030405060708, 0x090a0b0c0d0e0f10), 5)},
		Tags: []model.KeyValue{
			model.String("span.kind", "server"),
			model.String("http.method", "POST"),
			model.String("http.url", "https://shop.example.com/api/checkout?cart=8f14e45f"),
			model.Int64("http.status_code", 503),
			model.Bool("error", true),
			model.String("otel.status_description", "payment is down"),
			model.String("net.peer.ip", "10.1.2.3"),
			model.Float64("cart.value", 99.5),
			model.String("internal.span.format", "proto"),
		},
		Logs: []model.Log{{Timestamp: start.Add(time.Millisecond), Fields: []model.KeyValue{
			model.String("event", "retry"), model.Int64("attempt", 2),
		}}},
		Process: process,
	}
}

func BenchmarkAppendOTLP(b *testing.B) {
	span := shopSpan()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = AppendOTLP(buf[:0], span); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

// One resource, one scope, a thousand spans: a trace that was written span by span and merged.
func BenchmarkEach(b *testing.B) {
	span := shopSpan()
	resource, _ := appendProcess(nil, span.Process)
	body, _ := appendSpan(nil, span)
	scopes := append([]byte{}, markedScope...)
	const count = 1000
	for range count {
		scopes = appendString(scopes, scopeSpansSpans, string(body))
	}
	group := appendString(nil, resourceSpansResource, string(resource))
	group = appendString(group, resourceSpansScopes, string(scopes))
	data := appendString(nil, tracesResourceSpans, string(group))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := Each(data, func(*model.Span) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/span")
}

// What Jaeger's own wire form costs for the same span, to compare.
func BenchmarkGogoMarshal(b *testing.B) {
	span := shopSpan()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gogo.Marshal(span); err != nil {
			b.Fatal(err)
		}
	}
}
