package page

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// Table reads a table. It may be used concurrently.
//
// A Table keeps its root page in memory and nothing else: what else should stay there is for the
// readers it is given to decide.
type Table struct {
	data, dir io.ReaderAt
	root      *directory
	rootRef   Ref
	packer    Packer          // nil if there is none
	lost      map[int64]error // of a rebuilt table: see lostAt
	memo      *memo           // of a table that remembers
}

// OpenPacked is OpenTable for a table that may have been written with a Packer.
func OpenPacked(data, dir io.ReaderAt, root Root, p Packer) (*Table, error) {
	t, err := OpenTable(data, dir, root)
	if err == nil {
		t.packer = p
	}
	return t, err
}

// OpenTable reads the root page of a table's directory from dir. The pages will be read from data, the same
// object or another. Damage is a *CorruptError.
func OpenTable(data, dir io.ReaderAt, root Root) (*Table, error) {
	t := &Table{data: data, dir: dir, root: new(directory), rootRef: Ref(root)}
	if err := t.root.read(dir, t.rootRef); err != nil {
		return nil, fmt.Errorf("root of a table's directory: %w", err)
	}
	if first := t.root.first(); first != 0 {
		bad := &CorruptError{What: kindDirectory.String(), Offset: root.Offset, Reason: fmt.Sprintf("root of a table begins with record %d", first)}
		return nil, naming(bad, dir)
	}
	return t, nil
}

// Reading returns the same table read through other readers of the same objects: such as ones
// that end with a request's context.
func (t *Table) Reading(data, dir io.ReaderAt) *Table {
	return &Table{data: data, dir: dir, root: t.root, rootRef: t.rootRef, packer: t.packer, lost: t.lost}
}

// Records returns the number of records.
func (t *Table) Records() int64 { return t.root.ordinal }

// Bytes returns about how much memory the table takes.
func (t *Table) Bytes() int64 {
	const table, entry = 256, 48
	return table + int64(cap(t.root.keys)) + entry*int64(cap(t.root.entries))
}

// Get appends the value of key to dst. It reads one directory leaf, if the table is so large that it has
// leaves, and one page; of a big value, the pages it takes, up to a mebibyte of them in one read.
func (t *Table) Get(dst, key []byte) (value []byte, found bool, err error) {
	d, i, err := t.locate(func(d *directory) int { return d.find(key) })
	defer t.release(d)
	if err != nil || i < 0 {
		return dst, false, err
	}
	s := scratches.Get().(*scratch)
	defer s.giveBack()
	if err := t.lostAt(d, i); err != nil {
		return dst, false, err
	}
	e := &d.entries[i]
	raw, err := s.extent(t.data, e)
	if err != nil {
		return dst, false, err
	}
	if e.chunks > 0 {
		h, err := s.bigHead(t.data, e, raw)
		if err != nil || !bytes.Equal(h.key, key) {
			return dst, false, err
		}
		value, err = s.bigValue(dst, t.data, e, h, raw)
		return value, err == nil, err
	}
	packed, err := t.content(s, e, raw)
	switch {
	case err != nil:
		return dst, false, err
	case packed:
		return t.getPacked(dst, key, s, e)
	}
	v, found, ok := lookUp(s.page, key)
	if !ok {
		return dst, false, naming(badRecords(e), t.data)
	}
	return append(dst, v...), found, nil
}

// Scan calls fn with the records from the first key that is not less than from, in ascending order, until
// fn returns false or an error, which Scan returns. The slices are valid during the call. Each page is
// read once, several with one read when it goes on.
func (t *Table) Scan(from []byte, fn func(key, value []byte) (more bool, err error)) error {
	return t.ScanAround(from, fn, nil)
}

// ScanAround is Scan that goes on behind damaged pages: it calls damaged with the *CorruptError of each. An error of damaged ends it and is
// returned, as is damage to the directory, behind which nothing is found (see Rebuild). From a page of which a part makes no sense
// the records before that may have come. If damaged is nil, it is Scan.
func (t *Table) ScanAround(from []byte, fn func(key, value []byte) (more bool, err error), damaged func(error) error) error {
	start := func(d *directory) int { return max(0, d.find(from)) }
	return t.scan(start, func(_ int64, key, value []byte) (bool, error) {
		if bytes.Compare(key, from) < 0 {
			return true, nil
		}
		return fn(key, value)
	}, damaged)
}

// ScanRecords is Scan by number: from the record first, counted from 0.
func (t *Table) ScanRecords(first int64, fn func(record int64, key, value []byte) (more bool, err error)) error {
	if first >= t.Records() {
		return nil
	}
	start := func(d *directory) int { return max(0, d.findOrdinal(first)) }
	return t.scan(start, func(record int64, key, value []byte) (bool, error) {
		if record < first {
			return true, nil
		}
		return fn(record, key, value)
	}, nil)
}

