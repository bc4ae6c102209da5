package tempodb

import "iter"

// cursor walks the keys of one part, ascending, for a merge of parts.
type cursor struct {
	wanted  map[Key]bool // nil: all
	key     Key
	summary []byte // nil where the part keeps none; valid until next
	valid   bool
	err     error
	pull    func() (Key, []byte, bool)
	stop    func()
}

// newCursor returns a cursor at the first key that scan yields.
func newCursor(wanted map[Key]bool, scan func(yield func(Key, []byte) bool) error) *cursor {
	c := &cursor{wanted: wanted}
	c.pull, c.stop = iter.Pull2(func(yield func(Key, []byte) bool) {
		c.err = scan(yield)
	})
	c.next()
	return c
}

func (c *cursor) next() { c.key, c.summary, c.valid = c.pull() }

// least returns the smallest key at which a cursor stands, and the cursors that stand there.
func least(cursors []*cursor) (key Key, at []*cursor) {
	for _, c := range cursors {
		if !c.valid {
			continue
		}
		switch order := compareKeys(c.key, key); {
		case len(at) == 0 || order < 0:
			key, at = c.key, append(at[:0], c)
		case order == 0:
			at = append(at, c)
		}
	}
	return key, at
}
