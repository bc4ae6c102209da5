package cluster

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/cache"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// Options of a Store. Ring, Pool and Bucket are required.
type Options struct {
	// Ring is that of the ingesters, Pool the connections to them. Both stay the caller's.
	Ring *ring.Ring
	Pool *client.Pool
	// Bucket holds the blocks of all tenants. It should have a cache in front of it (cache.Cache.Over); if it has none it gets one of CacheBytes of memory,
	// see tempodb.ReaderOptions, which all tenants share.
	Bucket     backend.Bucket
	CacheBytes int64
	// Shelf bounds the memory of what is kept open of blocks, of all tenants; nil is one of block.DefaultShelfBytes.
	Shelf *block.Shelf
	// PollEvery is how often the blocks of a tenant are looked up that someone asks about; 30 s if zero. No answer depends on it.
	PollEvery time.Duration
	// Tenants is of how many tenants the blocks are followed at the same time, 1000 if zero; those of others are looked up when someone asks. One
	// about which nobody has asked for Idle, 15 min if zero, is not followed.
	Tenants int
	Idle    time.Duration
	// Queriers are the addresses of processes that the work on blocks is spread over; without any this process does it.
	Queriers []string
	// Questions is how many are answered at the same time, 64 if zero. Others wait.
	Questions int
	// BatchBytes is how many bytes of values of one ingester a question for several keys holds, beside those of its first; 16 MiB if zero. What comes beyond that is
	// asked for once more.
	BatchBytes int
	// Timeout is how long an ingester without which an answer would not be whole is waited for, 10 s if zero; Patience, beside twice what the others took, how
	// long one is without which it is, 25 ms if zero.
	Timeout, Patience time.Duration
	// Logger is told of what goes wrong; nil is silence.
	Logger *slog.Logger
}

// Store is a readpath.Store whose traces are those of all ingesters of a ring and of the blocks in a bucket. It may be used concurrently.
type Store struct {
	options Options
	// readSet and dial are those of the ring and of the pool.
	readSet  func() (*ring.ReadSet, error)
	dial     func(address string) (asked, error)
	cache    *cache.Cache // nil if the bucket's is not this Store's
	queriers *queriers    // nil if there are none
	tenants  tenants
	health   health
	stats    counters
	room     chan struct{} // holds a token for each question

	life   context.Context // of everything that may go on when a question is answered
	end    context.CancelFunc
	mu     sync.Mutex // of closed
	closed bool
	work   sync.WaitGroup // questions and what they have started
}

var _ readpath.Store = (*Store)(nil)

// ErrClosed is returned by questions to a closed Store.
var ErrClosed = errors.New("the store of the cluster is closed")

// New returns a Store. It asks nobody yet.
func New(o Options) (*Store, error) {
	if o.Ring == nil || o.Pool == nil || o.Bucket == nil {
		return nil, errors.New("read path of a cluster: Ring, Pool and Bucket are required")
	}
	return newStore(o, o.Ring.ReadSet, func(address string) (asked, error) { return o.Pool.Client(address) })
}

func newStore(o Options, readSet func() (*ring.ReadSet, error), dial func(string) (asked, error)) (*Store, error) {
	o.PollEvery = cmp.Or(o.PollEvery, 30*time.Second)
	o.Tenants = cmp.Or(o.Tenants, 1000)
	o.Idle = cmp.Or(o.Idle, 15*time.Minute)
	o.Questions = cmp.Or(o.Questions, 64)
	o.BatchBytes = cmp.Or(o.BatchBytes, 16<<20)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Patience = cmp.Or(o.Patience, 25*time.Millisecond)
	if o.Shelf == nil {
		o.Shelf = block.NewShelf(block.DefaultShelfBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{options: o, readSet: readSet, dial: dial, room: make(chan struct{}, o.Questions)}
	if len(o.Queriers) > 0 {
		var err error
		if s.queriers, err = dialQueriers(o.Queriers); err != nil {
			return nil, err
		}
	}
	switch o.Bucket.(type) {
	case *cache.Bucket, *local.Bucket:
	default:
		if o.CacheBytes < 0 {
			break
		}
		var err error
		if s.cache, err = cache.New(cache.Options{MemoryBytes: cmp.Or(o.CacheBytes, tempodb.DefaultCacheBytes), Logger: o.Logger}); err != nil {
			return nil, errors.Join(err, s.queriers.close())
		}
		s.options.Bucket = s.cache.Over(o.Bucket, "")
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.tenants = tenants{store: s, open: make(map[string]*following)}
	s.work.Go(s.tenants.sweepLoop)
	return s, nil
}

// Database returns what can be asked about a tenant. It is never nil: whether something was ever written for it only the questions find out.
func (s *Store) Database(_ context.Context, tenant string) (readpath.Database, error) {
	if err := block.CheckTenant(tenant); err != nil {
		return nil, &tracedb.TenantError{Tenant: tenant, Reason: err.Error()}
	}
	return &database{store: s, tenant: tenant}, nil
}

// enter begins a question, which ends with leave.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	s.work.Add(1)
	s.mu.Unlock()
	select {
	case s.room <- struct{}{}:
	case <-ctx.Done():
		s.work.Done()
		return nil, ctx.Err()
	}
	s.stats.questions.Add(1)
	return func() {
		<-s.room
		s.work.Done()
	}, nil
}

// Close returns when no question is under way, those that are may end with an error.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.work.Wait()
	if again {
		return nil
	}
	s.tenants.close()
	err := s.queriers.close()
	if s.cache != nil {
		err = errors.Join(err, s.cache.Close())
	}
	return err
}
