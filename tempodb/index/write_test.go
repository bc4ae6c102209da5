package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// listing is a value as a codec would list it: groups with their rows.
type listing []struct {
	service int
	rows    []modelRow
}

func drawListing(t *rapid.T) (l listing) {
	l = make(listing, rapid.IntRange(0, 3).Draw(t, "groups"))
	for i := range l {
		l[i].service = rapid.IntRange(0, 4).Draw(t, "service")
		for range rapid.IntRange(1, 4).Draw(t, "rows") {
			r := modelRow{start: rapid.Int64Range(-5, 20).Draw(t, "start"), duration: rapid.Int64Range(-1, 5).Draw(t, "duration")}
			for range rapid.IntRange(0, 3).Draw(t, "terms") {
				r.terms = append(r.terms, [2]string{rapid.SampledFrom(modelFields).Draw(t, "field"), rapid.SampledFrom(modelValues).Draw(t, "value")})
			}
			// Some terms become frequent only if rows are many.
			for range rapid.SampledFrom([]int{1, 1, 1, 40}).Draw(t, "times") {
				l[i].rows = append(l[i].rows, r)
			}
		}
	}
	return l
}

func (l listing) list(m *Memory) {
	for _, group := range l {
		if !m.Group([]byte(fmt.Sprint(group.service))) {
			m.GroupTerm([]byte("service"), fmt.Append(nil, "s", group.service))
			m.GroupTerm([]byte("a"), []byte(modelValues[group.service]))
		}
		for _, r := range group.rows {
			m.Row(r.start, r.duration)
			for _, term := range r.terms {
				m.Term([]byte(term[0]), []byte(term[1]))
			}
		}
	}
}

func TestAnObjectIsTheSameHoweverItsRowsCame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owners := rapid.IntRange(1, 8).Draw(t, "owners")
		// In straight the rows come in the order of keys, and nothing else does.
		straight, keys := NewMemory(), make([][16]byte, owners)
		final := make([]listing, owners)
		for owner := range keys {
			binary.BigEndian.PutUint64(keys[owner][:], uint64(owner*7))
			straight.Own(uint32(owner))
			for range rapid.IntRange(0, 3).Draw(t, "values") {
				final[owner] = append(final[owner], drawListing(t)...)
			}
			final[owner].list(straight)
		}
		// In tangled owners have other numbers, their groups come in pieces, among values that are refused or replaced.
		tangled := NewMemory()
		number := rapid.Permutation(sequence32(owners)).Draw(t, "numbers")
		numbered := make([][16]byte, owners)
		for owner, n := range number {
			numbered[n] = keys[owner]
		}
		next := make([]int, owners)
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			owner := rapid.IntRange(0, owners-1).Draw(t, "owner")
			tangled.Own(number[owner])
			if rapid.IntRange(0, 3).Draw(t, "refused") == 0 {
				l := drawListing(t)
				l.list(tangled)
				tangled.Disown()
			} else if at := next[owner]; at < len(final[owner]) {
				final[owner][at : at+1].list(tangled)
				next[owner]++
			}
		}
		for owner, l := range final {
			switch {
			case tangled.Replaced(number[owner]):
				t.Fatal("replaced already")
			case rapid.IntRange(0, 2).Draw(t, "replace") == 0:
				tangled.Own(number[owner])
				drawListing(t).list(tangled)
				for range rapid.IntRange(1, 2).Draw(t, "times") {
					tangled.Own(number[owner])
					l.list(tangled)
					tangled.Replace()
				}
			default:
				tangled.Own(number[owner])
				l[next[owner]:].list(tangled)
			}
		}

		var want, got bytes.Buffer
		if err := Write(&want, straight, keys); err != nil {
			t.Fatal(err)
		}
		if err := Write(&got, tangled, numbered); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("the object has other bytes")
		}
		rows, starts, end := straight.Extent()
		if r, s, e := tangled.Extent(); r != rows || s != starts || e != end {
			t.Fatalf("%d rows from %v to %d, want %d from %v to %d", r, s, e, rows, starts, end)
		}
		for range 3 {
			q := drawQuery(t)
			want, err := straight.Search(t.Context(), q, func(owner uint32) [16]byte { return keys[owner] })
			if err != nil {
				t.Fatal(err)
			}
			got, err := tangled.Search(t.Context(), q, func(owner uint32) [16]byte { return numbered[owner] })
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("query %+v: got %v, want %v", q, got, want)
			}
		}
	})
}

func sequence32(n int) (all []uint32) {
	for i := range n {
		all = append(all, uint32(i))
	}
	return all
}

func TestAnOwnerWithoutAKeyIsRefused(t *testing.T) {
	m := NewMemory()
	m.Own(1)
	m.Row(1, 1)
	if err := Write(new(bytes.Buffer), m, make([][16]byte, 1)); err == nil {
		t.Error("a row of an owner that has no key was written")
	}
	m.Disown()
	if err := Write(new(bytes.Buffer), m, make([][16]byte, 1)); err != nil {
		t.Errorf("a row that was taken back is in the way: %v", err)
	}
}

func TestExtentOfNoRows(t *testing.T) {
	if rows, starts, _ := NewMemory().Extent(); rows != 0 || starts.Min <= starts.Max {
		t.Errorf("%d rows from %v", rows, starts)
	}
}