// PageInfo says what the directory knows of a page.
type PageInfo struct {
	// Key is greater than all keys before the page and not greater than its first.
	// It is valid during the call.
	Key []byte
	// Ref is where the page is: a page of records, or the head of a big value.
	Ref Ref
	// Chunks is the number of bytes, before the page, of the chunk pages of the big value whose head it is.
	Chunks int64
	// Record is the number of the page's first record; Records is how many it has.
	Record, Records int64
}

// Pages calls fn with each page of records or head of a big value, until fn returns an error, which
// Pages returns. It reads the directory only.
func (t *Table) Pages(fn func(PageInfo) error) error {
	return t.walk(func(*directory) int { return 0 }, func(d *directory, i int) (bool, error) {
		e := &d.entries[i]
		err := fn(PageInfo{Key: d.key(i), Ref: d.ref(i), Chunks: e.chunks, Record: e.ordinal, Records: d.records(i)})
		return err == nil, err
	})
}

// Check reads and verifies all of the table: every page and every record, and that the directory leaves
// no gap between the pages.
func (t *Table) Check() error {
	end := int64(-1)
	err := t.Pages(func(p PageInfo) error {
		if begin := p.Ref.Offset - p.Chunks; end >= 0 && begin != end {
			return naming(&CorruptError{What: kindDirectory.String(), Offset: t.rootRef.Offset,
				Reason: fmt.Sprintf("it lists a page at %d after one that ends at %d", begin, end)}, t.dir)
		}
		end = p.Ref.Offset + p.Ref.Length
		return nil
	})
	if err != nil {
		return err
	}
	return t.Scan(nil, func([]byte, []byte) (bool, error) { return true, nil })
}

// locate finds the entry of the leaf that holds what find looks for; -1 if there is none.
// The directory is to be released.
func (t *Table) locate(find func(*directory) int) (d *directory, i int, err error) {
	if i = find(t.root); i < 0 || t.root.level == levelLeaf {
		return t.root, i, nil
	}
	d = directories.Get().(*directory)
	if err = t.readLeaf(d, i); err != nil {
		return d, -1, err
	}
	// There is one: the root's key of a leaf is the key of the leaf's first entry.
	return d, find(d), nil
}

func (t *Table) release(d *directory) {
	if d != t.root {
		directories.Put(d)
	}
}

// readLeaf reads the leaf that is the root's entry i, and checks it against that entry.
func (t *Table) readLeaf(d *directory, i int) error {
	ref := t.root.ref(i)
	if err := d.read(t.dir, ref); err != nil {
		return err
	}
	reason := ""
	switch {
	case d.level != levelLeaf:
		reason = "is not a leaf"
	case len(d.entries) == 0 || !bytes.Equal(d.key(0), t.root.key(i)):
		reason = "begins with another key than the root says"
	case d.entries[0].ordinal != t.root.entries[i].ordinal || d.ordinal-d.entries[0].ordinal != t.root.records(i):
		reason = "has other records than the root says"
	default:
		return nil
	}
	return naming(&CorruptError{What: kindDirectory.String(), Offset: ref.Offset, Reason: reason}, t.dir)
}

// walk calls fn with the entries of the leaves, from the one start finds, until fn returns false or an error.
func (t *Table) walk(start func(*directory) int, fn func(d *directory, i int) (bool, error)) error {
	leaf := func(d *directory, i int) (more bool, err error) {
		for more = true; more && err == nil && i < len(d.entries); i++ {
			more, err = fn(d, i)
		}
		return more, err
	}
	if len(t.root.entries) == 0 {
		return nil
	}
	i := start(t.root)
	if t.root.level == levelLeaf {
		_, err := leaf(t.root, i)
		return err
	}
	d, giveBack := t.leaf()
	defer giveBack()
	for first := i; i < len(t.root.entries); i++ {
		if err := t.readLeafOnce(d, i); err != nil {
			return err
		}
		at := 0
		if i == first {
			at = start(d)
		}
		if more, err := leaf(d, at); !more || err != nil {
			return err
		}
	}
	return nil
}

// scan calls fn with the records from the first of the page that start finds, and damaged, if it is not nil, with what
// pages can't be read.
func (t *Table) scan(start func(*directory) int, fn func(record int64, key, value []byte) (bool, error), damaged func(error) error) error {
	s, giveBack := t.scratch()
	defer giveBack()
	s.key = s.key[:0]
	var ahead readAhead
	began := false
	one := func(d *directory, i int, fn func(int64, []byte, []byte) (bool, error)) (more bool, err error) {
		if err := t.lostAt(d, i); err != nil {
			return false, err
		}
		e := &d.entries[i]
		known := t.knows(e)
		var raw []byte
		if !known {
			if raw, err = ahead.extent(s, t.data, d, i); err != nil {
				return false, err
			}
		}
		if began && bytes.Compare(s.key, d.key(i)) >= 0 {
			return false, naming(badRecords(e), t.data)
		}
		began = true
		switch {
		case known:
			return t.scanRecords(s, d, i, fn)
		case e.chunks > 0:
			return t.scanBig(s, d, i, raw, fn)
		default:
			return t.scanPage(s, d, i, raw, fn)
		}
	}
	if damaged == nil {
		return t.walk(start, func(d *directory, i int) (bool, error) { return one(d, i, fn) })
	}
	var ours error // fn's
	ofFn := func(record int64, key, value []byte) (more bool, err error) {
		more, ours = fn(record, key, value)
		return more, ours
	}
	return t.walk(start, func(d *directory, i int) (more bool, err error) {
		if more, err = one(d, i, ofFn); err != nil && ours == nil && IsCorrupt(err) {
			return true, damaged(err)
		}
		return more, err
	})
}

