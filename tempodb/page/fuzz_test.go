package page

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

// reseal makes the words of a page that a fuzzer can't make right: its stored length and its checksum at offset.
func reseal(raw []byte, offset int64) []byte {
	if len(raw) < Overhead {
		return raw
	}
	raw = bytes.Clone(raw)
	end := len(raw) - checksumSize
	binary.LittleEndian.PutUint32(raw[6:], uint32(end-headerSize))
	binary.LittleEndian.PutUint64(raw[end:], checksum(raw[:end], uint64(offset)))
	return raw
}

// expansion is the most that the content of pages in b can take: as many bytes as they have, or 128 KiB for each block of zstd, of three
// bytes at least; and no more than the pages can say they hold.
func expansion(b []byte) int {
	pages := len(b)/Overhead + 1
	return min((len(b)/3+1)<<17, len(b)+pages*MaxPage)
}

func FuzzDecode(f *testing.F) {
	f.Add(AppendPage(nil, []byte("short"), 0, DefaultLevel), int64(0), true)
	f.Add(AppendPage(nil, bytes.Repeat([]byte("long "), 1000), 7, DefaultLevel), int64(7), false)
	f.Add(AppendPage(nil, bytes.Repeat([]byte("long "), 1000), 1<<40, Fastest), int64(1<<40), true)
	f.Fuzz(func(t *testing.T, raw []byte, offset int64, seal bool) {
		if seal {
			raw = reseal(raw, offset)
		}
		justified := 0
		if len(raw) >= Overhead {
			length, _ := headerLengths(raw)
			justified = min(int(length), expansion(raw))
		}
		var got []byte
		var err error
		fuzztest.Bounded(t, justified+64*len(raw), func() { got, err = Decode(nil, raw, offset) })
		if err != nil {
			mustBeCorrupt(t, err)
			if c := new(CorruptError); !errors.As(err, &c) || c.Offset != offset || c.What == "" || c.Reason == "" {
				t.Fatalf("%v does not say what is wrong at offset %d", err, offset)
			}
			return
		}
		if len(got) > MaxPage {
			t.Fatalf("%d bytes", len(got))
		}
		again, err := Decode(nil, AppendPage(nil, got, offset, Fastest), offset)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%v", err)
		}
		if _, err := Decode(nil, raw, offset+1); err == nil {
			t.Fatal("the page is good at another offset, too")
		}
	})
}

// A table of one directory page and of pages of any kind; what Scan and Get find agrees.
func FuzzTablePages(f *testing.F) {
	content := func(b []byte) []byte { return b[headerSize : len(b)-checksumSize] }
	w := writeTable(f, []record{{[]byte("a"), nil}, {[]byte("ab"), []byte("value")}}, TableOptions{Level: Raw})
	f.Add(content(w.data), content(w.dir), byte(kindRecords))
	w = writeTable(f, []record{{[]byte("a"), bytes.Repeat([]byte("v"), 70)}}, TableOptions{Level: Raw, PageBytes: 64})
	f.Add(w.data, content(w.dir), byte(kindHead))
	w = writeTable(f, []record{{[]byte("a"), []byte("x")}, {[]byte("b"), []byte("y")}}, TableOptions{Level: Raw, Packer: plain{}})
	f.Add(content(w.data), content(w.dir), byte(kindPacked))
	f.Fuzz(func(t *testing.T, data, dir []byte, what byte) {
		if len(data) > 1<<20 || len(dir) > 1<<20 {
			return
		}
		object := data // as it is: any number of pages
		if k := kind(what); k == kindRecords || k == kindPacked {
			object = appendPage(nil, k, data, 0, Raw)
		}
		root := appendPage(nil, kindDirectory, dir, 0, Raw)
		var table *Table
		var err error
		// A directory's entry takes five bytes and becomes one of 48, in a slice that grows. A page that several entries name is read for each.
		reads := (len(dir)/5 + 1) * len(object)
		fuzztest.Bounded(t, 64*len(dir)+4*min(reads, expansion(object))+64*len(object), func() {
			if table, err = OpenPacked(bytes.NewReader(object), bytes.NewReader(root), Root{0, int64(len(root))}, plain{}); err == nil {
				err = table.Check()
			}
		})
		if err != nil {
			mustBeCorrupt(t, err)
		}
		if table == nil {
			return
		}
		var last []byte
		n := int64(0)
		scanned := table.Scan(nil, func(key, value []byte) (bool, error) {
			if n > 0 && bytes.Compare(last, key) >= 0 {
				t.Fatalf("%q after %q", key, last)
			}
			last = append(last[:0], key...)
			n++
			if got, found, err := table.Get(nil, key); err == nil && found && !bytes.Equal(got, value) {
				t.Fatalf("scan and get differ at %q", key)
			}
			return true, nil
		})
		if err == nil && (scanned != nil || n != table.Records()) {
			t.Fatalf("a table that is whole has %d of %d records: %v", n, table.Records(), scanned)
		}
		if _, _, err := table.Get(nil, []byte("ab")); err != nil {
			mustBeCorrupt(t, err)
		}
		checkCopy(t, table, err == nil)
	})
}

