package plugin

import (
	"context"
	"fmt"
	"sync"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
)

// spanWriter is SpanWriterPlugin and ArchiveSpanWriterPlugin.
type spanWriter struct{ *Services }

func (w spanWriter) WriteSpan(ctx context.Context, r *storage_v1.WriteSpanRequest) (*storage_v1.WriteSpanResponse, error) {
	tenant, err := w.tenantOf(ctx)
	if err != nil {
		return nil, statusOf(err)
	}
	return w.write(ctx, tenant, r.Span)
}

func (w spanWriter) WriteArchiveSpan(ctx context.Context, r *storage_v1.WriteSpanRequest) (*storage_v1.WriteSpanResponse, error) {
	tenant, err := w.archiveOf(ctx)
	if err != nil {
		return nil, statusOf(err)
	}
	return w.write(ctx, tenant, r.Span)
}

// Close tells that the host will write no more. Nothing waits for that: what was acknowledged is
// durable already.
func (spanWriter) Close(context.Context, *storage_v1.CloseWriterRequest) (*storage_v1.CloseWriterResponse, error) {
	return &storage_v1.CloseWriterResponse{}, nil
}

func (w spanWriter) write(ctx context.Context, tenant string, span *model.Span) (*storage_v1.WriteSpanResponse, error) {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	otlp, err := jaegerv1.AppendOTLP((*buf)[:0], span)
	*buf = otlp
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	rejected, err := w.writer.Write(ctx, tenant, otlp)
	if err != nil {
		return nil, statusOf(err)
	}
	if rejected.Limit != nil {
		return nil, statusOf(fmt.Errorf("write spans: %w", rejected.Limit))
	}
	if rejected.Spans > 0 {
		return nil, status.Error(codes.InvalidArgument, rejected.Reason)
	}
	return &storage_v1.WriteSpanResponse{}, nil
}

// buffers hold spans on their way to the writer, which copies what it keeps.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func putBuffer(buf *[]byte) {
	const maxKept = 1 << 18
	if cap(*buf) <= maxKept {
		buffers.Put(buf)
	}
}
