package page

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"
)

type record struct{ key, value []byte }

// written is a table in memory, its directory in an object of its own.
type written struct {
	data, dir []byte
	root      Root
	stats     TableStats
}

func writeTable(t testing.TB, records []record, o TableOptions) written {
	t.Helper()
	return writeTableWithLeaves(t, records, o, leafBytes)
}

func writeTableWithLeaves(t testing.TB, records []record, o TableOptions, leafBytes int) written {
	t.Helper()
	var data, dir bytes.Buffer
	w := NewTableWriter(&data, 0, o)
	w.leafBytes = leafBytes
	for _, r := range records {
		if err := w.Add(r.key, r.value); err != nil {
			t.Fatal(err)
		}
	}
	root, stats, err := w.Finish(&dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	return written{data.Bytes(), dir.Bytes(), root, stats}
}

func (w written) open() (*Table, error) {
	return OpenTable(bytes.NewReader(w.data), bytes.NewReader(w.dir), w.root)
}

func mustOpen(t testing.TB, w written) *Table {
	t.Helper()
	table, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func scanAll(table *Table, from []byte) (records []record, err error) {
	err = table.Scan(from, func(key, value []byte) (bool, error) {
		records = append(records, record{bytes.Clone(key), bytes.Clone(value)})
		return true, nil
	})
	return records, err
}

func sameRecords(a, b []record) bool {
	return slices.EqualFunc(a, b, func(a, b record) bool { return bytes.Equal(a.key, b.key) && bytes.Equal(a.value, b.value) })
}

// randomBytes is half compressible, so that pages of all sizes and encodings come about.
func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.IntN(256) & 0x1f)
	}
	if n > 0 && rng.IntN(2) == 0 {
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
	}
	return b
}

func drawRecords(t *rapid.T, pageBytes int) []record {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	alphabet := rapid.SampledFrom([]int{1, 2, 26, 256}).Draw(t, "alphabet")
	keyLength := rapid.SampledFrom([]int{1, 3, 16, 300}).Draw(t, "key length")
	valueLength := rapid.SampledFrom([]int{0, 1, 40, pageBytes, 5 * pageBytes}).Draw(t, "value length")
	n := rapid.IntRange(0, 300).Draw(t, "records")
	byKey := map[string][]byte{}
	for range n {
		key := make([]byte, rng.IntN(keyLength+1))
		for i := range key {
			key[i] = byte('a' + rng.IntN(alphabet))
		}
		length := rng.IntN(valueLength + 1)
		if rng.IntN(4) > 0 {
			length = min(length, 20)
		}
		byKey[string(key)] = randomBytes(rng, length)
	}
	var records []record
	for k, v := range byKey {
		records = append(records, record{[]byte(k), v})
	}
	slices.SortFunc(records, func(a, b record) int { return bytes.Compare(a.key, b.key) })
	return records
}

func TestTableAgreesWithASortedMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := TableOptions{
			PageBytes: rapid.SampledFrom([]int{64, 256, 4096}).Draw(t, "page"),
			Level:     rapid.SampledFrom([]Level{Raw, Fastest, DefaultLevel}).Draw(t, "level"),
		}
		records := drawRecords(t, o.PageBytes)
		offset := rapid.SampledFrom([]int64{0, 1, 12345}).Draw(t, "offset")
		object := bytes.NewBuffer(make([]byte, offset))
		w := NewTableWriter(object, offset, o)
		w.leafBytes = rapid.SampledFrom([]int{1, 50, leafBytes}).Draw(t, "leaf")
		for _, r := range records {
			if err := w.Add(r.key, r.value); err != nil {
				t.Fatal(err)
			}
		}
		root, stats, err := w.Finish(nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if stats.Records != int64(len(records)) || stats.DirectoryEnd != int64(object.Len()) {
			t.Fatalf("stats %+v of %d records in %d bytes", stats, len(records), object.Len())
		}
		r := bytes.NewReader(object.Bytes())
		table, err := OpenTable(r, r, root)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Check(); err != nil {
			t.Fatal(err)
		}
		if table.Records() != int64(len(records)) {
			t.Fatalf("%d records, want %d", table.Records(), len(records))
		}
		for _, r := range records {
			value, found, err := table.Get([]byte("kept:"), r.key)
			if err != nil || !found || string(value) != "kept:"+string(r.value) {
				t.Fatalf("get %q: %d bytes, %v, %v; want %d bytes", r.key, len(value), found, err, len(r.value))
			}
		}
		probe := rapid.SliceOfN(rapid.ByteRange('a'-1, 'z'+1), 0, 4).Draw(t, "probe")
		at := sort.Search(len(records), func(i int) bool { return bytes.Compare(records[i].key, probe) >= 0 })
		if _, found, err := table.Get(nil, probe); err != nil || found != (at < len(records) && bytes.Equal(records[at].key, probe)) {
			t.Fatalf("get %q: %v, %v", probe, found, err)
		}
		got, err := scanAll(table, probe)
		if err != nil || !sameRecords(got, records[at:]) {
			t.Fatalf("scan from %q: %d records, %v; want %d", probe, len(got), err, len(records)-at)
		}
		first := rapid.IntRange(0, len(records)+1).Draw(t, "first")
		next := int64(first)
		err = table.ScanRecords(next, func(n int64, key, value []byte) (bool, error) {
			if n != next || !bytes.Equal(key, records[n].key) || !bytes.Equal(value, records[n].value) {
				return false, fmt.Errorf("record %d, want %d", n, next)
			}
			next++
			return true, nil
		})
		if err != nil || next != int64(max(len(records), first)) {
			t.Fatalf("scan records from %d: ended at %d, %v", first, next, err)
		}
	})
}

