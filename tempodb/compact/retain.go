package compact

import (
	"cmp"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// RetainOptions says how much of a tenant is kept. Zero is without limit.
type RetainOptions struct {
	// MaxAge is how long after its last row has ended a block is kept.
	MaxAge time.Duration
	// MaxBytes is how much is kept of all blocks together.
	MaxBytes int64
}

// Retain returns which of a tenant's live blocks are to be dropped, oldest first: those whose rows have all ended
// before MaxAge, and as many of the oldest as are too much for MaxBytes.
//
// A block's age is that of its last row's end. It is never taken to be later than when the block was written: a row that says it ends
// in the future does not keep its block for ever. A block without rows is as old as it was written.
func Retain(blocks []*block.Meta, now time.Time, o RetainOptions) (drop []block.ID) {
	oldest := slices.Clone(blocks)
	slices.SortFunc(oldest, func(a, b *block.Meta) int {
		return cmp.Or(cmp.Compare(end(a), end(b)), cmp.Compare(a.ID, b.ID))
	})
	var bytes int64
	for _, m := range oldest {
		bytes += m.Bytes()
	}
	expired := now.Add(-o.MaxAge).UnixNano()
	for _, m := range oldest {
		tooOld := o.MaxAge > 0 && end(m) < expired
		tooMuch := o.MaxBytes > 0 && bytes > o.MaxBytes
		if !tooOld && !tooMuch {
			break
		}
		drop = append(drop, m.ID)
		bytes -= m.Bytes()
	}
	return drop
}

// end returns when the last row of a block has ended, in Unix nanoseconds.
func end(m *block.Meta) int64 {
	written := m.Created.UnixNano()
	if m.Rows == 0 {
		return written
	}
	return min(m.MaxEnd, written)
}
