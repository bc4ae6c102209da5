package writepath_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/writepath"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

// Rings take seconds to stand, in which nothing is to be done: tests don't wait for each other's.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// memory is an ingester that keeps what is pushed in memory.
type memory struct {
	ingesterpb.UnimplementedIngesterServer
	address string
	stop    func()                                 // kills it
	before  atomic.Pointer[func(pushes int) error] // called with each push, before anything of it is kept

	mu     sync.Mutex
	pushes int
	values map[string][]byte // by tenant and key
}

func (m *memory) Push(_ context.Context, r *ingesterpb.PushRequest) (*ingesterpb.PushResponse, error) {
	m.mu.Lock()
	m.pushes++
	n := m.pushes
	m.mu.Unlock()
	if before := m.before.Load(); before != nil {
		if err := (*before)(n); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	answer := new(ingesterpb.PushResponse)
	for _, g := range r.Groups {
		if g.Tenant == "partly" {
			outcome := new(ingesterpb.Outcome)
			for i, value := range g.Values {
				if bytes.Contains(value, []byte("[13 ")) {
					outcome.Code, outcome.Message, outcome.Refused = uint32(codes.InvalidArgument), "unlucky", append(outcome.Refused, uint32(i))
				} else {
					m.values[g.Tenant+string(g.Keys[16*i:16*i+16])] = value
				}
			}
			answer.Outcomes = append(answer.Outcomes, outcome)
			continue
		}
		if g.Tenant == "refused" {
			answer.Outcomes = append(answer.Outcomes, &ingesterpb.Outcome{Code: uint32(codes.ResourceExhausted), Message: "too much", RetryAfterMs: 1500})
			continue
		}
		answer.Outcomes = append(answer.Outcomes, &ingesterpb.Outcome{})
		for i, value := range g.Values {
			m.values[g.Tenant+string(g.Keys[16*i:16*i+16])] = value
		}
	}
	return answer, nil
}

// hook lets fn be called before each push.
func (m *memory) hook(fn func(pushes int) error) { m.before.Store(&fn) }

func (m *memory) count() (pushes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pushes
}

func (m *memory) value(tenant string, key tempodb.Key) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[tenant+string(key[:])]
	return v, ok
}

// start returns n ingesters that stand in a ring with a replication of 3, and a Cluster of them.
func start(t testing.TB, n int, o writepath.ClusterOptions) ([]*memory, *writepath.Cluster) {
	t.Helper()
	var all []*memory
	var register []func(grpc.ServiceRegistrar)
	for range n {
		m := &memory{values: make(map[string][]byte)}
		all = append(all, m)
		register = append(register, func(r grpc.ServiceRegistrar) { ingesterpb.RegisterIngesterServer(r, m) })
	}
	servers, c := startRing(t, register, client.Options{}, o)
	for i, s := range servers {
		all[i].address, all[i].stop = s.address, s.stop
	}
	return all, c
}

// server is a gRPC server of an ingester.
type server struct {
	address string
	stop    func()
}

