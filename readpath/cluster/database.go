package cluster

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// database is what can be asked about a tenant.
type database struct {
	store  *Store
	tenant string
}

var _ readpath.Batcher = (*database)(nil)

var codec tracedb.Codec

// Get implements tempodb.Database.
func (d *database) Get(ctx context.Context, dst []byte, key tempodb.Key) ([]byte, error) {
	leave, err := d.store.enter(ctx)
	if err != nil {
		return dst, err
	}
	defer leave()
	all, err := d.values(ctx, []tempodb.Key{key})
	if err != nil {
		return dst, err
	}
	return append(dst, all[0].Value...), all[0].Err
}

// values returns the values of the first of keys, each as whole as can be had: of all of them, unless they are very large.
func (d *database) values(ctx context.Context, keys []tempodb.Key) ([]readpath.Outcome, error) {
	f, err := both(ctx, d, "values", d.askValues(keys), func(ctx context.Context, r tempodb.Database) ([]readpath.Outcome, error) {
		if b, ok := r.(readpath.Batcher); ok {
			return b.GetMany(ctx, keys)
		}
		return eachKey(keys, func(key tempodb.Key) ([]byte, error) { return r.Get(ctx, nil, key) }), nil
	})
	if err != nil {
		return nil, err
	}
	all := make([]readpath.Outcome, wholeOf(f.ingesters, len(keys)))
	for i := range all {
		var inBlocks readpath.Outcome
		if f.blocks != nil {
			inBlocks = f.blocks[i]
		}
		all[i] = d.store.merge(valuesOf(f.ingesters, i), inBlocks, f.missing)
	}
	return all, nil
}

// merge makes one of what ingesters and blocks have under a key.
func (s *Store) merge(values [][]byte, inBlocks readpath.Outcome, missing []error) readpath.Outcome {
	var partial *tempodb.PartialError
	switch {
	case errors.As(inBlocks.Err, &partial):
		missing = slices.Concat(missing, partial.Parts)
	case inBlocks.Err != nil && !errors.Is(inBlocks.Err, tempodb.ErrNotFound):
		missing = slices.Concat(missing, []error{inBlocks.Err})
	}
	err := s.partial(missing)
	if len(inBlocks.Value) > 0 {
		if len(values) == 0 {
			return readpath.Outcome{Value: inBlocks.Value, Err: err} // which is merged
		}
		values = append(values, inBlocks.Value)
	}
	if len(values) == 0 {
		if err == nil {
			err = tempodb.ErrNotFound
		}
		return readpath.Outcome{Err: err}
	}
	value, mergeErr := codec.Merge(nil, distinct(values)...)
	if mergeErr != nil {
		return readpath.Outcome{Err: mergeErr}
	}
	return readpath.Outcome{Value: value, Err: err}
}

// distinct returns values without those that equal one before: replicas most often have the same.
func distinct(values [][]byte) [][]byte {
	var kept [][]byte
	for _, v := range values {
		if !slices.ContainsFunc(kept, func(other []byte) bool { return bytes.Equal(v, other) }) {
			kept = append(kept, v)
		}
	}
	return kept
}

// holding is what an ingester has under some keys: a list of values for each of those before whole.
type holding struct {
	values [][][]byte
	whole  int
}

// askValues is the question for all that an ingester has under keys.
func (d *database) askValues(keys []tempodb.Key) question[*holding] {
	return func(ctx context.Context, of asked) (*holding, client.Source, error) {
		h := &holding{values: make([][][]byte, len(keys)), whole: len(keys)}
		bytes := 0
		source, err := of.Values(ctx, d.tenant, keys, func(i int, value []byte) error {
			if bytes += len(value); bytes > d.store.options.BatchBytes && i > 0 {
				h.whole = min(h.whole, i)
			}
			if i < h.whole {
				h.values[i] = append(h.values[i], value)
			}
			return nil
		})
		return h, source, err
	}
}

// wholeOf returns of how many of n keys all is there that ingesters have.
func wholeOf(answers []answer[*holding], n int) int {
	for _, a := range answers {
		if a.value != nil {
			n = min(n, a.value.whole)
		}
	}
	return n
}

// valuesOf returns what ingesters have under key i.
func valuesOf(answers []answer[*holding], i int) (values [][]byte) {
	for _, a := range answers {
		if a.value != nil {
			values = append(values, a.value.values[i]...)
		}
	}
	return values
}

// keysAtOnce is of how many keys the blocks are asked at the same time, for one question.
const keysAtOnce = 8

// eachKey calls fn with each key.
func eachKey(keys []tempodb.Key, fn func(tempodb.Key) ([]byte, error)) []readpath.Outcome {
	all := make([]readpath.Outcome, len(keys))
	inParallel(len(keys), keysAtOnce, func(i int) { all[i].Value, all[i].Err = fn(keys[i]) })
	return all
}

