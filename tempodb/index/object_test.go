package index

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// object writes m as a search object and opens it.
func object(t interface{ Fatal(...any) }, m *Memory, keys [][16]byte) (*Object, []byte) {
	var buf bytes.Buffer
	if err := Write(&buf, m, keys); err != nil {
		t.Fatal(err)
	}
	o, err := OpenObject(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return o, buf.Bytes()
}

func TestObjectAnswersAsANaiveIndexWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mod, m := fill(t, rapid.IntRange(0, 12).Draw(t, "owners"))
		o, _ := object(t, m, mod.keys)
		if err := o.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			q := drawQuery(t)
			hits, err := o.Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if want := mod.search(q); !slices.Equal(hits, want) {
				t.Fatalf("query %+v: got %v, want %v", q, hits, want)
			}
		}
		for _, field := range modelFields {
			for _, prefix := range []string{"", "x", "x\x00"} {
				var got []string
				err := o.Terms(t.Context(), []byte(field), []byte(prefix), func(v []byte) bool { got = append(got, string(v)); return true })
				if err != nil {
					t.Fatal(err)
				}
				if want := mod.termsOf(field, prefix); !slices.Equal(got, want) {
					t.Fatalf("terms of %q with prefix %q: got %q, want %q", field, prefix, got, want)
				}
			}
		}
	})
}

// manyRows makes an index of several stripes, so that searches cross their borders.
func manyRows(t testing.TB, rows int) (m *Memory, keys [][16]byte) {
	m = NewMemory()
	shopRows(m, rows)
	for owner := range (rows + 19) / 20 {
		keys = append(keys, [16]byte{byte(owner >> 16), byte(owner >> 8), byte(owner)})
	}
	return m, keys
}

func TestObjectOfManyStripesAgreesWithMemory(t *testing.T) {
	m, keys := manyRows(t, 5*stripeRows/2)
	o, _ := object(t, m, keys)
	start := func(min, max int64) Range { return Range{min * 1000, max * 1000} }
	wheres := map[string]*Expr{
		"all":    nil,
		"group":  Equal([]byte("resource1"), []byte("value 3")),
		"term":   Equal(shopFields[2], shopValues[5]),
		"rare":   Equal(shopFields[7], []byte("user-001234")),
		"both":   And(Equal([]byte("resource1"), []byte("value 3")), Equal(shopFields[2], shopValues[5])),
		"prefix": Prefix(shopFields[7], []byte("user-0001")),
		"match":  Match([]byte("resource2"), nil, func(v []byte) bool { return bytes.HasSuffix(v, []byte("1")) }),
		"not":    Not(Equal([]byte("resource1"), []byte("value 3"))),
		"never":  Equal([]byte("nothing"), nil),
	}
	for name, where := range wheres {
		for _, starts := range []Range{Everything, start(0, 1000), start(60_000, 70_000), start(100_000, 1_000_000)} {
			for _, limit := range []int{1, 20, 0} {
				q := &Query{Where: where, Start: starts, Duration: Range{0, 7e8}, Limit: limit}
				want, err := m.Search(t.Context(), q, func(owner uint32) [16]byte { return keys[owner] })
				if err != nil {
					t.Fatal(err)
				}
				got, err := o.Search(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s in %v, limit %d: got %d hits, want %d", name, starts, limit, len(got), len(want))
				}
			}
		}
	}
}

// countingReader counts reads and bytes.
type countingReader struct {
	*bytes.Reader
	reads, bytes int
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	r.reads++
	r.bytes += len(p)
	return r.Reader.ReadAt(p, off)
}

