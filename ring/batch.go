package ring

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/cortexproject/cortex/pkg/ring"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Push is what one instance has to take of a batch.
type Push struct {
	To Instance
	// Indexes are those of its tokens in the batch. Pushes may share them.
	Indexes []int

	batch *batch
}

// End says how the push ended: nil if To has taken all of its tokens. It, or Refuse, must be called once, and does not wait.
func (p *Push) End(err error) { p.batch.record(p, err, nil) }

// Refuse says that the push ended and that To will never take some of its tokens, because of what came with them; it has taken the others. of are their places in
// Indexes, in ascending order.
func (p *Push) Refuse(err error, of []int) { p.batch.record(p, err, of) }

// RefusedError says that a write quorum of a batch's tokens has all but some, which so many of their replicas refuse that they can have none.
type RefusedError struct {
	// Tokens are their indexes in the batch, in ascending order.
	Tokens []int
	// Err is why the first replica that refused some did.
	Err error
}

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// Batch calls push once for each instance that is a replica of some of the tokens. It returns nil as soon as each token was taken by a write quorum of
// its replicas: more than half of as many as the ring keeps, no two of them in one zone if zones count. An error is one that a push ended with, the most
// telling: one that blames what was pushed before one that blames the instance. Where too few replicas are there to try, it is Unavailable. A *RefusedError
// comes when all tokens that it does not name have their quorum: a token whose replicas have partly failed, and partly refused it, may be tried again.
//
// push should not wait, but see to it that the Push ends. Pushes may go on after Batch has returned, at the end of ctx and otherwise.
func (r *Ring) Batch(ctx context.Context, tokens []uint32, push func(*Push)) error {
	b, err := newBatch(r.ring, r.config, tokens)
	if err != nil {
		return status.Errorf(codes.Unavailable, "ring %s: %v", r.config.Name, err)
	}
	return b.run(ctx, push)
}

// batch is a Batch under way. Cortex's ring.DoBatch is not used: of a token that a third replica takes it thinks that one more token has its quorum, so with
// more instances than replicas it calls a batch done of which nobody has some tokens.
type batch struct {
	pushes []Push

	mu      sync.Mutex
	tokens  []tally
	open    int   // tokens that are neither taken by a quorum nor refused
	lost    bool  // one can have no quorum, and was not refused
	worst   error // the most telling that a push ended with
	refused RefusedError
	over    bool
	decided chan struct{} // closed when over
}

// tally is how a token stands.
type tally struct {
	needs  int  // how many replicas must still take it
	bears  int  // how many may still not
	failed bool // one did not, and did not refuse it either
}

// replicas finds the instances that keep a token. ring.Ring is one.
type replicas interface {
	Get(key uint32, op ring.Operation, bufDescs []ring.InstanceDesc, bufHosts []string, bufZones map[string]int) (ring.ReplicationSet, error)
}

// write is the operation of a push: on ACTIVE instances; where a replica is not ACTIVE, the next in the ring stands in for it.
var write = ring.Write

// newBatch lists who has to take which tokens.
func newBatch(r replicas, c Config, tokens []uint32) (*batch, error) {
	b := &batch{tokens: make([]tally, len(tokens)), pushes: make([]Push, 0, c.Replication), open: len(tokens), decided: make(chan struct{})}
	quorum := c.Replication/2 + 1
	m := scratches.Get().(*scratch)
	defer scratches.Put(m)
	defer clear(m.pushes)
	for i, token := range tokens {
		set, err := r.Get(token, write, m.descs[:0], m.hosts[:0], m.zones)
		if err != nil {
			return nil, err
		}
		if c.Zones {
			set.Instances = oneOfEachZone(set.Instances)
		}
		if len(set.Instances) < quorum {
			return nil, fmt.Errorf("%d replicas in different zones are needed, and there are %d", quorum, len(set.Instances))
		}
		b.tokens[i] = tally{needs: quorum, bears: len(set.Instances) - quorum}
		for j := range set.Instances {
			desc := &set.Instances[j]
			n, known := m.pushes[desc.Addr]
			if !known {
				n = len(b.pushes)
				m.pushes[desc.Addr] = n
				b.pushes = append(b.pushes, Push{To: instance("", desc), Indexes: make([]int, 0, len(tokens)-i), batch: b})
			}
			b.pushes[n].Indexes = append(b.pushes[n].Indexes, i)
		}
	}
	return b, nil
}

// scratch is memory for newBatch.
type scratch struct {
	pushes map[string]int // by address
	descs  [ring.GetBufferSize]ring.InstanceDesc
	hosts  [ring.GetBufferSize]string
	zones  map[string]int
}

var scratches = sync.Pool{New: func() any {
	return &scratch{pushes: make(map[string]int), zones: make(map[string]int, ring.GetZoneSize)}
}}

// oneOfEachZone leaves out whom a read would not miss as well: it bears that all of a zone fail. There are several where there are fewer zones than replicas.
func oneOfEachZone(set []ring.InstanceDesc) []ring.InstanceDesc {
	kept := set[:0]
next:
	for _, desc := range set {
		for i := range kept {
			if kept[i].Zone == desc.Zone {
				continue next
			}
		}
		kept = append(kept, desc)
	}
	return kept
}

func (b *batch) run(ctx context.Context, push func(*Push)) error {
	if len(b.tokens) == 0 {
		return nil
	}
	for i := range b.pushes {
		push(&b.pushes[i])
	}
	select {
	case <-b.decided:
	case <-ctx.Done():
		return ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.lost:
		return b.worst
	case len(b.refused.Tokens) > 0:
		slices.Sort(b.refused.Tokens)
		return &b.refused
	default:
		return nil
	}
}

// record is how a push ended: with err for all of its tokens, or only for those at the places refused.
func (b *batch) record(p *Push, err error, refused []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	switch {
	case refused == nil && err != nil && (b.worst == nil || telling(err) > telling(b.worst)):
		b.worst = err
	case refused != nil && b.refused.Err == nil:
		b.refused.Err = err
	}
	// Of as many outcomes as a token has replicas, only one of needs and bears can run out, once.
	partly := refused != nil
	for place, i := range p.Indexes {
		t := &b.tokens[i]
		refuses := len(refused) > 0 && refused[0] == place
		if refuses {
			refused = refused[1:]
		}
		if err == nil || partly && !refuses {
			if t.needs--; t.needs == 0 {
				b.open--
			}
			continue
		}
		t.failed = t.failed || !partly
		switch t.bears--; {
		case t.bears != -1:
		case t.failed:
			b.lost = true
		default:
			b.open--
			b.refused.Tokens = append(b.refused.Tokens, i)
		}
	}
	if b.open == 0 || b.lost {
		b.over = true
		close(b.decided)
	}
}

// telling orders errors by how much they tell who sent the batch: what is wrong with it, before that it came at a bad time.
func telling(err error) int {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.PermissionDenied, codes.Unauthenticated:
		return 3
	case codes.ResourceExhausted:
		return 2
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown:
		return 0
	default:
		return 1
	}
}
