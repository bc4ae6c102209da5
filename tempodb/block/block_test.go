package block

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

var ctx = context.Background()

const tenant = "shop"

// lines is a codec of values made of lines: "start duration term" is a row, "#..." is not.
type lines struct{}

var errLine = errors.New("not a line")

func (lines) Index(value []byte, s index.Sink) error {
	for line := range bytes.Lines(value) {
		if line[0] == '#' {
			continue
		}
		var start, duration int64
		var term string
		if n, _ := fmt.Sscanf(string(line), "%d %d %s\n", &start, &duration, &term); n != 3 {
			return errLine
		}
		s.Row(start, duration)
		s.Term([]byte("term"), []byte(term))
	}
	return nil
}

func (lines) Summarize(dst, value []byte) ([]byte, error) {
	return fmt.Appendf(dst, "%d bytes, %d lines", len(value), bytes.Count(value, []byte("\n"))), nil
}

func summaryOf(value []byte) string {
	s, _ := lines{}.Summarize(nil, value)
	return string(s)
}

type entry struct {
	key   [16]byte
	value []byte
	start int64
	term  string
}

func randomEntries(rng *rand.Rand, n, padding int) []entry {
	entries := make([]entry, n)
	for i := range entries {
		e := &entries[i]
		binary.BigEndian.PutUint64(e.key[:], rng.Uint64())
		binary.BigEndian.PutUint64(e.key[8:], uint64(i))
		e.start, e.term = int64(rng.IntN(1_000_000)), fmt.Sprintf("t%d", rng.IntN(7))
		e.value = fmt.Appendf(nil, "%d %d %s\n", e.start, rng.IntN(1000), e.term)
		if padding > 0 {
			e.value = append(e.value, '#')
			for range rng.IntN(padding) {
				e.value = append(e.value, 'a'+byte(rng.IntN(26)))
			}
			e.value = append(e.value, '\n')
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return bytes.Compare(a.key[:], b.key[:]) })
	return entries
}

