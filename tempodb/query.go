package tempodb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// ErrNotFound is returned for a key under which nothing is stored.
var ErrNotFound = errors.New("key not found")

// Get appends the value of key to dst: the merge of all that was appended under it. It returns ErrNotFound, or what could be read with a *PartialError.
func (s *queries) Get(ctx context.Context, dst []byte, key Key) ([]byte, error) {
	v, err := s.acquire()
	if err != nil {
		return dst, err
	}
	defer v.release()
	return s.get(ctx, v, dst, key, v.missing())
}

// get is Get on a view, with what is missing already.
func (s *queries) get(ctx context.Context, v *view, dst []byte, key Key, missing partial) ([]byte, error) {
	var values [][]byte
	blocks := v.mayHold(key)
	answers := make([]struct {
		value []byte
		found bool
		err   error
	}, len(blocks))
	inParallel(len(blocks), func(i int) {
		a := &answers[i]
		a.value, a.found, a.err = blocks[i].Get(ctx, nil, key)
	})
	for _, a := range answers {
		switch {
		case a.err != nil && ctx.Err() != nil:
			return dst, ctx.Err()
		case a.err != nil:
			missing.add(a.err)
		case a.found:
			values = append(values, a.value)
		}
	}
	inBlocks := len(values)
	for _, h := range v.heads {
		var err error
		if values, err = h.appendValues(values, key); err != nil {
			missing.add(err)
		}
	}
	switch {
	case len(values) == 0 && missing.err() == nil:
		return dst, ErrNotFound
	case len(values) == 0:
		return dst, missing.err()
	case len(values) == 1 && inBlocks == 1:
		// A block holds merged values.
		return append(dst, values[0]...), missing.err()
	}
	dst, err := s.codec.Merge(dst, values...)
	if err != nil {
		return dst, err
	}
	return dst, missing.err()
}

// mayHold returns the blocks that are not known to hold nothing of key.
func (v *view) mayHold(key Key) []*block.Block {
	var blocks []*block.Block
	for _, b := range v.blocks {
		if !b.Excludes(key) {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// Search returns the keys that q asks for, newest first; each part of the database is asked only where it may add to the answer. What could be
// read comes with a *PartialError.
func (s *queries) Search(ctx context.Context, q *index.Query) ([]index.Hit, error) {
	v, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer v.release()
	missing := v.missing()
	var hits []index.Hit
	for i := len(v.heads) - 1; i >= 0; i-- {
		more, err := v.heads[i].search(ctx, q)
		if err != nil {
			return nil, err
		}
		hits = index.MergeHits(q.Limit, hits, more)
	}
	blocks := slices.Clone(v.blocks)
	slices.SortFunc(blocks, func(a, b *block.Block) int {
		return cmp.Compare(b.Meta().MaxStart, a.Meta().MaxStart)
	})
	// The newest block alone is often enough. While it is not, twice as many are asked at once.
	for width := 1; len(blocks) > 0; width = min(2*width, atOnce) {
		if q.Limit > 0 && len(hits) == q.Limit {
			q = q.Since(hits[q.Limit-1].Start) // what is older changes nothing
		}
		var round []*block.Block
		for ; len(blocks) > 0 && len(round) < width; blocks = blocks[1:] {
			if blocks[0].Meta().MaxStart < q.Start.Min {
				blocks = nil // what follows is older still
				break
			}
			if !blocks[0].ExcludesSearch(q) {
				round = append(round, blocks[0])
			}
		}
		lists := make([][]index.Hit, len(round), len(round)+1)
		errs := make([]error, len(round))
		inParallel(len(round), func(i int) { lists[i], errs[i] = searchBlock(ctx, round[i], q) })
		for _, err := range errs {
			if err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				missing.add(err) // with the hits of what is whole
			}
		}
		hits = index.MergeHits(q.Limit, append(lists, hits)...)
	}
	return hits, missing.err()
}

// searchBlock searches a block, in its values where its search object is damaged.
func searchBlock(ctx context.Context, b *block.Block, q *index.Query) ([]index.Hit, error) {
	hits, err := b.Search(ctx, q)
	if page.IsCorrupt(err) {
		return b.SearchByScan(ctx, q)
	}
	return hits, err
}

// termsOf lists terms of a block, from its values where its search object is damaged; fn may then be called with a value twice.
func termsOf(ctx context.Context, b *block.Block, field, prefix []byte, fn func(value []byte) bool) error {
	err := b.Terms(ctx, field, prefix, fn)
	if page.IsCorrupt(err) {
		return b.TermsByScan(ctx, field, prefix, fn)
	}
	return err
}

// Terms returns the values of field that begin with prefix, ascending, each once. What could be read comes with a *PartialError.
func (s *queries) Terms(ctx context.Context, field, prefix []byte) ([]string, error) {
	v, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer v.release()
	missing := v.missing()
	var mu sync.Mutex // of seen
	seen := make(map[string]struct{})
	note := func(value []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		if _, again := seen[string(value)]; !again {
			seen[string(value)] = struct{}{}
		}
		return true
	}
	for _, h := range v.heads {
		h.terms(field, prefix, note)
	}
	errs := make([]error, len(v.blocks))
	inParallel(len(v.blocks), func(i int) { errs[i] = termsOf(ctx, v.blocks[i], field, prefix, note) })
	for _, err := range errs {
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			missing.add(err)
		}
	}
	values := make([]string, 0, len(seen))
	for value := range seen {
		values = append(values, value)
	}
	slices.Sort(values)
	return values, missing.err()
}

func compareKeys(a, b Key) int { return bytes.Compare(a[:], b[:]) }
