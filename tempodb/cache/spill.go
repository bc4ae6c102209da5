package cache

import (
	"slices"
	"sync"
	"sync/atomic"
)

// What waits for a lower tier is bounded in bytes and number. What does not fit is not written there.
const (
	spillBytes = 8 << 20
	spillQueue = 1024
)

// spill writes to a lower tier what flights have brought, one after the other, behind the backs of those who wait.
type spill struct {
	above   source // what comes from no lower tier than this is written
	buffers *buffers
	write   func(*cargo)
	dropped *atomic.Int64 // frames

	queue   chan *cargo
	waiting atomic.Int64 // bytes
	ended   sync.WaitGroup
}

// cargo is what a flight has brought. It holds its buffer.
type cargo struct {
	*flight
	buffer *buffer
	from   []source
	done   chan struct{} // if not nil there is nothing else; closed when it is its turn
}

// newSpill starts the goroutine that calls write with what a flight has brought. Who writes leaves out the frames that
// came from there or above.
func newSpill(buffers *buffers, above source, write func(*cargo), dropped *atomic.Int64) *spill {
	s := &spill{above: above, buffers: buffers, write: write, dropped: dropped, queue: make(chan *cargo, spillQueue)}
	s.ended.Go(func() {
		for c := range s.queue {
			if c.done != nil {
				close(c.done)
				continue
			}
			s.write(c)
			s.give(c)
		}
	})
	return s
}

// offer leaves the flight's cargo to be written, if there is room.
func (s *spill) offer(f *flight, b *buffer, from []source) {
	if !slices.ContainsFunc(from, func(x source) bool { return x > s.above }) {
		return
	}
	b.refs.Add(1)
	c := &cargo{flight: f, buffer: b, from: from}
	if s.waiting.Add(int64(len(b.room))) <= spillBytes {
		select {
		case s.queue <- c:
			return
		default:
		}
	}
	s.dropped.Add(int64(len(from)))
	s.give(c)
}

func (s *spill) give(c *cargo) {
	s.waiting.Add(-int64(len(c.buffer.room)))
	s.buffers.put(c.buffer)
}

// settle waits until all that was offered before is written.
func (s *spill) settle() {
	c := &cargo{done: make(chan struct{})}
	s.queue <- c
	<-c.done
}

// close writes what waits. Nothing may be offered meanwhile or later.
func (s *spill) close() {
	close(s.queue)
	s.ended.Wait()
}
