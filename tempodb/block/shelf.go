package block

import (
	"container/list"
	"sync"
)

// DefaultShelfBytes is room for everything that some 280 blocks of 20,000 traces have open; see docs/tempodb.md.
const DefaultShelfBytes = 64 << 20

// Shelf bounds the memory of what blocks keep open: roots of directories, filters, footers. Blocks share it, see Block.KeepOn. What does not
// stand there is opened again for each question, which costs reading it from the cache or the bucket. It may be used concurrently.
//
// It is a queue. Who wants room takes the place of the oldest, unless that was used since it was looked at last: then it goes to the
// end of the queue, and the other is turned away. So of parts that are used in turn and are too many, most of those that fit
// stay; a shelf that always gave way would lose each before it is used again.
type Shelf struct {
	mu    sync.Mutex
	limit int64
	used  int64
	queue list.List // of *spot, the oldest first
}

// spot is the place of a part on a shelf. The shelf guards it.
type spot struct {
	part    shelved
	bytes   int64
	element *list.Element // nil if the part does not stand there
}

// shelved is a part of a block.
type shelved interface {
	// wasUsed reports whether the part was used since it was called last.
	wasUsed() bool
	// drop lets go of what is open.
	drop()
}

// NewShelf returns a shelf for about so many bytes.
func NewShelf(bytes int64) *Shelf { return &Shelf{limit: bytes} }

// Used returns about how many bytes stand on it: never more than it was made for.
func (s *Shelf) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// take makes room for the part of the spot, or turns it away. A nil Shelf has room for everything, and keeps it.
func (s *Shelf) take(p *spot, bytes int64) bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.element != nil {
		s.remove(p)
	}
	if bytes > s.limit {
		return false
	}
	for s.used+bytes > s.limit {
		oldest := s.queue.Front()
		if o := oldest.Value.(*spot); !o.part.wasUsed() {
			s.remove(o)
			continue
		}
		s.queue.MoveToBack(oldest)
		return false
	}
	s.used += bytes
	p.bytes, p.element = bytes, s.queue.PushBack(p)
	return true
}

// stand calls put, if the spot still has its room.
func (s *Shelf) stand(p *spot, put func()) {
	if s == nil {
		put()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.element != nil {
		put()
	}
}

// leave gives the room back.
func (s *Shelf) leave(p *spot) {
	if s == nil {
		p.part.drop()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.element != nil {
		s.remove(p)
	}
}

func (s *Shelf) remove(p *spot) {
	p.part.drop()
	s.used -= p.bytes
	s.queue.Remove(p.element)
	p.element = nil
}
