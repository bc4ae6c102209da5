package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/jaegertracing/jaeger/model"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/receivers"
	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// TestSpansComeBackAsSent sends spans over every protocol to two all-in-ones, one on the plugin and one with
// memory storage, and wants the same answer of both: Jaeger translates what it receives, and the memory storage
// keeps the result as it is. What Jaeger does not translate is compared with what was sent, too.
func TestSpansComeBackAsSent(t *testing.T) {
	t.Parallel()
	requireSpansComeBack(t, startAllInOne(t, t.TempDir()), startAllInOne(t, ""))
}

func requireSpansComeBack(t *testing.T, ours, memory *allInOne) {
	number := uint64(0)

	// each runs a case on a trace of its own. The spans that send hands to both, translated, are n.
	each := func(name string, n int, send func(r *receivers.Receivers, trace model.TraceID) error, sent func(trace model.TraceID) []*model.Span) {
		number++
		trace := model.NewTraceID(number<<32, number)
		t.Run(name, func(t *testing.T) {
			for _, j := range []*allInOne{memory, ours} {
				if err := send(&j.Receivers, trace); err != nil {
					t.Fatal(err)
				}
			}
			want := memory.awaitTrace(t, trace, n)
			got := ours.awaitTrace(t, trace, n)
			samples.RequireSame(t, want, got)
			if sent != nil {
				spans := sent(trace)
				for _, s := range spans {
					// The one thing that Jaeger adds to every span it receives this way.
					s.Tags = append(s.Tags, model.String("internal.span.format", "proto"))
				}
				samples.RequireSame(t, samples.Values(spans), got)
			}
			requireSameJSON(t, memory, ours, trace)
		})
	}

	otlp := func(trace model.TraceID) *coltrace.ExportTraceServiceRequest {
		return &coltrace.ExportTraceServiceRequest{ResourceSpans: samples.OTLP(trace, "otlp")}
	}
	spansIn := func(r *coltrace.ExportTraceServiceRequest) (n int) {
		for _, rs := range r.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				n += len(ss.Spans)
			}
		}
		return n
	}(otlp(model.NewTraceID(1, 1)))
	each("OTLP gRPC", spansIn, func(r *receivers.Receivers, id model.TraceID) error { return r.SendOTLPgRPC(otlp(id)) }, nil)
	each("OTLP HTTP", spansIn, func(r *receivers.Receivers, id model.TraceID) error { return r.SendOTLPHTTP(otlp(id)) }, nil)

	for _, c := range []struct {
		name  string
		spans func(trace model.TraceID) []*model.Span
	}{
		{"odd spans", func(id model.TraceID) []*model.Span { return samples.Odd(id, "jaeger") }},
		{"spans only protobuf can carry", func(id model.TraceID) []*model.Span { return samples.ModelOnly(id, "jaeger") }},
		{"1 MiB value", func(id model.TraceID) []*model.Span { return samples.BigValue(id, "jaeger") }},
		{"10,000 spans", func(id model.TraceID) []*model.Span { return samples.Many(id, "jaeger", 10_000) }},
	} {
		each("Jaeger gRPC/"+c.name, len(c.spans(model.NewTraceID(1, 1))),
			func(r *receivers.Receivers, id model.TraceID) error { return r.SendJaegerGRPC(c.spans(id)) }, c.spans)
	}

	odd := len(samples.Odd(model.NewTraceID(1, 1), ""))
	each("Jaeger thrift over HTTP", odd, func(r *receivers.Receivers, id model.TraceID) error {
		return r.SendThriftHTTP(samples.Odd(id, "thrift"))
	}, nil)
	if ours.ThriftCompact != "" { // jaeger-collector, run apart, has no agent in it
		each("Jaeger thrift over UDP", odd, func(r *receivers.Receivers, id model.TraceID) error {
			return r.SendThriftCompact(samples.Odd(id, "thrift"))
		}, nil)
	}
	each("Zipkin", len(samples.Zipkin(model.NewTraceID(1, 1), "")), func(r *receivers.Receivers, id model.TraceID) error {
		return r.SendZipkinJSON(2, samples.Zipkin(id, "zipkin"))
	}, nil)

	t.Run("services and operations are the same", func(t *testing.T) {
		requireSameLists(t, memory, ours)
	})
}

// requireSameJSON compares the answers of /api/traces/{id}, unadjusted, that the UI is made of.
func requireSameJSON(t *testing.T, memory, ours *allInOne, trace model.TraceID) {
	t.Helper()
	want, got := spansOfJSON(t, memory, trace), spansOfJSON(t, ours, trace)
	if missing := samples.Difference(want, got); len(missing) > 0 || len(want) != len(got) {
		t.Fatalf("JSON: %d spans, want %d; first that differs:\nwant %s\nhave %s", len(got), len(want), missing, samples.Difference(got, want))
	}
}

// spansOfJSON returns the spans of a trace as JSON texts with their processes in place, sorted.
func spansOfJSON(t *testing.T, j *allInOne, trace model.TraceID) []string {
	t.Helper()
	data, err := j.get(fmt.Sprintf("/api/traces/%s?raw=true", trace))
	if err != nil {
		t.Fatal(err)
	}
	var traces []struct {
		Spans     []map[string]json.RawMessage
		Processes map[string]json.RawMessage
	}
	if err := json.Unmarshal(data, &traces); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, tr := range traces {
		for _, s := range tr.Spans {
			var process string
			if err := json.Unmarshal(s["processID"], &process); err != nil {
				t.Fatal(err)
			}
			// The numbers of processes depend on the order of spans, which is free.
			s["processID"] = tr.Processes[process]
			text, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
	}
	slices.Sort(texts)
	return texts
}

// requireSameLists compares /api/services, and the operations of each.
func requireSameLists(t *testing.T, memory, ours *allInOne) {
	t.Helper()
	services := stringsOf(t, memory, "/api/services")
	if got := stringsOf(t, ours, "/api/services"); !slices.Equal(services, got) {
		t.Fatalf("services: %q, want %q", got, services)
	}
	for _, service := range services {
		path := "/api/operations?service=" + escape(service)
		if want, got := stringsOf(t, memory, path), stringsOf(t, ours, path); !slices.Equal(want, got) {
			t.Errorf("operations of %q: %q, want %q", service, got, want)
		}
	}
}
