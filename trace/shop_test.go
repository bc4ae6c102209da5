package trace

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// The shop: traces like those of a web shop of ten services, as benchmarks and corpora use them. A resource
// has 12 attributes, a span 4 to 11.

var shopServices = []string{
	"frontend", "checkout", "cart", "catalog", "payment", "shipping", "email", "currency", "recommendation", "ads",
}

func text(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: value}}}
}

func integer(key string, value int64) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: value}}}
}

func boolean(key string, value bool) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: value}}}
}

func double(key string, value float64) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_DoubleValue{DoubleValue: value}}}
}

func shopResource(service string) *resourcev1.Resource {
	return &resourcev1.Resource{Attributes: []*commonv1.KeyValue{
		text("service.name", service), text("service.version", "1.14.2"), text("service.namespace", "shop"),
		text("service.instance.id", "6b1f3c1e-8a0e-4d0a-9d3f-6f1de1a0c2b7"), text("deployment.environment", "production"),
		text("telemetry.sdk.name", "opentelemetry"), text("telemetry.sdk.language", "go"), text("telemetry.sdk.version", "1.26.0"),
		text("host.name", "gke-shop-pool-2-77c9"), text("k8s.pod.name", service+"-5c9b6d7f8-x2x9p"),
		text("k8s.namespace.name", "shop"), integer("process.pid", 4711),
	}}
}

// shopSpan returns a span of the trace, of about 400 bytes.
func shopSpan(r *rand.Rand, traceID, parent []byte, start uint64) *tracev1.Span {
	kinds := []tracev1.Span_SpanKind{tracev1.Span_SPAN_KIND_SERVER, tracev1.Span_SPAN_KIND_CLIENT, tracev1.Span_SPAN_KIND_INTERNAL}
	all := []*commonv1.KeyValue{
		text("http.request.method", "GET"), text("url.path", fmt.Sprintf("/api/products/%d", r.IntN(1000))),
		integer("http.response.status_code", 200), text("server.address", "catalog.shop.svc.cluster.local"),
		integer("server.port", 8080), text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
		text("network.protocol.version", "1.1"), text("app.user.id", fmt.Sprintf("user-%06d", r.IntN(50000))),
		boolean("app.cache.hit", r.IntN(2) == 0), double("app.cart.total", float64(r.IntN(100000))/100),
		text("thread.name", "worker-12"),
	}
	span := &tracev1.Span{
		TraceId: traceID, SpanId: binary.BigEndian.AppendUint64(nil, r.Uint64()|1), ParentSpanId: parent,
		Name: fmt.Sprintf("GET /api/route-%d", r.IntN(30)), Kind: kinds[r.IntN(3)], Flags: 0x101,
		StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(r.IntN(1e8)),
		Attributes: all[:4+r.IntN(8)], Status: &tracev1.Status{},
	}
	if r.IntN(10) == 0 {
		span.Events = []*tracev1.Span_Event{{TimeUnixNano: start + 5, Name: "cache miss", Attributes: []*commonv1.KeyValue{text("key", "p-1")}}}
	}
	if r.IntN(30) == 0 {
		span.Status = &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR, Message: "deadline exceeded"}
	}
	return span
}

// shopTrace returns a whole trace of about 20 spans, and the number of its spans.
func shopTrace(r *rand.Rand) (*tracev1.TracesData, int) {
	traceID := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, r.Uint64()), r.Uint64()|1)
	start := 1_700_000_000_000_000_000 + r.Uint64N(1e12)
	data, n := &tracev1.TracesData{}, 0
	var parents [][]byte
	for _, service := range shopServices[:4+r.IntN(7)] {
		scope := &tracev1.ScopeSpans{Scope: &commonv1.InstrumentationScope{Name: "otelhttp", Version: "0.49.0"}}
		for range 1 + r.IntN(5) {
			var parent []byte
			if len(parents) > 0 {
				parent = parents[r.IntN(len(parents))]
			}
			span := shopSpan(r, traceID, parent, start+uint64(r.IntN(1e9)))
			parents = append(parents, span.SpanId)
			scope.Spans = append(scope.Spans, span)
			n++
		}
		data.ResourceSpans = append(data.ResourceSpans, &tracev1.ResourceSpans{
			Resource: shopResource(service), SchemaUrl: "https://opentelemetry.io/schemas/1.24.0", ScopeSpans: []*tracev1.ScopeSpans{scope},
		})
	}
	return data, n
}

// shopBatch returns what one service exports at once: spans of several traces.
func shopBatch(r *rand.Rand, traces, spansEach int) *tracev1.TracesData {
	scope := &tracev1.ScopeSpans{Scope: &commonv1.InstrumentationScope{Name: "otelhttp", Version: "0.49.0"}}
	for range traces {
		traceID := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, r.Uint64()), r.Uint64()|1)
		for range spansEach {
			scope.Spans = append(scope.Spans, shopSpan(r, traceID, binary.BigEndian.AppendUint64(nil, r.Uint64()), 1_700_000_000_000_000_000))
		}
	}
	r.Shuffle(len(scope.Spans), func(i, j int) { scope.Spans[i], scope.Spans[j] = scope.Spans[j], scope.Spans[i] })
	return &tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{
		Resource: shopResource("catalog"), ScopeSpans: []*tracev1.ScopeSpans{scope},
	}}}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}
