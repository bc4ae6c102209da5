package cluster

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// replicated is a writepath.Store that writes to all nodes.
type replicated struct{ *realCluster }

func (r replicated) Append(_ context.Context, _ string, entries []tempodb.Entry) error {
	r.push(-1, entries)
	return nil
}

// BenchmarkRead is what questions cost with three ingesters over gRPC, which have a tenth of the traces, and 100 blocks in a directory, each of them with traces that
// another has a part of too.
func BenchmarkRead(b *testing.B) {
	const traces, blocks = 4_000, 100
	dir := b.TempDir()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		b.Fatal(err)
	}
	store, err := tracedb.Open(b.Context(), tracedb.Options{Dir: filepath.Join(dir, "log"), Bucket: bucket, Sync: wal.SyncNever, NoCompaction: true})
	if err != nil {
		b.Fatal(err)
	}
	load := workload.New(1, traces)
	var requests [][]byte
	for r := range load.Requests() {
		requests = append(requests, append([]byte(nil), r.Data...))
	}
	recent := len(requests) * 9 / 10
	w := writepath.NewWriter(store)
	for i, r := range requests[:recent] {
		if _, err := w.Write(b.Context(), tenant, r); err != nil {
			b.Fatal(err)
		}
		if (i+1)*blocks/recent > i*blocks/recent {
			if err := store.Cut(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	c := newRealCluster(b, bucket, time.Hour)
	w = writepath.NewWriter(replicated{c})
	for _, r := range requests[recent:] {
		if _, err := w.Write(b.Context(), tenant, r); err != nil {
			b.Fatal(err)
		}
	}
	s := c.open(Options{})
	reader := readpath.NewReader(s)
	truth := load.Truth()
	newest := func() (q workload.Query) {
		for i, q := range workload.Queries() {
			if q.Service != "" && len(truth.Answers[i]) > 20 {
				return q
			}
		}
		b.Fatal("no query finds enough")
		return q
	}()
	query := &readpath.Query{Service: newest.Service, Operation: newest.Operation, DurationMin: newest.DurationMin, Limit: 20}
	ask := func(name string, question func(ctx context.Context, n int) error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := question(b.Context(), n); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
	}
	byID := func(from, to int) func(context.Context, int) error {
		return func(ctx context.Context, n int) error {
			_, err := reader.Trace(ctx, tenant, truth.Traces[from+n*7919%(to-from)].TraceID)
			return err
		}
	}
	ask("trace/in-blocks", byID(0, traces*8/10))
	ask("trace/recent", byID(traces*95/100, traces))
	ask("search/ids", func(ctx context.Context, _ int) error {
		_, _, err := reader.FindTraceIDs(ctx, tenant, query)
		return err
	})
	ask("search/summaries", func(ctx context.Context, _ int) error {
		_, err := reader.FindSummaries(ctx, tenant, query, func(trace.ID, *trace.Summary) error { return nil })
		return err
	})
	ask("search/traces", func(ctx context.Context, _ int) error {
		return reader.FindTraces(ctx, tenant, query, func(_ trace.ID, _ []byte, missing error) error { return missing })
	})
	ask("services", func(ctx context.Context, _ int) error {
		_, err := reader.Services(ctx, tenant)
		return err
	})
	ask("dependencies", func(ctx context.Context, _ int) error {
		_, err := reader.Dependencies(ctx, tenant, time.Unix(0, 1), time.Time{})
		return err
	})
	b.Logf("%+v", s.Stats())
}
