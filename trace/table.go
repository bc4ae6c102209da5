package trace

import (
	"hash/maphash"
	"math"
	"math/bits"
)

// table numbers distinct records: a hash table that holds their numbers only, while the records, and what
// makes two of them equal, are its user's. A hash picks candidates; equality is always asked for.
type table struct {
	slots []slot // a power of two of them, at most half of them taken
	taken int
	old   []slot // scratch of grow
}

type slot struct {
	hash   uint32
	number int32 // plus one; zero if the slot is free
}

const minSlots = 32

// reset empties the table and makes room for n records; more may come.
func (t *table) reset(n int) {
	size := minSlots
	if n > minSlots/2 {
		size = 1 << bits.Len(uint(2*n-1))
	}
	t.resize(size)
}

func (t *table) resize(size int) {
	if size > cap(t.slots) {
		t.slots = make([]slot, size)
	} else {
		t.slots = t.slots[:size]
		clear(t.slots)
	}
	t.taken = 0
}

// intern returns the number of the record that equal accepts. If there is none, it notes number as that
// of a new record and returns it. Records that are equal have equal hashes.
func (t *table) intern(hash uint64, number int, equal func(number int) bool) int {
	mask := len(t.slots) - 1
	at := int(hash) & mask
	for {
		s := &t.slots[at]
		if s.number == 0 {
			break
		}
		if s.hash == uint32(hash) && equal(int(s.number)-1) {
			return int(s.number) - 1
		}
		at = (at + 1) & mask
	}
	t.slots[at] = slot{hash: uint32(hash), number: int32(number) + 1}
	if t.taken++; 2*t.taken > len(t.slots) {
		t.grow()
	}
	return number
}

// find returns the number of the record that equal accepts, or -1.
func (t *table) find(hash uint64, equal func(number int) bool) int {
	mask := len(t.slots) - 1
	for at := int(hash) & mask; t.slots[at].number != 0; at = (at + 1) & mask {
		if s := t.slots[at]; s.hash == uint32(hash) && equal(int(s.number)-1) {
			return int(s.number) - 1
		}
	}
	return -1
}

func (t *table) grow() {
	t.old = append(t.old[:0], t.slots...)
	t.resize(2 * len(t.old))
	mask := len(t.slots) - 1
	for _, s := range t.old {
		if s.number == 0 {
			continue
		}
		at := int(s.hash) & mask
		for t.slots[at].number != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = s
		t.taken++
	}
}

// The seeds of all hashes are chosen anew in each process, so that nobody can send data whose hashes meet.
var (
	bytesSeed = maphash.MakeSeed()
	wordSeed  = maphash.String(bytesSeed, "first word") | 1
	wordSeed2 = maphash.String(bytesSeed, "second word")
)

// hashMask is all ones but in tests, which make hashes meet.
var hashMask uint64 = math.MaxUint64

// hashBytes hashes b, as part of the record with the given number.
func hashBytes(b []byte, within int) uint64 {
	return (maphash.Bytes(bytesSeed, b) ^ uint64(within)*wordSeed) & hashMask
}

// hashWords hashes two words, such as the halves of a trace ID.
func hashWords(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^wordSeed, b^wordSeed2)
	hi, lo = bits.Mul64(hi^lo^wordSeed2, wordSeed)
	return (hi ^ lo) & hashMask
}
