package tempodb

import (
	"context"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// SummaryJoiner is a Codec whose summaries often tell what the summary of several values together is, so that the values need not be read. Of such
// a codec, equal summaries of merged values under one key must be of equal values.
type SummaryJoiner interface {
	// JoinSummaries appends to dst the summary of what values hold together, given their summaries, of which there is at least one; ok is
	// false, and dst as it was, if they don't tell. It must be what Summarize would make of the merged values.
	JoinSummaries(dst []byte, summaries ...[]byte) (joined []byte, ok bool, err error)
}

// Summary appends the summary of key's value to dst. It reads no value where one block has all of it, or the summaries of several tell it. The
// summary of what could be read comes with a *PartialError.
func (s *queries) Summary(ctx context.Context, dst []byte, key Key) ([]byte, error) {
	v, err := s.acquire()
	if err != nil {
		return dst, err
	}
	defer v.release()
	missing := v.missing()
	var known uint64
	if !slices.ContainsFunc(v.heads, func(h *head) bool { return h.contains(key) }) {
		pieces, whole := s.pieces(ctx, v, key)
		if whole && len(pieces) > 0 {
			var ok bool
			if dst, known, ok = s.join(dst, key, pieces); ok {
				return dst, missing.err()
			}
		}
		// The value tells, and says what is missing.
	}
	value, lost := s.get(ctx, v, nil, key, missing)
	if lost != nil && len(value) == 0 {
		return dst, lost
	}
	summary, err := s.codec.Summarize(dst, value)
	if err != nil {
		return dst, err
	}
	if known != 0 && lost == nil {
		s.made.put(key, known, summary[len(dst):])
	}
	return summary, lost
}

// pieces returns the summaries of key that the blocks have; whole is whether all of them could be read, and may be joined.
func (s *queries) pieces(ctx context.Context, v *view, key Key) (pieces [][]byte, whole bool) {
	var holders []*block.Block
	_, joins := s.codec.(SummaryJoiner)
	blocks := v.mayHold(key)
	may := make([]bool, len(blocks))
	inParallel(len(blocks), func(i int) {
		maybe, err := blocks[i].MayContain(ctx, key)
		may[i] = maybe || err != nil
	})
	for i, b := range blocks {
		if may[i] {
			holders = append(holders, b)
		}
	}
	if len(holders) > 1 && !joins {
		return nil, false
	}
	all := make([][]byte, len(holders))
	failed := make([]bool, len(holders))
	inParallel(len(holders), func(i int) {
		summary, found, err := holders[i].Summary(ctx, nil, key)
		if failed[i] = err != nil; found && err == nil {
			all[i] = summary
		}
	})
	if slices.Contains(failed, true) {
		return nil, false
	}
	return slices.DeleteFunc(all, func(summary []byte) bool { return summary == nil }), true
}

// join appends the summary of a key to dst, given those of its pieces in blocks, if they tell it or it was made of their values before. If not, known
// is what it is to be remembered under, 0 if it can't be.
func (s *queries) join(dst []byte, key Key, pieces [][]byte) (joined []byte, known uint64, ok bool) {
	if len(pieces) == 1 {
		return append(dst, pieces[0]...), 0, true
	}
	joiner, joins := s.codec.(SummaryJoiner)
	if !joins {
		return dst, 0, false
	}
	if joined, ok, err := joiner.JoinSummaries(dst, pieces...); ok && err == nil {
		return joined, 0, true
	}
	for _, piece := range pieces { // in any order
		known += xxhash.Sum64(piece) | 1
	}
	dst, ok = s.made.get(dst, key, known)
	return dst, known, ok
}

// madeSummaries remembers summaries that were made of values. What the values are is told by the summaries of their pieces, so nothing that it has
// is ever wrong, whatever becomes of the blocks.
type madeSummaries struct {
	mu          sync.Mutex
	young, old  map[madeKey][]byte
	bytes, most int // of young; twice most is kept
}

type madeKey struct {
	Key
	pieces uint64
}

// mostMade is how many bytes each generation of madeSummaries takes.
const mostMade = 8 << 20

func (m *madeSummaries) get(dst []byte, key Key, pieces uint64) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := madeKey{key, pieces}
	summary, young := m.young[at]
	if !young {
		var old bool
		if summary, old = m.old[at]; !old {
			return dst, false
		}
		m.add(at, summary)
	}
	return append(dst, summary...), true
}

func (m *madeSummaries) put(key Key, pieces uint64, summary []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(madeKey{key, pieces}, slices.Clone(summary))
}

func (m *madeSummaries) add(at madeKey, summary []byte) {
	const overhead = 96 // of an entry of the map
	most := m.most
	if most == 0 {
		most = mostMade
	}
	if m.bytes += len(summary) + overhead; m.young == nil || m.bytes > most {
		m.young, m.old, m.bytes = make(map[madeKey][]byte), m.young, len(summary)+overhead
	}
	m.young[at] = summary
}

