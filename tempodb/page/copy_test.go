package page

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// put adds what is in table to w, by copying where that is done, and returns how many records were copied.
func put(w *TableWriter, table *Table) (copied int64, err error) {
	// Who copies knows the keys from elsewhere.
	var keys [][]byte
	err = table.Scan(nil, func(key, _ []byte) (bool, error) {
		keys = append(keys, bytes.Clone(key))
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	return putKnown(w, table, keys)
}

func putKnown(w *TableWriter, table *Table, keys [][]byte) (copied int64, err error) {
	c := table.Cursor()
	defer c.Close()
	for {
		more, err := c.Next()
		if !more || err != nil {
			return copied, err
		}
		n := c.Records()
		done, err := w.Copy(c, keys[:n])
		if err != nil {
			return copied, err
		}
		if done {
			copied += n
		} else if err := c.Each(func(key, value []byte) (bool, error) { return true, w.Add(key, value) }); err != nil {
			return copied, err
		}
		keys = keys[n:]
	}
}

func TestATableOfCopiedPagesIsTheTableOfItsRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SampledFrom([]int{64, 200, 1000})
		packers := rapid.SampledFrom([]Packer{nil, nil, plain{}})
		records := drawRecords(t, 256)
		o := TableOptions{PageBytes: sizes.Draw(t, "page bytes"), Packer: packers.Draw(t, "packer")}
		out, dir := &saltedObject{salt: 1}, new(bytes.Buffer)
		w := NewTableWriter(out, 0, o)
		w.leafBytes = rapid.SampledFrom([]int{1, 50, leafBytes}).Draw(t, "leaf")
		for rest, salt := records, uint64(2); len(rest) > 0; salt++ {
			run := rest[:rapid.IntRange(1, len(rest)).Draw(t, "run")]
			rest = rest[len(run):]
			if rapid.IntRange(0, 3).Draw(t, "added") == 0 {
				for _, r := range run {
					if err := w.Add(r.key, r.value); err != nil {
						t.Fatal(err)
					}
				}
				continue
			}
			source := &saltedObject{salt: salt}
			p := packers.Draw(t, "its packer")
			s := NewTableWriter(source, 0, TableOptions{PageBytes: sizes.Draw(t, "its page bytes"), Packer: p})
			s.leafBytes = w.leafBytes
			for _, r := range run {
				if err := s.Add(r.key, r.value); err != nil {
					t.Fatal(err)
				}
			}
			root, _, err := s.Finish(nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			table, err := OpenPacked(source, source, root, p)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := put(w, table); err != nil {
				t.Fatal(err)
			}
		}
		root, stats, err := w.Finish(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		table, err := OpenPacked(out, bytes.NewReader(dir.Bytes()), root, o.Packer)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := scanAll(table, nil); err != nil || !sameRecords(got, records) || stats.Records != int64(len(records)) {
			t.Fatalf("%d records, %d said, want %d; %v", len(got), stats.Records, len(records), err)
		}
		if err := table.Check(); err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if value, found, err := table.Get(nil, r.key); err != nil || !found || !bytes.Equal(value, r.value) {
				t.Fatalf("get %q: %t, %v", r.key, found, err)
			}
		}
		// Pages are half full on average, but for the last and those before a big value.
		var pages, bytes, short int64 = 0, 0, 1
		err = table.Pages(func(p PageInfo) error {
			if p.Chunks > 0 {
				short++
				return nil
			}
			size, _ := headerLengths(out.Bytes()[p.Ref.Offset:])
			pages, bytes = pages+1, bytes+size
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if most := 2*bytes/int64(o.PageBytes) + short; pages > most {
			t.Fatalf("%d pages of %d bytes for %d bytes of records, more than %d", pages, o.PageBytes, bytes, most)
		}
	})
}

func sortedRecords(n, size int, prefix string) (records []record) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		records = append(records, record{fmt.Appendf(nil, "%s%06d", prefix, i), randomBytes(rng, size)})
	}
	return records
}

