package page

// Cursor goes through a table page by page, and reads of each page what is asked for: nothing, its records, or the page as it is
// stored, to be copied (see TableWriter.Copy). It is for one goroutine.
type Cursor struct {
	t     *Table
	s     *scratch
	ahead readAhead

	d    *directory // the page is its entry i: the root, or leaf
	i    int
	leaf directory
	next int // the next leaf to be read
}

// Cursor returns a Cursor before the first page. Close ends its use.
func (t *Table) Cursor() *Cursor {
	c := &Cursor{t: t, s: scratches.Get().(*scratch), i: -1}
	if c.d = t.root; t.root.level != levelLeaf {
		c.d = &c.leaf
	}
	return c
}

// Close gives the cursor's memory back. The cursor is not to be used afterwards.
func (c *Cursor) Close() {
	if c.s != nil {
		c.s.giveBack()
		c.s = nil
	}
}

// Next moves to the next page of records or head of a big value; false if there is none. It reads the directory only. After an error,
// which for damage is a *CorruptError, the cursor stands nowhere.
func (c *Cursor) Next() (bool, error) {
	for c.i++; c.i >= len(c.d.entries); c.i = 0 {
		if c.d == c.t.root || c.next == len(c.t.root.entries) {
			c.i = len(c.d.entries)
			return false, nil
		}
		if err := c.t.readLeaf(&c.leaf, c.next); err != nil {
			return false, err
		}
		c.next++
	}
	return true, c.t.lostAt(c.d, c.i)
}

// Records returns how many records the page has: at least 1.
func (c *Cursor) Records() int64 { return c.d.records(c.i) }

// Each calls fn with the records of the page, in order, until fn returns false or an error, which Each returns. The slices are valid
// during the call. The pages that follow are read with it, the more the longer it goes on.
func (c *Cursor) Each(fn func(key, value []byte) (more bool, err error)) error {
	raw, err := c.extent()
	if err != nil {
		return err
	}
	scan := c.t.scanPage
	if c.entry().chunks > 0 {
		scan = c.t.scanBig
	}
	_, err = scan(c.s, c.d, c.i, raw, func(_ int64, key, value []byte) (bool, error) { return fn(key, value) })
	return err
}

// extent returns the bytes of the page, and of the chunk pages before it; nil if they are too many to be read at once.
func (c *Cursor) extent() ([]byte, error) { return c.ahead.extent(c.s, c.t.data, c.d, c.i) }

func (c *Cursor) entry() *dirEntry { return &c.d.entries[c.i] }
