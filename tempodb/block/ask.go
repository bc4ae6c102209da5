package block

import (
	"context"

	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// ExcludesSearch reports whether the block is known to have no hit for q. It reads nothing: it knows the range of starts and, once the search
// object was opened, which terms the block may have, and the ranges of its parts.
func (b *Block) ExcludesSearch(q *index.Query) bool {
	if b.meta.Rows == 0 || !q.Start.Overlaps(index.Range{Min: b.meta.MinStart, Max: b.meta.MaxStart}) {
		return true
	}
	o := b.search.opened.Load()
	return o != nil && o.Excludes(q)
}

// EveryKeyHasRows reports whether there is no key without rows. It opens the search object.
func (b *Block) EveryKeyHasRows(ctx context.Context) (bool, error) {
	o, err := b.searchObject(ctx)
	if err != nil {
		return false, err
	}
	return int64(o.Owners()) == b.meta.Keys, nil
}
