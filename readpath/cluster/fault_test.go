package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
)

// fill writes some spans, a part of which is in blocks, and returns one of their keys.
func (c *cluster) fill(t testing.TB) tempodb.Key {
	t.Helper()
	pick := picker(7)
	for range 10 {
		c.write(-1, c.drawSpan(pick))
	}
	if err := c.upload(t.Context(), c.replicas[0], func() bool { return pick(2) == 0 }); err != nil {
		t.Fatal(err)
	}
	return c.spans[0].key()
}

// all asks each question once and returns what came of it.
func all(ctx context.Context, t testing.TB, s *Store, key tempodb.Key) map[string]error {
	t.Helper()
	db, err := s.Database(ctx, tenant)
	if err != nil {
		t.Fatal(err)
	}
	errs := make(map[string]error)
	_, errs["get"] = db.Get(ctx, nil, key)
	_, errs["get of nothing"] = db.Get(ctx, nil, tempodb.Key{1})
	_, errs["search"] = db.Search(ctx, &index.Query{Start: index.Everything, Duration: index.Everything, Limit: 3})
	_, errs["terms"] = db.Terms(ctx, trace.FieldService, nil)
	_, errs["summary"] = db.Summary(ctx, nil, key)
	errs["each summary"] = db.EachSummary(ctx, index.Everything, func(tempodb.Key, []byte) error { return nil })
	return errs
}

func TestAnAnswerThatMayLackSomethingSaysSo(t *testing.T) {
	for _, first := range []fault{dead, silent, incomplete, torn} {
		for _, second := range []fault{dead, silent, incomplete, torn, sound} {
			c := newCluster(t.TempDir(), time.Hour)
			key := c.fill(t)
			s := mustOpen(t, c, Options{Timeout: 30 * time.Millisecond})
			c.replicas[0].turn(first)
			c.replicas[2].turn(second)
			if second == sound { // a replica that is not heard of is as good as dead
				c.forgot = []ring.Instance{{Address: "ingester-4"}}
			}
			for question, err := range all(t.Context(), t, s, key) {
				var partial *tempodb.PartialError
				if !errors.As(err, &partial) || !strings.Contains(err.Error(), c.replicas[0].address) {
					t.Errorf("%v and %v: %s: %v", first, second, question, err)
				}
			}
		}
	}
}

func TestNobodyInTheRingIsNotNothingInTheStore(t *testing.T) {
	c := newCluster(t.TempDir(), time.Hour)
	key := c.fill(t)
	c.replicas = nil
	s := mustOpen(t, c, Options{})
	none := mustOpen(t, c, Options{})
	none.readSet = func() (*ring.ReadSet, error) { return nil, fmt.Errorf("ring ingesters: %w", ring.ErrNoInstances) }
	for _, s := range []*Store{s, none} {
		for question, err := range all(t.Context(), t, s, key) {
			var partial *tempodb.PartialError
			if !errors.As(err, &partial) || !errors.Is(err, ring.ErrNoInstances) {
				t.Errorf("%s: %v", question, err)
			}
		}
	}
}

// broken is a bucket that fails.
type broken struct {
	backend.Bucket
	fails atomic.Bool
}

var errStore = errors.New("the object store is down")

func (b *broken) List(ctx context.Context, dir string, fn func(string) error) error {
	if b.fails.Load() {
		return errStore
	}
	return b.Bucket.List(ctx, dir, fn)
}

func (b *broken) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if b.fails.Load() {
		return 0, errStore
	}
	return b.Bucket.ReadAt(ctx, name, p, off)
}

func TestAStoreThatIsDownIsToldAndAskedAgainWhenItIsUp(t *testing.T) {
	for _, kept := range []time.Duration{0, time.Hour} {
		c := newCluster(t.TempDir(), kept)
		key := c.fill(t)
		b := &broken{Bucket: c.bucket}
		s := mustOpen(t, c, Options{Bucket: b})
		check := func(when string, whole bool) {
			t.Helper()
			for question, err := range all(t.Context(), t, s, key) {
				var partial *tempodb.PartialError
				switch {
				case question == "get of nothing" && whole:
					if !errors.Is(err, tempodb.ErrNotFound) {
						t.Errorf("%s: %s: %v", when, question, err)
					}
				case whole && err != nil, !whole && (!errors.As(err, &partial) || !errors.Is(err, errStore)):
					t.Errorf("%s: %s: %v", when, question, err)
				}
			}
		}
		b.fails.Store(true)
		check("down from the start", false)
		b.fails.Store(false)
		check("up", true)
		if kept == 0 {
			b.fails.Store(true)
			check("down again, and the list is old", false)
			b.fails.Store(false)
			check("up again", true)
		}
	}
}