func TestTableOfManyLeaves(t *testing.T) {
	const n = 60_000
	var records []record
	for i := range n {
		records = append(records, record{fmt.Appendf(nil, "%08d-%s", i*7, "long enough to make the directory large"), fmt.Append(nil, i)})
	}
	w := writeTable(t, records, TableOptions{PageBytes: 64, Level: Raw})
	table := mustOpen(t, w)
	if table.root.level != levelRoot || len(table.root.entries) < 3 {
		t.Fatalf("root has level %d and %d entries; the test needs leaves", table.root.level, len(table.root.entries))
	}
	if err := table.Check(); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; i += 501 {
		if value, found, err := table.Get(nil, records[i].key); err != nil || !found || !bytes.Equal(value, records[i].value) {
			t.Fatalf("get %q: %q, %v, %v", records[i].key, value, found, err)
		}
		if got, err := collect(table, records[i].key, 50); err != nil || !sameRecords(got, records[i:min(i+50, n)]) {
			t.Fatalf("scan from %q: %v", records[i].key, err)
		}
	}
	for _, absent := range []string{"", "0", "00000001", "99999999", "00000007-"} {
		if _, found, err := table.Get(nil, []byte(absent)); err != nil || found {
			t.Fatalf("get %q: %v, %v", absent, found, err)
		}
	}
	if got, err := scanAll(table, nil); err != nil || !sameRecords(got, records) {
		t.Fatalf("scan: %d records, %v", len(got), err)
	}
}

func collect(table *Table, from []byte, n int) (records []record, err error) {
	err = table.Scan(from, func(key, value []byte) (bool, error) {
		records = append(records, record{bytes.Clone(key), bytes.Clone(value)})
		return len(records) < n, nil
	})
	return records, err
}

// countingReader counts reads and the bytes they ask for.
type countingReader struct {
	io.ReaderAt
	reads int
	bytes int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	c.bytes += int64(len(p))
	return c.ReaderAt.ReadAt(p, off)
}

func TestGetReadsOneLeafAndOnePage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var records []record
	for i := range 20_000 {
		size := 20
		if i%1000 == 0 {
			size = 5000
		}
		records = append(records, record{fmt.Appendf(nil, "%06d and more of the key", i), randomBytes(rng, size)})
	}
	w := writeTable(t, records, TableOptions{PageBytes: 64, Level: Raw})
	data, dir := &countingReader{ReaderAt: bytes.NewReader(w.data)}, &countingReader{ReaderAt: bytes.NewReader(w.dir)}
	table, err := OpenTable(data, dir, w.root)
	if err != nil {
		t.Fatal(err)
	}
	if data.reads != 0 || dir.reads != 1 {
		t.Fatalf("open: %d data reads, %d directory reads", data.reads, dir.reads)
	}
	for i := 0; i < len(records); i += 500 {
		data.reads, dir.reads = 0, 0
		if value, found, err := table.Get(nil, records[i].key); err != nil || !found || !bytes.Equal(value, records[i].value) {
			t.Fatal(found, err)
		}
		if data.reads != 1 || dir.reads != 1 {
			t.Fatalf("record %d: %d data reads, %d directory reads", i, data.reads, dir.reads)
		}
	}
	data.bytes, data.reads = 0, 0
	if got, err := scanAll(table, nil); err != nil || !sameRecords(got, records) {
		t.Fatal(err)
	}
	if data.bytes != int64(len(w.data)) || data.reads > 60 {
		t.Fatalf("scan took %d bytes in %d reads, of %d", data.bytes, data.reads, len(w.data))
	}
}

func TestHugeValueIsReadInParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	huge := randomBytes(rng, 9<<20)
	for i := range huge {
		huge[i] = byte(rng.Uint32()) >> 2
	}
	records := []record{{[]byte("a"), []byte("before")}, {[]byte("b"), huge}, {[]byte("c"), []byte("after")}}
	table := mustOpen(t, writeTable(t, records, TableOptions{}))
	value, found, err := table.Get(nil, []byte("b"))
	if err != nil || !found || !bytes.Equal(value, huge) {
		t.Fatalf("%d bytes, %v, %v", len(value), found, err)
	}
	if _, found, err := table.Get(nil, []byte("bb")); found || err != nil {
		t.Fatal(found, err)
	}
	if got, err := scanAll(table, nil); err != nil || !sameRecords(got, records) {
		t.Fatal(err)
	}
}

