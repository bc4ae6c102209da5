package tempodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/blocklist"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
)

// sharedBlocks returns a store with so many blocks of one window, and what is in it.
func sharedBlocks(t testing.TB, n int) (*backendtest.Memory, content) {
	t.Helper()
	store, all := backendtest.NewMemory(), make(content)
	for i := range n {
		has := oneLine(i%3, i)
		mustWrite(t, store, has)
		all.addAll(has)
	}
	return store, all
}

func TestACompactorMergesAndDeletesAfterTheGracePeriod(t *testing.T) {
	store, all := sharedBlocks(t, 9)
	clock := &testClock{}
	r, err := OpenReader(t.Context(), ReaderOptions{Bucket: store, Name: sharedTenant, Codec: lineCodec{}, PollEvery: -1, CacheBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := openCompactor(t, store, clock, nil)
	if err := c.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); s.Blocks != 1 || s.Merges != 4 || s.Backlog.Jobs != 0 || s.Retired != 12 {
		t.Errorf("%+v", s)
	}
	// A reader that has not polled since reads what is not deleted yet.
	for _, pass := range []time.Duration{0, worldGrace - time.Second} {
		clock.pass(pass)
		if err := c.Reap(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if d := contentDiffers(got, all); d != "" {
			t.Error(d)
		}
		if n := len(r.Blocks()); n != 9 {
			t.Errorf("the reader has %d blocks", n)
		}
	}
	mustFinish(t, c, clock, store)
	mustHave(t, store, all)
	if s := c.Stats(); s.Deleted != 12 || s.Retired != 0 || s.Errors != 0 {
		t.Errorf("%+v", s)
	}
	if err := r.Poll(t.Context()); err != nil || len(r.Blocks()) != 1 {
		t.Errorf("the reader has %d blocks, %v", len(r.Blocks()), err)
	}
}

func TestTwoCompactorsShareTheWorkByClaims(t *testing.T) {
	store, all := sharedBlocks(t, 9)
	clock := &testClock{}
	var compactors []*Compactor
	for range 3 {
		compactors = append(compactors, openCompactor(t, store, clock, nil))
	}
	var working sync.WaitGroup
	for _, c := range compactors {
		working.Go(func() {
			if err := c.Compact(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	working.Wait()
	merges := int64(0)
	for _, c := range compactors {
		merges += c.Stats().Merges
	}
	if merges != 4 {
		t.Errorf("%d merges of 9 blocks", merges)
	}
	mustHave(t, store, all)
	mustFinish(t, compactors[0], clock, store)
	mustHave(t, store, all)
}

func TestWithoutClaimsTheSameWorkDoneTwiceServesOnce(t *testing.T) {
	store, all := sharedBlocks(t, 3)
	clock := &testClock{}
	// While one merges, the other does.
	other := openCompactor(t, withoutClaims{store}, clock, nil)
	p := &process{Bucket: withoutClaims{store}}
	one := openCompactor(t, p, clock, nil)
	p.at = func(op, name string) {
		if op == "put" && strings.HasSuffix(name, "meta.json") {
			p.at = nil
			if err := other.Compact(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	if err := one.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if one.Stats().Merges+other.Stats().Merges != 2 {
		t.Fatal("the same was not done twice")
	}
	if err := other.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Compactor{one, other} {
		if s := c.Stats(); s.Blocks != 1 || s.Retired != 4 || s.Backlog.Jobs != 0 {
			t.Errorf("%+v", s)
		}
	}
	if a, b := one.List().Live[0].ID, other.List().Live[0].ID; a != b {
		t.Errorf("one serves %s, the other %s", a, b)
	}
	mustHave(t, store, all)
	mustFinish(t, other, clock, store)
	mustHave(t, store, all)
}

func TestAClaimOfTheDeadIsTakenOver(t *testing.T) {
	store, all := sharedBlocks(t, 3)
	clock := &testClock{}
	dead := &process{Bucket: store}
	first := openCompactor(t, dead, clock, nil)
	dead.at = func(op, name string) {
		if op == "put" {
			dead.mu.Lock()
			dead.dead = true
			dead.mu.Unlock()
		}
	}
	if err := first.Compact(t.Context()); err == nil {
		t.Fatal("a dead process compacts")
	}
	second := openCompactor(t, store, clock, nil)
	if err := second.Compact(t.Context()); err != nil || second.Stats().Merges != 0 {
		t.Fatalf("the claim of another is of no use: %+v, %v", second.Stats(), err)
	}
	clock.pass(worldTTL + time.Second)
	if err := second.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := second.Stats(); s.Merges != 1 || s.ClaimsTaken != 1 {
		t.Errorf("%+v", s)
	}
	mustFinish(t, second, clock, store)
	mustHave(t, store, all)
}

// A claim that says it holds for a thousand years, or says nothing, holds no longer than others see it unchanged.
func TestAClaimThatCannotBeBelievedExpires(t *testing.T) {
	for what, claim := range map[string]string{
		"of a clock that is wrong": `{"owner": "x", "since": "3026-01-01T00:00:00Z", "until": "3026-01-01T00:05:00Z"}`,
		"damaged":                  "\x00\x01",
		"empty":                    "",
	} {
		t.Run(what, func(t *testing.T) {
			store, _ := sharedBlocks(t, 3)
			clock := &testClock{}
			c := openCompactor(t, store, clock, nil)
			jobs := c.upkeep.jobs(nil)
			if _, err := store.CreateIfAbsent(t.Context(), sharedTenant+"/claims/"+jobs[0].Name, []byte(claim)); err != nil {
				t.Fatal(err)
			}
			for pass, merges := range []int64{0, 0, 1} {
				if err := c.Compact(t.Context()); err != nil || c.Stats().Merges != merges {
					t.Errorf("%d: %d merges, %v", pass, c.Stats().Merges, err)
				}
				clock.pass(worldTTL*2/3 + time.Second)
			}
		})
	}
}

func TestAClaimIsRenewedAndItsLossEndsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := backendtest.NewMemory()
		c := &claims{bucket: store, folder: "shared/claims", owner: "me", ttl: time.Minute, now: time.Now, logger: slog.New(slog.DiscardHandler), seen: make(map[string]sighting)}
		other := &claims{bucket: store, folder: "shared/claims", owner: "other", ttl: time.Minute, now: time.Now, logger: slog.New(slog.DiscardHandler), seen: make(map[string]sighting)}
		job := &compact.Job{Name: "job", Inputs: []*block.Meta{{ID: block.NewID()}}}
		held, ok, err := c.take(t.Context(), job)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		ctx, end := held.keep(t.Context())
		for range 10 {
			time.Sleep(30 * time.Second)
			busy, err := other.busy(t.Context())
			if err != nil || !busy[job.Inputs[0].ID] {
				t.Fatalf("busy: %v, %v", busy, err)
			}
			if _, ok, err := other.take(t.Context(), job); ok || err != nil {
				t.Fatalf("a claim that is held is taken: %v", err)
			}
		}
		if ctx.Err() != nil {
			t.Fatal(context.Cause(ctx))
		}
		// By hand, say.
		if err := store.Delete(t.Context(), "shared/claims/job"); err != nil {
			t.Fatal(err)
		}
		theirs, ok, err := other.take(t.Context(), job)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), errClaimLost) {
			t.Error(context.Cause(ctx))
		}
		end()
		if ours, err := theirs.ours(t.Context()); !ours || err != nil {
			t.Errorf("the claim of another was deleted: %v", err)
		}
	})
}

func TestWhatIsDroppedStaysAwayWhileItIsMerged(t *testing.T) {
	store := backendtest.NewMemory()
	old, young := oneLine(0, 1), oneLine(40, 2)
	young.addAll(oneLine(41, 3))
	mustWrite(t, store, old)
	mustWrite(t, store, oneLine(40, 2))
	mustWrite(t, store, oneLine(41, 3))
	clock := &testClock{}
	p := &process{Bucket: store}
	merging := openCompactor(t, p, clock, nil)
	limit := time.Since(time.Unix(0, dawn+20*hour))
	owner := openCompactor(t, store, clock, func(o *CompactorOptions) {
		o.Retention = func() compact.RetainOptions { return compact.RetainOptions{MaxAge: limit} }
	})
	p.at = func(op, name string) {
		if op == "put" && strings.HasSuffix(name, "meta.json") {
			p.at = nil
			if err := owner.Retain(t.Context()); err != nil {
				t.Error(err)
			}
			mustHave(t, store, young)
		}
	}
	if _, err := merging.CompactOne(t.Context()); err != nil {
		t.Fatal(err)
	}
	if owner.Stats().Dropped != 1 || merging.Stats().Merges != 1 {
		t.Fatalf("%+v\n%+v", owner.Stats(), merging.Stats())
	}
	mustHave(t, store, young)
	// Whatever is lost.
	if err := store.Delete(t.Context(), sharedTenant+"/"+blocklist.IndexObject); err != nil {
		t.Fatal(err)
	}
	owner = openCompactor(t, store, clock, nil)
	mustHave(t, store, young)
	mustFinish(t, owner, clock, store)
	mustHave(t, store, young)
}

func TestADamagedBlockIsSalvagedAndItsReadersGoOn(t *testing.T) {
	for _, object := range []string{"search", "summary", "meta.json"} {
		t.Run(object, func(t *testing.T) {
			store, all := sharedBlocks(t, 3)
			clock := &testClock{}
			bad, _, _ := strings.Cut(strings.TrimPrefix(store.Names()[0], sharedTenant+"/"), "/")
			damage(store, block.ID(bad), object)
			c := openCompactor(t, store, clock, nil)
			if err := c.work(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := c.Stats(); s.Salvaged != 1 || s.Blocks != 1 {
				t.Errorf("%+v", s)
			}
			mustHave(t, store, all)
			kept, err := block.ListQuarantine(t.Context(), store)
			if err != nil || len(kept) != 1 {
				t.Errorf("quarantine: %v, %v", kept, err)
			}
			mustFinish(t, c, clock, store)
			mustHave(t, store, all)
			if s := c.Stats(); s.Salvaged != 1 {
				t.Errorf("salvaged again: %+v", s)
			}
		})
	}
}

// What a merge has damaged is not lost while its inputs are there.
func TestTheInputsOfADamagedBlockServeAgain(t *testing.T) {
	store, all := sharedBlocks(t, 3)
	clock := &testClock{}
	c := openCompactor(t, store, clock, nil)
	merged, err := c.CompactOne(t.Context())
	if err != nil || merged == nil {
		t.Fatal(merged, err)
	}
	damage(store, merged.ID, "data")
	if err := c.Salvage(t.Context(), merged.ID); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mustHave(t, store, all)
	mustFinish(t, c, clock, store)
	mustHave(t, store, all)
}

func TestABlockThatCannotBeMergedIsLeftAloneAndTheOthersGoOn(t *testing.T) {
	store, all := sharedBlocks(t, 3)
	clock := &testClock{}
	bad := &unreadable{Bucket: store}
	c := openCompactor(t, bad, clock, nil)
	first := c.List().Live[0].ID
	bad.set(sharedTenant + "/" + string(first) + "/search")
	if err := c.Compact(t.Context()); err == nil || !strings.Contains(err.Error(), string(first)) {
		t.Fatalf("the merge of what can't be read: %v", err)
	}
	// Not tried again, until time has passed; what comes meanwhile is merged.
	for i := range 3 {
		has := oneLine(i, 10+i)
		mustWrite(t, store, has)
		all.addAll(has)
	}
	if err := c.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Compact(t.Context()); err != nil || c.Stats().Merges != 1 {
		t.Fatalf("%+v, %v", c.Stats(), err)
	}
	bad.set("")
	clock.pass(firstAvoidance)
	mustFinish(t, c, clock, store)
	if s := c.Stats(); s.Merges < 2 || s.Backlog.Jobs != 0 {
		t.Errorf("%+v", s)
	}
	mustHave(t, store, all)
}

// unreadable is a bucket that says of one object that it does not exist, when it is first read after a job was claimed.
type unreadable struct {
	backend.Bucket
	mu    sync.Mutex
	name  string
	armed bool
}

func (u *unreadable) set(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.name = name
}

func (u *unreadable) CreateIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	u.mu.Lock()
	u.armed = true
	u.mu.Unlock()
	return backend.CreateIfAbsent(ctx, u.Bucket, name, content)
}

func (u *unreadable) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	u.mu.Lock()
	bad := u.name == name && u.armed
	u.armed = u.armed && !bad
	u.mu.Unlock()
	if bad {
		return 0, fmt.Errorf("%s: %w", name, backend.ErrNotExist)
	}
	return u.Bucket.ReadAt(ctx, name, p, off)
}

func TestOnlyTheOwnerDropsAndDeletes(t *testing.T) {
	store, all := sharedBlocks(t, 3)
	clock := &testClock{}
	helper := openCompactor(t, store, clock, func(o *CompactorOptions) {
		o.Owner = func() bool { return false }
		o.Retention = func() compact.RetainOptions { return compact.RetainOptions{MaxBytes: 1} }
	})
	if err := helper.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.pass(2 * worldGrace)
	if err := errors.Join(helper.Retain(t.Context()), helper.Reap(t.Context())); err != nil {
		t.Fatal(err)
	}
	if s := helper.Stats(); s.Blocks != 1 || s.Merges != 1 || s.Deleted+s.Dropped != 0 || s.Retired != 3 || s.Poller.IndexWrites != 0 {
		t.Errorf("%+v", s)
	}
	mustHave(t, store, all)
}

func TestJobsAreSharedByName(t *testing.T) {
	store, _ := sharedBlocks(t, 3)
	c := openCompactor(t, store, &testClock{}, func(o *CompactorOptions) { o.Owns = func(string) bool { return false } })
	if err := c.Compact(t.Context()); err != nil || c.Stats().Merges != 0 || c.Stats().Backlog.Jobs == 0 {
		t.Errorf("%+v, %v", c.Stats(), err)
	}
}

func TestAGracePeriodTooShortForReadersIsRefused(t *testing.T) {
	_, err := OpenCompactor(t.Context(), CompactorOptions{
		Bucket: backendtest.NewMemory(), Name: sharedTenant, Codec: lineCodec{}, PollEvery: time.Minute, Grace: 10 * time.Minute,
	})
	if err == nil || !strings.Contains(err.Error(), "20m0s") {
		t.Error(err)
	}
	if _, err := OpenCompactor(t.Context(), CompactorOptions{}); err == nil {
		t.Error("opened without a bucket")
	}
}

func TestTenThousandBlocksCostFewRequests(t *testing.T) {
	const n = 10_000
	store := backendtest.NewMemory()
	has := oneLine(0, 0)
	m := mustWrite(t, store, has)
	object := func(id block.ID, name string) string { return sharedTenant + "/" + string(id) + "/" + name }
	put := func(name string, content []byte) {
		if _, err := store.CreateIfAbsent(t.Context(), name, content); err != nil {
			t.Fatal(err)
		}
	}
	// Each alone in its window.
	for i := range n {
		x := *m
		x.ID = block.NewID()
		x.MaxStart += int64(i+1) * 24 * 3 * hour / 1000
		x.MinStart, x.MaxEnd = x.MaxStart, x.MaxStart
		content, err := block.AppendMeta(nil, &x)
		if err != nil {
			t.Fatal(err)
		}
		put(object(x.ID, "meta.json"), content)
		put(object(x.ID, "data"), nil)
	}
	counted := instrument.Count(store, instrument.CountOptions{})
	clock := &testClock{}
	narrow := func(o *CompactorOptions) {
		o.Compaction = compact.PlanOptions{Windows: []time.Duration{time.Minute}}
		o.Retention = func() compact.RetainOptions { return compact.RetainOptions{MaxAge: 200 * 24 * 365 * time.Hour} }
	}
	requests := func() int64 { return counted.Counts().Total().Requests }
	c := openCompactor(t, counted, clock, narrow)
	if got := requests(); got > n+20 {
		t.Errorf("%d requests to begin with", got)
	}
	before := requests()
	if err := errors.Join(c.Retain(t.Context()), c.Salvage(t.Context()), c.Compact(t.Context()), c.Reap(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := requests() - before; got > 5 {
		t.Errorf("%d requests in a round without work", got)
	}
	// Another begins with what the index says.
	before = requests()
	c = openCompactor(t, counted, clock, narrow)
	if got := requests() - before; got > 8 || c.Stats().Blocks != n+1 {
		t.Errorf("%d requests for another to begin, which sees %+v", got, c.Stats())
	}
	// A merge of three more.
	mustWrite(t, store, oneLine(-5000, 1))
	mustWrite(t, store, oneLine(-5000, 2))
	mustWrite(t, store, oneLine(-5000, 3))
	if err := c.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	before = requests()
	if err := c.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := requests() - before; got > 50 || c.Stats().Merges != 1 {
		t.Errorf("%d requests for a merge of three; %+v", got, c.Stats())
	}
	t.Logf("a merge of three blocks among %d: %d requests", n, requests()-before)
}

func TestRunDoesAllUntilItIsToldToStop(t *testing.T) {
	store, all := sharedBlocks(t, 3)
	clock := &testClock{}
	c := openCompactor(t, store, clock, func(o *CompactorOptions) { o.PollEvery, o.Grace = 2*time.Millisecond, time.Second })
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	for c.Stats().Blocks > 1 {
		time.Sleep(time.Millisecond)
	}
	clock.pass(time.Minute)
	for c.Stats().Retired > 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	running.Wait()
	if s := c.Stats(); s.Errors != 0 || s.Deleted != 3 {
		t.Errorf("%+v", s)
	}
	left, err := garbage(t.Context(), store)
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	mustHave(t, store, all)
}
