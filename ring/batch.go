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

// Refusal is an error of a push, or of a Batch, that concerns some of the tokens only. The others are taken.
type Refusal struct {
	// Indexes are those of the tokens in the batch.
	Indexes []int
	// Err says why, of one of them.
	Err error
}

// Error says how many are refused, and why.
func (r *Refusal) Error() string { return fmt.Sprintf("%d refused: %v", len(r.Indexes), r.Err) }

// Unwrap returns the reason.
func (r *Refusal) Unwrap() error { return r.Err }

// write is the operation of a push: on ACTIVE instances; where a replica is not ACTIVE, the next in the ring stands in for it.
var write = ring.Write

// Batch calls push once for each instance that is a replica of some of the tokens, concurrently, with the indexes of its tokens. It returns nil as soon
// as each token was taken by a write quorum of its replicas: more than half of them.
//
// Where push returns a *Refusal, its replica has taken the tokens that it does not name. If at the end all tokens but some that were refused have their
// quorum, Batch returns a *Refusal that names these. Any other error says nothing of single tokens; it is one that push returned, the most telling: one that
// blames the request before one that blames the instance. Where too few replicas are there to try, it is Unavailable.
//
// Calls of push may go on after Batch has returned, so push must not use ctx's end as a reason to stop; done is called once, when none goes on.
func (r *Ring) Batch(ctx context.Context, tokens []uint32, push func(to Instance, indexes []int) error, done func()) error {
	b := batch{tokens: make([]tally, len(tokens)), open: len(tokens), decided: make(chan struct{})}
	if err := b.share(r.ring, tokens); err != nil {
		done()
		return status.Errorf(codes.Unavailable, "ring %s: %v", r.config.Name, err)
	}
	return b.run(ctx, push, done)
}

// batch is a Batch under way. Cortex's ring.DoBatch is not used: of a token that a third replica takes it thinks that one more token has its quorum, so with
// more instances than replicas it calls a batch done of which nobody has some tokens.
type batch struct {
	shares []share

	mu      sync.Mutex
	tokens  []tally
	open    int // tokens of which it is not decided whether they are taken
	going   int // pushes
	refused []int
	why     error // of the refused
	worst   error // the most telling of the others
	over    bool
	decided chan struct{} // closed when over
}

// share is what one instance has to take.
type share struct {
	to      Instance
	indexes []int
}

// tally is how a token stands.
type tally struct {
	needs   int // how many replicas must still take it
	bears   int // how many may still fail
	refused bool
}

// replicas finds the instances that keep a token. ring.Ring is one.
type replicas interface {
	Get(key uint32, op ring.Operation, bufDescs []ring.InstanceDesc, bufHosts []string, bufZones map[string]int) (ring.ReplicationSet, error)
}

// share lists who has to take which tokens.
func (b *batch) share(r replicas, tokens []uint32) error {
	var (
		descs [ring.GetBufferSize]ring.InstanceDesc
		hosts [ring.GetBufferSize]string
		zones = make(map[string]int, ring.GetZoneSize)
		byAt  = make(map[string]int)
	)
	for i, token := range tokens {
		set, err := r.Get(token, write, descs[:0], hosts[:0], zones)
		if err != nil {
			return err
		}
		b.tokens[i] = tally{needs: len(set.Instances) - set.MaxErrors, bears: set.MaxErrors}
		for j := range set.Instances {
			desc := &set.Instances[j]
			n, known := byAt[desc.Addr]
			if !known {
				n = len(b.shares)
				byAt[desc.Addr] = n
				b.shares = append(b.shares, share{to: instance("", desc)})
			}
			b.shares[n].indexes = append(b.shares[n].indexes, i)
		}
	}
	return nil
}

func (b *batch) run(ctx context.Context, push func(to Instance, indexes []int) error, done func()) error {
	if b.going = len(b.shares); b.going == 0 {
		done()
		return nil
	}
	for i := range b.shares {
		go func(s *share) {
			if b.record(s, push(s.to, s.indexes)) {
				done()
			}
		}(&b.shares[i])
	}
	select {
	case <-b.decided:
	case <-ctx.Done():
		return ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.open > 0:
		return b.worst
	case len(b.refused) > 0:
		slices.Sort(b.refused)
		return &Refusal{Indexes: slices.Clone(b.refused), Err: b.why}
	}
	return nil
}

// record counts how a push ended, and reports whether it was the last.
func (b *batch) record(s *share, err error) (last bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	refusal, partial := err.(*Refusal) //nolint:errorlint // the push's own, not one that came to it from below
	switch {
	case partial:
		b.why = refusal.Err
		for _, i := range refusal.Indexes {
			b.tokens[i].refused = true
			b.failed(i)
		}
	case err != nil:
		if b.worst == nil || telling(err) > telling(b.worst) {
			b.worst = err
		}
	}
	for _, i := range s.indexes {
		switch {
		case partial && slices.Contains(refusal.Indexes, i):
		case partial || err == nil:
			b.took(i)
		default:
			b.failed(i)
		}
	}
	if b.open == 0 {
		b.end()
	}
	b.going--
	return b.going == 0
}

// took and failed see a token cross its line once: of as many outcomes as there are replicas, only one of needs and bears can run out.
func (b *batch) took(i int) {
	if b.tokens[i].needs--; b.tokens[i].needs == 0 {
		b.open--
	}
}

func (b *batch) failed(i int) {
	t := &b.tokens[i]
	if t.bears--; t.bears != -1 {
		return
	}
	if !t.refused {
		b.end() // with worst
		return
	}
	b.refused = append(b.refused, i)
	b.open--
}

func (b *batch) end() {
	if !b.over {
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
