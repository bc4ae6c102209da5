package blocklist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// clock is a time that a test sets.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func newPoller(t testing.TB, bucket backend.Bucket, c *clock, owner bool, writer string) *Poller {
	t.Helper()
	p, err := NewPoller(bucket, tenant, Options{
		Owner: func() bool { return owner }, Writer: writer, Now: c.time, Stale: 5 * time.Minute, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustPoll(t testing.TB, p *Poller) (*List, Diff) {
	t.Helper()
	list, diff, err := p.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list, diff
}

// liveNumbers returns the live blocks by number, ascending.
func liveNumbers(l *List) (numbers []int) {
	for _, m := range l.Live {
		numbers = append(numbers, int(m.ID.Time().Sub(epoch)/time.Second))
	}
	slices.Sort(numbers)
	return numbers
}

func mustLive(t testing.TB, l *List, want ...int) {
	t.Helper()
	if got := liveNumbers(l); !slices.Equal(got, want) {
		t.Fatalf("live blocks are %v, want %v", got, want)
	}
}

func mustAsk(t testing.TB, b *memory, want string) {
	t.Helper()
	if got := b.asked(); got != want {
		t.Fatalf("requests: %s; want %s", got, want)
	}
}

func TestAChangeOfTenThousandBlocksCostsFewRequests(t *testing.T) {
	const n = 10_000
	bucket, c := newMemory(), &clock{epoch.Add(n * time.Second)}
	owner, reader := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
	bucket.write(t, metasOf(0, n)...)
	mustPoll(t, owner)
	mustAsk(t, bucket, fmt.Sprintf("%d get, 1 list, 1 put", 1+n))
	t.Logf("index of %d blocks: %d bytes", n, len(bucket.get(tenant+"/"+IndexObject)))

	list, diff := mustPoll(t, reader)
	if len(list.Live) != n || len(diff.Added) != n {
		t.Fatalf("%d live blocks, %d new", len(list.Live), len(diff.Added))
	}
	mustAsk(t, bucket, "2 get")

	// Nothing new: the head of the index is enough, for both.
	mustPoll(t, reader)
	mustAsk(t, bucket, "1 get")
	mustPoll(t, owner)
	mustAsk(t, bucket, "1 get, 1 list")

	// All of them compacted into a thousand.
	for i := range n / 10 {
		m := metaOf(n + i)
		for j := range 10 {
			m.Parents = append(m.Parents, idOf(10*i+j))
		}
		bucket.write(t, m)
	}
	mustPoll(t, owner)
	mustAsk(t, bucket, fmt.Sprintf("%d get, 1 list, 1 put", 1+n/10))
	list, diff = mustPoll(t, reader)
	if len(list.Live) != n/10 || len(list.Retired) != n || len(diff.Added) != n/10 || len(diff.Removed) != n {
		t.Fatalf("%d live, %d retired, %d added, %d removed", len(list.Live), len(list.Retired), len(diff.Added), len(diff.Removed))
	}
	mustAsk(t, bucket, "2 get")

	// An owner that begins anew knows from the index what it need not read.
	mustPoll(t, newPoller(t, bucket, c, true, "next owner"))
	mustAsk(t, bucket, "2 get, 1 list, 1 put")
}

func TestAnIdleOwnerShowsThatItLives(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner, reader := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
	bucket.write(t, metaOf(1))
	mustPoll(t, owner)
	mustPoll(t, reader)
	bucket.asked()
	puts := 0
	for range 60 {
		c.now = c.now.Add(30 * time.Second)
		mustPoll(t, owner)
		puts += strings.Count(bucket.asked(), "put")
		mustPoll(t, reader)
		mustAsk(t, bucket, "1 get")
	}
	if puts != 15 { // each 100 s, at the first poll after that
		t.Errorf("an index that does not change was written %d times in half an hour", puts)
	}
	if s := reader.Stats(); s.Fallbacks != 0 || s.Listings != 0 {
		t.Errorf("the reader has listed: %+v", s)
	}
}

func TestAReaderListsWhenTheIndexIsNoGood(t *testing.T) {
	name := tenant + "/" + IndexObject
	for _, test := range []struct {
		name  string
		spoil func(b *memory, c *clock)
	}{
		{"missing", func(b *memory, _ *clock) { b.set(name, nil) }},
		{"empty", func(b *memory, _ *clock) { b.set(name, []byte{}) }},
		{"cut short", func(b *memory, _ *clock) { b.set(name, b.get(name)[:len(b.get(name))-1]) }},
		{"a flipped bit in the header", func(b *memory, _ *clock) {
			x := slices.Clone(b.get(name))
			x[20] ^= 1
			b.set(name, x)
		}},
		{"a flipped bit in the blocks", func(b *memory, _ *clock) {
			x := slices.Clone(b.get(name))
			x[len(x)-10] ^= 1
			b.set(name, x)
		}},
		{"of a later version", func(b *memory, _ *clock) {
			x := slices.Clone(b.get(name))
			x[8]++
			b.set(name, x)
		}},
		{"too old", func(_ *memory, c *clock) { c.now = c.now.Add(6 * time.Minute) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
			owner := newPoller(t, bucket, c, true, "owner")
			knows, fresh := newPoller(t, bucket, c, false, ""), newPoller(t, bucket, c, false, "")
			bucket.write(t, metasOf(0, 5)...)
			mustPoll(t, owner)
			mustPoll(t, knows)
			bucket.write(t, metaOf(5, 0, 1))
			mustPoll(t, owner)
			bucket.write(t, metaOf(6))
			test.spoil(bucket, c)

			list, _ := mustPoll(t, knows)
			mustLive(t, list, 2, 3, 4, 5, 6)
			list, _ = mustPoll(t, fresh)
			mustLive(t, list, 2, 3, 4, 5, 6)
			bucket.asked()
			mustPoll(t, knows)
			if got := bucket.asked(); !strings.HasSuffix(got, "1 list") {
				t.Errorf("a reader that lists again asks for %s", got)
			}
			if s := knows.Stats(); s.MetaReads != 1 && s.MetaReads != 2 {
				t.Errorf("a reader that knew five blocks has read %d metas", s.MetaReads)
			}
			// The owner sees it and writes it again.
			mustPoll(t, owner)
			mustPoll(t, owner)
			for _, p := range []*Poller{knows, fresh} {
				mustPoll(t, p)
				bucket.asked()
				list, _ = mustPoll(t, p)
				mustLive(t, list, 2, 3, 4, 5, 6)
				mustAsk(t, bucket, "1 get")
			}
		})
	}
}

func TestAnIndexFromTheFutureIsNotBelievedForEver(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	ahead := &clock{c.now.Add(240 * time.Hour)}
	owner, reader := newPoller(t, bucket, ahead, true, "ahead"), newPoller(t, bucket, c, false, "")
	bucket.write(t, metaOf(1))
	mustPoll(t, owner)
	mustPoll(t, reader)
	bucket.write(t, metaOf(2)) // and the owner is gone
	c.now = c.now.Add(6 * time.Minute)
	list, _ := mustPoll(t, reader)
	mustLive(t, list, 1, 2)
}

func TestAMetaThatCannotBeReadHarmsNoOther(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner, reader := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
	bucket.write(t, metasOf(0, 3)...)
	whole := bucket.get(metaName(idOf(1)))
	bucket.set(metaName(idOf(1)), []byte("{"))
	list, diff := mustPoll(t, owner)
	mustLive(t, list, 0, 2)
	if len(list.Damaged) != 1 || list.Damaged[0].ID != idOf(1) || !page.IsCorrupt(list.Damaged[0].Err) || len(diff.Damaged) != 1 {
		t.Fatalf("damaged: %+v", list.Damaged)
	}
	list, _ = mustPoll(t, reader)
	mustLive(t, list, 0, 2)
	if len(list.Damaged) != 1 || !strings.Contains(list.Damaged[0].Err.Error(), "meta.json") {
		t.Fatalf("the reader is told of %+v", list.Damaged)
	}

	// It is read again, ever more seldom.
	reads := 0
	bucket.asked()
	for range 120 {
		c.now = c.now.Add(30 * time.Second)
		list, _ = mustPoll(t, owner)
		bucket.mu.Lock()
		for _, name := range bucket.names {
			if name == metaName(idOf(1)) {
				reads++
			}
		}
		bucket.mu.Unlock()
		bucket.asked()
	}
	if reads < 5 || reads > 15 {
		t.Errorf("in an hour a damaged meta was read %d times", reads)
	}
	if list.Damaged[0].Since != epoch.Add(time.Hour) {
		t.Errorf("damaged since %v", list.Damaged[0].Since)
	}
	bucket.set(metaName(idOf(1)), whole)
	c.now = c.now.Add(10 * time.Minute)
	list, diff = mustPoll(t, owner)
	mustLive(t, list, 0, 1, 2)
	if len(list.Damaged) != 0 || len(diff.Repaired) != 1 {
		t.Errorf("after repair: %+v", diff)
	}
}

func TestAFailingStoreLeavesTheListAsItWas(t *testing.T) {
	down := errors.New("503 slow down")
	for _, failing := range []string{"list", "get", "put"} {
		t.Run(failing, func(t *testing.T) {
			bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
			owner := newPoller(t, bucket, c, true, "owner")
			bucket.write(t, metasOf(0, 3)...)
			mustPoll(t, owner)
			bucket.write(t, metaOf(3))
			bucket.before = func(kind, _ string) error {
				if kind == failing {
					return down
				}
				return nil
			}
			list, _, err := owner.Poll(t.Context())
			if !errors.Is(err, down) || !strings.Contains(err.Error(), tenant) {
				t.Fatal(err)
			}
			want := []int{0, 1, 2}
			if failing == "put" {
				want = append(want, 3) // only others can't see it
			}
			mustLive(t, list, want...)
			bucket.before = nil
			list, _ = mustPoll(t, owner)
			mustLive(t, list, 0, 1, 2, 3)
			list, _ = mustPoll(t, newPoller(t, bucket, c, false, ""))
			mustLive(t, list, 0, 1, 2, 3)
		})
	}
}

func TestACancelledPollChangesNothing(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner := newPoller(t, bucket, c, true, "owner")
	bucket.write(t, metasOf(0, 3)...)
	mustPoll(t, owner)
	bucket.write(t, metasOf(3, 9)...)
	ctx, cancel := context.WithCancel(t.Context())
	bucket.before = func(kind, name string) error {
		if name == metaName(idOf(5)) {
			cancel()
		}
		return ctx.Err()
	}
	list, diff, err := owner.Poll(ctx)
	if !errors.Is(err, context.Canceled) || !diff.Empty() || len(list.Damaged) != 0 {
		t.Fatal(err, diff)
	}
	mustLive(t, list, 0, 1, 2)
}

func TestABlockIsSeenWhenItsMetaIsWritten(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(100 * time.Second)}
	owner := newPoller(t, bucket, c, true, "owner")
	bucket.begin(idOf(100))
	list, _ := mustPoll(t, owner)
	mustLive(t, list)
	if len(list.Unfinished) != 1 {
		t.Fatalf("unfinished: %v", list.Unfinished)
	}
	c.now = c.now.Add(30 * time.Second)
	bucket.finish(t, metaOf(100))
	list, _ = mustPoll(t, owner)
	mustLive(t, list, 100)
}

func TestOnlyAListingThatLooksAtEveryFolderSaysSinceWhenTheListIsGood(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(1000 * time.Second)}
	owner, reader := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
	asOf := func(p *Poller, want time.Time) {
		t.Helper()
		if got := p.AsOf(); !got.Equal(want) {
			t.Errorf("as of %v, want %v", got, want)
		}
	}
	asOf(reader, time.Time{})
	bucket.begin(idOf(100))
	mustPoll(t, owner)
	first := c.now
	asOf(owner, first)
	c.now = c.now.Add(time.Second)
	bucket.finish(t, metaOf(100))
	mustPoll(t, owner) // leaves the folder for later
	asOf(owner, first)
	list, _ := mustPoll(t, reader)
	mustLive(t, list)
	asOf(reader, time.Time{}) // an index says nothing
	list, _, err := reader.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustLive(t, list, 100)
	looked := c.now
	asOf(reader, looked)
	c.now = c.now.Add(time.Second)
	mustPoll(t, reader)
	asOf(reader, looked)
}