func write(t testing.TB, bucket backend.Bucket, entries []entry, o WriterOptions) *Meta {
	t.Helper()
	o.Codec = lines{}
	w, err := NewWriter(ctx, bucket, tenant, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := w.Add(e.key, e.value); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tb is what tests and property tests have in common.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func mustOpen(t tb, bucket backend.Bucket, id ID) *Block {
	t.Helper()
	b, err := Open(ctx, bucket, tenant, id, lines{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func everything(where *index.Expr, limit int) *index.Query {
	return &index.Query{Where: where, Start: index.Everything, Duration: index.Everything, Limit: limit}
}

// wantHits is what a search for the newest limit keys with the term should say.
func wantHits(entries []entry, term string, limit int) []index.Hit {
	var hits []index.Hit
	for _, e := range entries {
		if term == "" || e.term == term {
			hits = append(hits, index.Hit{Key: e.key, Start: e.start})
		}
	}
	sort.SliceStable(hits, func(i, j int) bool { return hits[i].Start > hits[j].Start }) // keys are ascending
	if limit > 0 && len(hits) > limit {
		hits = hits[:limit]
	}
	return hits
}

func TestBlockAgreesWithASortedMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		n := rapid.SampledFrom([]int{1, 2, 50, 400}).Draw(t, "keys")
		entries := randomEntries(rng, n, rapid.SampledFrom([]int{0, 100, 3000}).Draw(t, "padding"))
		bucket := newMemory()
		now := time.Date(2026, 11, 22, 1, 2, 3, 4, time.UTC)
		o := WriterOptions{
			Codec: lines{}, Level: 3, Parents: []ID{NewID()}, Sources: []string{"segment 7"},
			PageBytes: rapid.SampledFrom([]int{64, 1000, 0}).Draw(t, "page"), Now: func() time.Time { return now },
		}
		if o.PageBytes == 64 {
			o.Compression = page.Raw // hundreds of pages
		}
		w, err := NewWriter(ctx, bucket, tenant, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if err := w.Add(e.key, e.value); err != nil {
				t.Fatal(err)
			}
		}
		m, err := w.Finish(ctx)
		if err != nil {
			t.Fatal(err)
		}
		w.Abort() // after Finish it does nothing
		if m.Keys != int64(n) || m.Rows != int64(n) || m.Level != 3 || !m.Created.Equal(now) ||
			m.MinKey != entries[0].key || m.MaxKey != entries[n-1].key || len(m.Parents) != 1 || m.Sources[0] != "segment 7" {
			t.Fatalf("%+v", m)
		}
		b, err := Open(ctx, bucket, tenant, m.ID, lines{})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Verify(ctx); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if value, found, err := b.Get(ctx, []byte("kept "), e.key); err != nil || !found || string(value) != "kept "+string(e.value) {
				t.Fatalf("get %x: %d bytes, %v, %v", e.key, len(value), found, err)
			}
			if s, found, err := b.Summary(ctx, nil, e.key); err != nil || !found || string(s) != summaryOf(e.value) {
				t.Fatalf("summary of %x: %q, %v, %v", e.key, s, found, err)
			}
		}
		absent := [16]byte{1: byte(rng.Uint32()), 7: byte(rng.Uint32())}
		if _, found, err := b.Get(ctx, nil, absent); found || err != nil {
			t.Fatalf("get %x: %v, %v", absent, found, err)
		}
		var from [16]byte
		binary.BigEndian.PutUint64(from[:], rng.Uint64())
		at := sort.Search(n, func(i int) bool { return bytes.Compare(entries[i].key[:], from[:]) >= 0 })
		next := at
		err = b.Scan(ctx, from, func(key [16]byte, value []byte) (bool, error) {
			if key != entries[next].key || !bytes.Equal(value, entries[next].value) {
				t.Fatalf("scan: %x, want %x", key, entries[next].key)
			}
			next++
			return true, nil
		})
		if err != nil || next != n {
			t.Fatalf("scan ended at %d of %d, %v", next, n, err)
		}
		next = at
		err = b.ScanSummaries(ctx, from, func(key [16]byte, s []byte) (bool, error) {
			if key != entries[next].key || string(s) != summaryOf(entries[next].value) {
				t.Fatalf("scan summaries: %x, want %x", key, entries[next].key)
			}
			next++
			return true, nil
		})
		if err != nil || next != n {
			t.Fatalf("scan of summaries ended at %d of %d, %v", next, n, err)
		}
		term := fmt.Sprintf("t%d", rng.IntN(8))
		limit := rapid.SampledFrom([]int{0, 1, 20}).Draw(t, "limit")
		hits, err := b.Search(ctx, everything(index.Equal([]byte("term"), []byte(term)), limit))
		if err != nil || !slices.Equal(hits, wantHits(entries, term, limit)) {
			t.Fatalf("search for %s: %d hits, %v", term, len(hits), err)
		}
		var terms []string
		if err := b.Terms(ctx, []byte("term"), []byte("t"), func(v []byte) bool { terms = append(terms, string(v)); return true }); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, e := range entries {
			want = append(want, e.term)
		}
		slices.Sort(want)
		if !slices.Equal(terms, slices.Compact(want)) {
			t.Fatalf("terms %v", terms)
		}
	})
}

func TestColdGetReadsOnePage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name             string
		keys, page       int
		directory, leafy int
	}{
		{"the root names the pages", 500, 0, 0, 0},
		{"the root names leaves", 8_000, 64, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			bucket := newMemory()
			entries := randomEntries(rng, c.keys, 60)
			b := mustOpen(t, bucket, write(t, bucket, entries, WriterOptions{PageBytes: c.page, Compression: page.Raw}).ID)
			if err := b.Load(ctx); err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(entries); i += 97 {
				clear(bucket.reads)
				if _, found, err := b.Get(ctx, nil, entries[i].key); !found || err != nil {
					t.Fatal(found, err)
				}
				if bucket.reads["data"] != 1 || bucket.reads["index"] != c.directory || len(bucket.reads) != 1+c.leafy {
					t.Fatalf("reads: %v", bucket.reads)
				}
				clear(bucket.reads)
				if _, _, err := b.Summary(ctx, nil, entries[i].key); err != nil || bucket.reads["summary"] != 1 || len(bucket.reads) != 1 {
					t.Fatalf("summary: %v, reads %v", err, bucket.reads)
				}
			}
			clear(bucket.reads)
			for range 100 {
				var absent [16]byte
				binary.BigEndian.PutUint64(absent[:], rng.Uint64())
				if _, found, err := b.Get(ctx, nil, absent); found || err != nil {
					t.Fatal(found, err)
				}
			}
			if bucket.reads["data"] > 1 { // one false answer of the filter would be much already
				t.Fatalf("keys that are not there: reads %v", bucket.reads)
			}
		})
	}
}