// checkCopy copies a table page by page, with the keys that a reader of the pages finds: what is sound has then the same records.
func checkCopy(t *testing.T, table *Table, sound bool) {
	var data, dir bytes.Buffer
	w := NewTableWriter(&data, 0, TableOptions{PageBytes: 64, Level: Raw})
	if table.packer != nil && table.Records()%2 == 0 {
		w = NewTableWriter(&data, 0, TableOptions{PageBytes: 64, Level: Raw, Packer: table.packer})
	}
	c := table.Cursor()
	defer c.Close()
	for {
		more, err := c.Next()
		if err == nil && !more {
			break
		}
		var keys, values [][]byte
		if err == nil {
			err = c.Each(func(key, value []byte) (bool, error) {
				keys, values = append(keys, bytes.Clone(key)), append(values, bytes.Clone(value))
				return true, nil
			})
		}
		copied := false
		if err == nil {
			copied, err = w.Copy(c, keys)
		}
		if err != nil {
			if sound {
				t.Fatalf("a table that is whole can't be copied: %v", err)
			}
			return
		}
		for i := range keys {
			if copied {
				break
			}
			if err := w.Add(keys[i], values[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	root, _, err := w.Finish(&dir, 0)
	if err != nil || !sound {
		if sound {
			t.Fatal(err)
		}
		return
	}
	other, err := OpenPacked(bytes.NewReader(data.Bytes()), bytes.NewReader(dir.Bytes()), root, table.packer)
	if err != nil {
		t.Fatal(err)
	}
	var records []string
	for _, t := range []*Table{table, other} {
		var all []byte
		if err := t.Scan(nil, func(key, value []byte) (bool, error) {
			all = append(binary.AppendUvarint(append(binary.AppendUvarint(all, uint64(len(key))), key...), uint64(len(value))), value...)
			return true, nil
		}); err != nil {
			all = append(all, err.Error()...)
		}
		records = append(records, string(all))
	}
	if records[0] != records[1] {
		t.Fatalf("%q was copied as %q", records[0], records[1])
	}
}

func FuzzDirectory(f *testing.F) {
	d := dirBuilder{level: levelLeaf, base: 5}
	d.add([]byte("a"), 30, 7, 0)
	d.add([]byte("ab"), 40, 1, 99)
	f.Add(d.appendTo(nil))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d directory
		var err error
		// Keys can share all but a byte with the one before: the sum of their lengths is bounded by MaxPage, not by what they take.
		fuzztest.Bounded(t, 64*len(b)+min(len(b)*len(b)/4, 4*MaxPage), func() { err = d.parse(b) })
		if err != nil {
			return
		}
		for i := range d.entries {
			if d.find(d.key(i)) != i || d.findOrdinal(d.entries[i].ordinal) != i || d.records(i) < 1 {
				t.Fatalf("entry %d does not find itself", i)
			}
		}
		again := dirBuilder{level: d.level, base: 0}
		if len(d.entries) > 0 {
			again.base, again.ordinal = d.entries[0].offset-d.entries[0].chunks, d.entries[0].ordinal
		}
		for i := range d.entries {
			again.add(d.key(i), d.entries[i].length, d.records(i), d.entries[i].chunks)
		}
		var e directory
		if err := e.parse(again.appendTo(nil)); err != nil || len(e.entries) != len(d.entries) || e.ordinal != d.ordinal && len(d.entries) > 0 {
			t.Fatalf("written again: %v", err)
		}
	})
}

func FuzzRoot(f *testing.F) {
	f.Add(AppendRoot(nil, Root{1 << 40, 300}))
	f.Fuzz(func(t *testing.T, b []byte) {
		root, rest, err := ParseRoot(b)
		if err != nil {
			mustBeCorrupt(t, err)
			return
		}
		again, tail, err := ParseRoot(append(AppendRoot(nil, root), rest...))
		if err != nil || again != root || !bytes.Equal(tail, rest) {
			t.Fatal(again, err)
		}
		// A root that lies behind the object's end: what it claims is not believed.
		fuzztest.Bounded(t, 64*len(rest), func() { _, err = OpenTable(bytes.NewReader(rest), bytes.NewReader(rest), root) })
		if err != nil && len(rest) == 0 {
			mustBeCorrupt(t, err)
		}
	})
}

// The search for pages in an object of which nothing is known.
func FuzzRebuild(f *testing.F) {
	w := writeTableWithLeaves(f, damageRecords()[:9], TableOptions{PageBytes: 64, Level: Raw}, 20)
	f.Add(w.data, w.dir, 100, byte(1))
	f.Add(w.data[:300], w.dir[50:], 70, byte(255))
	f.Fuzz(func(t *testing.T, data, dir []byte, at int, with byte) {
		if len(data) > 1<<20 || len(dir) > 1<<20 {
			return
		}
		data = bytes.Clone(data)
		if at >= 0 && at < len(data) {
			data[at] ^= with
		}
		var table *Table
		var err error
		fuzztest.Bounded(t, 64*(len(data)+len(dir))+4*expansion(data), func() {
			table, err = NewRebuild(int64(len(data)), int64(len(dir)), plain{}).Run(bytes.NewReader(data), bytes.NewReader(dir))
		})
		if err != nil {
			t.Fatal(err)
		}
		var keys [][]byte
		err = table.ScanAround(nil, func(key, value []byte) (bool, error) {
			keys = append(keys, bytes.Clone(key))
			if got, found, err := table.Get(nil, key); err == nil && found && !bytes.Equal(got, value) {
				t.Fatalf("scan and get differ at %q", key)
			}
			return true, nil
		}, func(err error) error {
			mustBeCorrupt(t, err)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(keys, bytes.Compare) {
			t.Fatal("keys do not ascend")
		}
	})
}
