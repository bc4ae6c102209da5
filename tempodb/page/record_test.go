package page

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// words are all strings of up to length letters a, b, c.
func words(length int) [][]byte {
	all := [][]byte{{}}
	for from, n := 0, 0; n < length; n++ {
		until := len(all)
		for _, w := range all[from:until] {
			for _, c := range []byte("abc") {
				all = append(all, append(bytes.Clone(w), c))
			}
		}
		from = until
	}
	return all
}

// Short keys of few letters share and end in all ways there are; each that is there is found with its
// own value, and none that is not.
func TestLookUpTellsNeighboursApart(t *testing.T) {
	all := words(5)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, oneIn := range []int{1, 2, 5, 30} {
		for range 20 {
			there := map[string]bool{}
			var records []record
			for _, w := range all {
				if rng.IntN(oneIn) == 0 {
					there[string(w)] = true
					records = append(records, record{w, append([]byte("value of "), w...)})
				}
			}
			slices.SortFunc(records, func(a, b record) int { return bytes.Compare(a.key, b.key) })
			table := mustOpen(t, writeTable(t, records, TableOptions{Level: Raw}))
			for _, w := range all {
				value, found, err := table.Get(nil, w)
				if err != nil || found != there[string(w)] || found && string(value) != "value of "+string(w) {
					t.Fatalf("get %q: %q, %v, %v", w, value, found, err)
				}
			}
		}
	}
}

// fake is a table whose pages have true checksums, and a directory that says anything of them.
func fake(t *testing.T, pages [][]byte, entries func(d *dirBuilder, lengths []int64)) *Table {
	t.Helper()
	var data []byte
	var lengths []int64
	for _, p := range pages {
		before := len(data)
		data = appendPage(data, kindRecords, p, uint64(before), Raw)
		lengths = append(lengths, int64(len(data)-before))
	}
	var d dirBuilder
	entries(&d, lengths)
	dir := appendPage(nil, kindDirectory, d.appendTo(nil), 0, Raw)
	table, err := OpenTable(bytes.NewReader(data), bytes.NewReader(dir), Root{0, int64(len(dir))})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestDirectoryThatDisagreesWithItsPages(t *testing.T) {
	// Two records, "a" and "ab", without values.
	content := []byte{0, 1, 0, 'a', 1, 1, 0, 'b'}
	second := []byte{0, 1, 0, 'b'}
	for _, c := range []struct {
		name    string
		pages   [][]byte
		entries func(d *dirBuilder, lengths []int64)
		right   bool
	}{
		{"as it is", [][]byte{content}, func(d *dirBuilder, l []int64) { d.add([]byte("a"), l[0], 2, 0) }, true},
		{"fewer records", [][]byte{content}, func(d *dirBuilder, l []int64) { d.add([]byte("a"), l[0], 1, 0) }, false},
		{"more records", [][]byte{content}, func(d *dirBuilder, l []int64) { d.add([]byte("a"), l[0], 3, 0) }, false},
		{"greater key", [][]byte{content}, func(d *dirBuilder, l []int64) { d.add([]byte("aa"), l[0], 2, 0) }, false},
		{"key not after the last page", [][]byte{content, second}, func(d *dirBuilder, l []int64) {
			d.add([]byte("a"), l[0], 2, 0)
			d.add([]byte("ab"), l[1], 1, 0)
		}, false},
		{"two pages", [][]byte{content, second}, func(d *dirBuilder, l []int64) {
			d.add([]byte("a"), l[0], 2, 0)
			d.add([]byte("b"), l[1], 1, 0)
		}, true},
		{"keys descend", [][]byte{{0, 1, 0, 'b', 0, 1, 0, 'a'}}, func(d *dirBuilder, l []int64) { d.add([]byte("a"), l[0], 2, 0) }, false},
		{"key repeats", [][]byte{{0, 1, 0, 'b', 1, 0, 0}}, func(d *dirBuilder, l []int64) { d.add([]byte("a"), l[0], 2, 0) }, false},
		{"shares less than it could", [][]byte{{0, 1, 0, 'a', 0, 2, 0, 'a', 'b'}}, func(d *dirBuilder, l []int64) { d.add([]byte("a"), l[0], 2, 0) }, false},
	} {
		err := fake(t, c.pages, c.entries).Check()
		if (err == nil) != c.right || err != nil && !IsCorrupt(err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Leaves with true checksums, but not those that the root means.
func TestRootThatDisagreesWithItsLeaves(t *testing.T) {
	leaf := func(base, ordinal int64, keys ...string) []byte {
		d := dirBuilder{base: base, ordinal: ordinal}
		for _, k := range keys {
			d.add([]byte(k), 100, 1, 0)
		}
		return d.appendTo(nil)
	}
	for _, c := range []struct {
		name   string
		leaves [][]byte
		right  bool
	}{
		{"as it is", [][]byte{leaf(0, 0, "a", "b"), leaf(200, 2, "c", "d")}, true},
		{"another first key", [][]byte{leaf(0, 0, "aa", "b"), leaf(200, 2, "c", "d")}, false},
		{"an empty leaf", [][]byte{leaf(0, 0), leaf(200, 2, "c", "d")}, false},
		{"another ordinal", [][]byte{leaf(0, 0, "a", "b"), leaf(200, 3, "c", "d")}, false},
		{"fewer records", [][]byte{leaf(0, 0, "a", "b"), leaf(200, 2, "c")}, false},
		{"a gap in the data", [][]byte{leaf(0, 0, "a", "b"), leaf(201, 2, "c", "d")}, false},
		{"a root for a leaf", [][]byte{leaf(0, 0, "a", "b"), append([]byte{levelRoot}, leaf(200, 2, "c", "d")[1:]...)}, false},
	} {
		var dir []byte
		root := dirBuilder{level: levelRoot}
		for i, content := range c.leaves {
			before := len(dir)
			dir = appendPage(dir, kindDirectory, content, uint64(before), Raw)
			root.add([]byte([]string{"a", "c"}[i]), int64(len(dir)-before), 2, 0)
		}
		at := int64(len(dir))
		dir = appendPage(dir, kindDirectory, root.appendTo(nil), uint64(at), Raw)
		table, err := OpenTable(bytes.NewReader(nil), bytes.NewReader(dir), Root{at, int64(len(dir)) - at})
		if err != nil {
			t.Fatal(err)
		}
		pages := 0
		err = table.Pages(func(PageInfo) error { pages++; return nil })
		if c.name == "a gap in the data" {
			// Only Check looks for it, before it reads the data.
			if err = table.Check(); err == nil || !strings.Contains(err.Error(), "it lists a page at 201 after one that ends at 200") {
				t.Errorf("%s: %v", c.name, err)
			}
		} else if c.right && pages != 4 {
			t.Errorf("%s: %d pages", c.name, pages)
		}
		if (err == nil) != c.right || err != nil && !IsCorrupt(err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
