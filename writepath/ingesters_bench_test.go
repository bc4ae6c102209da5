package writepath_test

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/writepath"
	"github.com/jaeger-tempo/tempo/writepath/ingester"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// request returns an export request with n spans of as many traces.
func request(b *testing.B, from, n int) []byte {
	b.Helper()
	text := func(key, value string) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
	}
	var spans []*tracepb.Span
	now := uint64(time.Now().UnixNano())
	for i := from; i < from+n; i++ {
		var id [16]byte
		binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15|1)
		spans = append(spans, &tracepb.Span{
			TraceId: id[:], SpanId: id[:8], Name: fmt.Sprint("GET /", i%50), StartTimeUnixNano: now, EndTimeUnixNano: now + uint64(i%1000)*1000,
			Attributes: []*commonpb.KeyValue{text("http.method", "GET"), text("http.url", fmt.Sprint("https://shop/item/", i%1000)), text("user", fmt.Sprint(i%100))},
		})
	}
	wire, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", fmt.Sprint("service ", from%10)), text("host.name", "one"), text("deployment", "test")}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}},
	}}})
	if err != nil {
		b.Fatal(err)
	}
	return wire
}

// BenchmarkWrite writes to three real ingesters, in this process and on one disk, which log and fsync each push: all the work of three machines and a writer.
func BenchmarkWrite(b *testing.B) {
	for _, shape := range []struct {
		workers, spans int
		compression    string
	}{{1, 1, ""}, {50, 1, ""}, {50, 1, client.Zstd}, {8, 100, ""}, {8, 100, client.Gzip}, {8, 100, client.Zstd}} {
		b.Run(fmt.Sprintf("workers=%d/spans=%d/compression=%s", shape.workers, shape.spans, shape.compression), func(b *testing.B) {
			bucket, err := local.New(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = bucket.Close() })
			var register []func(grpc.ServiceRegistrar)
			for i := range 3 {
				in, err := ingester.Open(b.Context(), ingester.Options{Dir: filepath.Join(b.TempDir(), "ingester"), Instance: fmt.Sprint(i), Blocks: bucket, CutAge: time.Hour})
				if err != nil {
					b.Fatal(err)
				}
				if err := in.Wait(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = in.Close() })
				register = append(register, in.Register)
			}
			_, c := startRing(b, register, client.Options{Compression: shape.compression}, writepath.ClusterOptions{})
			w := writepath.NewWriter(c)
			requests := make([][]byte, 1000)
			for i := range requests {
				requests[i] = request(b, i*shape.spans, shape.spans)
			}
			var n atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for range shape.workers {
				all.Go(func() {
					for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
						if _, err := w.Write(b.Context(), "acme", requests[i%int64(len(requests))]); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			s := c.Stats()
			b.ReportMetric(float64(s.Groups)/float64(s.Pushes), "writes/push")
			b.ReportMetric(float64(b.N*shape.spans)/b.Elapsed().Seconds(), "spans/s")
		})
	}
}