// EachSummary calls fn with the summary of every key that has a row whose start lies in starts, or of every key if that is index.Everything, in
// ascending order of keys, until fn returns an error, which it returns. The summary is valid during the call.
func (s *queries) EachSummary(ctx context.Context, starts index.Range, fn func(key Key, summary []byte) error) error {
	v, err := s.acquire()
	if err != nil {
		return err
	}
	defer v.release()
	missing := v.missing()
	w := newWalk(ctx)
	defer w.stop()
	for _, h := range v.heads {
		wanted, err := keysWithin(starts, h.starts(), func() bool { return false }, func(q *index.Query) ([]index.Hit, error) { return h.search(ctx, q) })
		if err != nil {
			return err
		}
		w.add(wanted, false, func(_ context.Context, yield func(Key, []byte) bool) error {
			for _, key := range h.sortedKeys() {
				if !yield(key, nil) {
					break
				}
			}
			return nil
		})
	}
	wanted := make([]map[Key]bool, len(v.blocks))
	errs := make([]error, len(v.blocks))
	inParallel(len(v.blocks), func(i int) { wanted[i], errs[i] = wantedOf(ctx, v.blocks[i], starts) })
	for i, b := range v.blocks {
		if errs[i] != nil {
			missing.add(errs[i])
			if wanted[i] == nil {
				continue
			}
		}
		w.add(wanted[i], true, func(ctx context.Context, yield func(Key, []byte) bool) error {
			return b.ScanSummaries(ctx, Key{}, func(key Key, summary []byte) (bool, error) { return yield(key, summary), nil })
		})
	}
	batch := summaryBatch{s: s, v: v, missing: &missing, fn: fn}
	if err := w.each(func(key Key, from []*cursor) error { return batch.add(ctx, key, from) }); err != nil {
		return err
	}
	if err := batch.flush(ctx); err != nil {
		return err
	}
	for _, err := range w.errs() {
		missing.add(err)
	}
	return missing.err()
}

// wantedOf is keysWithin of a block.
func wantedOf(ctx context.Context, b *block.Block, starts index.Range) (map[Key]bool, error) {
	m := b.Meta()
	all := func() bool {
		all, err := b.EveryKeyHasRows(ctx)
		return all && err == nil // whatever the error is, the search says it
	}
	return keysWithin(starts, index.Range{Min: m.MinStart, Max: m.MaxStart}, all,
		func(q *index.Query) ([]index.Hit, error) { return searchBlock(ctx, b, q) })
}

// keysWithin returns the keys of a part that have a row in starts, or nil if all of them have, or are wanted without: of says between which starts the
// part's rows are, and haveRows whether all keys have some.
func keysWithin(starts, of index.Range, haveRows func() bool, search func(*index.Query) ([]index.Hit, error)) (map[Key]bool, error) {
	if starts == index.Everything {
		return nil, nil
	}
	wanted := make(map[Key]bool)
	if !starts.Overlaps(of) {
		return wanted, nil
	}
	if starts.Min <= of.Min && of.Max <= starts.Max && haveRows() {
		return nil, nil
	}
	hits, err := search(&index.Query{Start: starts, Duration: index.Everything})
	if err != nil && !page.IsCorrupt(err) {
		return nil, err
	}
	for _, hit := range hits {
		wanted[hit.Key] = true
	}
	return wanted, err // with the hits of what is whole
}

// summaryBatch gathers keys in their order, so that of those whose values must be read several are read at the same time.
type summaryBatch struct {
	s       *queries
	v       *view
	missing *partial
	fn      func(Key, []byte) error

	keys   []keySummary
	whole  []int // in keys: those without summary
	pieces [][]byte
	joined []byte
}

type keySummary struct {
	key     Key
	summary []byte
	known   uint64 // what the summary is to be remembered under
	reading error  // the value
	lost    bool   // nothing of it could be read
	err     error  // making its summary
}

// batchKeys is how many keys a summaryBatch gathers, and batchWhole how many of them without summary.
const (
	batchKeys  = 256
	batchWhole = 2 * atOnce
)

// add adds a key that cursors stand at.
func (b *summaryBatch) add(ctx context.Context, key Key, from []*cursor) error {
	b.pieces = b.pieces[:0]
	for _, c := range from {
		if c.keeps {
			b.pieces = append(b.pieces, c.summary)
		}
	}
	var known uint64
	ok := false
	if len(b.pieces) == len(from) {
		if len(from) > 1 {
			b.joined, known, ok = b.s.join(b.joined[:0], key, b.pieces)
		} else {
			b.joined, ok = b.pieces[0], true
			defer func() { b.joined = nil }() // it is the cursor's
		}
	}
	if ok && len(b.keys) == 0 {
		return b.tell(ctx, key, b.joined)
	}
	if len(b.keys) == batchKeys || len(b.whole) == batchWhole {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	if b.keys == nil {
		b.keys = make([]keySummary, 0, batchKeys)
	}
	b.keys = b.keys[:len(b.keys)+1]
	k := &b.keys[len(b.keys)-1]
	*k = keySummary{key: key, known: known, summary: k.summary[:0]} // its memory is used again
	if ok {
		k.summary = append(k.summary, b.joined...)
	} else {
		b.whole = append(b.whole, len(b.keys)-1)
	}
	return nil
}

// tell calls fn.
func (b *summaryBatch) tell(ctx context.Context, key Key, summary []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.fn(key, summary)
}

// flush calls fn with what was gathered.
func (b *summaryBatch) flush(ctx context.Context) error {
	inParallel(len(b.whole), func(i int) {
		k := &b.keys[b.whole[i]]
		var value []byte
		if value, k.reading = b.s.get(ctx, b.v, nil, k.key, partial{}); k.reading != nil && len(value) == 0 {
			k.lost = true
			return
		}
		if k.summary, k.err = b.s.codec.Summarize(k.summary, value); k.err == nil && k.reading == nil && k.known != 0 {
			b.s.made.put(k.key, k.known, k.summary)
		}
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range b.keys {
		k := &b.keys[i]
		if k.reading != nil {
			b.missing.add(k.reading)
		}
		if k.err != nil {
			return k.err
		}
		if !k.lost {
			if err := b.fn(k.key, k.summary); err != nil {
				return err
			}
		}
	}
	b.keys, b.whole = b.keys[:0], b.whole[:0]
	return nil
}
