package page

// memo is what a Table that remembers has of its last Scan.
type memo struct {
	*scratch
	records int64 // offset of the page of records that is decoded in scratch.page, plus one; 0 if there is none
	leaf    directory
	leafAt  int // entry of the root that leaf is, plus one
}

// Remembering returns the same table for one goroutine, whose Scans neither read nor decode the page or the directory leaf again where the
// last Scan has ended: for questions about neighbouring keys. Forget ends its use. No Scan may be called within another.
func (t *Table) Remembering() *Table {
	u := *t
	u.memo = &memo{scratch: scratches.Get().(*scratch)}
	return &u
}

// Forget gives the memory of Remembering back. The table is not to be used afterwards.
func (t *Table) Forget() {
	t.memo.scratch.giveBack()
	t.memo = nil
}

// leaf returns the memory of a leaf, and what gives it back.
func (t *Table) leaf() (d *directory, giveBack func()) {
	if t.memo != nil {
		return &t.memo.leaf, func() {}
	}
	d = directories.Get().(*directory)
	return d, func() { directories.Put(d) }
}

// readLeafOnce is readLeaf into what leaf returned.
func (t *Table) readLeafOnce(d *directory, i int) error {
	if t.memo == nil {
		return t.readLeaf(d, i)
	}
	if t.memo.leafAt == i+1 {
		return nil
	}
	t.memo.leafAt = 0
	err := t.readLeaf(d, i)
	if err == nil {
		t.memo.leafAt = i + 1
	}
	return err
}

// scratch returns the memory of a Scan, and what gives it back.
func (t *Table) scratch() (s *scratch, giveBack func()) {
	if t.memo != nil {
		return t.memo.scratch, func() {}
	}
	s = scratches.Get().(*scratch)
	return s, s.giveBack
}

// knows reports whether the page of the entry e is decoded already. If not, what was decoded is about to be lost.
func (t *Table) knows(e *dirEntry) bool {
	if t.memo == nil {
		return false
	}
	if e.chunks == 0 && t.memo.records == e.offset+1 {
		return true
	}
	t.memo.records = 0
	return false
}

// remember notes that the page of records of e is decoded.
func (t *Table) remember(e *dirEntry) {
	if t.memo != nil {
		t.memo.records = e.offset + 1
	}
}
