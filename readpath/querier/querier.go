package querier

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/readpath/querier/querierpb"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// Options of a Querier. Bucket is required.
type Options struct {
	// Bucket holds the blocks of all tenants. It should have a cache in front of it (cache.Cache.Over).
	Bucket backend.Bucket
	// Shelf bounds the memory of what is kept open of blocks; nil is one of block.DefaultShelfBytes.
	Shelf *block.Shelf
	// Blocks is of how many blocks the metas are kept; 10,000 if zero.
	Blocks int
	// Questions is how many are answered at the same time, 32 if zero. Others wait.
	Questions int
	// Logger is told of what goes wrong; nil is silence.
	Logger *slog.Logger
}

// What one question may ask for.
const (
	maxBlocks = 100_000
	maxKeys   = 10_000
	// maxAnswer is about how large a message of an answer becomes.
	maxAnswer = 1 << 20
)

var codec tracedb.Codec

// Querier answers questions.
type Querier struct {
	o    Options
	room chan struct{} // holds a token for each question

	mu     sync.Mutex
	known  map[place]*list.Element
	recent list.List // of *opened, the one that was used last first

	questions, failed, blocks atomic.Int64
}

type place struct {
	tenant string
	id     block.ID
}

type opened struct {
	place
	*block.Block
}

// New returns a Querier. It asks nobody yet.
func New(o Options) (*Querier, error) {
	if o.Bucket == nil {
		return nil, errors.New("querier: Bucket is required")
	}
	if o.Shelf == nil {
		o.Shelf = block.NewShelf(block.DefaultShelfBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Blocks, o.Questions = cmp.Or(o.Blocks, 10_000), cmp.Or(o.Questions, 32)
	return &Querier{o: o, room: make(chan struct{}, o.Questions), known: make(map[place]*list.Element)}, nil
}

// Register has a server answer for q. It needs client.ServerOptions of package writepath/ingester/client.
func (q *Querier) Register(r grpc.ServiceRegistrar) {
	querierpb.RegisterQuerierServer(r, &server{Querier: q})
}

// Stats counts what a Querier has done.
type Stats struct {
	// Questions is what it was asked, Failed of it what it could not answer, Blocks the blocks that were asked for that.
	Questions, Failed, Blocks int64
	// Known is of how many blocks the metas are kept now.
	Known int
}

// Stats returns what the Querier has done so far.
func (q *Querier) Stats() Stats {
	q.mu.Lock()
	known := len(q.known)
	q.mu.Unlock()
	return Stats{Questions: q.questions.Load(), Failed: q.failed.Load(), Blocks: q.blocks.Load(), Known: known}
}

// enter begins a question about blocks, which ends with leave, unless err says that there is none.
func (q *Querier) enter(ctx context.Context, of *querierpb.Blocks) (db *tempodb.Blocks, leave func(*error), err error) {
	q.questions.Add(1)
	if db, err = q.admit(ctx, of); err != nil {
		q.failed.Add(1)
		return nil, nil, explain(err)
	}
	return db, func(err *error) {
		<-q.room
		if *err != nil {
			q.failed.Add(1)
			*err = explain(*err)
		}
	}, nil
}

// admit waits until there is room for a question, which it takes, and opens the blocks. After an error it has no room.
func (q *Querier) admit(ctx context.Context, of *querierpb.Blocks) (*tempodb.Blocks, error) {
	if err := block.CheckTenant(of.GetTenant()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	const idBytes = len(ulid.ULID{})
	ids := of.GetIds()
	if len(ids)%idBytes != 0 || len(ids) > maxBlocks*idBytes {
		return nil, status.Errorf(codes.InvalidArgument, "IDs of blocks of %d bytes: each takes %d, and %d may be asked at once", len(ids), idBytes, maxBlocks)
	}
	select {
	case q.room <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	blocks := make([]*block.Block, len(ids)/idBytes)
	errs := make([]error, len(blocks))
	inParallel(len(blocks), func(i int) {
		blocks[i], errs[i] = q.block(ctx, place{of.GetTenant(), block.ID(ulid.ULID(ids[i*idBytes:]).String())})
	})
	if err := errors.Join(errs...); err != nil {
		<-q.room
		return nil, err
	}
	q.blocks.Add(int64(len(blocks)))
	return tempodb.NewBlocks(codec, blocks), nil
}

// block returns a block, of which it reads the meta if it does not know it.
func (q *Querier) block(ctx context.Context, at place) (*block.Block, error) {
	q.mu.Lock()
	if e := q.known[at]; e != nil {
		q.recent.MoveToFront(e)
		q.mu.Unlock()
		return e.Value.(*opened).Block, nil
	}
	q.mu.Unlock()
	b, err := block.Open(ctx, q.o.Bucket, at.tenant, at.id, codec)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.known[at]; e != nil { // another question was faster
		return e.Value.(*opened).Block, nil
	}
	b.KeepOn(q.o.Shelf)
	q.known[at] = q.recent.PushFront(&opened{at, b})
	for len(q.known) > q.o.Blocks {
		oldest := q.recent.Remove(q.recent.Back()).(*opened)
		delete(q.known, oldest.place)
		oldest.Release()
	}
	return b, nil
}

// forget lets blocks go that turned out to be no more.
func (q *Querier) forget(tenant string, ids []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ; len(ids) > 0; ids = ids[len(ulid.ULID{}):] {
		at := place{tenant, block.ID(ulid.ULID(ids).String())}
		if e := q.known[at]; e != nil {
			delete(q.known, at)
			q.recent.Remove(e).(*opened).Release()
		}
	}
}

// explain gives an error the status that it has for who asked.
func explain(err error) error {
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, backend.ErrNotExist):
		return status.Error(codes.NotFound, err.Error())
	case page.IsCorrupt(err):
		return status.Error(codes.DataLoss, err.Error())
	}
	return status.Error(codes.Unavailable, fmt.Sprintf("querier: %v", err))
}

// inParallel calls fn with 0 to n-1, some of them at the same time.
func inParallel(n int, fn func(i int)) {
	const most = 16
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, most) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	workers.Wait()
}

// parseQuery reads a query from another process.
func parseQuery(b []byte) (*index.Query, error) {
	q, err := index.ParseQuery(b, tracedb.CompilePattern)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "search: %v", err)
	}
	return q, nil
}
