package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/readpath/querier"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// querierPatience is how long a querier may take until its blocks are read here instead, querierPause how long it is not asked after that.
const querierPatience, querierPause = 3 * time.Second, 15 * time.Second

// queriers are those that work on blocks is spread over.
type queriers struct {
	clients []*querier.Client

	mu     sync.Mutex
	paused map[*querier.Client]time.Time // until when
}

func dialQueriers(addresses []string) (*queriers, error) {
	q := &queriers{paused: make(map[*querier.Client]time.Time)}
	for _, address := range addresses {
		c, err := querier.Dial(address, tracing.ClientOptions()...)
		if err != nil {
			return nil, errors.Join(err, q.close())
		}
		q.clients = append(q.clients, c)
	}
	return q, nil
}

func (q *queriers) close() error {
	if q == nil {
		return nil
	}
	var errs []error
	for _, c := range q.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// of returns the querier of a block: the one whose address and the block's ID give the highest number together, so that few blocks change hands where a
// querier comes or goes.
func (q *queriers) of(id block.ID) *querier.Client {
	var owner *querier.Client
	var most uint64
	for _, c := range q.clients {
		if weight := xxhash.Sum64String(c.Address() + "\x00" + string(id)); owner == nil || weight > most {
			owner, most = c, weight
		}
	}
	return owner
}

func (q *queriers) isPaused(c *querier.Client) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Now().Before(q.paused[c])
}

func (q *queriers) pause(c *querier.Client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.paused[c] = time.Now().Add(querierPause)
}

// blocksOf returns the blocks of a tenant as a database: through the queriers if there are some.
func (s *Store) blocksOf(f *following) tempodb.Database {
	if s.queriers == nil {
		return f.reader
	}
	return &spread{store: s, tenant: f.tenant, reader: f.reader}
}

// spread is the blocks of a Reader, each asked through its querier. Where a querier fails this process reads the blocks itself.
type spread struct {
	store  *Store
	tenant string
	reader *tempodb.Reader
}

var _ readpath.Batcher = (*spread)(nil)

// share is the blocks that one querier is asked about.
type share struct {
	blocks []*block.Block
	ids    []block.ID
}

// part is a way to ask some blocks: through a querier, or here.
type part[T any] struct {
	remote func(ctx context.Context, c *querier.Client, ids []block.ID) (T, error)
	local  func(ctx context.Context, db *tempodb.Blocks) (T, error)
}

// askBlocks asks all blocks in shares, and returns what each share says, with what is missing of it. It asks once more where a block has gone meanwhile: what it had is
// elsewhere then.
func askBlocks[T any](ctx context.Context, sp *spread, p part[T]) ([]T, error) {
	answers, err := askShares(ctx, sp, p)
	if errors.Is(err, backend.ErrNotExist) && sp.reader.Poll(ctx) == nil {
		answers, err = askShares(ctx, sp, p)
	}
	return answers, err
}

