package ring

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cortexproject/cortex/pkg/ring"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"
)

// places says which instances keep a token: its index is the token.
type places [][]ring.InstanceDesc

func (p places) Get(key uint32, _ ring.Operation, descs []ring.InstanceDesc, _ []string, _ map[string]int) (ring.ReplicationSet, error) {
	return ring.ReplicationSet{Instances: append(descs, p[key]...)}, nil
}

var (
	errGone = status.Error(codes.Unavailable, "gone")
	errFull = status.Error(codes.ResourceExhausted, "full")
	errBad  = status.Error(codes.InvalidArgument, "bad")
	errOdd  = status.Error(codes.Internal, "odd")
	// errNever is of some tokens.
	errNever = status.Error(codes.ResourceExhausted, "never")
)

// A Batch ends with the push that decides it: the first after which all tokens have a quorum, or one can't have it any more.
func TestABatchEndsWhenItIsDecided(t *testing.T) {
	t.Parallel()
	rank := map[error]int{errBad: 3, errFull: 2, errOdd: 1, errGone: 0}
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Replication: rapid.SampledFrom([]int{1, 3}).Draw(t, "replication"), Zones: rapid.Bool().Draw(t, "zones")}
		quorum := c.Replication/2 + 1
		instances := make([]ring.InstanceDesc, rapid.IntRange(3, 7).Draw(t, "instances"))
		for i := range instances {
			instances[i] = ring.InstanceDesc{Addr: fmt.Sprint(i), Zone: rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "zone")}
		}
		where := make(places, rapid.IntRange(1, 20).Draw(t, "tokens"))
		tokens := make([]uint32, len(where))
		for i := range where {
			tokens[i] = uint32(i)
			where[i] = rapid.Permutation(instances).Draw(t, "place")[:rapid.IntRange(quorum, c.Replication).Draw(t, "healthy")]
		}
		outcome, refuses := make(map[string]error), make(map[string][]int)
		for _, i := range instances {
			outcome[i.Addr] = rapid.SampledFrom([]error{nil, nil, nil, errGone, errFull, errBad, errOdd, errNever, errNever}).Draw(t, "outcome")
			if outcome[i.Addr] == errNever {
				refuses[i.Addr] = rapid.SliceOfDistinct(rapid.IntRange(0, len(where)-1), rapid.ID).Draw(t, "refused")
			}
		}
		// What an instance does with a token: take it (nil), refuse it, or fail.
		does := func(address string, token int) error {
			if err := outcome[address]; err != errNever || slices.Contains(refuses[address], token) {
				return err
			}
			return nil
		}

		// The model counts the tokens' distinct replicas, or their zones, anew after each push.
		eligible := make([][]string, len(where))
		possible := true
		for i, set := range where {
			var zones []string
			for _, desc := range set {
				if !c.Zones || !slices.Contains(zones, desc.Zone) {
					eligible[i], zones = append(eligible[i], desc.Addr), append(zones, desc.Zone)
				}
			}
			possible = possible && len(eligible[i]) >= quorum
		}
		b, err := newBatch(where, c, tokens)
		if (err == nil) != possible {
			t.Fatalf("a batch of which some tokens have too few replicas is %v: %v", !possible, err)
		}
		if err != nil {
			return
		}
		asked := make(map[string][]int)
		for i := range b.pushes {
			if _, again := asked[b.pushes[i].To.Address]; again {
				t.Fatal("an instance is asked twice")
			}
			asked[b.pushes[i].To.Address] = b.pushes[i].Indexes
		}
		for i, set := range eligible {
			for address, indexes := range asked {
				if slices.Contains(indexes, i) != slices.Contains(set, address) {
					t.Fatalf("token %d, of %v, is wrongly sent or not to %s", i, set, address)
				}
			}
		}
		ended := make(map[string]bool)
		var failed []error
		var wasRefused []int
		for _, n := range rapid.Permutation(indexesOf(b.pushes)).Draw(t, "order") {
			p := &b.pushes[n]
			wasOver := b.over
			switch err := outcome[p.To.Address]; {
			case err == errNever:
				of := []int{}
				for place, token := range p.Indexes {
					if does(p.To.Address, token) != nil {
						of = append(of, place)
					}
				}
				p.Refuse(err, of)
			default:
				p.End(err)
				if err != nil && !wasOver {
					failed = append(failed, err)
				}
			}
			if wasOver {
				continue
			}
			ended[p.To.Address] = true
			taken, lost := 0, 0
			var refused []int
			for i, set := range eligible {
				has, may, failures := 0, 0, 0
				for _, address := range set {
					err := does(address, i)
					if !ended[address] || err == nil {
						may++
					}
					if ended[address] && err == nil {
						has++
					}
					if ended[address] && err != nil && err != errNever {
						failures++
					}
				}
				switch {
				case has >= quorum:
					taken++
				case may < quorum && slices.Contains(wasRefused, i), may < quorum && failures == 0: // who fails after it was refused changes nothing
					refused = append(refused, i)
				case may < quorum:
					lost++
				}
			}
			wasRefused = refused
			if decided := taken+len(refused) == len(where) || lost > 0; b.over != decided {
				t.Fatalf("of %d tokens %d have a quorum, %d are refused and %d can't have it: decided is %v", len(where), taken, len(refused), lost, b.over)
			}
			if !b.over {
				continue
			}
			got := b.run(context.Background(), func(*Push) {})
			if lost == 0 {
				var refusal *RefusedError
				if len(refused) == 0 && got != nil {
					t.Fatalf("taken, and yet %v", got)
				} else if len(refused) > 0 && (!errors.As(got, &refusal) || !slices.Equal(refusal.Tokens, refused) || !errors.Is(got, errNever)) {
					t.Fatalf("%v are refused, and it is told that %v", refused, got)
				}
				continue
			}
			for _, err := range failed {
				if got == nil || rank[got] < rank[err] {
					t.Fatalf("%v is returned, where one was %v", got, err)
				}
			}
			if !slices.Contains(failed, got) {
				t.Fatalf("%v was returned by no push", got)
			}
		}
		if !b.over {
			t.Fatal("all pushes ended and the batch did not")
		}
	})
}

