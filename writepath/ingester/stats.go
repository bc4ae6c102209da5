package ingester

import (
	"time"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// Stats is an ingester's state, and counters since Start.
type Stats struct {
	// Ready is whether the logs are replayed; ReplayedBytes of at most ReplayBytes are.
	Ready                      bool
	ReplayedBytes, ReplayBytes int64
	// Whole is whether answers count; if not, they will at WholeAt, and Lost says why.
	Whole   bool
	WholeAt time.Time
	Lost    string
	// Leaving is whether nothing is taken any more; Full says why nothing can be taken at the moment, empty if it can.
	Leaving bool
	Full    string
	// WaitingBlocks and WaitingBytes wait to be copied to the object store, the oldest since Oldest. LastFailure is why the last try failed; nil after a success.
	WaitingBlocks int
	WaitingBytes  int64
	Oldest        time.Time
	LastFailure   error
	// KeptBlocks are in the object store and here.
	KeptBlocks int
	// Copied, CopiedBytes, CopyErrors and Dropped count blocks.
	Copied, CopiedBytes, CopyErrors, Dropped int64
	// PushingBytes are of the pushes going on.
	PushingBytes int64
	// Refused counts values.
	Refused map[limits.Refused]int64
}

// Stats returns the ingester's state.
func (i *Ingester) Stats() Stats {
	s := Stats{
		Ready:         i.store.Load() != nil,
		ReplayedBytes: i.progress.bytes.Load(),
		ReplayBytes:   i.progress.most.Load(),
		Whole:         i.losses.none(),
		Leaving:       i.leaving.Load(),
		PushingBytes:  i.pushing.Load(),
		Refused:       i.limits.Counts(),
	}
	if r := i.full.Load(); r != nil {
		s.Full = r.Message
	}
	i.losses.mu.Lock()
	if !s.Whole {
		s.WholeAt, s.Lost = i.losses.until, i.losses.reason
	}
	i.losses.mu.Unlock()
	u := &i.uploads
	u.mu.Lock()
	defer u.mu.Unlock()
	s.WaitingBytes, s.Copied, s.CopiedBytes, s.CopyErrors, s.Dropped, s.LastFailure = u.waiting, u.copied, u.bytes, u.failed, u.dropped, u.last
	for _, b := range u.blocks {
		if !b.copied.IsZero() {
			s.KeptBlocks++
			continue
		}
		s.WaitingBlocks++
		if at := b.name.id.Time(); s.Oldest.IsZero() || at.Before(s.Oldest) {
			s.Oldest = at
		}
	}
	return s
}

// Each calls fn with every tenant's database, in the order of names, once the logs are replayed.
func (i *Ingester) Each(fn func(tenant string, db *tempodb.DB)) {
	if store := i.store.Load(); store != nil {
		store.Each(fn)
	}
}