// startRing serves ingesters, which stand in a ring with a replication of 3, and returns a Cluster of them.
func startRing(t testing.TB, register []func(grpc.ServiceRegistrar), po client.Options, o writepath.ClusterOptions) ([]server, *writepath.Cluster) {
	t.Helper()
	config := ring.Config{Name: "ingesters", Replication: 3, Heartbeat: 20 * time.Second, Settle: 50 * time.Millisecond}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func(join ...string) *ring.Store {
		s, err := ring.OpenStore(t.Context(), ring.StoreConfig{Kind: ring.Memberlist, Listen: "127.0.0.1:0", Join: join}, nil, nil)
		check(err)
		return s
	}
	var ends sync.WaitGroup // to leave takes seconds: all do so together
	t.Cleanup(ends.Wait)
	end := func(stops ...func() error) {
		t.Cleanup(func() {
			ends.Go(func() {
				for _, stop := range stops {
					if err := stop(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
	own := open()
	watched, err := own.Watch(t.Context(), config)
	check(err)
	end(watched.Close, own.Close)
	var servers []server
	for i := range register {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		g := grpc.NewServer(client.ServerOptions()...)
		register[i](g)
		served := make(chan struct{})
		go func() { defer close(served); _ = g.Serve(l) }()
		s := server{address: l.Addr().String(), stop: func() { g.Stop(); <-served }}
		t.Cleanup(s.stop)
		store := open(own.Address())
		member, err := store.Join(t.Context(), config, ring.Self{ID: fmt.Sprint(i), Address: s.address})
		check(err)
		end(member.Stop, store.Close)
		servers = append(servers, s)
	}
	await(t, "all ingesters are ACTIVE", func() bool {
		set, err := watched.ReadSet()
		if err != nil || len(set.Ask) < len(servers) {
			return false
		}
		for _, i := range set.Ask {
			if i.State != "ACTIVE" {
				return false
			}
		}
		return true
	})
	pool := client.NewPool(po)
	c := writepath.NewCluster(watched, pool, o)
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), pool.Close()); err != nil {
			t.Error(err)
		}
	})
	return servers, c
}

// await waits until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(60 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("waited too long until " + what)
		}
	}
}

func entry(n ...int) tempodb.Entry {
	var key tempodb.Key
	copy(key[:], fmt.Sprint(n))
	return tempodb.Entry{Key: key, Value: []byte(fmt.Sprint("value of ", n))}
}

func TestADeadIngesterFailsNoWriteAndNothingAcknowledgedIsMissing(t *testing.T) {
	t.Parallel()
	ingesters, c := start(t, 3, writepath.ClusterOptions{})
	const writers, each = 16, 300
	var acknowledged atomic.Int64
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		await(t, "some are acknowledged", func() bool { return acknowledged.Load() > writers*each/4 })
		ingesters[1].stop()
	}()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				entries := []tempodb.Entry{entry(w, i), entry(w, i, 2)}
				if err := c.Append(t.Context(), "acme", entries); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				acknowledged.Add(1)
				for _, e := range entries {
					copies := 0
					for _, m := range ingesters {
						if v, ok := m.value("acme", e.Key); ok && bytes.Equal(v, e.Value) {
							copies++
						}
					}
					if copies < 2 {
						t.Errorf("%q is acknowledged, and %d have it", e.Value, copies)
						return
					}
				}
			}
		})
	}
	all.Wait()
	<-killed
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for w := range writers {
		for i := range each {
			for _, e := range []tempodb.Entry{entry(w, i), entry(w, i, 2)} {
				for _, m := range []*memory{ingesters[0], ingesters[2]} {
					if v, _ := m.value("acme", e.Key); !bytes.Equal(v, e.Value) {
						t.Fatalf("%q is missing from one that lives", e.Value)
					}
				}
			}
		}
	}
	s := c.Stats()
	t.Logf("%d appends in %d pushes, %d of which failed; %d retries", writers*each, s.Pushes, s.FailedPushes, s.Retries)
	if err := c.Append(t.Context(), "acme", []tempodb.Entry{entry(1)}); status.Code(err) != codes.Unavailable {
		t.Errorf("append to a closed Cluster: %v", err)
	}
}

func TestEntriesGoToTheirReplicasOnly(t *testing.T) {
	t.Parallel()
	ingesters, c := start(t, 5, writepath.ClusterOptions{})
	var entries []tempodb.Entry
	for i := range 200 {
		entries = append(entries, entry(i))
	}
	if err := c.Append(t.Context(), "acme", entries); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		copies := 0
		for _, m := range ingesters {
			if v, ok := m.value("acme", e.Key); ok && bytes.Equal(v, e.Value) {
				copies++
			}
		}
		if copies != 3 {
			t.Errorf("%d ingesters have %q", copies, e.Value)
		}
	}
}

