package cache

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// flights are the reads that are under way, such that no frame is being read twice at a time.
//
// A flight reads a run of neighbouring frames, and belongs to nobody: it runs in a goroutine of its own, and is cancelled
// when nobody waits for it any more. It copies what it has read to those who wait, so that no buffer lives longer than it.
type flights struct {
	mu      sync.Mutex // taken before that of a flight
	closed  bool
	flying  map[frameKey]*flight // by each of its frames
	running sync.WaitGroup
}

type flight struct {
	r          *Reader // one of those who wait; for object, bucket and kind
	first      int64   // frame
	count      int     // of frames
	off        int64   // of the first byte
	length     int     // in bytes
	frameBytes int
	cancel     context.CancelCauseFunc // once it has begun

	mu      sync.Mutex
	waiting []*wait
}

// wait is a read that needs frames of one or more flights.
type wait struct {
	p   []byte
	off int64

	pending atomic.Int32  // flights
	done    chan struct{} // gets one when none is pending
	flights []*flight

	mu  sync.Mutex
	bad int64 // offset of the first byte that could not be read
	err error // why not
}

// bridgeBytes of neighbouring frames are read again to save a request: it takes a store longer to begin than to send them.
const bridgeBytes = 256 << 10

// source says where a frame came from.
type source uint8

const (
	nowhere source = iota
	fromDisk
	fromMemcached
	fromStore
)

// await fills the part of p that lies in the missing frames, which are ascending. It returns how much of p is good from the
// beginning, all of it being good where nothing is missing.
func (c *Cache) await(r *Reader, p []byte, off int64, missing []int64) (int, error) {
	w := &wait{p: p, off: off, bad: off + int64(len(p)), done: make(chan struct{}, 1)}
	if err := c.join(r, w, missing); err != nil {
		return 0, err
	}
	if len(w.flights) > 0 {
		select {
		case <-w.done:
		case <-r.ctx.Done():
			c.flights.leave(w)
			return 0, r.ctx.Err()
		}
	}
	return int(w.bad - off), w.err
}

// join makes w wait for the flights of the missing frames, and starts those that are not under way. A frame that
// has landed since it was missed is copied instead.
func (c *Cache) join(r *Reader, w *wait, missing []int64) error {
	t := &c.flights
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	var run *flight // the one that is being made
	for _, index := range missing {
		key := frameKey{object: r.id, index: index}
		if f := t.flying[key]; f != nil {
			run = nil
			if w.joins(f) {
				c.counts.kinds[r.kind].joins.Add(1)
			}
			continue
		}
		start := max(index<<c.shift, w.off)
		part, _, at := r.part(w.p[start-w.off:], start)
		if c.memory.read(key, r.kind, at, part, quietly) {
			continue
		}
		if run == nil || !t.reaches(run, index, c.bridge) {
			run = &flight{r: r, first: index, off: index << c.shift, frameBytes: c.frameBytes}
			w.joins(run)
		}
		for next := run.first + int64(run.count); next <= index; next++ {
			run.count++
			run.length += c.frameLength(next, r.size)
			t.flying[frameKey{object: r.id, index: next}] = run
		}
	}
	// No flight that was joined lands before t is unlocked.
	w.pending.Store(int32(len(w.flights)))
	for _, f := range w.flights {
		if f.cancel == nil { // it's new
			var ctx context.Context
			ctx, f.cancel = context.WithCancelCause(context.WithoutCancel(r.ctx))
			t.running.Add(1)
			go c.fly(ctx, f)
		}
	}
	return nil
}

// reaches says if a flight may go on to a frame. A few frames between them that are in memory it reads again.
func (t *flights) reaches(run *flight, index, bridge int64) bool {
	next := run.first + int64(run.count)
	if index-next > bridge {
		return false
	}
	for ; next < index; next++ {
		if t.flying[frameKey{object: run.r.id, index: next}] != nil {
			return false
		}
	}
	return true
}

