package cache

import (
	"fmt"
	"sync"
	"sync/atomic"
)

const (
	// slotOverhead is about what a slot of the memory tier costs beside its frame, in bytes: the slot, its
	// place in the index, and a ghost.
	slotOverhead = 256
	maxShards    = 64
	shardSlots   = 64 // fewer make a queue too short to tell frames apart
)

// memory is the first tier: frames in one area of memory that the garbage collector does not know.
//
// A read copies out of it under a shard's read lock. To hand out the frame itself instead would need a count of its
// readers, which costs as much as the copy of some KiB, and a caller that gives it back.
type memory struct {
	frameBytes int
	limit      int64
	area       area
	mask       uint64
	shards     []shard
}

type shard struct {
	mu     sync.RWMutex
	policy *policy
	frames []byte // of its slots; nil when closed

	counts [Kinds]counts
	_      [64]byte // shards are written to by different processors
}

// counts are those of a tier. They may be read and written any time.
type counts struct {
	hits, hitBytes, misses atomic.Int64
}

// newMemory makes a tier of as many frames as fit into limit bytes.
func newMemory(limit int64, frameBytes int, share float64, shards int) (*memory, error) {
	slots := limit / int64(frameBytes+slotOverhead)
	if slots < 1 {
		return nil, fmt.Errorf("cache of %d bytes holds no frame of %d bytes and its bookkeeping: give it %d or more", limit, frameBytes, frameBytes+slotOverhead)
	}
	if slots >= noSlot {
		return nil, fmt.Errorf("cache of %d bytes has more frames of %d bytes than can be counted: use bigger frames", limit, frameBytes)
	}
	if shards == 0 {
		shards = 1
		for shards < maxShards && slots/int64(shards*2) >= shardSlots {
			shards *= 2
		}
	}
	each := slots / int64(shards)
	shardBytes := each * int64(frameBytes)
	a, err := newArea(shardBytes * int64(shards))
	if err != nil {
		return nil, fmt.Errorf("memory of the cache, %d bytes: %w", shardBytes*int64(shards), err)
	}
	m := &memory{frameBytes: frameBytes, limit: shardBytes * int64(shards), area: a, mask: uint64(shards - 1), shards: make([]shard, shards)}
	for i := range m.shards {
		m.shards[i].policy = newPolicy(int(each), share)
		at := int64(i) * shardBytes
		m.shards[i].frames = a.bytes[at : at+shardBytes : at+shardBytes]
	}
	return m, nil
}

func (m *memory) shard(key frameKey) *shard { return &m.shards[key.hash()&m.mask] }

// frame returns the bytes of a slot. The shard must be locked, or the slot reserved.
func (s *shard) frame(i uint32, frameBytes int) []byte {
	return s.frames[int(i)*frameBytes : (int(i)+1)*frameBytes]
}

// How a read is counted.
type how uint8

const (
	quietly how = iota // not at all
	counted            // as hit or miss
	used               // as hit or miss, and a hit speaks for keeping the frame
)

// read fills dst from position at of a frame, if the frame is here and as long as that.
func (m *memory) read(key frameKey, kind Kind, at int, dst []byte, h how) bool {
	s := m.shard(key)
	s.mu.RLock()
	i, ok := s.policy.find(key)
	if ok = ok && at+len(dst) <= int(s.policy.slots[i].length); ok {
		from := int(i)*m.frameBytes + at
		copy(dst, s.frames[from:from+len(dst)])
		if h == used {
			s.policy.use(i)
		}
	}
	s.mu.RUnlock()
	if h != quietly {
		c := &s.counts[kind]
		if ok {
			c.hits.Add(1)
			c.hitBytes.Add(int64(len(dst)))
		} else {
			c.misses.Add(1)
		}
	}
	return ok
}

// put takes a copy of a frame in. The copying holds up no reader: meanwhile the slot is in no queue.
func (m *memory) put(key frameKey, kind Kind, content []byte) {
	s := m.shard(key)
	s.mu.Lock()
	if _, ok := s.policy.find(key); ok || s.frames == nil {
		s.mu.Unlock()
		return
	}
	i, ok := s.policy.reserve(kind)
	if !ok {
		s.mu.Unlock()
		return
	}
	frame := s.frame(i, m.frameBytes)
	s.mu.Unlock()

	n := copy(frame, content)

	s.mu.Lock()
	s.policy.publish(i, key, kind, n, 0)
	s.mu.Unlock()
}

// forget removes the frames of an object.
func (m *memory) forget(object objectID) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.policy.forget(object)
		s.mu.Unlock()
	}
}

// close gives the memory back. Reads miss from then on; nothing may be put meanwhile or later.
func (m *memory) close() error {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.policy, s.frames = newPolicy(0, 0), nil
		s.mu.Unlock()
	}
	return m.area.free()
}

func (m *memory) stats() TierStats {
	t := TierStats{LimitBytes: m.limit}
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.RLock()
		t.add(s.policy, m.frameBytes)
		s.mu.RUnlock()
		for k := range s.counts {
			t.Kinds[k].add(&s.counts[k])
		}
	}
	return t
}
