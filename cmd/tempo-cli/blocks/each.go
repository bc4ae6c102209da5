package blocks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

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
	lost := s.missing()
	times := index.Everything
	if q != nil {
		times = q.Start
		all := *q
		all.Limit = 0
		q = &all
	}
	metas := slices.Collect(s.list.Overlapping(times.Min, times.Max))
	slices.SortFunc(metas, func(a, b *block.Meta) int {
		return cmp.Or(cmp.Compare(a.MinStart, b.MinStart), cmp.Compare(a.ID, b.ID))
	})
	e := each{s: s, ctx: ctx, lost: lost, fn: fn, progress: progress, shared: make(map[block.Key]struct{})}
	e.state.AllBlocks = len(metas)
	for _, m := range metas {
		if err := e.block(m, q); err != nil {
			var ours errOurs
			if errors.As(err, &ours) {
				return ours.error
			}
			return err
		}
		e.state.Blocks++
		e.report()
	}
	return lost.err()
}

// each is one call of Each.
type each struct {
	s        *Set
	ctx      context.Context
	lost     *missing
	fn       func(trace.ID, []byte) error
	progress func(Progress)
	state    Progress
	shared   map[block.Key]struct{} // traces that several blocks have, and that fn was called with
	merger   trace.Merger
	merged   []byte
}

func (e *each) report() {
	if e.progress != nil {
		e.progress(e.state)
	}
}

// errOurs marks an error of fn, or of a context that is done: the block is not to blame.
type errOurs struct{ error }

func (e errOurs) Unwrap() error { return e.error }

func (e *each) block(m *block.Meta, q *index.Query) error {
	e.state.Keys, e.state.AllKeys = 0, m.Keys
	e.report()
	b, err := e.s.open(e.ctx, m.ID)
	if err != nil {
		return e.blame(err)
	}
	var wanted map[block.Key]struct{} // nil: all
	if q != nil {
		hits, err := b.Search(e.ctx, q)
		if err != nil {
			return e.blame(err)
		}
		wanted = make(map[block.Key]struct{}, len(hits))
		for _, hit := range hits {
			wanted[hit.Key] = struct{}{}
		}
	}
	// Reading a page in passing costs about a tenth of reading it by itself, and has many keys.
	if wanted != nil && int64(len(wanted)) < m.Keys/64 {
		e.state.AllKeys = int64(len(wanted))
		return e.blame(e.byKey(b, func(visit func(block.Key) error) error {
			keys := make([]block.Key, 0, len(wanted))
			for key := range wanted {
				keys = append(keys, key)
			}
			slices.SortFunc(keys, compareKeys)
			for _, key := range keys {
				if err := visit(key); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	from := block.Key{}
	err = b.Scan(e.ctx, from, func(key [16]byte, value []byte) (bool, error) {
		from = after(key)
		return true, e.visit(m, key, value, wanted)
	})
	if !page.IsCorrupt(err) || errors.As(err, new(errOurs)) {
		return e.blame(err)
	}
	// From the damage on, key by key: the summaries know which there are.
	e.lost.add(err)
	return e.blame(e.byKey(b, func(visit func(block.Key) error) error {
		return b.ScanSummaries(e.ctx, from, func(key [16]byte, _ []byte) (bool, error) {
			if wanted != nil {
				if _, ok := wanted[key]; !ok {
					return true, nil
				}
			}
			return true, visit(key)
		})
	}))
}

// byKey reads the keys that list visits one by one.
func (e *each) byKey(b *block.Block, list func(visit func(block.Key) error) error) error {
	var value []byte
	return list(func(key block.Key) error {
		if err := e.ctx.Err(); err != nil {
			return errOurs{err}
		}
		var found bool
		var err error
		value, found, err = b.Get(e.ctx, value[:0], key)
		if err != nil {
			return e.blame(err)
		}
		if !found {
			return e.blame(fmt.Errorf("block %s lists key %s, which is not found in it", b.Meta().ID, key))
		}
		return e.visit(b.Meta(), key, value, nil)
	})
}

// visit is given a key of a block with the value there.
func (e *each) visit(m *block.Meta, key block.Key, value []byte, wanted map[block.Key]struct{}) error {
	if e.state.Keys++; e.state.Keys%256 == 0 {
		e.report()
		if err := e.ctx.Err(); err != nil {
			return errOurs{err}
		}
	}
	if wanted != nil {
		if _, ok := wanted[key]; !ok {
			return nil
		}
	}
	if _, again := e.shared[key]; again {
		return nil
	}
	values := [][]byte{value}
	for other := range e.s.list.Holding(key, math.MinInt64, math.MaxInt64) {
		if other.ID == m.ID {
			continue
		}
		b, err := e.s.open(e.ctx, other.ID)
		if err == nil {
			var more []byte
			var found bool
			if more, found, err = b.Get(e.ctx, nil, key); found && err == nil {
				values = append(values, more)
			}
		}
		if err := e.blame(err); err != nil {
			return err
		}
	}
	data := value
	if len(values) > 1 {
		e.shared[key] = struct{}{}
		var err error
		if e.merged, err = e.merger.Merge(e.merged[:0], values...); err != nil {
			return e.blame(fmt.Errorf("trace %s: %w", key, err))
		}
		data = e.merged
	}
	if err := e.fn(trace.ID(key), data); err != nil {
		return errOurs{err}
	}
	return nil
}

// blame notes an error of reading, and returns one that is not.
func (e *each) blame(err error) error {
	var ours errOurs
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ours):
		return err
	case e.ctx.Err() != nil:
		return errOurs{e.ctx.Err()}
	}
	e.lost.add(err)
	return nil
}

func compareKeys(a, b block.Key) int { return bytes.Compare(a[:], b[:]) }

// after returns the key that follows key.
func after(key block.Key) block.Key {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i]++; key[i] != 0 {
			break
		}
	}
	return key
}
