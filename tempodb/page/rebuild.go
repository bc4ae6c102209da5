package page

import (
	"bytes"
	"fmt"
	"io"
)

// Rebuild makes a table's directory anew, from what is whole of the old one and from the pages, which say themselves what
// they are. It reads the pages of each leaf that is lost, all of them if the table is so small that it has one leaf; and keeps some
// 60 bytes a page. It is for one goroutine.
type Rebuild struct {
	packer          Packer
	dataEnd, dirEnd int64

	leaves []*directory // whole ones of the old directory, not yet taken
	begun  bool         // the old directory has been read

	d    *directory
	lost map[int64]error // by offset of the entries that stand for damage
	off  int64           // in data: what lies before is in d
	last []byte          // the last key of the last entry, if known
	know bool
}

// NewRebuild returns the Rebuild of a table whose pages are in the first dataEnd bytes of an object, and whose
// directory was in the first dirEnd bytes of another. p is the table's Packer, if it has one.
func NewRebuild(dataEnd, dirEnd int64, p Packer) *Rebuild {
	return &Rebuild{packer: p, dataEnd: dataEnd, dirEnd: dirEnd, d: new(directory), lost: make(map[int64]error)}
}

// Run returns the table. What can't be read as pages is damage in it, as a damaged page is: Get of a key that
// may be there is a *CorruptError. Other errors are the readers': Run may be called again, and goes on where it was.
func (r *Rebuild) Run(data, dir io.ReaderAt) (*Table, error) {
	if !r.begun {
		if err := r.readLeaves(dir); err != nil {
			return nil, fmt.Errorf("rebuild a table's directory: %w", err)
		}
		r.begun = true
	}
	t := &Table{data: data, dir: dir, root: r.d, packer: r.packer, lost: r.lost}
	for r.off < r.dataEnd {
		limit := r.dataEnd
		if len(r.leaves) > 0 {
			limit = r.leaves[0].begin()
		}
		var err error
		if r.off < limit {
			err = r.walk(t, limit)
		} else {
			r.takeLeaf()
		}
		if err != nil {
			return nil, fmt.Errorf("rebuild a table's directory: %w", err)
		}
	}
	return t, nil
}

// readLeaves finds what leaves of the old directory are whole, in their order.
func (r *Rebuild) readLeaves(dir io.ReaderAt) error {
	w := newWalker(dir, 0, r.dirEnd)
	var leaves []*directory
	end := int64(0)
	for {
		found, err := w.next()
		if err == io.EOF {
			r.leaves = leaves
			return nil
		}
		if err != nil {
			return err
		}
		d := new(directory)
		if found.err != nil || found.kind != kindDirectory || d.parse(found.content) != nil || d.level != levelLeaf || len(d.entries) == 0 {
			continue
		}
		if d.begin() < end || d.end() > r.dataEnd {
			continue
		}
		if n := len(leaves); n > 0 && bytes.Compare(leaves[n-1].key(len(leaves[n-1].entries)-1), d.key(0)) >= 0 {
			continue
		}
		end = d.end()
		leaves = append(leaves, d)
	}
}

func (d *directory) begin() int64 { return d.entries[0].offset - d.entries[0].chunks }

func (d *directory) end() int64 {
	e := &d.entries[len(d.entries)-1]
	return e.offset + e.length
}

// takeLeaf appends the entries of the leaf that comes next.
func (r *Rebuild) takeLeaf() {
	leaf := r.leaves[0]
	r.leaves = r.leaves[1:]
	if !r.follows(leaf.key(0)) {
		return // its pages are walked
	}
	for i := range leaf.entries {
		r.append(leaf.key(i), leaf.entries[i], leaf.records(i))
	}
	r.off, r.know = leaf.end(), false
}

// follows reports whether a page that begins with key may come next.
func (r *Rebuild) follows(key []byte) bool {
	n := len(r.d.entries)
	switch {
	case n == 0:
		return true
	case r.lost[r.d.entries[n-1].offset] != nil:
		return bytes.Compare(r.d.key(n-1), key) <= 0
	case r.know:
		return bytes.Compare(r.last, key) < 0
	}
	return bytes.Compare(r.d.key(n-1), key) < 0
}

func (r *Rebuild) append(key []byte, e dirEntry, records int64) {
	r.d.keys = append(r.d.keys, key...)
	e.keyEnd, e.ordinal = len(r.d.keys), r.d.ordinal
	r.d.entries = append(r.d.entries, e)
	r.d.ordinal += records
}

