package index

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestMemoryAnswersAsANaiveIndexWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mod, m := fill(t, rapid.IntRange(0, 12).Draw(t, "owners"))
		key := func(owner uint32) [16]byte { return mod.keys[owner] }
		for range 5 {
			q := drawQuery(t)
			hits, err := m.Search(t.Context(), q, key)
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
				m.Terms([]byte(field), []byte(prefix), func(v []byte) bool { got = append(got, string(v)); return true })
				if want := mod.termsOf(field, prefix); !slices.Equal(got, want) {
					t.Fatalf("terms of %q with prefix %q: got %q, want %q", field, prefix, got, want)
				}
			}
		}
	})
}

func TestPostingsGiveBackWhatWasAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p pool
		lists := make([]postings, 3)
		want := make([][]uint32, len(lists))
		ordinal := uint32(0)
		for range rapid.IntRange(0, 2000).Draw(t, "n") {
			ordinal += rapid.SampledFrom([]uint32{0, 1, 1, 1, 5, 127, 128, 70000}).Draw(t, "step")
			i := rapid.IntRange(0, len(lists)-1).Draw(t, "list")
			lists[i].add(&p, ordinal)
			if n := len(want[i]); n == 0 || want[i][n-1] != ordinal {
				want[i] = append(want[i], ordinal)
			}
		}
		for i := range lists {
			var got []uint32
			lists[i].each(p, func(o uint32) { got = append(got, o) })
			if !slices.Equal(got, want[i]) || int(lists[i].count) != len(got) {
				t.Fatalf("list %d: got %v, want %v", i, got, want[i])
			}
		}
	})
}

func TestTheExtentOfRowsEndsWhereTheyDo(t *testing.T) {
	const first, last = math.MinInt64, math.MaxInt64
	for _, of := range []struct {
		rows [][2]int64
		want int64
	}{
		{nil, first},
		{[][2]int64{{10, 5}, {12, 1}}, 15},
		{[][2]int64{{10, -5}}, 5},
		{[][2]int64{{last - 1, 5}, {1, 1}}, last},
		{[][2]int64{{first + 1, -5}, {1, 1}}, 2},
		{[][2]int64{{first + 1, -5}}, first},
	} {
		m := NewMemory()
		for _, r := range of.rows {
			m.Row(r[0], r[1])
		}
		if rows, _, end := m.Extent(); rows != len(of.rows) || end != of.want {
			t.Errorf("%v: %d rows until %d, want %d", of.rows, rows, end, of.want)
		}
	}
}

func TestMalformedExpressionsAreRefused(t *testing.T) {
	m := NewMemory()
	m.Row(1, 1)
	for _, e := range []*Expr{{Op: 99}, {Op: OpNot}, {Op: OpMatch}, Not(nil), And(nil), Or(Equal(nil, nil), &Expr{Op: OpNot})} {
		if _, err := m.Search(t.Context(), &Query{Where: e, Start: Everything, Duration: Everything}, nil); err == nil {
			t.Errorf("expression %+v was evaluated", e)
		}
	}
}

func TestMergedHitsAreTheNewestOfAllLists(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 6).Draw(t, "limit")
		all := newNewest(limit)
		var lists [][]Hit
		for range rapid.IntRange(0, 4).Draw(t, "lists") {
			part := newNewest(limit)
			for range rapid.IntRange(0, 20).Draw(t, "rows") {
				owner, start := rapid.Uint32Range(0, 9).Draw(t, "owner"), rapid.Int64Range(0, 5).Draw(t, "start")
				key := func(owner uint32) [16]byte { return [16]byte{byte(owner)} }
				part.add(owner, start, key)
				all.add(owner, start, key)
			}
			lists = append(lists, part.sorted())
		}
		if got, want := MergeHits(limit, lists...), all.sorted(); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// shopRows fills m with rows like those of a shop: few services and operations, some values that are rare.
func shopRows(m *Memory, rows int) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range rows {
		if i%20 == 0 {
			m.Own(uint32(i / 20))
		}
		service := rng.IntN(12)
		if !m.Group([]byte{byte(service)}) {
			for f := range 12 {
				m.GroupTerm(fmt.Appendf(nil, "resource%d", f), fmt.Appendf(nil, "value %d", service))
			}
		}
		m.Row(int64(i)*1000, rng.Int64N(1e9))
		for f := range 7 {
			m.Term(shopFields[f], shopValues[rng.IntN(len(shopValues))])
		}
		m.Term(shopFields[7], fmt.Appendf(nil, "user-%06d", rng.IntN(100000)))
	}
}

var shopFields, shopValues = func() (fields, values [][]byte) {
	for i := range 8 {
		fields = append(fields, fmt.Appendf(nil, "attribute.%d", i))
	}
	for i := range 40 {
		values = append(values, fmt.Appendf(nil, "a value such as this %d", i))
	}
	return
}()

func BenchmarkMemoryFill(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		m := NewMemory()
		shopRows(m, 100_000)
		b.ReportMetric(float64(m.Bytes())/100_000, "B/row")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/row")
}

func BenchmarkMemorySearch(b *testing.B) {
	m := NewMemory()
	shopRows(m, 200_000)
	for name, where := range map[string]*Expr{
		"group": Equal([]byte("resource1"), []byte("value 3")),
		"term":  Equal(shopFields[2], shopValues[5]),
		"both":  And(Equal([]byte("resource1"), []byte("value 3")), Equal(shopFields[2], shopValues[5])),
		"rare":  Equal(shopFields[7], []byte("user-001234")),
		"all":   nil,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			q := &Query{Where: where, Start: Everything, Duration: Everything, Limit: 20}
			for b.Loop() {
				if _, err := m.Search(b.Context(), q, func(owner uint32) [16]byte { return [16]byte{byte(owner)} }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