// scanPage calls fn with the records of a page of records. s.key is the last key read, before and after.
func (t *Table) scanPage(s *scratch, d *directory, i int, raw []byte, fn func(int64, []byte, []byte) (bool, error)) (more bool, err error) {
	e := &d.entries[i]
	packed, err := t.content(s, e, raw)
	switch {
	case err != nil:
		return false, err
	case packed:
		return t.scanPacked(s, d, i, fn)
	}
	t.remember(e)
	return t.scanRecords(s, d, i, fn)
}

// scanRecords is scanPage of the page that is decoded in s.page.
func (t *Table) scanRecords(s *scratch, d *directory, i int, fn func(int64, []byte, []byte) (bool, error)) (more bool, err error) {
	e := &d.entries[i]
	in := input{b: s.page}
	record, end := e.ordinal, e.ordinal+d.records(i)
	for ; record < end; record++ {
		shared, suffix, value, ok := nextRecord(&in)
		if record == e.ordinal {
			ok = ok && shared == 0 && bytes.Compare(d.key(i), suffix) <= 0
		} else {
			// Greater than the key before, of which it shares as much as it can.
			ok = ok && shared <= len(s.key) && len(suffix) > 0 && (shared == len(s.key) || suffix[0] > s.key[shared])
		}
		if !ok {
			break
		}
		s.key = append(s.key[:shared], suffix...)
		if more, err := fn(record, s.key, value); !more || err != nil {
			return false, err
		}
	}
	if record < end || len(in.b) > 0 {
		return false, naming(badRecords(e), t.data)
	}
	return true, nil
}

// scanBig calls fn with a big value. s.key is the last key read, before and after.
func (t *Table) scanBig(s *scratch, d *directory, i int, raw []byte, fn func(int64, []byte, []byte) (bool, error)) (more bool, err error) {
	e := &d.entries[i]
	h, err := s.bigHead(t.data, e, raw)
	if err != nil {
		return false, err
	}
	if bytes.Compare(d.key(i), h.key) > 0 {
		return false, naming(badRecords(e), t.data)
	}
	if s.value, err = s.bigValue(s.value[:0], t.data, e, h, raw); err != nil {
		return false, err
	}
	s.key = append(s.key[:0], h.key...)
	return fn(e.ordinal, s.key, s.value)
}

// scratch is the memory of one Get or Scan.
type scratch struct{ raw, page, key, value []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) giveBack() {
	if cap(s.raw)+cap(s.page)+cap(s.key)+cap(s.value) <= maxKept {
		scratches.Put(s)
	}
}

// oneRead is the greatest number of bytes that one read asks for, if not for a single page.
const oneRead = 1 << 20

// extent reads all pages of the entry e; none if they belong to a big value that is too large
// to be read at once.
func (s *scratch) extent(r io.ReaderAt, e *dirEntry) (raw []byte, err error) {
	if e.tooBig() {
		return nil, nil
	}
	s.raw, err = readRun(s.raw[:0], e.kind(), r, e.offset-e.chunks, e.chunks+e.length)
	return s.raw, err
}

func (e *dirEntry) tooBig() bool { return e.chunks > 0 && e.chunks+e.length > oneRead }

func (e *dirEntry) kind() kind {
	if e.chunks > 0 {
		return kindChunk
	}
	return kindRecords
}

// readAhead reads the extents of following entries, the more at once the longer it goes on.
type readAhead struct {
	begin, end int64 // what scratch.raw holds of the object
	budget     int64
}

func (a *readAhead) extent(s *scratch, r io.ReaderAt, d *directory, i int) ([]byte, error) {
	e := &d.entries[i]
	begin, end := e.offset-e.chunks, e.offset+e.length
	if begin < a.begin || end > a.end {
		*a = readAhead{budget: a.budget} // s.raw is about to be used for something else
		if e.tooBig() {
			return nil, nil
		}
		for _, next := range d.entries[i+1:] {
			if next.offset+next.length-begin > a.budget {
				break
			}
			end = next.offset + next.length
		}
		var err error
		s.raw, err = readRun(s.raw[:0], e.kind(), r, begin, end-begin)
		if own := e.offset + e.length; end > own && IsCorrupt(err) {
			// Where the object ends too early, what lies before is there.
			end = own
			s.raw, err = readRun(s.raw[:0], e.kind(), r, begin, end-begin)
		}
		if err != nil {
			return nil, err
		}
		a.begin, a.end = begin, end
		a.budget = min(max(2*(end-begin), a.budget), oneRead)
	}
	return s.raw[begin-a.begin : e.offset+e.length-a.begin], nil
}
