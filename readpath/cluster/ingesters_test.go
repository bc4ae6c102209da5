package cluster

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/writepath/ingester"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// realCluster is three ingesters as they are, each behind a server of its own.
type realCluster struct {
	t     testing.TB
	dir   string
	keep  time.Duration
	store backend.Bucket
	pool  *client.Pool
	nodes []*realNode
}

type realNode struct {
	address  string
	ingester *ingester.Ingester
	server   *grpc.Server
	served   chan error
}

func newRealCluster(t testing.TB, store backend.Bucket, keep time.Duration) *realCluster {
	c := &realCluster{t: t, dir: t.TempDir(), keep: keep, store: store, pool: client.NewPool(client.Options{})}
	for range 3 {
		c.nodes = append(c.nodes, new(realNode))
	}
	for i := range c.nodes {
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.kill(i)
		}
		if err := c.pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// start starts a node where it was before.
func (c *realCluster) start(i int) {
	c.t.Helper()
	n := c.nodes[i]
	if n.ingester != nil {
		return
	}
	var err error
	n.ingester, err = ingester.Open(c.t.Context(), ingester.Options{
		Dir: filepath.Join(c.dir, fmt.Sprint(i)), Instance: fmt.Sprint("ingester-", i), Blocks: c.store, Keep: c.keep, Sync: wal.SyncNever, Reserve: 1, Tick: 2 * time.Millisecond,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if n.address == "" {
		n.address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", n.address)
	if err != nil {
		c.t.Fatal(err)
	}
	n.address = l.Addr().String()
	n.server, n.served = grpc.NewServer(client.ServerOptions()...), make(chan error, 1)
	n.ingester.Register(n.server)
	go func() { n.served <- n.server.Serve(l) }()
	// The pool may have learnt that nobody is there; until it tries again the node is as good as dead.
	err = errRefused
	for err != nil {
		to, dialErr := c.pool.Client(n.address)
		if dialErr != nil {
			c.t.Fatal(dialErr)
		}
		if _, err = to.Terms(c.t.Context(), tenant, nil, nil, func([]byte) error { return nil }); err != nil && status.Code(err) != codes.Unavailable {
			c.t.Fatal(err)
		}
	}
}

// kill ends a node.
func (c *realCluster) kill(i int) {
	n := c.nodes[i]
	if n.ingester == nil {
		return
	}
	n.server.Stop()
	if err := <-n.served; err != nil {
		c.t.Error(err)
	}
	if err := n.ingester.Close(); err != nil {
		c.t.Error(err)
	}
	n.ingester = nil
}

func (c *realCluster) readSet() (*ring.ReadSet, error) {
	set := &ring.ReadSet{Replication: 3}
	for _, n := range c.nodes {
		set.Ask = append(set.Ask, ring.Instance{Address: n.address})
	}
	return set, nil
}

func (c *realCluster) open(o Options) *Store {
	c.t.Helper()
	o.Bucket = c.store
	s, err := newStore(o, c.readSet, func(address string) (asked, error) { return c.pool.Client(address) })
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			c.t.Error(err)
		}
	})
	return s
}

// push has the nodes but one store spans.
func (c *realCluster) push(but int, entries []tempodb.Entry) {
	c.t.Helper()
	for i, n := range c.nodes {
		if i == but || n.ingester == nil {
			continue
		}
		to, err := c.pool.Client(n.address)
		if err != nil {
			c.t.Fatal(err)
		}
		outcomes, err := to.Push(c.t.Context(), []client.Group{client.NewGroup(tenant, entries)})
		if err != nil || outcomes != nil {
			c.t.Fatalf("%s: %v, %v", n.address, outcomes, err)
		}
	}
}

// The same as with the naive replicas: now blocks are cut, copied and dropped by who does it in truth, and a node that was killed replays its log.
func TestAnswersOfRealIngestersAreThoseOfANaiveModel(t *testing.T) {
	for seed := range uint64(6) {
		pick := picker(seed)
		model := newCluster(t.TempDir(), 0) // for its spans
		c := newRealCluster(t, model.bucket, []time.Duration{time.Millisecond, time.Hour}[seed%2])
		s := c.open(Options{PollEvery: time.Hour})
		down := -1
		for range 25 {
			switch pick(6) {
			case 0, 1, 2:
				var spans []span
				var entries []tempodb.Entry
				for range 1 + pick(5) {
					one := model.drawSpan(pick)
					spans = append(spans, one)
					entries = append(entries, tempodb.Entry{Key: one.key(), Value: one.value()})
				}
				but := down
				if down < 0 {
					but = pick(4)
				}
				c.push(but, entries)
				model.spans = append(model.spans, spans...)
			case 3:
				if n := c.nodes[pick(3)].ingester; n != nil {
					if err := n.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			case 4:
				if down >= 0 {
					c.start(down)
				}
				if down = pick(4) - 1; down >= 0 {
					c.kill(down)
				}
			case 5:
				if err := naive(model.spans).check(t.Context(), s, pick); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
		if err := naive(model.spans).check(t.Context(), s, pick); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
