package storagev2

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// nowhere takes all entries.
type nowhere struct{}

func (nowhere) Append(context.Context, string, []tempodb.Entry) error { return nil }

// shopRequest is an export request of about so many spans, of the shop.
func shopRequest(b *testing.B, spans int) []byte {
	var request []byte
	n := 0
	for r := range workload.New(1, 1000).Requests() {
		if request = append(request, r.Data...); n+r.Spans >= spans {
			return request
		}
		n += r.Spans
	}
	b.Fatal("too few spans")
	return nil
}

// What an Export costs above the Write that it makes: the handler is given a message as gRPC has received it, in frames of 16 KiB.
func BenchmarkExport(b *testing.B) {
	request := shopRequest(b, 1000)
	writer := writepath.NewWriter(nowhere{})
	services := New(Options{Writer: writer})
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(request)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := writer.Write(b.Context(), plugin.DefaultTenant, request); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("handler", func(b *testing.B) {
		var frames mem.BufferSlice
		for frame := range slices.Chunk(request, 16<<10) {
			frames = append(frames, mem.SliceBuffer(frame))
		}
		decode := func(v any) error { return plugin.Codec{}.Unmarshal(frames, v) }
		b.SetBytes(int64(len(request)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := handleExport(services, b.Context(), decode, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gRPC", func(b *testing.B) {
		conn := dial(b, Options{Writer: writer})
		b.SetBytes(int64(len(request)))
		b.ReportAllocs()
		for b.Loop() {
			if err := conn.Invoke(b.Context(), exportMethod, plugin.NewRaw(request), new(plugin.Raw)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A trace of 17,000 spans, received whole.
func BenchmarkGetTraces(b *testing.B) {
	w := newWorld(b)
	group := from("big")
	for n := range 17_000 {
		s := someSpan(1, 1, attribute("http.url", fmt.Sprintf("https://shop.example.com/products/%d", n)), attribute("peer", "cart-7f9c"))
		s.SpanId = []byte{1, byte(n >> 8), byte(n), 0, 0, 0, 0, 1}
		group.ScopeSpans[0].Spans = append(group.ScopeSpans[0].Spans, s)
	}
	w.mustExport(group)
	w.cut()
	b.ReportAllocs()
	for b.Loop() {
		stream, err := w.traces.GetTraces(b.Context(), &storagepb.GetTracesRequest{Query: []*storagepb.GetTraceParams{{TraceId: traceIDOf(1)}}})
		for err == nil {
			var chunk plugin.Raw
			if err = stream.RecvMsg(&chunk); err == nil {
				chunk.Free()
			}
		}
	}
}

// Summaries of searches over 100 blocks with 100 traces each, as a client gets them: the shop's queries, each for the 20 newest.
func BenchmarkFindTraceSummaries(b *testing.B) {
	const blocks, tracesEach = 100, 100
	w := newWorld(b)
	shop := workload.New(1, blocks*tracesEach)
	seen := make(map[[16]byte]bool)
	cut := 0
	for r := range shop.Requests() {
		if _, err := w.writer.Write(b.Context(), plugin.DefaultTenant, r.Data); err != nil {
			b.Fatal(err)
		}
		for _, part := range r.Parts {
			seen[part.TraceID] = true
		}
		if len(seen) >= (cut+1)*tracesEach {
			w.cut()
			cut++
		}
	}
	w.cut()
	byKind := make(map[string][]*storagepb.TraceQueryParameters)
	for _, q := range workload.Queries() {
		p := &storagepb.TraceQueryParameters{ServiceName: q.Service, OperationName: q.Operation, SearchDepth: 20, DurationMin: durationpb.New(q.DurationMin)}
		if q.Key != "" {
			p.Attributes = []*storagepb.KeyValue{asked(q.Key, q.Value)}
		}
		byKind[q.Kind] = append(byKind[q.Kind], p)
	}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		b.Run(kind, func(b *testing.B) {
			for _, q := range byKind[kind] {
				w.summaries(q) // warm
			}
			w.bucket.dataReads.Store(0)
			var took []time.Duration
			found := 0
			for i := 0; b.Loop(); i++ {
				begin := time.Now()
				all, _ := w.summaries(byKind[kind][i%len(byKind[kind])])
				took = append(took, time.Since(begin))
				found += len(all)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(found)/float64(len(took)), "traces")
			b.ReportMetric(float64(w.bucket.dataReads.Load())/float64(len(took)), "data-reads")
		})
	}
}
