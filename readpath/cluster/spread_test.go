package cluster

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"google.golang.org/grpc"

	"github.com/jaeger-tempo/tempo/readpath/querier"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// serveQuerier returns the address of a querier, and what ends it.
func serveQuerier(t testing.TB, bucket backend.Bucket) (q *querier.Querier, address string, stop func()) {
	t.Helper()
	q, err := querier.New(querier.Options{Bucket: bucket, Blocks: 5})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(client.ServerOptions()...)
	q.Register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	stop = func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		served <- nil
	}
	t.Cleanup(stop)
	return q, l.Addr().String(), stop
}

// Answers do not depend on who reads which blocks: queriers, this process, or some of each.
func TestAnswersOfQueriersAreThoseOfANaiveModel(t *testing.T) {
	var spread, fallbacks, asked int64 // of all seeds: which querier a block goes to is by chance, and blocks are few
	for seed := range uint64(5) {
		pick := picker(seed)
		c := newCluster(t.TempDir(), 0)
		one, first, _ := serveQuerier(t, c.bucket)
		_, second, stop := serveQuerier(t, c.bucket)
		s := mustOpen(t, c, Options{Queriers: []string{first, second}})
		for step := range 12 {
			for range 6 {
				c.write(pick(6), c.drawSpan(pick))
			}
			r := c.replicas[pick(3)]
			if err := c.upload(t.Context(), r, func() bool { return pick(4) > 0 }); err != nil {
				t.Fatal(err)
			}
			r.drop()
			switch step {
			case 6:
				stop()
			case 4, 9: // blocks vanish that queriers know
				if err := c.compact(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if step%3 == 2 {
				if err := naive(c.spans).check(t.Context(), s, pick); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
		if one.Stats().Known > 5 {
			t.Errorf("%+v, %+v", s.Stats(), one.Stats())
		}
		spread, fallbacks, asked = spread+s.Stats().Spread, fallbacks+s.Stats().Fallbacks, asked+one.Stats().Questions
	}
	if spread == 0 || fallbacks == 0 || asked == 0 {
		t.Errorf("%d questions were spread, %d fell back, %d came to the querier that lives", spread, fallbacks, asked)
	}
}

func TestAQuerierKeepsItsBlocksWhereAnotherComes(t *testing.T) {
	var addresses []string
	for i := range 5 {
		addresses = append(addresses, fmt.Sprintf("10.0.0.%d:17272", i))
	}
	few, err := dialQueriers(addresses[:4])
	if err != nil {
		t.Fatal(err)
	}
	more, err := dialQueriers(addresses)
	if err != nil {
		t.Fatal(err)
	}
	const blocks = 2000
	moved, most := 0, map[string]int{}
	for range blocks {
		id := block.NewID()
		before, after := few.of(id).Address(), more.of(id).Address()
		if before != after {
			moved++
			if after != addresses[4] {
				t.Fatalf("block %s goes from %s to %s", id, before, after)
			}
		}
		most[after]++
	}
	if moved < blocks/8 || moved > blocks/3 {
		t.Errorf("%d of %d blocks moved", moved, blocks)
	}
	for address, n := range most {
		if n < blocks/8 || n > blocks/3 {
			t.Errorf("%s has %d of %d blocks", address, n, blocks)
		}
	}
	if err := errors.Join(few.close(), more.close()); err != nil {
		t.Error(err)
	}
}