func TestWhatIsCopiedAndWhatIsAdded(t *testing.T) {
	const full = 1000
	small := func(n int, prefix string) []record { return sortedRecords(n, 80, prefix) } // eleven to a page
	for _, c := range []struct {
		name    string
		pending []record
		source  []record
		copied  int64
	}{
		{"full pages", nil, small(22, "b"), 22},
		{"a short page at the end is added", nil, small(25, "b"), 22},
		{"half a page", nil, small(6, "b"), 6},
		{"less than half a page", nil, small(4, "b"), 0},
		{"a full page after a short one", small(1, "a"), small(22, "b"), 22},
		{"two halves become one page", small(3, "a"), small(6, "b"), 0},
		{"a big value after a short page", small(1, "a"), sortedRecords(1, 5000, "b"), 1},
		{"a value of as much as one read may ask for, and more", nil, sortedRecords(2, 2*oneRead+1, "b"), 2},
	} {
		for name, p := range map[string]Packer{"rows": nil, "packed": plain{}} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				o := TableOptions{PageBytes: full, Packer: p, Level: Raw}
				source := writeTable(t, c.source, o)
				table, err := OpenPacked(bytes.NewReader(source.data), bytes.NewReader(source.dir), source.root, p)
				if err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				w := NewTableWriter(&out, 0, o)
				for _, r := range c.pending {
					if err := w.Add(r.key, r.value); err != nil {
						t.Fatal(err)
					}
				}
				copied, err := put(w, table)
				if err != nil || copied != c.copied {
					t.Fatalf("%d records copied, want %d, %v", copied, c.copied, err)
				}
				root, _, err := w.Finish(nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				r := bytes.NewReader(out.Bytes())
				result, err := OpenPacked(r, r, root, p)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := scanAll(result, nil); err != nil || !sameRecords(got, append(c.pending, c.source...)) {
					t.Fatalf("%d records, %v", len(got), err)
				}
			})
		}
	}
	t.Run("the other kind of page is added", func(t *testing.T) {
		w := NewTableWriter(new(bytes.Buffer), 0, TableOptions{PageBytes: full, Packer: plain{}})
		if copied, err := put(w, mustOpen(t, writeTable(t, small(20, "b"), TableOptions{PageBytes: full}))); copied != 0 || err != nil {
			t.Fatal(copied, err)
		}
	})
}

// Whatever bit is flipped: it is found before anything that has it is written under a checksum of its own.
func TestDamageIsNotCopied(t *testing.T) {
	records := append(sortedRecords(20, 40, "a"), sortedRecords(1, 900, "b")...)
	for name, p := range map[string]Packer{"rows": nil, "packed": plain{}} {
		t.Run(name, func(t *testing.T) {
			o := TableOptions{PageBytes: 400, Packer: p}
			source := writeTable(t, records, o)
			for i := range source.data {
				data := bytes.Clone(source.data)
				data[i] ^= 1 << (i % 8)
				table, err := OpenPacked(bytes.NewReader(data), bytes.NewReader(source.dir), source.root, p)
				if err != nil {
					t.Fatal(err)
				}
				w := NewTableWriter(new(bytes.Buffer), 0, o)
				_, err = putKnown(w, table, keysOf(records))
				var c *CorruptError
				if !errors.As(err, &c) || c.Offset > int64(i) {
					t.Fatalf("byte %d flipped: %v", i, err)
				}
			}
		})
	}
}

