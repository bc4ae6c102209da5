package plugin

import (
	"errors"
	"fmt"
	"io"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
)

// How much of a stream may be received and not yet written: spans, and bytes that are written as one.
const (
	streamSpans = 256
	streamBytes = 1 << 20
)

// WriteSpanStream writes what has arrived meanwhile as one, so that a stream has one fsync for many spans. Its client hears nothing before it closes
// the stream, if it ever does: a span that is refused costs itself alone, and is told then. What can't be written ends the stream.
func (w spanWriter) WriteSpanStream(stream storage_v1.StreamingSpanWriterPlugin_WriteSpanStreamServer) error {
	ctx := stream.Context()
	tenant, err := w.tenantOf(ctx)
	if err != nil {
		return statusOf(err)
	}
	spans, ended := make(chan *model.Span, streamSpans), make(chan error, 1)
	go func() { // until the stream ends, at the latest when this method returns
		defer close(spans)
		for {
			r, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case spans <- r.Span:
			case <-ctx.Done():
				ended <- ctx.Err()
				return
			}
		}
	}()
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	refused, reason := 0, ""
	for span := range spans {
		otlp := (*buf)[:0]
		for more := true; more; {
			n := len(otlp)
			if otlp, err = jaegerv1.AppendOTLP(otlp, span); err != nil {
				otlp = otlp[:n]
				refused, reason = refused+1, err.Error()
			}
			if more = len(otlp) < streamBytes; more {
				select {
				case span, more = <-spans:
				default:
					more = false
				}
			}
		}
		*buf = otlp
		if len(otlp) == 0 {
			continue
		}
		rejected, err := w.writer.Write(ctx, tenant, otlp)
		if err != nil {
			return statusOf(err)
		}
		if rejected.Spans > 0 {
			refused, reason = refused+rejected.Spans, rejected.Reason
		}
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		return statusOf(err)
	}
	if refused > 0 {
		return status.Error(codes.InvalidArgument, fmt.Sprintf("%d spans of the stream were refused, the last one because: %s", refused, reason))
	}
	return stream.SendAndClose(&storage_v1.WriteSpanResponse{})
}