// Whatever byte of a table changes: every answer is the right one or an error.
func TestNoFlippedByteGivesAWrongAnswer(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var records []record
	for i := range 60 {
		size := i
		if i%20 == 7 {
			size = 300
		}
		records = append(records, record{fmt.Appendf(nil, "key %03d", i), randomBytes(rng, size)})
	}
	t.Run("root only", func(t *testing.T) { flipEveryByte(t, records, leafBytes) })
	t.Run("leaves", func(t *testing.T) { flipEveryByte(t, records, 40) })
}

func flipEveryByte(t *testing.T, records []record, leafBytes int) {
	w := writeTableWithLeaves(t, records, TableOptions{PageBytes: 128}, leafBytes)
	check := func(w written) {
		t.Helper()
		table, err := w.open()
		if err != nil {
			mustBeCorrupt(t, err)
			return
		}
		damaged := false
		for _, r := range records {
			value, found, err := table.Get(nil, r.key)
			if err != nil {
				mustBeCorrupt(t, err)
				damaged = true
			} else if !found || !bytes.Equal(value, r.value) {
				t.Fatalf("get %q: %q, %v", r.key, value, found)
			}
		}
		got, err := scanAll(table, nil)
		if err != nil {
			mustBeCorrupt(t, err)
			got = append(got, records[len(got):]...)
		}
		if !sameRecords(got, records) {
			t.Fatal("scan gave other records")
		}
		if damaged && table.Check() == nil {
			t.Fatal("Check finds nothing where Get did")
		}
	}
	for _, object := range []*[]byte{&w.data, &w.dir} {
		whole := *object
		for i := range whole {
			*object = bytes.Clone(whole)
			(*object)[i] ^= byte(1 << (i % 8))
			check(w)
			*object = whole[:i]
			check(w)
		}
		*object = whole
	}
	check(w)
}

func mustBeCorrupt(t testing.TB, err error) {
	t.Helper()
	if !IsCorrupt(err) {
		t.Fatalf("%v (%T) is not a *CorruptError", err, err)
	}
}

func TestSwappedPagesAreNoticed(t *testing.T) {
	a := AppendPage(nil, []byte("same length a"), 0, Raw)
	object := AppendPage(a, []byte("same length b"), int64(len(a)), Raw)
	n := len(a)
	swapped := append(bytes.Clone(object[n:]), object[:n]...)
	if _, err := Read(nil, bytes.NewReader(swapped), Ref{0, int64(n)}); !IsCorrupt(err) {
		t.Fatalf("page at another place: %v", err)
	}
}

func TestBadCallsAreRefused(t *testing.T) {
	w := NewTableWriter(io.Discard, 0, TableOptions{})
	for _, step := range []struct {
		key  string
		want error
	}{
		{"b", nil}, {"b", ErrOrder}, {"a", ErrOrder}, {"", ErrOrder}, {"ba", nil}, {"b", ErrOrder},
		{string(bytes.Repeat([]byte("x"), MaxKey+1)), ErrKeyTooLong}, {"c", nil},
	} {
		if err := w.Add([]byte(step.key), nil); !errors.Is(err, step.want) {
			t.Errorf("add %.10q: %v, want %v", step.key, err, step.want)
		}
	}
	if _, _, err := w.Finish(nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Add([]byte("d"), nil); err == nil {
		t.Error("add after finish is no error")
	}
}

type failingWriter struct{ left int }

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

var errFull = errors.New("disk is full")

func TestWriteErrorEndsTheTable(t *testing.T) {
	w := NewTableWriter(&failingWriter{left: 500}, 0, TableOptions{PageBytes: 64, Level: Raw})
	for i := range 100 {
		_ = w.Add(fmt.Appendf(nil, "%03d", i), []byte("value"))
	}
	if _, _, err := w.Finish(nil, 0); !errors.Is(err, errFull) {
		t.Fatalf("finish: %v", err)
	}
}

type failingReader struct{}

func (failingReader) ReadAt([]byte, int64) (int, error) { return 0, errFull }
func (failingReader) Name() string                      { return "tenant/block/data" }

func TestReadErrorIsNotCorruption(t *testing.T) {
	_, err := Read(nil, failingReader{}, Ref{7, 100})
	if !errors.Is(err, errFull) || IsCorrupt(err) {
		t.Fatal(err)
	}
	if want := "read page of tenant/block/data at offset 7: disk is full"; err.Error() != want {
		t.Fatalf("%q, want %q", err, want)
	}
}