// walk enters the pages up to limit.
func (r *Rebuild) walk(t *Table, limit int64) error {
	w := newWalker(t.data, r.off, limit)
	var bad error // the first damage from r.off on
	for {
		found, err := w.next()
		switch {
		case err == io.EOF:
			return r.lose(t, limit, bad)
		case err != nil:
			return err
		case found.err != nil:
			if bad == nil {
				bad = found.err
			}
			continue
		case found.kind == kindChunk:
			continue // what it belongs to follows
		}
		begin := found.offset
		var e dirEntry
		var first []byte
		var last []byte
		var records int64
		if found.kind == kindHead {
			h, sum, ok := parseHead(found.content)
			begin -= sum
			if ok = ok && begin >= r.off; ok {
				e = dirEntry{offset: found.offset, length: found.length, chunks: sum}
				first, last, records = h.key, h.key, 1
			} else {
				err = fmt.Errorf("the chunks it lists are not those before it")
			}
		} else {
			e = dirEntry{offset: found.offset, length: found.length}
			first, last, records, err = r.span(found)
		}
		if err == nil && !r.follows(first) {
			err = fmt.Errorf("its keys are not greater than those before it")
		}
		if err != nil {
			if bad == nil {
				bad = naming(&CorruptError{What: found.kind.String(), Offset: found.offset, Reason: err.Error()}, t.data)
			}
			continue
		}
		if begin > r.off {
			if err := r.lose(t, begin, bad); err != nil {
				return err
			}
		}
		r.append(first, e, records)
		r.off, bad = found.offset+found.length, nil
		r.last, r.know = append(r.last[:0], last...), true
	}
}

// span returns the first and the last key of a page, and how many records it has.
func (r *Rebuild) span(found walked) (first, last []byte, records int64, err error) {
	add := func(key []byte) bool {
		if records == 0 {
			first = bytes.Clone(key)
		} else if bytes.Compare(last, key) >= 0 {
			return false
		}
		last = append(last[:0], key...)
		records++
		return true
	}
	errOrder := fmt.Errorf("its records make no sense")
	switch {
	case found.kind == kindPacked && r.packer != nil:
		err = r.packer.Each(found.content, func(key, _ []byte) (bool, error) {
			if !add(key) {
				return false, errOrder
			}
			return true, nil
		})
	case found.kind == kindRecords:
		var key []byte
		for in := (input{b: found.content}); len(in.b) > 0; {
			shared, suffix, _, ok := nextRecord(&in)
			if !ok || shared > len(key) {
				return nil, nil, 0, errOrder
			}
			if key = append(key[:shared], suffix...); !add(key) {
				return nil, nil, 0, errOrder
			}
		}
	default:
		return nil, nil, 0, fmt.Errorf("it does not belong here")
	}
	if err == nil && records == 0 {
		err = fmt.Errorf("it has no records")
	}
	return first, last, records, err
}

// lose enters what lies from r.off to end as lost: whatever keys are greater than the last before it, and less than the first
// after it, may have been there.
func (r *Rebuild) lose(t *Table, end int64, bad error) error {
	if end <= r.off {
		return nil
	}
	if bad == nil {
		bad = naming(&CorruptError{What: kindChunk.String(), Offset: r.off, Reason: "no head page follows"}, t.data)
	}
	n := len(r.d.entries)
	if n > 0 && !r.know {
		last, err := t.lastKey(n - 1)
		switch {
		case err == nil:
			r.last, r.know = append(r.last[:0], last...), true
		case IsCorrupt(err):
			// That page is lost, too: its keys and those here are not told apart.
			e := &r.d.entries[n-1]
			r.d.ordinal = e.ordinal
			r.last, r.know = append(r.last[:0], r.d.key(n-1)...), true
			*e = dirEntry{keyEnd: e.keyEnd, offset: e.offset - e.chunks, length: end - e.offset + e.chunks, ordinal: e.ordinal}
			r.lost[e.offset] = err
			r.off = end
			return nil
		default:
			return err
		}
	}
	var key []byte
	if n > 0 {
		key = append(bytes.Clone(r.last), 0) // nothing lies between
	}
	r.append(key, dirEntry{offset: r.off, length: end - r.off}, 0)
	r.lost[r.off] = bad
	r.last, r.know = append(r.last[:0], key...), true
	r.off = end
	return nil
}

// lastKey returns the last key of the root's entry i.
func (t *Table) lastKey(i int) (last []byte, err error) {
	s := scratches.Get().(*scratch)
	defer s.giveBack()
	s.key = s.key[:0]
	e := &t.root.entries[i]
	if e.chunks > 0 {
		h, err := s.bigHead(t.data, e, nil)
		return bytes.Clone(h.key), err
	}
	raw, err := s.extent(t.data, e)
	if err != nil {
		return nil, err
	}
	_, err = t.scanPage(s, t.root, i, raw, func(_ int64, key, _ []byte) (bool, error) {
		last = append(last[:0], key...)
		return true, nil
	})
	return last, err
}

// lostAt returns the damage that the entry stands for; nil if it is a page.
func (t *Table) lostAt(d *directory, i int) error {
	if d != t.root || len(t.lost) == 0 {
		return nil
	}
	return t.lost[d.entries[i].offset]
}