// A dead or silent ingester without which the answer is whole costs no more than a little patience, and that once.
func TestOneSilentIngesterIsWaitedForOnce(t *testing.T) {
	c := newCluster(t.TempDir(), time.Hour)
	key := c.fill(t)
	const patience = 50 * time.Millisecond
	s := mustOpen(t, c, Options{Timeout: time.Hour, Patience: patience})
	db, err := s.Database(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	get := func() time.Duration {
		t.Helper()
		began := time.Now()
		if _, err := db.Get(t.Context(), nil, key); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	get()
	bad := c.replicas[1]
	bad.turn(silent)
	if took := get(); took < patience {
		t.Errorf("given up after %v", took)
	}
	s.options.Patience = time.Hour // who waits now waits for ever
	before := s.Stats().Lagging
	for range 20 {
		get()
	}
	if n := s.Stats().Lagging - before; n != 20 {
		t.Errorf("it was given up in %d of 20 questions", n)
	}
	if !s.health.of(bad.address, &ring.ReadSet{}).isLagging() {
		t.Error("it is forgotten that it lags")
	}
}

// Someone must notice that an ingester answers again that nobody waits for any more.
func TestAnIngesterThatAnswersAgainIsWaitedForAgain(t *testing.T) {
	c := newCluster(t.TempDir(), time.Hour)
	key := c.fill(t)
	s := mustOpen(t, c, Options{Timeout: 20 * time.Millisecond, Patience: time.Millisecond})
	bad := c.replicas[1]
	bad.turn(silent)
	all(t.Context(), t, s, key)
	m := s.health.of(bad.address, &ring.ReadSet{})
	if !m.isLagging() {
		t.Fatal("it does not lag")
	}
	bad.turn(sound)
	for deadline := time.Now().Add(30 * time.Second); m.isLagging(); {
		if all(t.Context(), t, s, key); time.Now().After(deadline) {
			t.Fatal("it is still not waited for")
		}
	}
}

func TestAQuestionEndsWithItsContext(t *testing.T) {
	c := newCluster(t.TempDir(), time.Hour)
	key := c.fill(t)
	for _, r := range c.replicas {
		r.turn(silent)
	}
	s := mustOpen(t, c, Options{Timeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for question, err := range all(ctx, t, s, key) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", question, err)
		}
	}
}

func TestTenantsThatNobodyAsksAboutAreLetGo(t *testing.T) {
	c := newCluster(t.TempDir(), time.Hour)
	key := c.fill(t)
	s := mustOpen(t, c, Options{Tenants: 3, Idle: time.Hour})
	ask := func(of string) {
		t.Helper()
		db, err := s.Database(t.Context(), of)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Get(t.Context(), nil, key); err != nil != (of != tenant) {
			t.Errorf("of %s: %v", of, err)
		}
	}
	for i := range 10 {
		ask(fmt.Sprint("tenant-", i))
		ask(tenant)
	}
	if n := s.Stats().Tenants; n != 3 {
		t.Errorf("%d tenants are followed", n)
	}
	s.tenants.sweep(time.Now().Add(30 * time.Minute))
	if n := s.Stats().Tenants; n != 3 {
		t.Errorf("%d tenants are followed after half the time", n)
	}
	s.tenants.sweep(time.Now().Add(2 * time.Hour))
	if n := s.Stats().Tenants; n != 0 {
		t.Errorf("%d tenants are followed that nobody asks about", n)
	}
	ask(tenant)
	if _, err := s.Database(t.Context(), "../acme"); err == nil {
		t.Error("a tenant of that name is taken")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	db, err := s.Database(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Get(t.Context(), nil, key); !errors.Is(err, ErrClosed) {
		t.Errorf("asked after it was closed: %v", err)
	}
}