func TestSingleEntriesAreRefusedByAllTheirReplicas(t *testing.T) {
	t.Parallel()
	ingesters, c := start(t, 5, writepath.ClusterOptions{})
	var entries []tempodb.Entry
	var want []int
	for i := range 200 {
		if i%9 == 0 {
			want = append(want, i)
			entries = append(entries, entry(13, i))
			continue
		}
		entries = append(entries, entry(i))
	}
	err := c.Append(t.Context(), "partly", entries)
	var refused *client.RefusedError
	if !errors.As(err, &refused) || !slices.Equal(refused.Entries, want) || status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "unlucky") {
		t.Fatalf("%v, %v", refused, err)
	}
	for i, e := range entries {
		copies := 0
		for _, m := range ingesters {
			if v, ok := m.value("partly", e.Key); ok && bytes.Equal(v, e.Value) {
				copies++
			}
		}
		if refused := slices.Contains(want, i); refused && copies != 0 || !refused && copies < 2 {
			t.Errorf("%d ingesters have %q", copies, e.Value)
		}
	}
}

func TestWhatComesWhileAPushIsUnderWayGoesTogether(t *testing.T) {
	t.Parallel()
	ingesters, c := start(t, 3, writepath.ClusterOptions{})
	gate := make(chan struct{})
	for _, m := range ingesters {
		m.hook(func(int) error { <-gate; return nil })
	}
	const more = 100
	done := make(chan error, 1+more)
	go func() { done <- c.Append(t.Context(), "acme", []tempodb.Entry{entry(0)}) }()
	await(t, "the first is sent at once", func() bool {
		return ingesters[0].count() == 1 && ingesters[1].count() == 1 && ingesters[2].count() == 1
	})
	for i := range more {
		go func() { done <- c.Append(t.Context(), fmt.Sprint("tenant ", i), []tempodb.Entry{entry(i)}) }()
	}
	await(t, "all wait", func() bool { return c.Waiting() == 3*more })
	close(gate)
	for range 1 + more {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, m := range ingesters {
		if m.count() != 2 {
			t.Errorf("%d pushes to one", m.count())
		}
	}
}

func TestAnIngesterThatHangsStallsNoWriteAndGrowsNoMemory(t *testing.T) {
	t.Parallel()
	const queue = 1 << 20
	ingesters, c := start(t, 3, writepath.ClusterOptions{QueueBytes: queue, PushTimeout: time.Hour})
	hang := make(chan struct{})
	defer close(hang)
	ingesters[1].hook(func(int) error { <-hang; return nil })
	var all sync.WaitGroup
	value := make([]byte, 10_000)
	began := runtime.NumGoroutine()
	for w := range 8 {
		all.Go(func() {
			for i := range 100 {
				e := entry(w, i)
				e.Value = value
				if err := c.Append(t.Context(), "acme", []tempodb.Entry{e}); err != nil {
					t.Error(err)
				}
				if waits := c.WaitingBytes(ingesters[1].address); waits > queue {
					t.Errorf("%d bytes wait for one that hangs", waits)
				}
			}
		})
	}
	all.Wait()
	if s := c.Stats(); s.Refused == 0 {
		t.Error("nothing was refused")
	}
	if n := runtime.NumGoroutine() - began; n > 100 {
		t.Errorf("%d goroutines more", n)
	}
	// Without a quorum a write ends with its context.
	ingesters[0].hook(func(int) error { <-hang; return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Append(ctx, "acme", []tempodb.Entry{entry(1)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append while two hang: %v", err)
	}
}

func TestAnIngesterThatDoesNotAnswerInTimeIsUnavailable(t *testing.T) {
	t.Parallel()
	ingesters, c := start(t, 3, writepath.ClusterOptions{PushTimeout: 50 * time.Millisecond, RetryFor: time.Nanosecond})
	hang := make(chan struct{})
	defer close(hang)
	for _, m := range ingesters[1:] {
		m.hook(func(int) error { <-hang; return nil })
	}
	if err := c.Append(t.Context(), "acme", []tempodb.Entry{entry(1)}); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}

func TestErrorsOfIngestersKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	ingesters, c := start(t, 3, writepath.ClusterOptions{RetryFor: time.Minute})
	one := []tempodb.Entry{entry(1)}
	await(t, "all are connected", func() bool {
		if err := c.Append(t.Context(), "acme", one); err != nil {
			t.Fatal(err)
		}
		for _, m := range ingesters {
			if _, ok := m.value("acme", one[0].Key); !ok {
				return false
			}
		}
		return true
	})
	err := c.Append(t.Context(), "refused", one)
	if after, ok := client.RetryAfter(fmt.Errorf("write spans: %w", err)); status.Code(err) != codes.ResourceExhausted || !ok || after != 1500*time.Millisecond {
		t.Errorf("of a tenant that writes too much: %v, to be tried again in %v, %v", err, after, ok)
	}
	fail := func(m *memory, err error) { m.hook(func(int) error { return err }) }
	fail(ingesters[0], status.Error(codes.InvalidArgument, "bad"))
	fail(ingesters[1], status.Error(codes.InvalidArgument, "bad"))
	if err := c.Append(t.Context(), "acme", one); status.Code(err) != codes.InvalidArgument {
		t.Errorf("what two refuse: %v", err)
	}
	fail(ingesters[0], nil)
	if err := c.Append(t.Context(), "acme", one); err != nil {
		t.Errorf("what one refuses: %v", err)
	}
	ingesters[0].stop()
	first := ingesters[1].count()
	ingesters[1].hook(func(pushes int) error {
		if pushes <= first+3 {
			return status.Error(codes.Unavailable, "starting")
		}
		return nil
	})
	if err := c.Append(t.Context(), "acme", one); err != nil {
		t.Errorf("once a quorum is there again: %v", err)
	}
	if n := c.Stats().Retries; n < 3 {
		t.Errorf("tried again %d times", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Append(ctx, "acme", one); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

func TestPushesThatGoOnOwnWhatTheySend(t *testing.T) {
	t.Parallel()
	ingesters, c := start(t, 3, writepath.ClusterOptions{})
	gate := make(chan struct{})
	ingesters[2].hook(func(int) error { <-gate; return nil })
	var entries []tempodb.Entry
	for i := range 20 { // all but the first wait in the lane
		e := entry(i)
		e.Value = bytes.Repeat([]byte{1}, 1000)
		entries = append(entries, e)
		if err := c.Append(t.Context(), "acme", entries[i:]); err != nil {
			t.Fatal(err)
		}
		clear(e.Value)
	}
	close(gate)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if v, _ := ingesters[2].value("acme", e.Key); !bytes.Equal(v, bytes.Repeat([]byte{1}, 1000)) {
			t.Fatalf("something else than what was written arrived: %x", v)
		}
	}
}

// One span an Append, from as many workers as Jaeger has; and requests as OpenTelemetry collectors send them.
func BenchmarkAppend(b *testing.B) {
	for _, shape := range []struct{ workers, entries, bytes int }{{1, 1, 500}, {50, 1, 500}, {50, 20, 5000}} {
		b.Run(fmt.Sprintf("workers=%d/entries=%d/bytes=%d", shape.workers, shape.entries, shape.bytes), func(b *testing.B) {
			_, c := start(b, 3, writepath.ClusterOptions{})
			var n atomic.Int64
			b.SetBytes(int64(shape.entries * shape.bytes))
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for range shape.workers {
				all.Go(func() {
					entries := make([]tempodb.Entry, shape.entries)
					for i := range entries {
						entries[i].Value = make([]byte, shape.bytes)
					}
					for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
						for j := range entries {
							entries[j] = tempodb.Entry{Key: tempodb.Key{byte(i), byte(i >> 8), byte(j)}, Value: entries[j].Value}
						}
						if err := c.Append(b.Context(), "acme", entries); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			s := c.Stats()
			b.ReportMetric(float64(s.Groups)/float64(s.Pushes), "appends/push")
		})
	}
}
