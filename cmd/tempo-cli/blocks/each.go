package blocks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
	"github.com/jaeger-tempo/tempo/trace"
)

// Progress is how far Each has come.
type Progress struct {
	Blocks, AllBlocks int
	// Keys of the block in hand, of so many.
	Keys, AllKeys int64
}

// Each calls fn with each trace that has a span on which q holds (nil: with every trace), whole and once, until fn returns an error, which it
// returns. The limit of q is not looked at. data is OTLP TracesData, valid during the call.
//
// It goes from block to block, oldest first, and looks for the rest of each trace in the other blocks. So memory is bounded: for
// each block its filter (up to a mebibyte), for each trace that several blocks have some 50 bytes, with q another 20 for each trace
// of a block on which it holds, and the largest trace.
//
// Where pages of a block can't be read, the others are.
func (s *Set) Each(ctx context.Context, q *index.Query, progress func(Progress), fn func(id trace.ID, data []byte) error) error {
	times := index.Everything
	if q != nil {
		times = q.Start
		all := *q
		all.Limit = 0
		q = &all
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	e := each{lost: s.missing(), blocks: s.reader.Blocks(), fn: fn, progress: progress, shared: make(map[tempodb.Key]struct{})}
	asked := slices.DeleteFunc(slices.Clone(e.blocks), func(b *block.Block) bool {
		return !times.Overlaps(index.Range{Min: b.Meta().MinStart, Max: b.Meta().MaxStart})
	})
	slices.SortFunc(asked, func(a, b *block.Block) int {
		return cmp.Or(cmp.Compare(a.Meta().MinStart, b.Meta().MinStart), cmp.Compare(a.Meta().ID, b.Meta().ID))
	})
	e.state.AllBlocks = len(asked)
	for _, b := range asked {
		if err := e.block(ctx, b, q); err != nil {
			if e.ours != nil {
				return e.ours
			}
			e.blame(err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		e.state.Blocks++
		e.progress(e.state)
	}
	return e.lost.err()
}

// each is one call of Each.
type each struct {
	lost     *missing
	blocks   []*block.Block
	fn       func(trace.ID, []byte) error
	progress func(Progress)
	state    Progress
	shared   map[tempodb.Key]struct{} // traces that several blocks have, and that fn was called with
	ours     error                    // of fn, or of the context: no block is to blame
	merger   trace.Merger
	value    []byte
	merged   []byte
}

// blame notes what could not be read.
func (e *each) blame(err error) {
	if errors.Is(err, backend.ErrNotExist) && !page.IsCorrupt(err) {
		err = fmt.Errorf("%w: it was deleted meanwhile, by a compaction or retention: ask again", err)
	}
	e.lost.add(err)
}

// block calls fn with the traces of b that no block before had.
func (e *each) block(ctx context.Context, b *block.Block, q *index.Query) error {
	e.state.Keys, e.state.AllKeys = 0, b.Meta().Keys
	e.progress(e.state)
	wanted, err := e.wanted(ctx, b, q)
	if err != nil {
		return err
	}
	// Reading a page in passing costs about a tenth of reading it by itself, and has many keys.
	if wanted != nil && int64(len(wanted)) < b.Meta().Keys/64 {
		e.state.AllKeys = int64(len(wanted))
		return e.byKey(ctx, b, wanted)
	}
	return b.ScanAround(ctx, tempodb.Key{}, func(key tempodb.Key, value []byte) (bool, error) {
		if wanted != nil {
			if _, is := slices.BinarySearchFunc(wanted, key, compareKeys); !is {
				return true, e.passed(ctx)
			}
		}
		return true, e.visit(ctx, b, key, value)
	}, func(damage error) error {
		e.blame(damage)
		return nil
	})
}

// wanted returns the keys of b on which q holds, ascending; nil for all if q is nil.
func (e *each) wanted(ctx context.Context, b *block.Block, q *index.Query) ([]tempodb.Key, error) {
	if q == nil {
		return nil, nil
	}
	hits, err := b.Search(ctx, q)
	if page.IsCorrupt(err) {
		if hits, err = b.SearchByScan(ctx, q); page.IsCorrupt(err) {
			e.blame(err)
			err = nil
		}
	}
	keys := make([]tempodb.Key, 0, len(hits))
	for _, hit := range hits {
		keys = append(keys, hit.Key)
	}
	slices.SortFunc(keys, compareKeys)
	return keys, err
}

// byKey reads keys one by one.
func (e *each) byKey(ctx context.Context, b *block.Block, keys []tempodb.Key) error {
	for _, key := range keys {
		var found bool
		var err error
		e.value, found, err = b.Get(ctx, e.value[:0], key)
		if err == nil && !found {
			err = fmt.Errorf("block %s lists trace %s, which is not found in it", b.Meta().ID, trace.ID(key))
		}
		if err == nil {
			err = e.visit(ctx, b, key, e.value)
		}
		if e.ours != nil || ctx.Err() != nil {
			return cmp.Or(e.ours, ctx.Err())
		}
		if err != nil {
			e.blame(err)
		}
	}
	return nil
}

// visit is given a key of a block with the value there.
func (e *each) visit(ctx context.Context, from *block.Block, key tempodb.Key, data []byte) error {
	if err := e.passed(ctx); err != nil {
		return err
	}
	if _, again := e.shared[key]; again {
		return nil
	}
	var values [][]byte
	for _, b := range e.blocks {
		if b == from || b.Excludes(key) {
			continue
		}
		if more, found, err := b.Get(ctx, nil, key); err != nil && ctx.Err() == nil {
			e.blame(err)
		} else if found {
			values = append(values, more)
		}
	}
	if len(values) > 0 {
		e.shared[key] = struct{}{}
		var err error
		if e.merged, err = e.merger.Merge(e.merged[:0], append(values, data)...); err != nil {
			e.blame(fmt.Errorf("trace %s: %w", trace.ID(key), err))
			return nil
		}
		data = e.merged
	}
	if e.ours = ctx.Err(); e.ours == nil {
		e.ours = e.fn(trace.ID(key), data)
	}
	return e.ours
}

// passed counts a key.
func (e *each) passed(ctx context.Context) error {
	if e.state.Keys++; e.state.Keys%256 == 0 {
		e.progress(e.state)
		e.ours = ctx.Err()
	}
	return e.ours
}

func compareKeys(a, b tempodb.Key) int { return bytes.Compare(a[:], b[:]) }
