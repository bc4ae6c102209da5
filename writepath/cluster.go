package writepath

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// ClusterOptions of a Cluster. None is required.
type ClusterOptions struct {
	// QueueBytes bounds what waits for one ingester, and what all Appends that go on have together; 32 MiB if zero. One Append may have more.
	QueueBytes int
	// PushTimeout is how long an ingester may take for a push until it counts as failed; 10 s if zero.
	PushTimeout time.Duration
	// RetryFor is for how long an Append tries again while too few ingesters can be reached; 10 s if zero. Its context may end it sooner.
	RetryFor time.Duration
}

// Cluster is a Store on other machines: each entry is appended by the ingesters that the ring names for it. Its methods may be called concurrently.
type Cluster struct {
	ring  *ring.Ring
	pool  *client.Pool
	opts  ClusterOptions
	room  *semaphore.Weighted // bytes of Appends
	stats stats

	ctx    context.Context // of pushes: they outlive the Append that they are for
	cancel context.CancelFunc
	going  sync.WaitGroup // goroutines of lanes

	mu     sync.Mutex
	lanes  map[string]*lane // by address; those with something to do
	closed bool
}

// NewCluster returns a Cluster of the ingesters in r. It closes neither r nor pool.
func NewCluster(r *ring.Ring, pool *client.Pool, o ClusterOptions) *Cluster {
	if o.QueueBytes <= 0 {
		o.QueueBytes = 32 << 20
	}
	if o.PushTimeout <= 0 {
		o.PushTimeout = 10 * time.Second
	}
	if o.RetryFor <= 0 {
		o.RetryFor = 10 * time.Second
	}
	c := &Cluster{ring: r, pool: pool, opts: o, room: semaphore.NewWeighted(int64(o.QueueBytes)), lanes: make(map[string]*lane)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Append implements Store. It returns nil when more than half of the replicas of each entry have logged it. An error is a gRPC status, which may say when to try again
// (client.RetryAfter), or the context's: then, too, some entries may be stored.
//
// While too few ingesters can be reached it tries again for a while, since the ring may be about to name others.
func (c *Cluster) Append(ctx context.Context, tenant string, entries []tempodb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	size := 0
	tokens := make([]uint32, len(entries))
	for i := range entries {
		size += len(entries[i].Value)
		tokens[i] = ring.Token(tenant, entries[i].Key)
	}
	room := int64(min(size, c.opts.QueueBytes))
	if err := c.room.Acquire(ctx, room); err != nil {
		return err
	}
	defer c.room.Release(room)

	var whole client.Group // of who takes all entries, most often each of them
	push := func(p *ring.Push) {
		if len(p.Indexes) < len(entries) {
			c.enqueue(p, client.NewGroup(tenant, entries, p.Indexes...))
			return
		}
		if whole.Size() == 0 {
			whole = client.NewGroup(tenant, entries)
		}
		c.enqueue(p, whole)
	}
	deadline := time.Now().Add(c.opts.RetryFor)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := c.ring.Batch(ctx, tokens, push)
		if err == nil {
			return nil
		}
		var refused *ring.RefusedError
		if errors.As(err, &refused) {
			return &client.RefusedError{Entries: refused.Tokens, Err: refused.Err}
		}
		if status.Code(err) != codes.Unavailable || c.ctx.Err() != nil || time.Now().Add(wait).After(deadline) {
			return err
		}
		c.stats.retries.Add(1)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// Close lets pushes end that go on, for a second, and then ends them: every Append returns. More are refused.
func (c *Cluster) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	timer := time.AfterFunc(time.Second, c.cancel)
	defer timer.Stop()
	c.going.Wait()
	c.cancel()
	return nil
}

// ClusterStats counts what a Cluster did.
type ClusterStats struct {
	// Pushes were sent to ingesters, with Groups of Appends and Bytes in them; FailedPushes of them ended with an error of the whole.
	Pushes, Groups, Bytes, FailedPushes int64
	// Refused groups were not sent, since too much waited for their ingester.
	Refused int64
	// Retries of Appends.
	Retries int64
}

type stats struct{ pushes, groups, bytes, failed, refused, retries atomic.Int64 }

// Stats returns the counts since the Cluster was made.
func (c *Cluster) Stats() ClusterStats {
	s := &c.stats
	return ClusterStats{
		Pushes: s.pushes.Load(), Groups: s.groups.Load(), Bytes: s.bytes.Load(), FailedPushes: s.failed.Load(),
		Refused: s.refused.Load(), Retries: s.retries.Load(),
	}
}
