package page

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"sync"
)

// Root is where a table's directory begins: all a reader has to be given.
type Root struct {
	// Offset is the position of the root page in the object of the directory.
	Offset int64 `json:"offset"`
	// Length is the number of bytes the root page takes.
	Length int64 `json:"length"`
}

// AppendRoot appends root to dst in its compact form.
func AppendRoot(dst []byte, root Root) []byte {
	dst = binary.AppendUvarint(dst, uint64(root.Offset))
	return binary.AppendUvarint(dst, uint64(root.Length))
}

// ParseRoot reads a Root from the beginning of b and returns what follows it. Where the root is,
// and whether it is there, is for OpenTable to find out.
func ParseRoot(b []byte) (Root, []byte, error) {
	in := input{b: b}
	root := Root{Offset: in.int64(), Length: in.int64()}
	if in.bad {
		return Root{}, b, &CorruptError{What: "table root", Reason: "is cut short or too large a number"}
	}
	return root, in.b, nil
}

// Directory pages. The entries of a leaf are pages of the table, those of a root above leaves are leaves.
// The pages of a directory page lie one after another, so lengths are enough to find them.
const (
	levelLeaf = 0
	levelRoot = 1

	leafBytes = 32 << 10 // the size at which a leaf is closed
)

// dirBuilder builds the content of a directory page entry by entry.
type dirBuilder struct {
	level   byte
	base    int64 // offset of the first entry's extent
	ordinal int64 // of the first record
	n       int
	records int64
	entries []byte
	first   []byte // key of the first entry
	last    []byte
}

// add adds a page. chunks is the number of bytes of chunk pages before it; greater than zero
// if and only if it is the head of a big value.
func (d *dirBuilder) add(key []byte, length, records, chunks int64) {
	if d.n == 0 {
		d.first = append(d.first[:0], key...)
	}
	shared := commonPrefix(d.last, key)
	d.entries = binary.AppendUvarint(d.entries, uint64(shared))
	d.entries = binary.AppendUvarint(d.entries, uint64(len(key)-shared))
	d.entries = append(d.entries, key[shared:]...)
	d.entries = binary.AppendUvarint(d.entries, uint64(length))
	d.entries = binary.AppendUvarint(d.entries, uint64(records))
	if d.level == levelLeaf {
		d.entries = binary.AppendUvarint(d.entries, uint64(chunks))
	}
	d.last = append(d.last[:0], key...)
	d.n++
	d.records += records
}

func (d *dirBuilder) appendTo(dst []byte) []byte {
	dst = append(dst, d.level)
	dst = binary.AppendUvarint(dst, uint64(d.n))
	dst = binary.AppendUvarint(dst, uint64(d.base))
	dst = binary.AppendUvarint(dst, uint64(d.ordinal))
	return append(dst, d.entries...)
}

// A directory is a directory page, parsed.
type directory struct {
	level   byte
	keys    []byte // of all entries, one after another
	entries []dirEntry
	ordinal int64 // of the record after the last
}

type dirEntry struct {
	keyEnd  int   // in keys
	offset  int64 // of the page itself
	length  int64
	chunks  int64 // bytes of chunk pages that end at offset; not zero for the head of a big value
	ordinal int64 // of the first record
}

func (d *directory) key(i int) []byte {
	begin := 0
	if i > 0 {
		begin = d.entries[i-1].keyEnd
	}
	return d.keys[begin:d.entries[i].keyEnd]
}

func (d *directory) ref(i int) Ref {
	return Ref{Offset: d.entries[i].offset, Length: d.entries[i].length}
}

func (d *directory) records(i int) int64 {
	if i+1 < len(d.entries) {
		return d.entries[i+1].ordinal - d.entries[i].ordinal
	}
	return d.ordinal - d.entries[i].ordinal
}

// first returns the number of the first record.
func (d *directory) first() int64 {
	if len(d.entries) == 0 {
		return d.ordinal
	}
	return d.entries[0].ordinal
}

// find returns the entry in whose page key is if it is anywhere; -1 if key is before them all.
func (d *directory) find(key []byte) int {
	return sort.Search(len(d.entries), func(i int) bool { return bytes.Compare(d.key(i), key) > 0 }) - 1
}

// findOrdinal returns the entry whose page holds the record; -1 if none does.
func (d *directory) findOrdinal(ordinal int64) int {
	if ordinal < 0 || ordinal >= d.ordinal {
		return -1
	}
	return sort.Search(len(d.entries), func(i int) bool { return d.entries[i].ordinal > ordinal }) - 1
}

