package tracedb_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// A block is cut with the index that its spans got as they came. It must answer as one whose index is made of its whole traces.
func TestABlockAnswersAsIfItWereIndexedByWholeTraces(t *testing.T) {
	const name = "shop"
	dir := t.TempDir()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := tempodb.Open(t.Context(), tempodb.Options{
		Dir: filepath.Join(dir, "recent"), Bucket: bucket, Name: name, Codec: tracedb.Codec{}, Sync: wal.SyncNever, NoCompaction: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	var splitter trace.Splitter
	n, pieces := 0, map[trace.ID]int{}
	for request := range workload.New(1, 300).Requests() {
		fragments, _, err := splitter.Split(request.Data)
		if err != nil {
			t.Fatal(err)
		}
		var entries []tempodb.Entry
		for _, f := range fragments {
			entries = append(entries, tempodb.Entry{Key: f.TraceID, Value: f.Data})
			if n++; n%10 == 0 { // as if an acknowledgement was lost
				entries = append(entries, tempodb.Entry{Key: f.TraceID, Value: f.Data})
			}
			pieces[f.TraceID]++
		}
		if err := db.Append(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
	}
	if n < 2*len(pieces) {
		t.Fatalf("%d traces came in %d pieces: too few to tell anything", len(pieces), n)
	}
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	ids, err := block.List(t.Context(), bucket, name)
	if err != nil || len(ids) != 1 {
		t.Fatalf("blocks %v, %v", ids, err)
	}
	got := openBlock(t, bucket, name, ids[0])
	want, terms := indexAnew(t, got)
	if g, w := got.Meta(), want.Meta(); g.Rows != w.Rows || g.MinStart != w.MinStart || g.MaxStart != w.MaxStart || g.MaxEnd != w.MaxEnd {
		t.Errorf("%d rows from %d to %d and %d, want %d from %d to %d and %d",
			g.Rows, g.MinStart, g.MaxStart, g.MaxEnd, w.Rows, w.MinStart, w.MaxStart, w.MaxEnd)
	}
	for _, field := range slices.Sorted(maps.Keys(terms)) {
		if g, w := listTerms(t, got, field), listTerms(t, want, field); !slices.Equal(g, w) || len(w) != len(terms[field]) {
			t.Errorf("field %q has the values %q, want %q", field, g, w)
		}
		for _, value := range slices.Sorted(maps.Keys(terms[field])) {
			sameHits(t, got, want, &index.Query{Where: index.Equal([]byte(field), []byte(value)), Start: index.Everything, Duration: index.Everything})
		}
	}
	// Terms of one row, its columns, and the newest of many.
	m := want.Meta()
	middle := m.MinStart + (m.MaxStart-m.MinStart)/2
	fields := slices.Sorted(maps.Keys(terms))
	for i, a := range fields {
		b := fields[(i+1)%len(fields)]
		for _, duration := range []index.Range{index.Everything, {Min: 0, Max: 5e6}, {Min: 5e6, Max: 1e12}} {
			for _, start := range []index.Range{{Min: m.MinStart, Max: middle}, {Min: middle, Max: m.MaxStart}} {
				sameHits(t, got, want, &index.Query{
					Where: index.And(index.Prefix([]byte(a), nil), index.Not(index.Equal([]byte(b), []byte(anyOf(terms[b]))))),
					Start: start, Duration: duration, Limit: 20,
				})
			}
		}
	}
}

func openBlock(t *testing.T, bucket backend.Bucket, name string, id block.ID) *block.Block {
	t.Helper()
	b, err := block.Open(t.Context(), bucket, name, id, tracedb.Codec{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// indexAnew writes a block of the keys and values of b whose rows are listed of the values, and returns it with all its terms, by field.
func indexAnew(t *testing.T, b *block.Block) (*block.Block, map[string]map[string]bool) {
	t.Helper()
	bucket, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w, err := block.NewWriter(t.Context(), bucket, "anew", block.WriterOptions{Codec: tracedb.Codec{}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	terms := collector{}
	err = b.Scan(t.Context(), [16]byte{}, func(key [16]byte, value []byte) (bool, error) {
		if err := trace.Index(value, terms); err != nil {
			return false, err
		}
		return true, w.Add(key, value)
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return openBlock(t, bucket, "anew", m.ID), terms
}

// collector is a sink that collects terms.
type collector map[string]map[string]bool

func (c collector) Group([]byte) bool { return false }
func (c collector) Row(_, _ int64)    {}
func (c collector) Term(field, value []byte) {
	if c[string(field)] == nil {
		c[string(field)] = map[string]bool{}
	}
	c[string(field)][string(value)] = true
}
func (c collector) GroupTerm(field, value []byte) { c.Term(field, value) }

func anyOf(values map[string]bool) string { return slices.Min(slices.Collect(maps.Keys(values))) }

func listTerms(t *testing.T, b *block.Block, field string) (values []string) {
	t.Helper()
	err := b.Terms(context.Background(), []byte(field), nil, func(value []byte) bool { values = append(values, string(value)); return true })
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func sameHits(t *testing.T, got, want *block.Block, q *index.Query) {
	t.Helper()
	w, err := want.Search(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	g, err := got.Search(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g, w) {
		t.Errorf("%s: %d hits, want %d", fmt.Sprintf("%+v", q), len(g), len(w))
	}
}
