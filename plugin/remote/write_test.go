package remote

import (
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
)

// BenchmarkABatchOneByOne is what Jaeger's collector from v1.66 on does with a batch of OTLP: a WriteSpan for each span, one after another, each fsynced before
// the next is sent. It gives up after 5 seconds, and the rest of the batch is lost.
func BenchmarkABatchOneByOne(b *testing.B) {
	const batch = 5000
	s := serve(b, openStore(b), Options{})
	writer := shared.NewGRPCClient(dial(b, s.Address(), nil)).SpanWriter()
	slowest := time.Duration(0)
	for i := 0; b.Loop(); i++ {
		for j := range batch {
			span := spanOf(uint64(i*batch+j)/20+1, uint64(j)+1)
			span.Tags = []model.KeyValue{model.String("http.method", "GET"), model.Int64("http.status_code", 200), model.String("http.url", "http://shop/cart/17")}
			began := time.Now()
			if err := writer.WriteSpan(b.Context(), span); err != nil {
				b.Fatal(err)
			}
			slowest = max(slowest, time.Since(began))
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/batch")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/span")
	b.ReportMetric(float64(slowest.Microseconds())/1e3, "ms-slowest")
}