// Search implements tempodb.Database.
func (d *database) Search(ctx context.Context, q *index.Query) ([]index.Hit, error) {
	leave, err := d.store.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	f, err := both(ctx, d, "search",
		func(ctx context.Context, of asked) ([]index.Hit, client.Source, error) {
			return of.Search(ctx, d.tenant, q)
		},
		func(ctx context.Context, r tempodb.Database) ([]index.Hit, error) { return r.Search(ctx, q) })
	if err != nil {
		return nil, err
	}
	lists := [][]index.Hit{f.blocks}
	for _, a := range f.ingesters {
		lists = append(lists, a.value)
	}
	return index.MergeHits(q.Limit, lists...), d.store.partial(f.missing)
}

// Terms implements tempodb.Database.
func (d *database) Terms(ctx context.Context, field, prefix []byte) ([]string, error) {
	leave, err := d.store.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	f, err := both(ctx, d, "terms",
		func(ctx context.Context, of asked) (values []string, source client.Source, err error) {
			source, err = of.Terms(ctx, d.tenant, field, prefix, func(value []byte) error {
				values = append(values, string(value))
				return nil
			})
			return values, source, err
		},
		func(ctx context.Context, r tempodb.Database) ([]string, error) { return r.Terms(ctx, field, prefix) })
	if err != nil {
		return nil, err
	}
	all := slices.Clone(f.blocks)
	for _, a := range f.ingesters {
		all = append(all, a.value...)
	}
	slices.Sort(all)
	return slices.Compact(all), d.store.partial(f.missing)
}

// Summary implements tempodb.Database.
func (d *database) Summary(ctx context.Context, dst []byte, key tempodb.Key) ([]byte, error) {
	leave, err := d.store.enter(ctx)
	if err != nil {
		return dst, err
	}
	defer leave()
	all, err := d.summaries(ctx, []tempodb.Key{key})
	if err != nil {
		return dst, err
	}
	return append(dst, all[0].Value...), all[0].Err
}

// summaries returns the summaries of the first of keys, each as whole as can be had: of all of them, unless their values are very large. Of what no ingester has no span is read.
func (d *database) summaries(ctx context.Context, keys []tempodb.Key) ([]readpath.Outcome, error) {
	f, err := both(ctx, d, "summaries", d.askValues(keys), func(ctx context.Context, r tempodb.Database) ([]readpath.Outcome, error) {
		if b, ok := r.(readpath.Batcher); ok {
			return b.SummaryMany(ctx, keys)
		}
		return eachKey(keys, func(key tempodb.Key) ([]byte, error) { return r.Summary(ctx, nil, key) }), nil
	})
	if err != nil {
		return nil, err
	}
	all := make([]readpath.Outcome, wholeOf(f.ingesters, len(keys)))
	var unclear []int // keys whose values in blocks must be read
	for i := range all {
		var inBlocks readpath.Outcome
		if f.blocks != nil {
			inBlocks = f.blocks[i]
		}
		values := valuesOf(f.ingesters, i)
		if len(values) == 0 {
			all[i] = d.store.merge(nil, inBlocks, f.missing)
			continue
		}
		d.store.stats.summaries.Add(1)
		all[i] = summarize(d.store.merge(values, readpath.Outcome{}, f.missing))
		if all[i].Value == nil || errors.Is(inBlocks.Err, tempodb.ErrNotFound) || f.blocks == nil {
			continue
		}
		joined, ok, err := codec.JoinSummaries(nil, all[i].Value, inBlocks.Value)
		if inBlocks.Err != nil || err != nil || !ok {
			unclear = append(unclear, i)
			continue
		}
		all[i].Value = joined
	}
	return all, d.readUnclear(ctx, keys, unclear, f, all)
}

// readUnclear makes summaries of values, where those of ingesters and blocks don't tell.
func (d *database) readUnclear(ctx context.Context, keys []tempodb.Key, unclear []int, f *found[*holding, []readpath.Outcome], all []readpath.Outcome) error {
	if len(unclear) == 0 {
		return nil
	}
	d.store.stats.read.Add(int64(len(unclear)))
	of, err := d.store.tenants.follow(ctx, d.tenant)
	if err != nil {
		return err
	}
	defer d.store.tenants.release(of)
	blocks := d.store.blocksOf(of)
	inParallel(len(unclear), keysAtOnce, func(n int) {
		i := unclear[n]
		var inBlocks readpath.Outcome
		inBlocks.Value, inBlocks.Err = blocks.Get(ctx, nil, keys[i])
		all[i] = summarize(d.store.merge(valuesOf(f.ingesters, i), inBlocks, f.missing))
	})
	return ctx.Err()
}

// summarize makes of a value its summary.
func summarize(o readpath.Outcome) readpath.Outcome {
	if len(o.Value) == 0 {
		return o
	}
	summary, err := codec.Summarize(nil, o.Value)
	if err != nil {
		return readpath.Outcome{Err: err}
	}
	return readpath.Outcome{Value: summary, Err: o.Err}
}

// GetMany implements readpath.Batcher.
func (d *database) GetMany(ctx context.Context, keys []tempodb.Key) ([]readpath.Outcome, error) {
	leave, err := d.store.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return d.values(ctx, keys)
}

// SummaryMany implements readpath.Batcher.
func (d *database) SummaryMany(ctx context.Context, keys []tempodb.Key) ([]readpath.Outcome, error) {
	leave, err := d.store.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return d.summaries(ctx, keys)
}
