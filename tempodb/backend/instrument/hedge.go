package instrument

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// HedgeOptions say when a read is late, and how many may be asked for twice.
type HedgeOptions struct {
	// Percentile of the reads seen so far, of about the same size, that answered in less time: a read is late after that. 0.95 if zero.
	Percentile float64
	// Shortest and Longest bound the time after which a read is late. 5 ms and 5 s if zero. Longest holds until there is experience.
	Shortest, Longest time.Duration
	// Share of the reads that may be asked for twice, over any longer time: a store that is slow because it has too much to do
	// must not get more. 0.05 if zero.
	Share float64
	// Burst is how many reads may be asked for twice in a row. 10 if zero.
	Burst int
}

func (o HedgeOptions) withDefaults() HedgeOptions {
	o.Percentile = cmp.Or(o.Percentile, 0.95)
	o.Shortest = cmp.Or(o.Shortest, 5*time.Millisecond)
	o.Longest = cmp.Or(o.Longest, 5*time.Second)
	o.Share = cmp.Or(o.Share, 0.05)
	o.Burst = cmp.Or(o.Burst, 10)
	return o
}

// HedgeStats counts what Hedge did.
type HedgeStats struct {
	Reads  int64 // all of them
	Hedges int64 // asked for twice
	Won    int64 // the second answer was the first to come
	Denied int64 // late, but too many were asked for twice already
}

// Hedged is what Hedge returns.
type Hedged struct {
	backend.Bucket
	o HedgeOptions

	reads, hedges, won, denied atomic.Int64

	mu     sync.Mutex
	budget budget
	seen   [sizeClasses]latencies
}

// Hedge returns b with a second request for reads that are late. The answer that comes first wins, and the other request is cancelled.
//
// The bucket below must return soon when a context is cancelled. A read that is not late costs no goroutine and no copy.
func Hedge(b backend.Bucket, o HedgeOptions) *Hedged {
	o = o.withDefaults()
	return &Hedged{Bucket: b, o: o, budget: budget{share: o.Share, burst: float64(o.Burst), left: float64(o.Burst)}}
}

// CreateIfAbsent implements backend.Claimer.
func (h *Hedged) CreateIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	return backend.CreateIfAbsent(ctx, h.Bucket, name, content)
}

// Stats returns what was done so far.
func (h *Hedged) Stats() HedgeStats {
	return HedgeStats{Reads: h.reads.Load(), Hedges: h.hedges.Load(), Won: h.won.Load(), Denied: h.denied.Load()}
}

// ReadAt implements backend.Bucket.
func (h *Hedged) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	h.reads.Add(1)
	class := sizeClass(len(p))
	h.mu.Lock()
	h.budget.earn()
	late := min(max(h.seen[class].percentile(h.o.Percentile, h.o.Longest), h.o.Shortest), h.o.Longest)
	h.mu.Unlock()

	begun := time.Now()
	first, cancelFirst := context.WithCancel(ctx)
	defer cancelFirst()
	second := &hedge{done: make(chan struct{})}
	timer := time.AfterFunc(late, func() {
		defer close(second.done)
		if !h.allowed() {
			return
		}
		second.ask(ctx, h.Bucket, name, len(p), off)
		if second.asked && definite(second.err) {
			cancelFirst()
		}
	})
	n, err := h.Bucket.ReadAt(first, name, p, off)
	if timer.Stop() {
		if definite(err) {
			h.learn(class, time.Since(begun))
		}
		return n, err
	}
	if definite(err) {
		second.cancel()
		h.learn(class, time.Since(begun))
		return n, err
	}
	<-second.done // the first has failed, or was cancelled because the second has succeeded
	if !second.asked || !definite(second.err) {
		return n, err
	}
	h.won.Add(1)
	h.learn(class, time.Since(begun))
	return copy(p, second.p[:second.n]), second.err
}

// allowed says whether a late read may be asked for again.
func (h *Hedged) allowed() bool {
	h.mu.Lock()
	ok := h.budget.spend()
	h.mu.Unlock()
	if ok {
		h.hedges.Add(1)
	} else {
		h.denied.Add(1)
	}
	return ok
}

func (h *Hedged) learn(class int, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[class].add(d)
}

// hedge is the second request of a read.
type hedge struct {
	mu        sync.Mutex
	cancelled bool
	stop      context.CancelFunc

	done  chan struct{} // closed when the fields below are set
	asked bool
	p     []byte
	n     int
	err   error
}

func (s *hedge) ask(ctx context.Context, b backend.Bucket, name string, size int, off int64) {
	s.mu.Lock()
	if s.cancelled { // the first answer came while this was about to begin
		s.mu.Unlock()
		return
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.mu.Unlock()
	defer s.stop()
	s.asked, s.p = true, make([]byte, size)
	s.n, s.err = b.ReadAt(ctx, name, s.p, off)
}

func (s *hedge) cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelled = true
	if s.stop != nil {
		s.stop()
	}
}
