package columnar

import (
	"hash/maphash"
	"math/bits"
)

// ids numbers pairs of words. The zero ids has none.
type ids struct {
	slots []idSlot // a power of two of them, at most half of them taken
	taken int
}

type idSlot struct {
	a, b uint64
	id   int32 // plus one; zero if the slot is free
}

func (t *ids) reset() {
	if t.taken > 0 {
		clear(t.slots)
		t.taken = 0
	}
}

// The seeds of the hash are chosen anew in each process, so that nobody can send data whose hashes meet.
var (
	wordSeed  = maphash.String(seed, "first word") | 1
	wordSeed2 = maphash.String(seed, "second word") | 1
)

// place returns where the pair is, or the free slot where it would be. There must be slots.
func (t *ids) place(a, b uint64) *idSlot {
	hi, lo := bits.Mul64(a^wordSeed, (b^wordSeed2)*0x9e3779b97f4a7c15)
	mask := uint64(len(t.slots) - 1)
	for at := (hi ^ lo) & mask; ; at = (at + 1) & mask {
		if s := &t.slots[at]; s.id == 0 || s.a == a && s.b == b {
			return s
		}
	}
}

// find returns the number of a pair, or -1 if it has none. A nil ids has none.
func (t *ids) find(a, b uint64) int32 {
	if t == nil || t.taken == 0 {
		return -1
	}
	return t.place(a, b).id - 1
}

// set gives a pair a number.
func (t *ids) set(a, b uint64, id int32) {
	if 2*t.taken >= len(t.slots) {
		t.grow()
	}
	s := t.place(a, b)
	if s.id == 0 {
		t.taken++
	}
	*s = idSlot{a, b, id + 1}
}

func (t *ids) grow() {
	old := t.slots
	t.slots = make([]idSlot, max(64, 2*len(old)))
	for i := range old {
		if s := &old[i]; s.id != 0 {
			*t.place(s.a, s.b) = *s
		}
	}
}