func TestOpenReadsOnlyMeta(t *testing.T) {
	bucket := newMemory()
	m := write(t, bucket, randomEntries(rand.New(rand.NewPCG(1, 1)), 10, 10), WriterOptions{})
	b := mustOpen(t, bucket, m.ID)
	if bucket.reads[metaObject] != 1 || len(bucket.reads) != 1 {
		t.Fatalf("open: reads %v", bucket.reads)
	}
	clear(bucket.reads)
	if _, found, err := b.Get(ctx, nil, [16]byte{}); found || err != nil || len(bucket.reads) != 0 {
		t.Fatalf("key before the first: %v, %v, reads %v", found, err, bucket.reads)
	}
}

func flipped(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= byte(1 << (i % 8))
	return b
}

// A block whose objects are sound in themselves, but not those that meta.json describes.
func TestVerifyComparesObjectsWithMeta(t *testing.T) {
	bucket := newMemory()
	m := write(t, bucket, randomEntries(rand.New(rand.NewPCG(5, 6)), 20, 50), WriterOptions{})
	for name, change := range map[string]func(*Meta){
		"checksum": func(m *Meta) {
			o := m.Objects[searchObject]
			o.Checksum++
			m.Objects[searchObject] = o
		},
		"keys":      func(m *Meta) { m.Keys++ },
		"first key": func(m *Meta) { m.MinKey[15]-- },
		"last key":  func(m *Meta) { m.MaxKey[15]++ },
		"rows":      func(m *Meta) { m.Rows++ },
	} {
		changed := bucket.clone()
		meta, err := ReadMeta(ctx, bucket, tenant, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		change(meta)
		if changed.objects[objectName(tenant, m.ID, metaObject)], err = AppendMeta(nil, meta); err != nil {
			t.Fatal(err)
		}
		if err := mustOpen(t, changed, m.ID).Verify(ctx); !page.IsCorrupt(err) {
			t.Errorf("%s differs: %v", name, err)
		}
	}
	changed := bucket.clone()
	data := objectName(tenant, m.ID, dataObject)
	changed.objects[data] = append(bytes.Clone(changed.objects[data]), 0)
	if err := mustOpen(t, changed, m.ID).Verify(ctx); !page.IsCorrupt(err) {
		t.Errorf("data is longer: %v", err)
	}
}

func TestCancelledContextEndsReading(t *testing.T) {
	bucket := newMemory()
	entries := randomEntries(rand.New(rand.NewPCG(5, 6)), 20, 50)
	b := mustOpen(t, bucket, write(t, bucket, entries, WriterOptions{}).ID)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for range 2 { // before and after the parts are opened
		if _, _, err := b.Get(cancelled, nil, entries[0].key); !errors.Is(err, context.Canceled) {
			t.Fatalf("get: %v", err)
		}
		if err := b.Load(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, found, err := b.Get(ctx, nil, entries[0].key); !found || err != nil {
		t.Fatal(found, err)
	}
}
