package blocks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/blocklist"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// ErrNotFound is returned for a trace of which no span is stored.
var ErrNotFound = errors.New("trace not found")

// atOnce is how many blocks are asked at once.
const atOnce = 8

// Set is the blocks of a tenant.
type Set struct {
	bucket backend.Bucket
	list   *blocklist.List

	mu     sync.Mutex
	opened map[block.ID]*block.Block
}

// List finds out which blocks a tenant has: by listing, with the metas of what an index of blocks knows taken from there.
func List(ctx context.Context, bucket backend.Bucket, tenant string) (*blocklist.List, error) {
	p, err := blocklist.NewPoller(bucket, tenant, blocklist.Options{Stale: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	list, _, err := p.Poll(ctx)
	return list, err
}

// Open lists the blocks of a tenant.
func Open(ctx context.Context, bucket backend.Bucket, tenant string) (*Set, error) {
	list, err := List(ctx, bucket, tenant)
	if err != nil {
		return nil, err
	}
	return &Set{bucket: bucket, list: list, opened: make(map[block.ID]*block.Block)}, nil
}

// Blocks returns what the listing found.
func (s *Set) Blocks() *blocklist.List { return s.list }

// open returns a block, which is kept.
func (s *Set) open(ctx context.Context, id block.ID) (*block.Block, error) {
	s.mu.Lock()
	b := s.opened[id]
	s.mu.Unlock()
	if b != nil {
		return b, nil
	}
	b, err := block.Open(ctx, s.bucket, s.list.Tenant, id, tracedb.Codec{})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened[id] = b
	return b, nil
}

// Damage returns the damage that was met in blocks, whether or not an answer suffered from it.
func (s *Set) Damage() (met []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.opened)) {
		met = append(met, s.opened[id].Damage()...)
	}
	return met
}

// missing gathers what could not be read. It may be used concurrently.
type missing struct {
	mu    sync.Mutex
	parts []error
}

func (m *missing) add(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// A page that many ask for is damaged once.
	for _, known := range m.parts {
		if known.Error() == err.Error() {
			return
		}
	}
	m.parts = append(m.parts, err)
}

// err returns a *tempodb.PartialError, or nil if everything was read.
func (m *missing) err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.parts) == 0 {
		return nil
	}
	slices.SortFunc(m.parts, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return &tempodb.PartialError{Parts: m.parts}
}

// missing returns what is missing from every answer: the blocks of which only the folder is known.
func (s *Set) missing() *missing {
	m := new(missing)
	for _, d := range s.list.Damaged {
		m.add(fmt.Errorf("block %s: %w", d.ID, d.Err))
	}
	return m
}

// inParallel calls fn with each block, several at once, and adds errors to lost. It ends early when ctx is done, whose error it returns.
func (s *Set) inParallel(ctx context.Context, metas []*block.Meta, lost *missing, fn func(i int, b *block.Block) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(atOnce, len(metas)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(metas)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				b, err := s.open(ctx, metas[i].ID)
				if err == nil {
					err = fn(int(i), b)
				}
				if err != nil && ctx.Err() == nil {
					lost.add(err)
				}
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// Part is what one block has of a trace.
type Part struct {
	Block *block.Meta
	// Data is OTLP TracesData.
	Data []byte
}

// Parts returns what each block has of a trace, the newest block first.
func (s *Set) Parts(ctx context.Context, id trace.ID) ([]Part, error) {
	lost := s.missing()
	parts, err := s.parts(ctx, id, lost)
	if err != nil {
		return nil, err
	}
	return parts, lost.err()
}

func (s *Set) parts(ctx context.Context, id trace.ID, lost *missing) ([]Part, error) {
	metas := slices.Collect(s.list.Holding(block.Key(id), math.MinInt64, math.MaxInt64))
	parts := make([]Part, len(metas))
	err := s.inParallel(ctx, metas, lost, func(i int, b *block.Block) error {
		value, found, err := b.Get(ctx, nil, id)
		if found && err == nil {
			parts[i] = Part{metas[i], value}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(parts, func(p Part) bool { return p.Block == nil }), nil
}

// Join merges the parts of a trace.
func Join(parts []Part) ([]byte, error) {
	if len(parts) == 1 {
		return parts[0].Data, nil
	}
	values := make([][]byte, len(parts))
	for i, p := range parts {
		values[i] = p.Data
	}
	return trace.Merge(nil, values...)
}

// Search returns the traces that q asks for, newest first.
func (s *Set) Search(ctx context.Context, q *index.Query) ([]index.Hit, error) {
	lost := s.missing()
	var hits []index.Hit
	wanted := slices.DeleteFunc(slices.Collect(s.list.Overlapping(q.Start.Min, q.Start.Max)), func(m *block.Meta) bool { return m.Rows == 0 })
	for len(wanted) > 0 {
		if q.Limit > 0 && len(hits) == q.Limit && hits[q.Limit-1].Start > wanted[0].MaxStart {
			break // what follows is older still
		}
		some := wanted[:min(atOnce, len(wanted))]
		wanted = wanted[len(some):]
		found := make([][]index.Hit, len(some), len(some)+1)
		err := s.inParallel(ctx, some, lost, func(i int, b *block.Block) (err error) {
			found[i], err = b.Search(ctx, q)
			return err
		})
		if err != nil {
			return nil, err
		}
		hits = index.MergeHits(q.Limit, append(found, hits)...)
	}
	return hits, lost.err()
}

// Summary returns the summary of a trace that is stored. It reads no spans where one block has all of it.
func (s *Set) Summary(ctx context.Context, id trace.ID) (*trace.Summary, error) {
	lost := new(missing)
	metas := slices.Collect(s.list.Holding(block.Key(id), math.MinInt64, math.MaxInt64))
	found := make([][]byte, len(metas))
	err := s.inParallel(ctx, metas, lost, func(i int, b *block.Block) error {
		summary, known, err := b.Summary(ctx, nil, id)
		if known && err == nil {
			found[i] = summary
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(b []byte) bool { return b == nil })
	if len(found) == 1 && lost.err() == nil {
		sum, err := trace.ParseSummary(found[0])
		return &sum, err
	}
	parts, err := s.Parts(ctx, id)
	if len(parts) == 0 {
		if err == nil {
			err = ErrNotFound
		}
		return nil, err
	}
	data, joinErr := Join(parts)
	if joinErr != nil {
		return nil, joinErr
	}
	sum, sumErr := trace.Summarize(data)
	if sumErr != nil {
		return nil, sumErr
	}
	return &sum, err
}

// Terms returns the values of field that begin with prefix, ascending, each once.
func (s *Set) Terms(ctx context.Context, field, prefix []byte) ([]string, error) {
	lost := s.missing()
	var mu sync.Mutex
	seen := make(map[string]struct{})
	err := s.inParallel(ctx, s.list.Live, lost, func(_ int, b *block.Block) error {
		return b.Terms(ctx, field, prefix, func(value []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			if _, again := seen[string(value)]; !again {
				seen[string(value)] = struct{}{}
			}
			return true
		})
	})
	if err != nil {
		return nil, err
	}
	values := make([]string, 0, len(seen))
	for value := range seen {
		values = append(values, value)
	}
	slices.Sort(values)
	return values, lost.err()
}