func TestAnOlderIndexTakesNothingAway(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner, reader := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
	bucket.write(t, metasOf(0, 3)...)
	mustPoll(t, owner)
	older := bucket.get(tenant + "/" + IndexObject)
	bucket.write(t, metaOf(3), metaOf(4, 0, 1))
	mustPoll(t, owner)
	mustPoll(t, reader)

	// An owner that was slow puts its older list over the newer one.
	bucket.set(tenant+"/"+IndexObject, older)
	list, diff := mustPoll(t, reader)
	mustLive(t, list, 2, 3, 4)
	if !diff.Empty() {
		t.Errorf("an older index has changed %+v", diff)
	}
	list, _ = mustPoll(t, reader)
	mustLive(t, list, 2, 3, 4)
	mustPoll(t, owner)
	list, _ = mustPoll(t, newPoller(t, bucket, c, false, ""))
	mustLive(t, list, 2, 3, 4)
}

func TestWhatAProcessWritesItSeesAtOnceAndGoesOnSeeing(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner, reader := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
	bucket.write(t, metasOf(0, 3)...)
	mustPoll(t, owner)
	mustPoll(t, reader)
	bucket.write(t, metaOf(10, 0, 1))
	list, diff := reader.Add(metaOf(10, 0, 1))
	mustLive(t, list, 2, 10)
	if len(diff.Added) != 1 || len(diff.Removed) != 2 {
		t.Errorf("added: %+v", diff)
	}
	// The index does not know it, unchanged or changed.
	list, _ = mustPoll(t, reader)
	mustLive(t, list, 2, 10)
	// The owner has listed before the block was there.
	hidden := bucket.get(metaName(idOf(10)))
	bucket.set(metaName(idOf(10)), nil)
	bucket.write(t, metaOf(20))
	mustPoll(t, owner)
	bucket.set(metaName(idOf(10)), hidden)
	bucket.asked()
	list, _ = mustPoll(t, reader)
	mustLive(t, list, 2, 10, 20)
	mustAsk(t, bucket, "2 get") // the index, and the block that it lacks
}

