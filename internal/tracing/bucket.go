package tracing

import (
	"context"
	"errors"
	"io"

	"github.com/opentracing/opentracing-go"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// Bucket returns b with a span for each read, size and listing that belongs to what is traced. Others cost nothing.
func Bucket(b backend.Bucket) backend.Bucket { return bucket{b} }

type bucket struct{ backend.Bucket }

var _ backend.Claimer = bucket{}

// span begins one below that of ctx; nil if there is none.
func span(ctx context.Context, operation, object string) (opentracing.Span, context.Context) {
	if opentracing.SpanFromContext(ctx) == nil {
		return nil, ctx
	}
	return Span(ctx, "object store: "+operation, "object", object)
}

func end(s opentracing.Span, err error) {
	if s == nil {
		return
	}
	if errors.Is(err, io.EOF) || errors.Is(err, backend.ErrNotExist) {
		err = nil // an answer
	}
	End(s, err)
}

// ReadAt implements backend.Bucket.
func (b bucket) ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	s, ctx := span(ctx, "read", name)
	if s != nil {
		defer func() {
			Tag(s, "offset", off, "bytes", n)
			end(s, err)
		}()
	}
	return b.Bucket.ReadAt(ctx, name, p, off)
}

// Size implements backend.Bucket.
func (b bucket) Size(ctx context.Context, name string) (int64, error) {
	s, ctx := span(ctx, "size", name)
	size, err := b.Bucket.Size(ctx, name)
	end(s, err)
	return size, err
}

// List implements backend.Bucket.
func (b bucket) List(ctx context.Context, dir string, fn func(name string) error) error {
	s, ctx := span(ctx, "list", dir)
	err := b.Bucket.List(ctx, dir, fn)
	end(s, err)
	return err
}

// CreateIfAbsent implements backend.Claimer where the bucket below does.
func (b bucket) CreateIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	return backend.CreateIfAbsent(ctx, b.Bucket, name, content)
}
