package columnar

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

// catalog numbers what a page defines where it first needs it (texts, columns, shapes, shells) in the order
// in which the page does so. An encoder meets things in another order than it writes them.
type catalog struct {
	order  []int32 // things by number
	number []int32 // numbers by thing, -1 while it is not in the page
}

func (c *catalog) reset() { c.order, c.number = c.order[:0], c.number[:0] }

// add notes a thing that is not in the page yet.
func (c *catalog) add() int32 {
	c.number = append(c.number, -1)
	return int32(len(c.number)) - 1
}

// define gives a thing the next number.
func (c *catalog) define(id int32) {
	c.number[id] = int32(len(c.order))
	c.order = append(c.order, id)
}

func (c *catalog) copyFrom(o *catalog) {
	c.order = append(c.order[:0], o.order...)
	c.number = append(c.number[:0], o.number...)
}

// texts are the distinct strings of a page.
type texts struct {
	catalog
	arena []byte
	ends  []int
	slots []int32 // hash table of an encoder: ids plus one
}

func (t *texts) reset() {
	t.catalog.reset()
	t.arena, t.ends = t.arena[:0], t.ends[:0]
	clear(t.slots)
}

// of returns the text with the given id.
func (t *texts) of(id uint64) []byte {
	start := 0
	if id > 0 {
		start = t.ends[id-1]
	}
	return t.arena[start:t.ends[id]]
}

// close makes a text of what was appended to the arena behind the last one.
func (t *texts) close() uint64 {
	t.ends = append(t.ends, len(t.arena))
	return uint64(t.add())
}

var seed = maphash.MakeSeed()

// intern returns the id of a text.
func (t *texts) intern(b []byte) uint64 {
	if 2*len(t.ends) >= len(t.slots) {
		t.grow()
	}
	mask := len(t.slots) - 1
	at := int(maphash.Bytes(seed, b)) & mask
	for ; t.slots[at] != 0; at = (at + 1) & mask {
		if id := uint64(t.slots[at] - 1); bytes.Equal(t.of(id), b) {
			return id
		}
	}
	t.arena = append(t.arena, b...)
	id := t.close()
	t.slots[at] = int32(id) + 1
	return id
}

func (t *texts) grow() {
	t.slots = make([]int32, max(1024, 2*len(t.slots)))
	t.index()
}

// index fills the hash table.
func (t *texts) index() {
	if 2*len(t.ends) >= len(t.slots) {
		t.slots = make([]int32, max(1024, 4<<bits.Len(uint(len(t.ends)))))
	}
	mask := len(t.slots) - 1
	for id := range t.ends {
		at := int(maphash.Bytes(seed, t.of(uint64(id)))) & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = int32(id) + 1
	}
}

func (t *texts) copyFrom(o *texts) {
	t.catalog.copyFrom(&o.catalog)
	t.arena = append(t.arena[:0], o.arena...)
	t.ends = append(t.ends[:0], o.ends...)
	t.slots = append(t.slots[:0], o.slots...)
}
