package objectstores

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// writeBlocks writes so many blocks of 500 traces each, and returns their traces.
func writeBlocks(t *testing.T, bucket backend.Bucket, blocks int) []workload.Part {
	t.Helper()
	ctx := context.Background()
	store, err := tracedb.Open(ctx, tracedb.Options{
		Dir: filepath.Join(t.TempDir(), "log"), Bucket: bucket, Sync: wal.SyncNever, CutBytes: 1 << 40, NoCompaction: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := workload.New(1, blocks*500)
	writer := writepath.NewWriter(store)
	seen, cuts := make(map[[16]byte]bool), 0
	for r := range w.Requests() {
		if _, err := writer.Write(ctx, "shop", r.Data); err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Parts {
			seen[p.TraceID] = true
		}
		if cuts+1 < blocks && len(seen) >= (cuts+1)*500 {
			if err := store.Cut(ctx); err != nil {
				t.Fatal(err)
			}
			cuts++
		}
	}
	if err := store.Cut(ctx); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return w.Truth().Traces
}

// TestRequestsOfQuestions counts what a Reader asks a real server for. "Cold" is the first question to a Reader that was just opened, "next" another
// one of the kind, "again" the same once more.
func TestRequestsOfQuestions(t *testing.T) {
	const blocks = 10
	address, _ := s3Server(t)
	p := newProxy(t, address, 0)
	bucket := openS3(t, p.Address(), "f")
	traces := writeBlocks(t, bucket, blocks)

	search := func(where *index.Expr, limit, least int) func(context.Context, *tempodb.Reader) error {
		return func(ctx context.Context, r *tempodb.Reader) error {
			hits, err := r.Search(ctx, &index.Query{Where: where, Start: index.Everything, Duration: index.Everything, Limit: limit})
			if err == nil && (len(hits) < least || least == 0 && len(hits) > 0) {
				return fmt.Errorf("%d hits", len(hits))
			}
			return err
		}
	}
	get := func(i int) func(context.Context, *tempodb.Reader) error {
		return func(ctx context.Context, r *tempodb.Reader) error {
			_, err := r.Get(ctx, nil, traces[i].TraceID)
			return err
		}
	}
	absent := func(id byte) func(context.Context, *tempodb.Reader) error {
		return func(ctx context.Context, r *tempodb.Reader) error {
			if _, err := r.Get(ctx, nil, tempodb.Key{id}); !errors.Is(err, tempodb.ErrNotFound) {
				return fmt.Errorf("found: %w", err)
			}
			return nil
		}
	}
	user := func(name string) *index.Expr { return tracedb.Attribute{Key: "user.id"}.Is(name) }
	var table strings.Builder
	for _, q := range []struct {
		name        string
		first, next func(context.Context, *tempodb.Reader) error
		cold, more  int // requests at most
	}{
		// Each block's filter, the directory of the block that holds it, and one page.
		{"trace by ID, next of its block", get(1200), get(1300), blocks + 2, 1},
		{"trace by ID, next of another", get(1200), get(3200), blocks + 2, 2},
		{"trace that is not there", absent(99), absent(101), blocks, 0},
		{"search, a service, newest 20", search(tracedb.ServiceIs("frontend"), 20, 20), search(tracedb.ServiceIs("cart"), 20, 20), 8, 8},
		{"search, a user, all", search(user("user-12"), 0, 1), search(user("user-77"), 0, 1), 4 * blocks, 3 * blocks},
		{"search that matches nothing", search(user("nobody"), 20, 0), search(user("no one"), 20, 0), blocks, 1},
		{"services", func(ctx context.Context, r *tempodb.Reader) error {
			_, err := r.Terms(ctx, trace.FieldService, nil)
			return err
		}, func(ctx context.Context, r *tempodb.Reader) error {
			_, err := r.Terms(ctx, trace.FieldService, []byte("c"))
			return err
		}, 2 * blocks, 0},
	} {
		r, err := tempodb.OpenReader(t.Context(), tempodb.ReaderOptions{Bucket: bucket, Name: "shop", Codec: tracedb.Codec{}, PollEvery: -1})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(when string, most int, question func(context.Context, *tempodb.Reader) error) {
			p.Settle()
			before := p.Passed()
			began := time.Now()
			if err := question(t.Context(), r); err != nil {
				t.Errorf("%s, %s: %v", q.name, when, err)
			}
			took := time.Since(began)
			p.Settle()
			n := p.Passed() - before
			fmt.Fprintf(&table, "\n%-32s %-5s %3d requests  %v", q.name, when, n, took.Round(10*time.Microsecond))
			if n > most {
				t.Errorf("%s, %s: %d requests, want no more than %d", q.name, when, n, most)
			}
		}
		ask("cold", q.cold, q.first)
		ask("next", q.more, q.next)
		ask("again", 0, q.first)
		r.Close()
	}
	t.Log(table.String())
}
