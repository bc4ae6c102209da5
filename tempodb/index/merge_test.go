package index

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// part is some rows with the search object that has them.
type part struct {
	mod *model
	o   *Object
}

// drawParts draws some parts; keys of different parts may be the same.
func drawParts(t *rapid.T) []part {
	var parts []part
	for range rapid.IntRange(0, 4).Draw(t, "parts") {
		mod, m := fill(t, rapid.IntRange(0, 8).Draw(t, "owners"))
		o, _ := object(t, m, mod.keys)
		parts = append(parts, part{mod, o})
	}
	return parts
}

func TestAMergedObjectAnswersAsANaiveIndexOfAllRowsWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := drawParts(t)
		// Each key is taken from the last part that has it, but some keys from none.
		want := &model{}
		last := make(map[[16]byte]int)
		for i, p := range parts {
			for _, key := range p.mod.keys {
				if last[key] = i; key[7]%5 == 4 {
					last[key] = -1
				}
			}
		}
		var sources []*Object
		for i, p := range parts {
			sources = append(sources, p.o)
			for _, r := range p.mod.rows {
				if last[r.key] == i {
					want.rows = append(want.rows, r)
				}
			}
		}
		var buf bytes.Buffer
		_, err := Merge(t.Context(), &buf, sources, func(i int, key [16]byte) bool { return last[key] != i })
		if err != nil {
			t.Fatal(err)
		}
		o, err := OpenObject(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o.Rows() != len(want.rows) {
			t.Fatalf("%d rows, want %d", o.Rows(), len(want.rows))
		}
		for range 5 {
			q := drawQuery(t)
			hits, err := o.Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if want := want.search(q); !slices.Equal(hits, want) {
				t.Fatalf("query %+v: got %v, want %v", q, hits, want)
			}
		}
	})
}

// shopParts are search objects of the shop's rows, each with keys of its own.
func shopParts(t testing.TB, parts, rows int) (sources []*Object, bytes int) {
	for i := range parts {
		m, keys := manyRows(t, rows)
		for k := range keys {
			keys[k][3] = byte(i)
		}
		o, encoded := object(t, m, keys)
		sources = append(sources, o)
		bytes += len(encoded)
	}
	return sources, bytes
}

func keepAll(int, [16]byte) bool { return false }

func TestMergedObjectsOfManyStripesFindWhatTheirSourcesFind(t *testing.T) {
	sources, _ := shopParts(t, 3, stripeRows)
	var buf bytes.Buffer
	if _, err := Merge(t.Context(), &buf, sources, keepAll); err != nil {
		t.Fatal(err)
	}
	merged, err := OpenObject(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for i, where := range []*Expr{
		nil,
		Equal([]byte("resource1"), []byte("value 3")),
		Equal(shopFields[2], shopValues[5]),
		And(Equal([]byte("resource1"), []byte("value 3")), Equal(shopFields[2], shopValues[5])),
		Prefix(shopFields[7], []byte("user-0001")),
	} {
		for _, limit := range []int{20, 0} {
			q := &Query{Where: where, Start: Everything, Duration: Range{0, 6e8}, Limit: limit}
			var lists [][]Hit
			for _, o := range sources {
				hits, err := o.Search(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				lists = append(lists, hits)
			}
			got, err := merged.Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if want := MergeHits(limit, lists...); !slices.Equal(got, want) {
				t.Errorf("condition %d, limit %d: %d hits, want %d", i, limit, len(got), len(want))
			}
		}
	}
}

func TestAMergeEndsWithItsContext(t *testing.T) {
	sources, _ := shopParts(t, 2, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Merge(ctx, &bytes.Buffer{}, sources, keepAll); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDamageInASourceEndsTheMerge(t *testing.T) {
	m, keys := manyRows(t, 300)
	good, encoded := object(t, m, keys)
	var want bytes.Buffer
	if _, err := Merge(t.Context(), &want, []*Object{good}, keepAll); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(encoded); i += 7 {
		damaged := bytes.Clone(encoded)
		damaged[i] ^= 0x40
		o, err := OpenObject(bytes.NewReader(damaged), int64(len(damaged)))
		if err != nil {
			continue
		}
		var got bytes.Buffer
		if _, err := Merge(t.Context(), &got, []*Object{o}, keepAll); err == nil && !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("byte %d flipped: the merge succeeds with another outcome", i)
		}
	}
}

func BenchmarkMerge(b *testing.B) {
	const parts, rows = 4, 100_000
	sources, size := shopParts(b, parts, rows)
	b.ReportAllocs()
	var buf bytes.Buffer
	for b.Loop() {
		buf.Reset()
		if _, err := Merge(b.Context(), &buf, sources, keepAll); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(parts*rows), "ns/row")
	b.ReportMetric(float64(buf.Len())/(parts*rows), "B/row")
	b.Logf("sources: %.2f B/row", float64(size)/(parts*rows))
}