func TestABlockThatCannotBeLookedForIsLookedForAgain(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner, reader := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
	bucket.write(t, metasOf(0, 3)...)
	mustPoll(t, owner)
	mustPoll(t, reader)
	for _, object := range []string{"meta.json", "data"} {
		bucket.set(tenant+"/"+string(idOf(1))+"/"+object, nil)
	}
	mustPoll(t, owner)
	down := errors.New("503")
	bucket.before = func(_, name string) error {
		if name == metaName(idOf(1)) {
			return down
		}
		return nil
	}
	list, _, err := reader.Poll(t.Context())
	if !errors.Is(err, down) {
		t.Fatal(err)
	}
	mustLive(t, list, 0, 1, 2)
	bucket.before = nil
	list, _ = mustPoll(t, reader)
	mustLive(t, list, 0, 2)
}

func TestRunPollsUntilItsContextIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		// A reader, which compresses nothing: a pooled encoder that was made in this bubble can't be used outside of it.
		p, err := NewPoller(bucket, tenant, Options{Interval: time.Minute, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var changes []int
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Run(ctx, func(l *List, d Diff) { changes = append(changes, len(l.Live)) })
		}()
		synctest.Wait()
		bucket.write(t, metaOf(1))
		time.Sleep(2 * time.Minute)
		bucket.write(t, metaOf(2), metaOf(3))
		time.Sleep(10 * time.Minute)
		cancel()
		<-done
		if !slices.Equal(changes, []int{1, 3}) {
			t.Errorf("changes: %v", changes)
		}
		if polls := p.Stats().Polls; polls < 11 || polls > 14 {
			t.Errorf("%d polls in 12 minutes", polls)
		}
	})
}

func TestAddAndPollAtOnce(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner := newPoller(t, bucket, c, true, "owner")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 200 {
			bucket.write(t, metaOf(n))
			owner.Add(metaOf(n))
			if !owner.List().IsLive(idOf(n)) {
				t.Errorf("block %d is not live after Add", n)
			}
		}
	}()
	for {
		list, _ := mustPoll(t, owner)
		for n := range len(list.Live) {
			if !list.IsLive(idOf(n)) {
				t.Fatalf("block %d of %d vanished", n, len(list.Live))
			}
		}
		select {
		case <-done:
			mustPoll(t, owner)
			if n := len(owner.List().Live); n != 200 {
				t.Fatalf("%d live blocks", n)
			}
			return
		default:
		}
	}
}

func TestOnlyATenantsNameIsTaken(t *testing.T) {
	if _, err := NewPoller(newMemory(), "../x", Options{}); err == nil {
		t.Error("took a tenant that can't be one")
	}
}
