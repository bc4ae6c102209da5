package plugin

import (
	"context"
	"testing"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"

	"github.com/jaeger-tempo/tempo/trace"
)

// nowhere takes all spans, and has one trace.
type nowhere struct {
	naiveStore
	data []byte
}

func (*nowhere) Write(context.Context, string, []byte) (trace.Rejected, error) {
	return trace.Rejected{}, nil
}

func (n *nowhere) Trace(context.Context, string, trace.ID) ([]byte, error) { return n.data, nil }

// What the handler adds to gRPC and to the store.
func BenchmarkWriteSpan(b *testing.B) {
	store := &nowhere{}
	writer := spanWriter{New(Options{Writer: store, Reader: store})}
	request := &storage_v1.WriteSpanRequest{Span: someSpan(1, 1)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := writer.WriteSpan(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

// The same with gRPC around it, in one process.
func BenchmarkWriteSpanOverGRPC(b *testing.B) {
	store := &nowhere{}
	writer := storage_v1.NewSpanWriterPluginClient(dial(b, Options{Writer: store, Reader: store}))
	request := &storage_v1.WriteSpanRequest{Span: someSpan(1, 1)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := writer.WriteSpan(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

// A trace of 17,000 spans and 6.5 MB, received whole.
func BenchmarkGetTraceOverGRPC(b *testing.B) {
	store := &nowhere{data: bigTrace(b, 1, 17_000, 380)}
	reader := storage_v1.NewSpanReaderPluginClient(dial(b, Options{Writer: store, Reader: store}))
	b.SetBytes(int64(len(store.data)))
	b.ReportAllocs()
	for b.Loop() {
		stream, err := reader.GetTrace(b.Context(), &storage_v1.GetTraceRequest{TraceID: model.NewTraceID(1, 1)})
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := stream.Recv(); err != nil {
				break
			}
		}
	}
}
