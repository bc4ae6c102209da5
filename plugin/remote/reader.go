package remote

import (
	"context"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/trace"
)

// countedReader counts a trace as held by the connection that has asked, until the next one is sent or the call ends.
type countedReader struct{ plugin.Reader }

// Trace implements plugin.Reader.
func (r countedReader) Trace(ctx context.Context, tenant string, id trace.ID) ([]byte, error) {
	if err := read(ctx); err != nil {
		return nil, err
	}
	data, err := r.Reader.Trace(ctx, tenant, id)
	holds(ctx, len(data))
	return data, err
}

// Traces implements plugin.Reader.
func (r countedReader) Traces(ctx context.Context, tenant string, ids []trace.ID, yield func(trace.ID, []byte, error) error) error {
	if err := read(ctx); err != nil {
		return err
	}
	return r.Reader.Traces(ctx, tenant, ids, func(id trace.ID, data []byte, missing error) error {
		holds(ctx, len(data))
		return yield(id, data, missing)
	})
}

// FindTraces implements plugin.Reader.
func (r countedReader) FindTraces(ctx context.Context, tenant string, q *readpath.Query, yield func(trace.ID, []byte, error) error) error {
	if err := read(ctx); err != nil {
		return err
	}
	return r.Reader.FindTraces(ctx, tenant, q, func(id trace.ID, data []byte, missing error) error {
		holds(ctx, len(data))
		return yield(id, data, missing)
	})
}

// FindSpans implements plugin.Reader.
func (r countedReader) FindSpans(ctx context.Context, tenant string, q *readpath.SpanQuery, yield func(trace.ID, []byte) error) (next string, err error) {
	if err := read(ctx); err != nil {
		return "", err
	}
	return r.Reader.FindSpans(ctx, tenant, q, func(id trace.ID, data []byte) error {
		holds(ctx, len(data))
		return yield(id, data)
	})
}
