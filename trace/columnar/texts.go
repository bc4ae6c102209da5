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

// A pattern is a text with marks in place of what varies from one text to the next.
const (
	markNumber = 1 // decimal digits, at most maxDigits of them
	markHex    = 2 // hexadecimal digits, as many as the next byte says
	markUUID   = 3 // a UUID in lower case
	marks      = 4 // no byte of a text with marks is less but the marks themselves

	maxDigits = 19
	minHex    = 5
	// maxPatterned is the length of the longest text that is taken apart. For longer ones zstd does better.
	maxPatterned = 256
)

// part is what stands in a text at the place of a mark.
type part struct {
	text   []byte
	value  uint64 // of digits
	digits int
}

// appendPattern appends the pattern of a text to dst, and its parts to parts. A text without parts, or one
// that can't be told from a pattern, has none.
func appendPattern(dst []byte, parts []part, b []byte) ([]byte, []part) {
	begin := len(dst)
	if len(b) > maxPatterned {
		return dst, parts
	}
	for i := 0; i < len(b); {
		c := classes[b[i]]
		if c&classMark != 0 {
			return dst[:begin], parts[:0]
		}
		if c&classWord == 0 {
			dst = append(dst, b[i])
			i++
			continue
		}
		if isUUID(b[i:]) {
			dst = append(dst, markUUID)
			parts = append(parts, part{text: b[i : i+36]})
			i += 36
			continue
		}
		start, all, some := i, byte(0xff), byte(0)
		for i < len(b) && classes[b[i]]&classWord != 0 {
			all &= classes[b[i]]
			some |= classes[b[i]]
			i++
		}
		word := b[start:i]
		switch {
		case all&classDigit != 0 && len(word) <= maxDigits && word[0] <= '9':
			var v uint64
			for _, d := range word {
				v = v*10 + uint64(d-'0')
			}
			dst = append(dst, markNumber)
			parts = append(parts, part{text: word, value: v})
		case all&classHex != 0 && some&classDigit != 0 && len(word) >= minHex && len(word) < 256:
			dst = append(dst, markHex, byte(len(word)))
			parts = append(parts, part{text: word})
		default:
			dst = append(dst, word...)
		}
	}
	return dst, parts
}

const (
	classDigit = 1 << iota
	classHex
	classWord
	classMark
)

var classes = func() (t [256]byte) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9':
			t[c] = classDigit | classHex | classWord
		case 'a' <= c && c <= 'f':
			t[c] = classHex | classWord
		case 'g' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			t[c] = classWord
		case c < marks:
			t[c] = classMark
		}
	}
	return t
}()

// isUUID tells whether b begins with a UUID in lower case.
func isUUID(b []byte) bool {
	if len(b) < 36 || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return false
	}
	for i, c := range b[:36] {
		if classes[c]&classHex == 0 && i != 8 && i != 13 && i != 18 && i != 23 {
			return false
		}
	}
	return true
}
