package page

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxKey is the greatest length of a table's key, in bytes.
	MaxKey = 1 << 20

	defaultPageBytes = 128 << 10
	minPageBytes     = 64
	maxPageBytes     = 16 << 20
)

// TableOptions says how a table is cut into pages. The zero value is a good one.
type TableOptions struct {
	// PageBytes is the uncompressed size at which a page of records is full; 128 KiB if zero, and at most
	// 16 MiB. A longer value gets pages of its own, of this size.
	PageBytes int
	// Level is how hard the pages are compressed.
	Level Level
	// Packer, if set, encodes the records of a page; the table is to be opened with it. Values that get pages of their own are
	// compressed without it.
	Packer Packer
}

// TableStats says what became of a table.
type TableStats struct {
	// Records is the number of records.
	Records int64
	// Pages is the number of pages of records, heads and chunks.
	Pages int64
	// Uncompressed is the number of bytes of keys and values.
	Uncompressed int64
	// DataEnd is the offset after the last page in the data object.
	DataEnd int64
	// DirectoryEnd is the offset after the root page in the directory's object.
	DirectoryEnd int64
}

// TableWriter writes a table. It is for one goroutine, and keeps in memory a page and the
// directory so far, some ten bytes a page.
type TableWriter struct {
	w       *Writer
	options TableOptions
	stats   TableStats
	err     error

	page      []byte // records of the page being filled, if they are not to be packed
	packing   unpacked
	records   int64  // in page
	separator []byte // key of that page in the directory
	last      []byte // key added last

	leaf      dirBuilder
	leaves    []dirLeaf
	leafBytes int // smaller in tests
}

type dirLeaf struct {
	key     []byte
	content []byte
	ordinal int64
	records int64
}

// NewTableWriter returns a writer of a table whose pages it appends to w, which stands at offset of its object.
func NewTableWriter(w io.Writer, offset int64, o TableOptions) *TableWriter {
	if o.PageBytes == 0 {
		o.PageBytes = defaultPageBytes
	}
	o.PageBytes = min(max(o.PageBytes, minPageBytes), maxPageBytes)
	t := &TableWriter{w: NewWriter(w, offset, o.Level), options: o, leafBytes: leafBytes}
	t.leaf.base = offset
	return t
}

// Add adds a record. Keys must be strictly ascending (ErrOrder) and not longer than MaxKey (ErrKeyTooLong);
// values may be of any length. Neither is kept. After an error of the underlying writer the table is
// lost and every call returns it.
func (t *TableWriter) Add(key, value []byte) error {
	if t.err != nil {
		return t.err
	}
	if len(key) > MaxKey {
		return fmt.Errorf("key that begins with %q: %w", key[:32], ErrKeyTooLong)
	}
	shared := 0
	if t.stats.Records > 0 {
		shared = commonPrefix(t.last, key)
		if bytes.Compare(t.last[shared:], key[shared:]) >= 0 {
			return fmt.Errorf("key %.64q after %.64q: %w", key, t.last, ErrOrder)
		}
	}
	if len(value) > t.options.PageBytes {
		t.err = t.addBig(key, value, shared)
	} else {
		t.err = t.addSmall(key, value, shared)
	}
	t.last = append(t.last[:0], key...)
	t.stats.Records++
	t.stats.Uncompressed += int64(len(key) + len(value))
	return t.err
}

func (t *TableWriter) addSmall(key, value []byte, shared int) error {
	if t.records > 0 && len(t.page)+len(t.packing.arena)+len(key)-shared+len(value) > t.options.PageBytes {
		if err := t.flush(); err != nil {
			return err
		}
	}
	if t.records == 0 {
		t.separate(key, shared)
		shared = 0
	}
	if t.options.Packer != nil {
		t.packing.add(key, value)
		t.records++
		return nil
	}
	t.page = binary.AppendUvarint(t.page, uint64(shared))
	t.page = binary.AppendUvarint(t.page, uint64(len(key)-shared))
	t.page = binary.AppendUvarint(t.page, uint64(len(value)))
	t.page = append(t.page, key[shared:]...)
	t.page = append(t.page, value...)
	t.records++
	return nil
}

