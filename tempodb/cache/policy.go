package cache

import (
	"math"
	"sync/atomic"
)

// The classes of frames; see policy.
const (
	others = iota
	directories
	classes
)

const (
	noSlot      = math.MaxUint32
	maxUses     = 3  // what is counted of a slot's uses
	smallDivide = 10 // new frames are on trial in a tenth of the slots
)

// objectID stands for an object of a bucket: a hash that nobody can aim at, see idOf.
type objectID [16]byte

// frameKey names a frame: which object, and which of its frames.
type frameKey struct {
	object objectID
	index  int64
}

// hash is what shards and ghosts go by. The object is a good hash already.
func (k frameKey) hash() uint64 {
	h := uint64(k.object[0]) | uint64(k.object[1])<<8 | uint64(k.object[2])<<16 | uint64(k.object[3])<<24 |
		uint64(k.object[4])<<32 | uint64(k.object[5])<<40 | uint64(k.object[6])<<48 | uint64(k.object[7])<<56
	h ^= uint64(k.index) * 0x9e3779b97f4a7c15
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// slot is a place for one frame, in memory or on disk.
type slot struct {
	key    frameKey
	sum    uint64 // of the frame, where the tier keeps one
	length uint32
	uses   uint32 // since it came or was last spared, up to maxUses; atomic
	prev   uint32
	next   uint32
	kind   Kind
	main   bool
}

// policy decides which slot a new frame takes. It is S3-FIFO: frames come into a small queue, where those that are
// not used again soon are evicted, and the others go over to the main queue, where a use spares them one round.
// Frames that come back soon after they were evicted go to the main queue at once. So what is read once flows
// through the small queue, and takes nothing from what is used.
//
// There are two such pairs of queues over the same slots, one for directories and one for the others. A
// new frame takes the place of one of the others, unless directories hold more than their share.
//
// A policy has no lock. find and use may be called while nothing else is; the rest is for one caller at a time.
type policy struct {
	capacity int // slots
	share    int // of directories
	slots    []slot
	index    map[frameKey]uint32
	free     uint32 // first of a list through next
	queues   [classes]queues

	used    [Kinds]usage
	evicted [Kinds]int64
}

// usage is what the frames of a kind hold.
type usage struct {
	frames int64
	bytes  int64 // of content; a frame takes a slot even where the object ends in it
}

// queues are the two of a class. The oldest frame is first.
type queues struct {
	small, main fifo
	ghosts      ghosts
}

func newPolicy(capacity int, share float64) *policy {
	p := &policy{capacity: capacity, share: int(share * float64(capacity)), index: make(map[frameKey]uint32), free: noSlot}
	for i := range p.queues {
		p.queues[i] = queues{small: emptyFIFO, main: emptyFIFO, ghosts: newGhosts(capacity)}
	}
	return p
}

// find returns the slot of a frame.
func (p *policy) find(key frameKey) (slot uint32, ok bool) {
	slot, ok = p.index[key]
	return slot, ok
}

// use notes that a frame was used. It may run at the same time as itself; losing a use then does no harm.
func (p *policy) use(i uint32) {
	if n := atomic.LoadUint32(&p.slots[i].uses); n < maxUses {
		atomic.StoreUint32(&p.slots[i].uses, n+1)
	}
}

// reserve returns a slot for a frame of this kind, which from now on is in no queue: it must be published or released.
// There is none if all are reserved.
func (p *policy) reserve(kind Kind) (i uint32, ok bool) {
	if p.free != noSlot {
		i = p.free
		p.free = p.slots[i].next
		return i, true
	}
	if len(p.slots) < p.capacity {
		return p.grow(), true
	}
	from := others
	held := p.queues[directories].len()
	if held > p.share || p.queues[others].len() == 0 || held == p.share && held > 0 && kind.class() == directories {
		from = directories
	}
	i = p.evict(&p.queues[from])
	return i, i != noSlot
}

// grow reserves a slot that was never used. There must be one.
func (p *policy) grow() uint32 {
	p.slots = append(p.slots, slot{})
	return uint32(len(p.slots) - 1)
}

// publish makes a reserved slot the frame's. If the frame has come meanwhile the slot is released, and the answer is false.
func (p *policy) publish(i uint32, key frameKey, kind Kind, length int, sum uint64) bool {
	if _, ok := p.index[key]; ok {
		p.release(i)
		return false
	}
	s := &p.slots[i]
	*s = slot{key: key, kind: kind, length: uint32(length), sum: sum}
	q := &p.queues[kind.class()]
	if s.main = q.ghosts.take(key.hash()); s.main {
		q.main.push(p.slots, i)
	} else {
		q.small.push(p.slots, i)
	}
	p.index[key] = i
	p.used[kind].frames++
	p.used[kind].bytes += int64(length)
	return true
}

// release frees a reserved slot.
func (p *policy) release(i uint32) {
	p.slots[i] = slot{next: p.free}
	p.free = i
}

// remove takes a frame out and frees its slot.
func (p *policy) remove(i uint32) {
	q := &p.queues[p.slots[i].kind.class()]
	if p.slots[i].main {
		q.main.unlink(p.slots, i)
	} else {
		q.small.unlink(p.slots, i)
	}
	p.drop(i)
	p.release(i)
}

// forget removes the frames of an object and says how many there were.
func (p *policy) forget(object objectID) int {
	n := 0
	for i := range p.slots {
		s := &p.slots[i]
		if s.key.object != object {
			continue
		}
		if at, ok := p.index[s.key]; ok && at == uint32(i) {
			p.remove(uint32(i))
			n++
		}
	}
	return n
}

// forgetFrame removes a frame, if it is there.
func (p *policy) forgetFrame(key frameKey) {
	if i, ok := p.index[key]; ok {
		p.remove(i)
	}
}

// evict takes a slot from the queues. Each round of the loop ends it, moves a frame out of the small queue or takes a
// use from one of the main queue, so there are no more rounds than uses.
func (p *policy) evict(q *queues) uint32 {
	for q.len() > 0 {
		if q.small.n*smallDivide >= q.len() || q.main.n == 0 {
			i := q.small.pop(p.slots)
			s := &p.slots[i]
			if atomic.LoadUint32(&s.uses) > 0 {
				atomic.StoreUint32(&s.uses, 0)
				s.main = true
				q.main.push(p.slots, i)
				continue
			}
			q.ghosts.add(s.key.hash())
			p.drop(i)
			p.evicted[s.kind]++
			return i
		}
		i := q.main.pop(p.slots)
		s := &p.slots[i]
		if n := atomic.LoadUint32(&s.uses); n > 0 {
			atomic.StoreUint32(&s.uses, n-1)
			q.main.push(p.slots, i)
			continue
		}
		p.drop(i)
		p.evicted[s.kind]++
		return i
	}
	return noSlot
}

// drop removes a frame that is in no queue from the index.
func (p *policy) drop(i uint32) {
	s := &p.slots[i]
	delete(p.index, s.key)
	p.used[s.kind].frames--
	p.used[s.kind].bytes -= int64(s.length)
}

func (q *queues) len() int { return q.small.n + q.main.n }

// fifo is a queue of slots, linked through them.
type fifo struct {
	first, last uint32
	n           int
}

var emptyFIFO = fifo{first: noSlot, last: noSlot}

func (f *fifo) push(slots []slot, i uint32) {
	slots[i].prev, slots[i].next = f.last, noSlot
	if f.last == noSlot {
		f.first = i
	} else {
		slots[f.last].next = i
	}
	f.last = i
	f.n++
}

func (f *fifo) pop(slots []slot) uint32 {
	i := f.first
	f.unlink(slots, i)
	return i
}

func (f *fifo) unlink(slots []slot, i uint32) {
	s := &slots[i]
	if s.prev == noSlot {
		f.first = s.next
	} else {
		slots[s.prev].next = s.next
	}
	if s.next == noSlot {
		f.last = s.prev
	} else {
		slots[s.next].prev = s.prev
	}
	f.n--
}

// ghosts remember the hashes of the frames that were evicted last from a small queue.
type ghosts struct {
	limit int
	ring  []uint64
	next  int            // where in the full ring the oldest is
	at    map[uint64]int // where in the ring
}

func newGhosts(limit int) ghosts { return ghosts{limit: limit, at: make(map[uint64]int)} }

func (g *ghosts) add(h uint64) {
	if len(g.ring) < g.limit {
		g.at[h] = len(g.ring)
		g.ring = append(g.ring, h)
		return
	}
	if oldest := g.ring[g.next]; g.at[oldest] == g.next { // else it was taken, or added again
		delete(g.at, oldest)
	}
	g.at[h] = g.next
	g.ring[g.next] = h
	if g.next++; g.next == len(g.ring) {
		g.next = 0
	}
}

// take says if h is remembered, and forgets it.
func (g *ghosts) take(h uint64) bool {
	if _, ok := g.at[h]; !ok {
		return false
	}
	delete(g.at, h)
	return true
}
