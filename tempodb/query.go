package tempodb

import (
	"bytes"
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
		return -cmpInt64(a.Meta().MaxStart, b.Meta().MaxStart)
	})
	// The newest block alone is often enough. While it is not, twice as many are asked at once.
	for width := 1; len(blocks) > 0; width = min(2*width, atOnce) {
		var round []*block.Block
		for ; len(blocks) > 0 && len(round) < width; blocks = blocks[1:] {
			m := blocks[0].Meta()
			if q.Limit > 0 && len(hits) == q.Limit && hits[q.Limit-1].Start > m.MaxStart {
				blocks = nil // what follows is older still
				break
			}
			if m.Rows > 0 && q.Start.Overlaps(index.Range{Min: m.MinStart, Max: m.MaxStart}) {
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

func cmpInt64(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
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

// Summary appends the summary of key's value to dst. It reads no value where one block has all of it. The summary of what could be read
// comes with a *PartialError.
func (s *queries) Summary(ctx context.Context, dst []byte, key Key) ([]byte, error) {
	v, err := s.acquire()
	if err != nil {
		return dst, err
	}
	defer v.release()
	if !slices.ContainsFunc(v.heads, func(h *head) bool { return h.contains(key) }) {
		if in := s.holder(ctx, v, key); in != nil {
			summary, found, err := in.Summary(ctx, dst, key)
			if found && err == nil {
				missing := v.missing()
				return summary, missing.err()
			}
			// The value tells, and says what is missing.
		}
	}
	value, lost := s.get(ctx, v, nil, key, v.missing())
	if lost != nil && len(value) == 0 {
		return dst, lost
	}
	summary, err := s.codec.Summarize(dst, value)
	if err != nil {
		return dst, err
	}
	return summary, lost
}

// holder returns the block that has all of key if it is in any; nil if several may hold some of it.
func (s *queries) holder(ctx context.Context, v *view, key Key) *block.Block {
	blocks := v.mayHold(key)
	may := make([]bool, len(blocks))
	inParallel(len(blocks), func(i int) {
		maybe, err := blocks[i].MayContain(ctx, key)
		may[i] = maybe || err != nil
	})
	var one *block.Block
	for i, b := range blocks {
		if may[i] && one != nil {
			return nil
		}
		if may[i] {
			one = b
		}
	}
	return one
}

// EachSummary calls fn with the summary of every key that has a row whose start lies in starts, in ascending order of keys, until fn returns an error,
// which it returns. The summary is valid during the call.
func (s *queries) EachSummary(ctx context.Context, starts index.Range, fn func(key Key, summary []byte) error) error {
	v, err := s.acquire()
	if err != nil {
		return err
	}
	defer v.release()
	missing := v.missing()
	var sources []*cursor
	defer func() {
		for _, c := range sources {
			c.stop()
		}
	}()
	for _, h := range v.heads {
		wanted, err := keysWithin(starts, h.starts(), func(q *index.Query) ([]index.Hit, error) { return h.search(ctx, q) })
		if err != nil {
			return err
		}
		sources = append(sources, newCursor(wanted, func(yield func(Key, []byte) bool) error {
			for _, key := range h.sortedKeys() {
				if !yield(key, nil) {
					break
				}
			}
			return nil
		}))
	}
	ofBlocks := make([]*cursor, len(v.blocks))
	errs := make([]error, len(v.blocks))
	inParallel(len(v.blocks), func(i int) {
		b := v.blocks[i]
		m := b.Meta()
		wanted, err := keysWithin(starts, index.Range{Min: m.MinStart, Max: m.MaxStart}, func(q *index.Query) ([]index.Hit, error) { return searchBlock(ctx, b, q) })
		if errs[i] = err; err != nil {
			return
		}
		ofBlocks[i] = newCursor(wanted, func(yield func(Key, []byte) bool) error {
			return b.ScanSummaries(ctx, Key{}, func(key Key, summary []byte) (bool, error) { return yield(key, summary), nil })
		})
	})
	for i, c := range ofBlocks {
		if c != nil {
			sources = append(sources, c)
		}
		if errs[i] != nil {
			missing.add(errs[i])
		}
	}
	batch := summaryBatch{s: s, v: v, missing: &missing, fn: fn}
	for {
		key, from := least(sources)
		if len(from) == 0 {
			break
		}
		if slices.ContainsFunc(from, func(c *cursor) bool { return c.wanted == nil || c.wanted[key] }) {
			var summary []byte
			if len(from) == 1 {
				summary = from[0].summary
			}
			if err := batch.add(ctx, key, summary); err != nil {
				return err
			}
		}
		for _, c := range from {
			c.next()
		}
	}
	if err := batch.flush(ctx); err != nil {
		return err
	}
	for _, c := range sources {
		if c.err != nil {
			missing.add(c.err)
		}
	}
	return missing.err()
}

// keysWithin returns the keys of a part that have a row in starts, or nil if all of them have: if the part's rows all start within.
func keysWithin(starts, of index.Range, search func(*index.Query) ([]index.Hit, error)) (map[Key]bool, error) {
	if starts.Min <= of.Min && of.Max <= starts.Max {
		return nil, nil
	}
	wanted := make(map[Key]bool)
	if !starts.Overlaps(of) {
		return wanted, nil
	}
	hits, err := search(&index.Query{Start: starts, Duration: index.Everything})
	for _, hit := range hits {
		wanted[hit.Key] = true
	}
	return wanted, err
}

func compareKeys(a, b Key) int { return bytes.Compare(a[:], b[:]) }