func TestASearchForTheNewestReadsLittleOfABigObject(t *testing.T) {
	m, keys := manyRows(t, 4*stripeRows)
	_, encoded := object(t, m, keys)
	r := &countingReader{Reader: bytes.NewReader(encoded)}
	o, err := OpenObject(r, int64(len(encoded)))
	if err != nil {
		t.Fatal(err)
	}
	r.reads, r.bytes = 0, 0
	q := &Query{Where: Equal([]byte("resource1"), []byte("value 3")), Start: Everything, Duration: Everything, Limit: 20}
	if _, err := o.Search(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if columns := 1; r.reads > 4+columns {
		t.Errorf("%d reads of %d bytes for the 20 newest of a service", r.reads, r.bytes)
	}
	r.reads = 0
	q.Where = Equal([]byte("resource1"), []byte("absent"))
	if _, err := o.Search(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if r.reads > 2 {
		t.Errorf("%d reads to learn that no row matches", r.reads)
	}
}

func TestEveryFlippedByteIsFoundOrHarmless(t *testing.T) {
	m, keys := manyRows(t, 400)
	o, encoded := object(t, m, keys)
	queries := []*Query{
		{Where: Equal([]byte("resource1"), []byte("value 3")), Start: Everything, Duration: Everything, Limit: 20},
		{Where: Prefix(shopFields[7], []byte("user-0")), Start: Everything, Duration: Range{0, 5e8}},
	}
	for _, q := range queries {
		want, err := o.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range encoded {
			damaged := bytes.Clone(encoded)
			damaged[i] ^= byte(1 + i%255)
			d, err := OpenObject(bytes.NewReader(damaged), int64(len(damaged)))
			if err != nil {
				continue
			}
			if got, err := d.Search(t.Context(), q); err == nil && !slices.Equal(got, want) {
				t.Fatalf("byte %d flipped: got %v, want %v or an error", i, got, want)
			}
		}
	}
}

func TestChunksGiveBackTheirColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := chunk{firstOwner: rapid.Uint32().Draw(t, "first")}
		for range rapid.IntRange(0, 8).Draw(t, "owners") {
			c.keys = append(c.keys, [16]byte{rapid.Byte().Draw(t, "key")})
			for range rapid.IntRange(0, 3).Draw(t, "rows") {
				c.starts = append(c.starts, rapid.Int64().Draw(t, "start"))
				c.durations = append(c.durations, rapid.Int64().Draw(t, "duration"))
			}
			c.ends = append(c.ends, uint32(len(c.starts)))
		}
		var got chunk
		if err := got.parse(appendChunk(nil, &c)); err != nil {
			t.Fatal(err)
		}
		if got.firstOwner != c.firstOwner || !slices.Equal(got.keys, c.keys) || !slices.Equal(got.ends, c.ends) ||
			!slices.Equal(got.starts, c.starts) || !slices.Equal(got.durations, c.durations) {
			t.Fatalf("got %+v, want %+v", got, c)
		}
	})
}

func BenchmarkObjectWrite(b *testing.B) {
	const rows = 100_000
	m, keys := manyRows(b, rows)
	b.ReportAllocs()
	var buf bytes.Buffer
	for b.Loop() {
		buf.Reset()
		if err := Write(&buf, m, keys); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	b.ReportMetric(float64(buf.Len())/rows, "B/row")
}

func BenchmarkObjectSearch(b *testing.B) {
	m, keys := manyRows(b, 400_000)
	o, _ := object(b, m, keys)
	for _, bench := range []struct {
		name  string
		where *Expr
		least int64
	}{
		{"group", Equal([]byte("resource1"), []byte("value 3")), 0},
		{"term", Equal(shopFields[2], shopValues[5]), 0},
		{"both", And(Equal([]byte("resource1"), []byte("value 3")), Equal(shopFields[2], shopValues[5])), 0},
		{"rare", Equal(shopFields[7], []byte("user-001234")), 0},
		{"longest", nil, 999e6},
		{"all", nil, 0},
	} {
		b.Run(fmt.Sprint(bench.name), func(b *testing.B) {
			b.ReportAllocs()
			q := &Query{Where: bench.where, Start: Everything, Duration: Range{bench.least, Everything.Max}, Limit: 20}
			for b.Loop() {
				if _, err := o.Search(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