func indexesOf(pushes []Push) []int {
	all := make([]int, len(pushes))
	for i := range all {
		all[i] = i
	}
	return all
}

func TestPushesOfABatchMayEndAtOnceAndAfterIt(t *testing.T) {
	t.Parallel()
	three := []ring.InstanceDesc{{Addr: "1"}, {Addr: "2"}, {Addr: "3"}}
	where := places{three, three}
	for range 200 {
		b, err := newBatch(where, Config{Replication: 3}, []uint32{0, 1})
		if err != nil {
			t.Fatal(err)
		}
		late := make(chan *Push, 3)
		slow := rand.N(3)
		err = b.run(t.Context(), func(p *Push) {
			switch at := int(p.To.Address[0] - '1'); {
			case at == slow:
				late <- p
			case at == (slow+1)%3:
				p.End(nil)
			default:
				go p.End(nil)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		(<-late).End(errGone)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b, err := newBatch(where, Config{Replication: 3}, []uint32{0})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.run(ctx, func(*Push) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a batch that is given up: %v", err)
	}
	b, err = newBatch(where, Config{Replication: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.run(ctx, func(*Push) {}); err != nil {
		t.Errorf("a batch of nothing: %v", err)
	}
}

func BenchmarkBatch(b *testing.B) {
	three := []ring.InstanceDesc{{Addr: "10.0.0.1:1"}, {Addr: "10.0.0.2:1"}, {Addr: "10.0.0.3:1"}}
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprintf("tokens=%d", n), func(b *testing.B) {
			where, tokens := make(places, n), make([]uint32, n)
			for i := range where {
				where[i], tokens[i] = three, uint32(i)
			}
			b.ReportAllocs()
			for b.Loop() {
				batch, err := newBatch(where, Config{Replication: 3}, tokens)
				if err != nil {
					b.Fatal(err)
				}
				if err := batch.run(b.Context(), func(p *Push) { p.End(nil) }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
