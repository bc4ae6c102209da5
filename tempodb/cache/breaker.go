package cache

import (
	"sync"
	"time"
)

// breaker keeps a tier that fails from being asked at every turn: after some failures in a row it is left alone for a while, then
// asked once, and left alone for longer if that fails too.
type breaker struct {
	limit int // of failures in a row
	first time.Duration
	most  time.Duration
	now   func() time.Time

	mu       sync.Mutex
	failures int
	pause    time.Duration
	until    time.Time
	asking   bool // somebody tries if it is well again
}

func newBreaker(limit int, first, most time.Duration, now func() time.Time) *breaker {
	return &breaker{limit: limit, first: first, most: most, now: now}
}

// allow says if the tier may be asked. Who is allowed must call done.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < b.limit {
		return true
	}
	if b.asking || b.now().Before(b.until) {
		return false
	}
	b.asking = true
	return true
}

// pass is done where nothing was learned.
func (b *breaker) pass() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asking = false
}

// done says how it went. The answer is true where the tier's state has changed: it is left alone from now on, or well again.
func (b *breaker) done(err error) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.failures >= b.limit
	b.asking = false
	if err == nil {
		b.failures, b.pause = 0, 0
		return was
	}
	if b.failures++; b.failures < b.limit {
		return false
	}
	b.failures = b.limit
	b.pause = min(max(2*b.pause, b.first), b.most)
	b.until = b.now().Add(b.pause)
	return !was
}
