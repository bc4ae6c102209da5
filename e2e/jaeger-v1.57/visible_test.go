package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/storage/spanstore"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// TestAcknowledgedSpanIsFoundByTheNextCall writes a span, and asks for it in every way there is as soon as the
// write has returned. Nothing here waits or tries again.
func TestAcknowledgedSpanIsFoundByTheNextCall(t *testing.T) {
	t.Parallel()
	p := startPlugin(t, t.TempDir())
	requireVisible(t, p, p)
}

// requireVisible writes through one plugin, and asks another one.
func requireVisible(t *testing.T, to, p *plugin) {
	ctx := context.Background()
	for i := range uint64(200) {
		service, operation, value := fmt.Sprint("service-", i), fmt.Sprint("operation-", i), fmt.Sprint("value-", i)
		span := samples.Plain(model.NewTraceID(i, i+1), i+1, service)
		span.OperationName = operation
		span.Tags = []model.KeyValue{model.String("key", value), model.String("span.kind", "server")}
		if err := to.writer.WriteSpan(ctx, span); err != nil {
			t.Fatal(err)
		}

		trace, err := p.reader.GetTrace(ctx, span.TraceID)
		if err != nil || len(trace.Spans) != 1 {
			t.Fatalf("span %d by ID: %v, %v", i, trace, err)
		}
		samples.RequireSame(t, samples.Values([]*model.Span{span}), samples.Values(trace.Spans))
		for name, query := range map[string]spanstore.TraceQueryParameters{
			"service":   {ServiceName: service},
			"operation": {ServiceName: service, OperationName: operation},
			"tag":       {ServiceName: service, Tags: map[string]string{"key": value}},
			"all":       {ServiceName: service, OperationName: operation, Tags: map[string]string{"key": value}, DurationMin: span.Duration, DurationMax: span.Duration},
		} {
			query.NumTraces, query.StartTimeMin, query.StartTimeMax = 20, span.StartTime, span.StartTime.Add(time.Microsecond)
			found, err := p.reader.FindTraces(ctx, &query)
			if err != nil || len(found) != 1 || len(found[0].Spans) != 1 {
				t.Fatalf("span %d by %s: %v, %v", i, name, found, err)
			}
		}
		services, err := p.reader.GetServices(ctx)
		if err != nil || len(services) != int(i+1) || !slices.Contains(services, service) {
			t.Fatalf("%s is not among the %d services (%v)", service, len(services), err)
		}
		operations, err := p.reader.GetOperations(ctx, spanstore.OperationQueryParameters{ServiceName: service})
		if err != nil || !slices.Equal(operations, []spanstore.Operation{{Name: operation, SpanKind: "server"}}) {
			t.Fatalf("operations of %s: %v, %v", service, operations, err)
		}
	}
}
