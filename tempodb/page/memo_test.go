package page

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestATableThatRemembersAnswersAsOneThatDoesNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := drawRecords(t, 256)
		var object bytes.Buffer
		w := NewTableWriter(&object, 0, TableOptions{PageBytes: 256})
		w.leafBytes = rapid.SampledFrom([]int{1, 50, leafBytes}).Draw(t, "leaf")
		for _, r := range records {
			if err := w.Add(r.key, r.value); err != nil {
				t.Fatal(err)
			}
		}
		root, _, err := w.Finish(nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		// Any read may fail; what comes after is answered as if it had not.
		r := &failsOnce{of: bytes.NewReader(object.Bytes())}
		table, err := OpenTable(r, r, root)
		if err != nil {
			t.Fatal(err)
		}
		remembers := table.Remembering()
		defer remembers.Forget()
		for range 10 {
			var from []byte
			if len(records) > 0 {
				from = records[rapid.IntRange(0, len(records)-1).Draw(t, "from")].key
			}
			n := rapid.SampledFrom([]int{1, 2, 10, 1000}).Draw(t, "records")
			want, err := collect(table, from, n)
			if err != nil {
				t.Fatal(err)
			}
			r.failIn = rapid.IntRange(0, 5).Draw(t, "fails in") // 0: not at all
			got, err := collect(remembers, from, n)
			failed := r.failIn < 0
			r.failIn = 0
			if failed != (err != nil) || err == nil && !sameRecords(got, want) {
				t.Fatalf("scan from %q: %d records, %v, want %d; a read failed: %t", from, len(got), err, len(want), failed)
			}
		}
	})
}

// failsOnce fails once, and says so by a negative number.
type failsOnce struct {
	of     *bytes.Reader
	failIn int
}

func (f *failsOnce) ReadAt(p []byte, off int64) (int, error) {
	if f.failIn > 0 {
		if f.failIn--; f.failIn == 0 {
			f.failIn = -1
			return 0, errors.New("read failed")
		}
	}
	return f.of.ReadAt(p, off)
}

func TestNeighboursAreReadOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var records []record
	for i := range 20_000 {
		records = append(records, record{fmt.Appendf(nil, "%06d and more of the key", i), randomBytes(rng, 20)})
	}
	w := writeTable(t, records, TableOptions{PageBytes: 4096, Level: Raw})
	data, dir := &countingReader{ReaderAt: bytes.NewReader(w.data)}, &countingReader{ReaderAt: bytes.NewReader(w.dir)}
	table, err := OpenTable(data, dir, w.root)
	if err != nil {
		t.Fatal(err)
	}
	remembers := table.Remembering()
	defer remembers.Forget()
	dir.reads = 0
	for i := 5000; i < 5100; i++ {
		if got, err := collect(remembers, records[i].key, 1); err != nil || !sameRecords(got, records[i:i+1]) {
			t.Fatal(got, err)
		}
	}
	if data.reads > 3 || dir.reads > 1 {
		t.Errorf("100 neighbours of 2 or 3 pages: %d reads, and %d of the directory", data.reads, dir.reads)
	}
}

func BenchmarkScanOfNeighbours(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var records []record
	for i := range 20_000 {
		records = append(records, record{fmt.Appendf(nil, "%06d and more of the key", i), randomBytes(rng, 20)})
	}
	w := writeTable(b, records, TableOptions{PageBytes: 64 << 10})
	table := mustOpen(b, w)
	one := func([]byte, []byte) (bool, error) { return false, nil }
	for name, get := range map[string]func() (*Table, func()){
		"remembered": func() (*Table, func()) { t := table.Remembering(); return t, t.Forget },
		"each":       func() (*Table, func()) { return table, func() {} },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				t, done := get()
				for i := 5000; i < 5004; i++ {
					if err := t.Scan(records[i].key, one); err != nil {
						b.Fatal(err)
					}
				}
				done()
			}
		})
	}
}
