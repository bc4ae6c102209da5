package ring

import (
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cortexproject/cortex/pkg/ring"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Tests wait for heartbeats most of the time, and don't wait for each other's.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// gossips returns what opens stores. All of a test's close together, since to leave takes seconds.
func gossips(t *testing.T) (open func(join ...string) *Store) {
	t.Helper()
	var stores []*Store
	t.Cleanup(func() {
		var all sync.WaitGroup
		for _, s := range stores {
			all.Go(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
	return func(join ...string) *Store {
		s, err := OpenStore(t.Context(), StoreConfig{Kind: Memberlist, Listen: "127.0.0.1:0", Join: join}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, s)
		return s
	}
}

// stopAll stops members, together.
func stopAll(t *testing.T, members ...*Member) {
	t.Helper()
	var all sync.WaitGroup
	for _, m := range members {
		all.Go(func() {
			if err := m.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// steady is a ring in which nobody is missed, however slow this machine is. States change quicker than with quick heartbeats: two changes, of which one may be a
// heartbeat, need different seconds.
var steady = Config{Name: "test", Replication: 3, Heartbeat: 20 * time.Second, HeartbeatTimeout: time.Minute, Settle: 100 * time.Millisecond}

// quick is a ring whose instances are known and missed quickly.
var quick = Config{Name: "test", Replication: 3, Heartbeat: time.Second, HeartbeatTimeout: 3 * time.Second, Settle: 100 * time.Millisecond, ForgetAfter: 6 * time.Second}

func join(t *testing.T, s *Store, c Config, self Self) *Member {
	t.Helper()
	if self.Address == "" {
		self.Address = net.JoinHostPort("127.0.0.1", "1")
	}
	m, err := s.Join(t.Context(), c, self)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
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

func states(t *testing.T, r *Ring) string {
	t.Helper()
	set, err := r.ReadSet()
	if errors.Is(err, ErrNoInstances) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, i := range set.Ask {
		all = append(all, i.Address+" "+i.State)
	}
	for _, i := range set.Silent {
		all = append(all, i.Address+" silent")
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestProcessesThatGossipSeeTheSameRing(t *testing.T) {
	t.Parallel()
	open := gossips(t)
	first := open()
	watcher := open(first.Address())
	seen, err := watcher.Watch(t.Context(), steady)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seen.ReadSet(); !errors.Is(err, ErrNoInstances) {
		t.Errorf("a ring without instances: %v", err)
	}
	var members []*Member
	for _, id := range []string{"a", "b", "c"} {
		s := first
		if id != "a" {
			s = open(first.Address())
		}
		members = append(members, join(t, s, steady, Self{ID: id, Address: "127.0.0.1:" + map[string]string{"a": "1", "b": "2", "c": "3"}[id]}))
	}
	await(t, "all are seen", func() bool {
		return states(t, seen) == "127.0.0.1:1 ACTIVE, 127.0.0.1:2 ACTIVE, 127.0.0.1:3 ACTIVE"
	})
	owner, err := seen.Owner("acme")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		await(t, "all name the same owner", func() bool { o, err := m.Owner("acme"); return err == nil && o.ID == owner.ID })
	}
	w := httptest.NewRecorder()
	seen.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if !strings.Contains(w.Body.String(), "127.0.0.1:2") {
		t.Error("the page does not show an instance")
	}

	if err := members[2].Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the retired one is seen as such", func() bool { return strings.Contains(states(t, seen), "127.0.0.1:3 READONLY") })
	if err := members[2].Leave(); err != nil {
		t.Fatal(err)
	}
	await(t, "who left is gone", func() bool { return states(t, seen) == "127.0.0.1:1 ACTIVE, 127.0.0.1:2 ACTIVE" })
	stopAll(t, members[:2]...)
	if err := seen.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnInstanceThatEndsWithoutAWordIsSilentAndThenForgotten(t *testing.T) {
	t.Parallel()
	open := gossips(t)
	first := open()
	c := quick
	c.HeartbeatTimeout, c.ForgetAfter = 2*time.Second, 4*time.Second
	stays := join(t, first, c, Self{ID: "a", Address: "127.0.0.1:1"})
	ends := join(t, open(first.Address()), c, Self{ID: "b", Address: "127.0.0.1:2"})
	await(t, "both are seen", func() bool { return states(t, stays.Ring) == "127.0.0.1:1 ACTIVE, 127.0.0.1:2 ACTIVE" })
	stopAll(t, ends)
	await(t, "it keeps its place, and counts as failed", func() bool { return states(t, stays.Ring) == "127.0.0.1:1 ACTIVE, 127.0.0.1:2 silent" })
	await(t, "it is forgotten", func() bool { return states(t, stays.Ring) == "127.0.0.1:1 ACTIVE" })
	stopAll(t, stays)
}

func TestAnInstanceThatEndsBeforeItHasSettledSettlesAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	open := gossips(t)
	first := open()
	watched, err := first.Watch(t.Context(), steady)
	if err != nil {
		t.Fatal(err)
	}
	c := steady
	c.Settle = time.Hour
	m := join(t, open(first.Address()), c, Self{ID: "a", TokensFile: file})
	await(t, "it is JOINING", func() bool { return strings.Contains(states(t, watched), "JOINING") })
	if m.Known() || m.Active() {
		t.Error("a new instance is known or ACTIVE")
	}
	if err := watched.Batch(t.Context(), []uint32{1}, func(*Push) { t.Error("written to who is JOINING") }); status.Code(err) != codes.Unavailable {
		t.Errorf("batch while nobody is ACTIVE: %v", err)
	}
	stopAll(t, m)
	m = join(t, open(first.Address()), c, Self{ID: "a", TokensFile: file})
	await(t, "it is JOINING again", func() bool { return strings.Contains(states(t, watched), "JOINING") })
	if !m.Known() || m.Active() {
		t.Error("an instance that ended before it had settled is not known, or is ACTIVE")
	}
	stopAll(t, m)
	m = join(t, open(first.Address()), steady, Self{ID: "a", TokensFile: file})
	await(t, "it is ACTIVE", func() bool { return strings.Contains(states(t, watched), "ACTIVE") })
	stopAll(t, m)
	if err := watched.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnInstanceTakesItsPlaceAgainWhenItRestarts(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	open := gossips(t)
	first := open()
	watched, err := first.Watch(t.Context(), quick)
	if err != nil {
		t.Fatal(err)
	}
	m := join(t, open(first.Address()), quick, Self{ID: "a", TokensFile: file})
	await(t, "it is ACTIVE", func() bool { return strings.Contains(states(t, watched), "ACTIVE") })
	tokens := tokensOf(watched, "a")
	await(t, "that is noted", func() bool { ok, _ := filepath.Glob(file + ".settled"); return len(ok) == 1 })
	stopAll(t, m)
	c := quick
	c.Settle = time.Hour
	m = join(t, open(first.Address()), c, Self{ID: "a", TokensFile: file})
	if !m.Active() {
		t.Error("an instance that was ACTIVE settles again")
	}
	await(t, "its place is seen", func() bool { return slices.Equal(tokensOf(watched, "a"), tokens) })
	if err := errors.Join(m.Leave(), watched.Close()); err != nil {
		t.Error(err)
	}
}

func TestAnInstanceThatWasForgottenSettlesThoughItHasItsTokens(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	open := gossips(t)
	first := open()
	c := quick
	c.HeartbeatTimeout, c.ForgetAfter = 2*time.Second, 4*time.Second
	stays := join(t, first, c, Self{ID: "a", Address: "127.0.0.1:1"})
	if !stays.Settled().IsZero() {
		t.Error("the first instance of a ring waits for readers")
	}
	returns := join(t, open(first.Address()), c, Self{ID: "b", Address: "127.0.0.1:2", TokensFile: file})
	await(t, "it has settled", func() bool { ok, _ := filepath.Glob(file + ".settled"); return len(ok) == 1 })
	stopAll(t, returns)
	again := join(t, open(first.Address()), c, Self{ID: "b", Address: "127.0.0.1:2", TokensFile: file})
	if !again.Known() || !again.Settled().IsZero() {
		t.Error("an instance that was away for a moment settles again")
	}
	stopAll(t, again)
	await(t, "it is forgotten", func() bool { return states(t, stays.Ring) == "127.0.0.1:1 ACTIVE" })
	c.Settle = time.Hour
	again = join(t, open(first.Address()), c, Self{ID: "b", Address: "127.0.0.1:2", TokensFile: file})
	if again.Known() || time.Until(again.Settled()) < 30*time.Minute {
		t.Errorf("who was forgotten takes writes from %v on", again.Settled())
	}
	stopAll(t, again, stays)
}

func tokensOf(r *Ring, id string) []uint32 {
	members, err := r.ring.GetInstanceDescsForOperation(ring.Reporting)
	if err != nil {
		return nil
	}
	return members[id].Tokens
}

func TestABatchGoesToTheInstancesOfTheRing(t *testing.T) {
	t.Parallel()
	r, err := gossips(t)().Watch(t.Context(), steady)
	if err != nil {
		t.Fatal(err)
	}
	err = r.ring.KVClient.CAS(t.Context(), steady.key(), func(any) (any, bool, error) {
		desc := ring.NewDesc()
		tokens := ring.NewRandomTokenGenerator()
		for i, id := range []string{"a", "b", "c", "d"} {
			desc.AddIngester(id, net.JoinHostPort("127.0.0.1", string(rune('1'+i))), "", tokens.GenerateTokens(desc, id, "", 128, true), ring.ACTIVE, time.Now())
		}
		return desc, true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "all are ACTIVE", func() bool { return strings.Count(states(t, r), "ACTIVE") == 4 })
	tokens := make([]uint32, 100)
	for i := range tokens {
		tokens[i] = Token("acme", [16]byte{byte(i)})
	}
	batch := func(outcome func(Instance) error) ([]int, error) {
		taken := make([]int, len(tokens))
		err := r.Batch(t.Context(), tokens, func(p *Push) {
			err := outcome(p.To)
			for _, i := range p.Indexes {
				if err == nil {
					taken[i]++
				}
			}
			p.End(err)
		})
		return taken, err
	}
	if taken, err := batch(func(Instance) error { return nil }); err != nil || slices.Min(taken) != 3 || slices.Max(taken) != 3 {
		t.Errorf("all take: %v, %v", err, taken)
	}
	one := func(to Instance) error {
		if to.Address == "127.0.0.1:2" {
			return errGone
		}
		return nil
	}
	if taken, err := batch(one); err != nil || slices.Min(taken) != 2 {
		t.Errorf("one is gone: %v, %v", err, taken)
	}
	three := func(to Instance) error {
		switch to.Address {
		case "127.0.0.1:1":
			return nil
		case "127.0.0.1:2":
			return errFull
		}
		return errGone
	}
	if _, err := batch(three); status.Code(err) != codes.ResourceExhausted && status.Code(err) != codes.Unavailable {
		t.Errorf("two are gone and one is full: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestReadsBearLessThanHalfOfTheReplicas(t *testing.T) {
	t.Parallel()
	in := func(zones ...string) (all []Instance) {
		for _, zone := range zones {
			all = append(all, Instance{Zone: zone})
		}
		return all
	}
	for _, c := range []struct {
		name                string
		replication         int
		zones               bool
		ask, silent, failed []Instance
		enough              bool
	}{
		{"one copy, all answer", 1, false, in("x"), nil, nil, true},
		{"one copy, one fails", 1, false, in("x", "x"), nil, in("x"), false},
		{"one copy, one is silent", 1, false, in("x"), in("x"), nil, false},
		{"all answer", 3, false, in("x", "x", "x"), nil, nil, true},
		{"one fails", 3, false, in("x", "x", "x"), nil, in("x"), true},
		{"two fail", 3, false, in("x", "x", "x", "x"), nil, in("x", "x"), false},
		{"one is silent, one fails", 3, false, in("x", "x", "x"), in("x"), in("x"), false},
		{"one of three is absent", 3, false, in("x", "x"), nil, nil, true},
		{"one of three is absent, one fails", 3, false, in("x", "x"), nil, in("x"), false},
		{"one of three is absent, one is silent", 3, false, in("x"), in("x"), nil, false},
		{"two of three are absent", 3, false, in("x"), nil, nil, false},
		{"a zone fails", 3, true, in("x", "x", "y", "z"), nil, in("x", "x"), true},
		{"one in each of two zones fails", 3, true, in("x", "y", "z"), in("x"), in("y"), false},
		{"a zone is absent", 3, true, in("y", "z", "z"), nil, nil, true},
		{"a zone is absent, one fails in another", 3, true, in("y", "z", "z"), nil, in("z"), false},
	} {
		set := &ReadSet{Replication: c.replication, Zones: c.zones, Ask: c.ask, Silent: c.silent}
		if set.Enough(c.failed...) != c.enough {
			t.Errorf("%s: enough is %v", c.name, !c.enough)
		}
	}
}

func TestOnlyWhatTheReplicationCanStandIsForgotten(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	c := Config{Replication: 3, HeartbeatTimeout: time.Minute, ForgetAfter: time.Hour}
	at := func(zone string, ago time.Duration) ring.InstanceDesc {
		return ring.InstanceDesc{Zone: zone, Timestamp: now.Add(-ago).Unix()}
	}
	for _, test := range []struct {
		name        string
		replication int
		zones       bool
		ring        map[string]ring.InstanceDesc
		want        []string
	}{
		{"nobody is silent", 3, false, map[string]ring.InstanceDesc{"a": at("x", 0), "b": at("x", time.Second)}, nil},
		{"silent, not for long", 3, false, map[string]ring.InstanceDesc{"a": at("x", 0), "b": at("x", time.Minute+time.Second)}, nil},
		{"silent for long", 3, false, map[string]ring.InstanceDesc{"a": at("x", 0), "b": at("x", 2*time.Hour)}, []string{"b"}},
		{"two are", 3, false, map[string]ring.InstanceDesc{"a": at("x", 0), "b": at("x", 2*time.Hour), "c": at("x", 2*time.Minute)}, nil},
		{"two of a zone are", 3, true, map[string]ring.InstanceDesc{"a": at("y", 0), "b": at("x", 2*time.Hour), "c": at("x", 2*time.Minute)}, []string{"b"}},
		{"what has no second copy", 1, false, map[string]ring.InstanceDesc{"a": at("x", 0), "b": at("x", 2*time.Hour)}, nil},
	} {
		c.Replication, c.Zones = test.replication, test.zones
		last := make(map[string]heard)
		for id, i := range test.ring {
			last[id] = heard{i.Timestamp, time.Unix(i.Timestamp, 0)}
		}
		if got := forgotten(&ring.Desc{Ingesters: test.ring}, last, c, now); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestOnlyWhoHasListenedForgets: what counts is for how long nothing was heard here, and not how old the last word is; else one that has just started and knows
// of an instance only what it said long ago would take it out of the ring while it is written to.
func TestOnlyWhoHasListenedForgets(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	c := Config{Replication: 3, HeartbeatTimeout: 10 * time.Second, ForgetAfter: time.Minute}
	a := &attendant{config: c}
	listen := func(d time.Duration, b int64) []string {
		now = now.Add(d)
		desc := &ring.Desc{Ingesters: map[string]ring.InstanceDesc{"a": {Timestamp: now.Unix()}, "b": {Timestamp: b}}}
		a.listen(desc, now)
		return forgotten(desc, a.heard, c, now)
	}
	const old = 500_000
	for range 12 {
		if got := listen(5*time.Second, old); got != nil {
			t.Fatalf("%v is forgotten, though nobody has listened for long", got)
		}
	}
	listen(5*time.Second, old+1) // a clock that is wrong, but goes
	for range 12 {
		if got := listen(5*time.Second, old+1); got != nil {
			t.Fatalf("%v is forgotten, which was heard of", got)
		}
	}
	if got := listen(time.Hour, old+1); got != nil {
		t.Errorf("%v is forgotten by one that was stopped for an hour", got)
	}
	for range 12 {
		listen(5*time.Second, old+1)
	}
	if got := listen(5*time.Second, old+1); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%v is forgotten, want b", got)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{}, {Name: "x", Replication: 2}, {Name: "x", Heartbeat: time.Minute, HeartbeatTimeout: time.Minute}, {Name: "x", ForgetAfter: time.Second},
	} {
		if _, err := c.withDefaults(); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	for _, c := range []StoreConfig{
		{Kind: "paper"}, {Kind: Memberlist, Listen: "nowhere"}, {Kind: Memberlist, Listen: "127.0.0.1:x"}, {Kind: Memberlist, Listen: "127.0.0.1:0", Advertise: "x"}, {Kind: Consul},
	} {
		if _, err := OpenStore(t.Context(), c, nil, nil); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