// parse reads the content of a directory page into d, whose memory it uses again, and checks
// all that can be checked without looking elsewhere.
func (d *directory) parse(b []byte) error {
	in := input{b: b}
	*d = directory{keys: d.keys[:0], entries: d.entries[:0]}
	if d.level = in.byte(); d.level > levelRoot {
		return fmt.Errorf("unknown level %d", d.level)
	}
	n := in.int64()
	offset, ordinal := in.int64(), in.int64()
	if in.bad || n > int64(len(in.b)) { // an entry takes several bytes
		return fmt.Errorf("cut short")
	}
	d.entries = slices.Grow(d.entries, int(n))
	previous := 0
	for range n {
		shared, suffix := in.int(), in.bytes()
		e := dirEntry{length: in.int64(), ordinal: ordinal}
		records := in.int64()
		if d.level == levelLeaf {
			e.chunks = in.int64()
		}
		begin := len(d.keys)
		last := d.keys[previous:begin]
		switch {
		case in.bad:
			return fmt.Errorf("entry %d is cut short", len(d.entries))
		case shared > len(last) || shared+len(suffix) > MaxKey || len(d.keys)+shared+len(suffix) > MaxPage:
			return fmt.Errorf("entry %d has an impossible key", len(d.entries))
		case e.length < Overhead || e.length > MaxPage+Overhead:
			return fmt.Errorf("entry %d says its page takes %d bytes", len(d.entries), e.length)
		case records == 0 || e.chunks > 0 && records != 1:
			return fmt.Errorf("entry %d says its page holds %d records", len(d.entries), records)
		case offset > math.MaxInt64-e.chunks-e.length || ordinal > math.MaxInt64-records ||
			offset+e.chunks > math.MaxInt64-e.length:
			return fmt.Errorf("entry %d lies beyond every object", len(d.entries))
		case len(d.entries) > 0 && bytes.Compare(suffix, last[shared:]) <= 0:
			return fmt.Errorf("entry %d is not greater than the one before it", len(d.entries))
		}
		d.keys = append(append(d.keys, last[:shared]...), suffix...)
		e.keyEnd, e.offset = len(d.keys), offset+e.chunks
		d.entries = append(d.entries, e)
		previous = begin
		offset, ordinal = e.offset+e.length, ordinal+records
	}
	if len(in.b) != 0 {
		return fmt.Errorf("%d bytes too many", len(in.b))
	}
	d.ordinal = ordinal
	return nil
}

func (d *directory) read(r io.ReaderAt, ref Ref) error {
	buf := borrow()
	defer buf.giveBack()
	var err error
	if buf.b, err = read(buf.b[:0], kindDirectory, r, ref); err != nil {
		return err
	}
	if err := d.parse(buf.b); err != nil {
		return naming(&CorruptError{What: kindDirectory.String(), Offset: ref.Offset, Reason: err.Error()}, r)
	}
	return nil
}

var directories = sync.Pool{New: func() any { return new(directory) }}

// commonPrefix returns the number of leading bytes that a and b have in common.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if binary.LittleEndian.Uint64(a[i:]) != binary.LittleEndian.Uint64(b[i:]) {
			break
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// input reads numbers and bytes from b. The first that is not there sets bad, after which all are zero.
type input struct {
	b   []byte
	bad bool
}

func (in *input) uvarint() uint64 {
	if len(in.b) > 0 && in.b[0] < 0x80 {
		v := in.b[0]
		in.b = in.b[1:]
		return uint64(v)
	}
	return in.longUvarint()
}

func (in *input) longUvarint() uint64 {
	v, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.bad, in.b = true, nil
		return 0
	}
	in.b = in.b[n:]
	return v
}

func (in *input) int64() int64 {
	v := in.uvarint()
	if v > math.MaxInt64 {
		in.bad, in.b = true, nil
		return 0
	}
	return int64(v)
}

// int reads a number that can be a length in memory.
func (in *input) int() int {
	v := in.uvarint()
	if v > math.MaxInt32 {
		in.bad, in.b = true, nil
		return 0
	}
	return int(v)
}

func (in *input) byte() byte {
	if len(in.b) == 0 {
		in.bad = true
		return 0
	}
	v := in.b[0]
	in.b = in.b[1:]
	return v
}

// bytes reads a length and as many bytes.
func (in *input) bytes() []byte { return in.take(in.int()) }

func (in *input) take(n int) []byte {
	if n > len(in.b) {
		in.bad, in.b = true, nil
		return nil
	}
	v := in.b[:n]
	in.b = in.b[n:]
	return v
}
