package writepath

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// Store takes entries to where they are durable: a *tracedb.Store in this process, a *Cluster on others.
type Store interface {
	// Append stores entries, pieces of traces under their IDs, for tenant. When it returns nil they are durable, and every query finds them; with a
	// *client.RefusedError all are but those that it names. After another error they may be stored or not, and may be appended again. It copies what it keeps.
	Append(ctx context.Context, tenant string, entries []tempodb.Entry) error
}

// Writer writes to a store. It may be used concurrently.
type Writer struct {
	store Store
	batch sync.Pool
}

// batch is the memory of one Write.
type batch struct {
	splitter trace.Splitter
	entries  []tempodb.Entry
}

// NewWriter returns a Writer to store.
func NewWriter(store Store) *Writer {
	return &Writer{store: store, batch: sync.Pool{New: func() any { return new(batch) }}}
}

// Write stores the spans of an OTLP export request (or TracesData, which has the same form) for tenant. When it returns without an
// error the spans are durable and readable, except those that Rejected counts: each was refused for what is wrong with it, or with all others of its trace by a limit
// that says no however often it is asked, of which Rejected.Limit tells.
//
// A *trace.WireError says that otlp is no such message, a *tracedb.TenantError that the tenant can't be; both times nothing
// was stored. After any other error spans may be stored or not, and may be sent again: what is stored twice is answered once.
// The Writer keeps nothing of otlp.
func (w *Writer) Write(ctx context.Context, tenant string, otlp []byte) (trace.Rejected, error) {
	b := w.batch.Get().(*batch)
	defer w.batch.Put(b)
	fragments, rejected, err := b.splitter.Split(otlp)
	if err != nil {
		return trace.Rejected{}, err
	}
	if len(fragments) == 0 {
		return rejected, nil
	}
	b.entries = b.entries[:0]
	for _, f := range fragments {
		b.entries = append(b.entries, tempodb.Entry{Key: f.TraceID, Value: f.Data})
	}
	defer clear(b.entries) // they may point into otlp
	err = w.store.Append(ctx, tenant, b.entries)
	if err == nil {
		return rejected, nil
	}
	var refused *client.RefusedError
	if !errors.As(err, &refused) {
		return trace.Rejected{}, fmt.Errorf("write spans: %w", err)
	}
	for _, n := range refused.Entries {
		rejected.Spans += fragments[n].Spans
	}
	if rejected.Limit = refused.Err; rejected.Reason != "" {
		rejected.Reason += "; "
	}
	rejected.Reason += status.Convert(refused.Err).Message()
	return rejected, nil
}
