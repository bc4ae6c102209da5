package blocklist

import (
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// Sort says which of the blocks that are there answer queries, and which are retired, in an order in which they can be deleted: whatever is left
// when that ends, none of those that are left is live. It is for who has the blocks alone. marks are when some were dropped: see Marks.
func Sort(tenant string, metas []*block.Meta, marks map[block.ID]time.Time) (live, retired []block.ID) {
	s := situation{tenant: tenant, prev: newList(tenant).finish(), listing: true, listed: []block.ID{}, marks: marks}
	read := make(map[block.ID]reading)
	for _, m := range metas {
		s.listed = append(s.listed, m.ID)
		read[m.ID] = reading{meta: m}
	}
	slices.Sort(s.listed)
	list := s.next(read)
	for _, m := range list.Live {
		live = append(live, m.ID)
	}
	last := time.Unix(1<<40, 0)
	for _, wave := range reapSteps(list, ReapOptions{Now: last}) {
		for _, step := range wave {
			retired = append(retired, step.id)
		}
	}
	return live, retired
}