func askShares[T any](ctx context.Context, sp *spread, p part[T]) ([]T, error) {
	blocks, lacks := sp.reader.Parts()
	shares := make(map[*querier.Client]*share)
	var clients []*querier.Client
	for _, b := range blocks {
		c := sp.store.queriers.of(b.Meta().ID)
		if shares[c] == nil {
			shares[c] = new(share)
			clients = append(clients, c)
		}
		shares[c].blocks = append(shares[c].blocks, b)
		shares[c].ids = append(shares[c].ids, b.Meta().ID)
	}
	answers, errs := make([]T, len(clients)), make([]error, len(clients))
	inParallel(len(clients), len(clients), func(i int) {
		answers[i], errs[i] = askShare(ctx, sp, clients[i], shares[clients[i]], p)
	})
	missing := slices.Clone(lacks)
	for _, err := range errs {
		var partial *tempodb.PartialError
		switch {
		case err == nil:
		case errors.As(err, &partial):
			missing = append(missing, partial.Parts...)
		default:
			missing = append(missing, err)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(missing) > 0 {
		return answers, &tempodb.PartialError{Parts: missing}
	}
	return answers, nil
}

func askShare[T any](ctx context.Context, sp *spread, c *querier.Client, of *share, p part[T]) (T, error) {
	s := sp.store
	if !s.queriers.isPaused(c) {
		type outcome struct {
			answer T
			err    error
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		remote := make(chan outcome, 1)
		s.work.Go(func() {
			answer, err := p.remote(ctx, c, of.ids)
			remote <- outcome{answer, err}
		})
		late := time.NewTimer(querierPatience)
		defer late.Stop()
		var err error
		select {
		case o := <-remote:
			if o.err == nil {
				s.stats.spread.Add(1)
				return o.answer, nil
			}
			if err = o.err; ctx.Err() != nil {
				return o.answer, ctx.Err()
			}
		case <-late.C:
			err = fmt.Errorf("querier at %s: no answer after %v", c.Address(), querierPatience)
		}
		// Of a block that is damaged, or gone, it can say nothing; else it is not what it should be.
		if code := status.Code(err); code != codes.NotFound && code != codes.DataLoss {
			s.queriers.pause(c)
			s.options.Logger.Warn("a querier can't be asked; for some time its blocks are read here", "tenant", sp.tenant, "pause", querierPause, "error", err)
		}
	}
	s.stats.fallbacks.Add(1)
	return p.local(ctx, tempodb.NewBlocks(codec, of.blocks))
}

// GetMany implements readpath.Batcher.
func (sp *spread) GetMany(ctx context.Context, keys []tempodb.Key) ([]readpath.Outcome, error) {
	return sp.many(ctx, keys, part[[][]byte]{
		func(ctx context.Context, c *querier.Client, ids []block.ID) ([][]byte, error) {
			return c.Values(ctx, sp.tenant, ids, keys)
		},
		func(ctx context.Context, db *tempodb.Blocks) ([][]byte, error) {
			return manyHere(keys, func(key tempodb.Key) ([]byte, error) { return db.Get(ctx, nil, key) })
		},
	}, func(_ int, values [][]byte) ([]byte, error) { return codec.Merge(nil, values...) })
}

// SummaryMany implements readpath.Batcher.
func (sp *spread) SummaryMany(ctx context.Context, keys []tempodb.Key) ([]readpath.Outcome, error) {
	return sp.many(ctx, keys, part[[][]byte]{
		func(ctx context.Context, c *querier.Client, ids []block.ID) ([][]byte, error) {
			return c.Summaries(ctx, sp.tenant, ids, keys)
		},
		func(ctx context.Context, db *tempodb.Blocks) ([][]byte, error) {
			return manyHere(keys, func(key tempodb.Key) ([]byte, error) { return db.Summary(ctx, nil, key) })
		},
	}, func(i int, summaries [][]byte) ([]byte, error) {
		joined, ok, err := codec.JoinSummaries(nil, summaries...)
		if ok || err != nil {
			return joined, err
		}
		all, err := sp.GetMany(ctx, keys[i:i+1])
		if err != nil {
			return nil, err
		}
		o := summarize(all[0])
		return o.Value, o.Err
	})
}

// many asks for several keys, and puts together what the shares have of each.
func (sp *spread) many(ctx context.Context, keys []tempodb.Key, p part[[][]byte], join func(i int, pieces [][]byte) ([]byte, error)) ([]readpath.Outcome, error) {
	answers, missing := askBlocks(ctx, sp, p)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	all := make([]readpath.Outcome, len(keys))
	for i := range keys {
		var pieces [][]byte
		for _, a := range answers {
			if a != nil && len(a[i]) > 0 {
				pieces = append(pieces, a[i])
			}
		}
		o := &all[i]
		switch o.Err = missing; {
		case len(pieces) == 0 && missing == nil:
			o.Err = tempodb.ErrNotFound
		case len(pieces) == 1:
			o.Value = pieces[0]
		case len(pieces) > 1:
			var err error
			if o.Value, err = join(i, pieces); err != nil {
				o.Err = err
			}
		}
	}
	return all, nil
}

// manyHere asks blocks for several keys. What is missing of one is missing of all.
func manyHere(keys []tempodb.Key, get func(tempodb.Key) ([]byte, error)) ([][]byte, error) {
	values := make([][]byte, len(keys))
	var missing []error
	for i, o := range eachKey(keys, get) {
		var partial *tempodb.PartialError
		switch values[i] = o.Value; {
		case o.Err == nil || errors.Is(o.Err, tempodb.ErrNotFound):
		case errors.As(o.Err, &partial):
			missing = append(missing, partial.Parts...)
		default:
			return nil, o.Err
		}
	}
	if len(missing) > 0 {
		return values, &tempodb.PartialError{Parts: missing}
	}
	return values, nil
}

// Get implements tempodb.Database.
func (sp *spread) Get(ctx context.Context, dst []byte, key tempodb.Key) ([]byte, error) {
	all, err := sp.GetMany(ctx, []tempodb.Key{key})
	if err != nil {
		return dst, err
	}
	return append(dst, all[0].Value...), all[0].Err
}

// Summary implements tempodb.Database.
func (sp *spread) Summary(ctx context.Context, dst []byte, key tempodb.Key) ([]byte, error) {
	all, err := sp.SummaryMany(ctx, []tempodb.Key{key})
	if err != nil {
		return dst, err
	}
	return append(dst, all[0].Value...), all[0].Err
}

// Search implements tempodb.Database.
func (sp *spread) Search(ctx context.Context, q *index.Query) ([]index.Hit, error) {
	lists, err := askBlocks(ctx, sp, part[[]index.Hit]{
		func(ctx context.Context, c *querier.Client, ids []block.ID) ([]index.Hit, error) {
			return c.Search(ctx, sp.tenant, ids, q)
		},
		func(ctx context.Context, db *tempodb.Blocks) ([]index.Hit, error) { return db.Search(ctx, q) },
	})
	return index.MergeHits(q.Limit, lists...), err
}

// Terms implements tempodb.Database.
func (sp *spread) Terms(ctx context.Context, field, prefix []byte) ([]string, error) {
	lists, err := askBlocks(ctx, sp, part[[]string]{
		func(ctx context.Context, c *querier.Client, ids []block.ID) ([]string, error) {
			return c.Terms(ctx, sp.tenant, ids, field, prefix)
		},
		func(ctx context.Context, db *tempodb.Blocks) ([]string, error) { return db.Terms(ctx, field, prefix) },
	})
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all), err
}

// EachSummary implements tempodb.Database. It is not spread: it reads columns of summaries only, and what a trace has in another block tells whether it is asked for.
func (sp *spread) EachSummary(ctx context.Context, starts index.Range, fn func(key tempodb.Key, summary []byte) error) error {
	return sp.reader.EachSummary(ctx, starts, fn)
}
