package cluster

import "sync/atomic"

// Stats counts what a Store has done.
type Stats struct {
	// Questions are what it was asked, Asked the questions to ingesters that this took. Failed of these were not answered well, Lagging not in time.
	Questions, Asked, Failed, Lagging int64
	// Partial are the answers that were not whole.
	Partial int64
	// Looks are the questions that had to wait until the blocks were listed anew.
	Looks int64
	// Tenants is of how many the blocks are followed now.
	Tenants int
	// Summaries are those of traces that ingesters hold; of Read of them the spans had to be read.
	Summaries, Read int64
	// Spread are the questions to queriers that were answered, Fallbacks those that this process had to answer itself.
	Spread, Fallbacks int64
}

type counters struct {
	questions, asked, failed, lagging, partial, looks, summaries, read, spread, fallbacks atomic.Int64
}

// Stats returns what the Store has done so far.
func (s *Store) Stats() Stats {
	s.tenants.mu.Lock()
	tenants := len(s.tenants.open)
	s.tenants.mu.Unlock()
	c := &s.stats
	return Stats{
		Questions: c.questions.Load(), Asked: c.asked.Load(), Failed: c.failed.Load(), Lagging: c.lagging.Load(), Partial: c.partial.Load(),
		Looks: c.looks.Load(), Tenants: tenants, Summaries: c.summaries.Load(), Read: c.read.Load(),
		Spread: c.spread.Load(), Fallbacks: c.fallbacks.Load(),
	}
}