// joins makes w wait for f, and says if it did not already. A flight's frames are neighbours, so the one that was joined
// last is the only one that can come again.
func (w *wait) joins(f *flight) bool {
	if n := len(w.flights); n > 0 && w.flights[n-1] == f {
		return false
	}
	w.flights = append(w.flights, f)
	f.mu.Lock()
	f.waiting = append(f.waiting, w)
	f.mu.Unlock()
	return true
}

// fly reads the frames, puts them into the cache, and gives them to those who wait.
func (c *Cache) fly(ctx context.Context, f *flight) {
	defer c.flights.running.Done()
	defer f.cancel(nil)
	if err := c.inFlight.Acquire(ctx, int64(f.length)); err != nil {
		c.land(f, nil, context.Cause(ctx))
		return
	}
	b := c.buffers.get(f.length)
	from := make([]source, f.count)
	n, err := c.fill(ctx, f, b.b, from)
	if err != nil && context.Cause(ctx) == ErrClosed {
		err = ErrClosed
	}
	for i := range from {
		if frame := f.frame(i, b.b); i*f.frameBytes+len(frame) <= n {
			c.memory.put(f.key(i), f.r.kind, frame)
		} else {
			from = from[:i]
			break
		}
	}
	c.land(f, b.b[:n], err)
	for _, s := range c.spills {
		s.offer(f, b, from)
	}
	c.inFlight.Release(int64(f.length))
	c.buffers.put(b)
}

// land takes the flight from the table, so that nobody joins it any more, and gives what it has read to those who wait.
func (c *Cache) land(f *flight, good []byte, err error) {
	c.flights.mu.Lock()
	c.flights.remove(f)
	c.flights.mu.Unlock()

	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.waiting {
		w.take(f, good, err)
	}
	f.waiting = nil
}

// take copies to w what it wants of a flight.
func (w *wait) take(f *flight, good []byte, err error) {
	from, to := max(f.off, w.off), min(f.off+int64(f.length), w.off+int64(len(w.p)))
	end := min(to, f.off+int64(len(good)))
	if from < end {
		copy(w.p[from-w.off:], good[from-f.off:end-f.off])
	}
	if end < to {
		w.mu.Lock()
		if bad := max(from, end); bad < w.bad {
			w.bad, w.err = bad, err
		}
		w.mu.Unlock()
	}
	if w.pending.Add(-1) == 0 {
		w.done <- struct{}{}
	}
}

// leave ends the waiting of w, whose p is not written to any more when it returns. Flights that nobody waits for are
// cancelled, and taken from the table, so that nobody gets their error who has not asked for it.
func (t *flights) leave(w *wait) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range w.flights {
		f.mu.Lock()
		if i := slices.Index(f.waiting, w); i >= 0 {
			f.waiting = slices.Delete(f.waiting, i, i+1)
			if len(f.waiting) == 0 {
				t.remove(f)
				f.cancel(context.Canceled)
			}
		}
		f.mu.Unlock()
	}
}

// remove takes a flight from the table, where it still is.
func (t *flights) remove(f *flight) {
	for i := range f.count {
		if key := f.key(i); t.flying[key] == f {
			delete(t.flying, key)
		}
	}
}

// close cancels all flights and waits for them. It says if it is the first to do so.
func (t *flights) close() bool {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	for _, f := range t.flying {
		f.cancel(ErrClosed)
	}
	t.mu.Unlock()
	t.running.Wait()
	return first
}

func (t *flights) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// key returns the key of the i-th frame of the flight.
func (f *flight) key(i int) frameKey { return frameKey{object: f.r.id, index: f.first + int64(i)} }

// frame returns the i-th frame of what the flight has read to b.
func (f *flight) frame(i int, b []byte) []byte {
	return b[i*f.frameBytes : min((i+1)*f.frameBytes, len(b))]
}

// complete makes an error of a read that is not complete, and none of one that is.
func complete(n, want int, err error) (int, error) {
	switch {
	case n < 0 || n > want:
		return 0, fmt.Errorf("object store says that it read %d of %d bytes", n, want)
	case n == want:
		return n, nil
	case err == nil:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}