// addBig writes a value as chunk pages and, after them, the head page that lists them.
func (t *TableWriter) addBig(key, value []byte, shared int) error {
	if err := t.flush(); err != nil {
		return err
	}
	t.separate(key, shared)
	size := t.options.PageBytes
	var chunks int64
	var lengths []byte
	count := uint64(0)
	for rest := value; len(rest) > 0; count++ {
		n := min(size, len(rest))
		ref, err := t.w.write(kindChunk, rest[:n])
		if err != nil {
			return err
		}
		rest = rest[n:]
		lengths = binary.AppendUvarint(lengths, uint64(ref.Length))
		chunks += ref.Length
	}
	head := binary.AppendUvarint(nil, uint64(len(key)))
	head = append(head, key...)
	head = binary.AppendUvarint(head, uint64(len(value)))
	head = binary.AppendUvarint(head, uint64(size))
	head = binary.AppendUvarint(head, count)
	head = append(head, lengths...)
	ref, err := t.w.write(kindHead, head)
	if err != nil {
		return err
	}
	t.stats.Pages += int64(count)
	t.enter(ref.Length, 1, chunks)
	return nil
}

// separate chooses the key under which the page that begins with key is entered in the directory:
// as short as it can be while it is greater than all keys before.
func (t *TableWriter) separate(key []byte, shared int) {
	if t.stats.Records > 0 {
		key = key[:shared+1]
	}
	t.separator = append(t.separator[:0], key...)
}

// flush writes the page being filled, if there is anything in it.
func (t *TableWriter) flush() error {
	if t.records == 0 {
		return nil
	}
	k, level := kindRecords, t.options.Level
	if t.options.Packer != nil {
		k, level = kindPacked, Raw
		var err error
		if t.page, err = t.packing.pack(t.page[:0], t.options.Packer); err != nil {
			return err
		}
	}
	ref, err := t.w.writeLevel(k, t.page, level)
	if err != nil {
		return err
	}
	t.enter(ref.Length, t.records, 0)
	t.page, t.records = t.page[:0], 0
	return nil
}

func (t *TableWriter) enter(length, records, chunks int64) {
	t.leaf.add(t.separator, length, records, chunks)
	t.stats.Pages++
	if len(t.leaf.entries) >= t.leafBytes {
		t.closeLeaf()
	}
}

func (t *TableWriter) closeLeaf() {
	l := &t.leaf
	t.leaves = append(t.leaves, dirLeaf{
		key:     bytes.Clone(l.first),
		content: l.appendTo(nil),
		ordinal: l.ordinal,
		records: l.records,
	})
	*l = dirBuilder{base: t.w.Offset(), ordinal: l.ordinal + l.records, entries: l.entries[:0], first: l.first[:0], last: l.last[:0]}
}

// Finish writes the last page, and the directory to dir, which stands at dirOffset of its object.
// If dir is nil the directory follows the last page in the table's own object.
func (t *TableWriter) Finish(dir io.Writer, dirOffset int64) (Root, TableStats, error) {
	if t.err == nil {
		t.err = t.flush()
	}
	if t.err != nil {
		return Root{}, t.stats, t.err
	}
	t.stats.DataEnd = t.w.Offset()
	w := t.w
	if dir != nil {
		w = NewWriter(dir, dirOffset, t.options.Level)
	}
	top := &t.leaf
	if len(t.leaves) > 0 {
		if t.leaf.n > 0 {
			t.closeLeaf()
		}
		top = &dirBuilder{level: levelRoot, base: w.Offset()}
		for _, leaf := range t.leaves {
			ref, err := w.write(kindDirectory, leaf.content)
			if err != nil {
				return Root{}, t.stats, err
			}
			top.add(leaf.key, ref.Length, leaf.records, 0)
		}
	}
	ref, err := w.write(kindDirectory, top.appendTo(nil))
	if err != nil {
		return Root{}, t.stats, fmt.Errorf("root of a table's directory: %w", err)
	}
	t.stats.DirectoryEnd = w.Offset()
	t.err = errors.New("table is finished")
	return Root(ref), t.stats, nil
}