func TestAPageThatIsReadAgainIsCopied(t *testing.T) {
	records := append(sortedRecords(20, 40, "a"), sortedRecords(1, 900, "b")...)
	for name, p := range map[string]Packer{"rows": nil, "packed": plain{}} {
		o := TableOptions{PageBytes: 400, Packer: p}
		w := writeTable(t, records, o)
		for flip := range w.data {
			table, err := OpenPacked(keeping(w.data, flip), bytes.NewReader(w.dir), w.root, p)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			into := NewTableWriter(&out, 0, o)
			if _, err := putKnown(into, table, keysOf(records)); err != nil {
				t.Fatalf("%s, byte %d: %v", name, flip, err)
			}
			if _, _, err := into.Finish(nil, 0); err != nil || !bytes.HasPrefix(out.Bytes(), w.data) {
				t.Fatalf("%s, byte %d: another table, %v", name, flip, err)
			}
		}
	}
}

func keysOf(records []record) (keys [][]byte) {
	for _, r := range records {
		keys = append(keys, r.key)
	}
	return keys
}

func TestPagesWithOtherKeysThanTheyShouldHaveAreNotCopied(t *testing.T) {
	records := append(sortedRecords(30, 80, "b"), sortedRecords(1, 3000, "c")...)
	o := TableOptions{PageBytes: 1000, Packer: plain{}}
	source := writeTable(t, records, o)
	table, err := OpenPacked(bytes.NewReader(source.data), bytes.NewReader(source.dir), source.root, plain{})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(keys [][]byte) [][]byte{
		"the first": func(keys [][]byte) [][]byte { return append([][]byte{append(bytes.Clone(keys[0]), 'x')}, keys[1:]...) },
		"the last": func(keys [][]byte) [][]byte {
			n := len(keys) - 1
			return append(keys[:n:n], append(bytes.Clone(keys[n]), 'x'))
		},
		"all are before the page": func(keys [][]byte) [][]byte { return sortedKeys(len(keys), "a") },
		"all are behind the page": func(keys [][]byte) [][]byte { return sortedKeys(len(keys), "x") },
		"more": func(keys [][]byte) [][]byte {
			n := len(keys)
			return append(keys[:n:n], append(bytes.Clone(keys[n-1]), 'x'))
		},
		"fewer": func(keys [][]byte) [][]byte { return keys[1:] },
	} {
		c := table.Cursor()
		at := records
		for {
			more, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				break
			}
			n := c.Records()
			w := NewTableWriter(new(bytes.Buffer), 0, o)
			if copied, err := w.Copy(c, change(keysOf(at[:n]))); copied || !IsCorrupt(err) {
				t.Errorf("%s: page of %q copied: %t, %v", name, at[0].key, copied, err)
			}
			if err := w.Add([]byte("z"), nil); !IsCorrupt(err) {
				t.Errorf("%s: and goes on: %v", name, err)
			}
			at = at[n:]
		}
		c.Close()
	}
}

func sortedKeys(n int, prefix string) [][]byte {
	return keysOf(sortedRecords(n, 0, prefix))
}

func TestAPageThatDoesNotFollowIsRefused(t *testing.T) {
	records := sortedRecords(30, 80, "b")
	o := TableOptions{PageBytes: 1000}
	table := mustOpen(t, writeTable(t, records, o))
	w := NewTableWriter(new(bytes.Buffer), 0, o)
	if err := w.Add(records[0].key, nil); err != nil {
		t.Fatal(err)
	}
	c := table.Cursor()
	defer c.Close()
	if _, err := c.Next(); err != nil {
		t.Fatal(err)
	}
	if copied, err := w.Copy(c, sortedKeys(int(c.Records()), "b")); copied || !errors.Is(err, ErrOrder) {
		t.Errorf("a page that begins with the last key: %t, %v", copied, err)
	}
}

func BenchmarkCopy(b *testing.B) {
	for _, l := range workloads() {
		b.Run(l.name, func(b *testing.B) {
			table := mustOpen(b, writeTable(b, l.records, l.options))
			keys := keysOf(l.records)
			var out bytes.Buffer
			b.SetBytes(size(l.records))
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				if _, err := putKnown(NewTableWriter(&out, 0, l.options), table, keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
