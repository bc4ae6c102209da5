package tempodb

import (
	"sync/atomic"

	"github.com/jaeger-tempo/tempo/tempodb/blocklist"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
)

// CompactorStats is what a Compactor sees, and its counters since it was opened.
type CompactorStats struct {
	// Blocks and Bytes count the live blocks; Retired those that wait for their grace period to be over; Damaged those whose
	// meta.json can't be read.
	Blocks, Retired, Damaged int
	Bytes                    int64
	// Backlog is how much compaction is due, to whomever.
	Backlog compact.Backlog
	// Merging is the job under way; nil if there is none.
	Merging *compact.Job
	// Merges, MergedRows and MergedBytes count jobs done, the rows they have written and the bytes they have read.
	Merges, MergedRows, MergedBytes int64
	// ClaimsLost counts jobs that others had claimed, ClaimsTaken claims that were taken over from who said nothing any more, Outrun jobs that others had
	// done when it was their turn.
	ClaimsLost, ClaimsTaken, Outrun int64
	// Dropped counts blocks dropped by retention, Salvaged damaged blocks set aside, Deleted blocks and garbage deleted.
	Dropped, Salvaged, Deleted int64
	// Errors counts rounds of Run that failed.
	Errors int64
	// Poller are the counters of what was asked of the store to know the blocks.
	Poller blocklist.Stats
}

type compactorCounters struct {
	upkeepCounters
	lost, outrun, reaped, errors atomic.Int64
}

// Stats returns the Compactor's state.
func (c *Compactor) Stats() CompactorStats {
	list := c.List()
	s := &c.stats
	return CompactorStats{
		Blocks: len(list.Live), Retired: len(list.Retired), Damaged: len(list.Damaged), Bytes: list.Bytes(),
		Backlog: compact.Due(list.Live, c.opts.Now(), c.opts.Compaction), Merging: c.merging.Load(),
		Merges: s.merges.Load(), MergedRows: s.mergedRows.Load(), MergedBytes: s.mergedBytes.Load(),
		ClaimsLost: s.lost.Load(), ClaimsTaken: c.claims.taken.Load(), Outrun: s.outrun.Load(),
		Dropped: s.dropped.Load(), Salvaged: s.salvaged.Load(), Deleted: s.reaped.Load(),
		Errors: s.errors.Load(), Poller: c.poller.Stats(),
	}
}
