package blocklist

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// chain writes blocks 0 to 3, of which 4 and 5 were compacted, and 6 of these.
func chain(t *testing.T, b *memory) {
	b.write(t, append(metasOf(0, 4), metaOf(4, 0, 1), metaOf(5, 2, 3), metaOf(6, 4, 5))...)
}

func TestReapDeletesParentsFirst(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner := newPoller(t, bucket, c, true, "owner")
	chain(t, bucket)
	list, _ := mustPoll(t, owner)
	c.now = c.now.Add(time.Hour)
	deleted, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	want := []block.ID{idOf(0), idOf(1), idOf(2), idOf(3), idOf(4), idOf(5)}
	if !slices.Equal(deleted, want) {
		t.Errorf("deleted%s", numbers(deleted))
	}
	list, diff := mustPoll(t, owner)
	mustLive(t, list, 6)
	if len(list.Retired)+len(list.Unfinished) != 0 || !diff.Empty() {
		t.Errorf("left: %+v", list)
	}
	list, _ = mustPoll(t, newPoller(t, bucket, c, false, ""))
	mustLive(t, list, 6)
}

// The store dies at each request in turn, of a Reap that has a chain to delete. Who looks then, knowing the blocks or not, with the
// index or without, sees what was compacted last, and the next owner finishes the work.
func TestACrashOfReapAnywhere(t *testing.T) {
	for crashAt := 0; ; crashAt++ {
		bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
		owner, knows := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
		chain(t, bucket)
		list, _ := mustPoll(t, owner)
		mustPoll(t, knows)
		c.now = c.now.Add(time.Hour)
		requests := 0
		bucket.before = func(string, string) error {
			if requests++; requests > crashAt {
				return errCrash
			}
			return nil
		}
		_, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Hour, Concurrency: 1})
		bucket.before = nil
		if err == nil {
			if crashAt < 20 {
				t.Fatalf("done after %d requests", crashAt)
			}
			return
		}
		for _, withIndex := range []bool{true, false} {
			if !withIndex {
				bucket.set(tenant+"/"+IndexObject, nil)
			}
			for _, p := range []*Poller{knows, newPoller(t, bucket, c, false, "")} {
				list, _ := mustPoll(t, p)
				mustLive(t, list, 6)
			}
		}
		next := newPoller(t, bucket, c, true, "next owner")
		for range 4 {
			list, _ := mustPoll(t, next)
			mustLive(t, list, 6)
			c.now = c.now.Add(time.Hour)
			if _, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		list, _ = mustPoll(t, next)
		if n := len(list.listed); n != 1 {
			t.Fatalf("after a crash at request %d %d blocks are left", crashAt, n)
		}
	}
}

func TestACrashOfAnOwnerAnywhere(t *testing.T) {
	for crashAt := 0; ; crashAt++ {
		bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
		owner, knows := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
		bucket.write(t, metasOf(0, 4)...)
		mustPoll(t, owner)
		mustPoll(t, knows)
		bucket.write(t, metaOf(4, 0, 1))
		before := bucket.get(tenant + "/" + IndexObject)
		requests := 0
		bucket.before = func(string, string) error {
			if requests++; requests > crashAt {
				return errCrash
			}
			return nil
		}
		_, _, err := owner.Poll(t.Context())
		bucket.before = nil
		mustSee := func(p *Poller) {
			t.Helper()
			list, _ := mustPoll(t, p)
			got := fmt.Sprint(liveNumbers(list))
			if slices.Equal(before, bucket.get(tenant+"/"+IndexObject)) && got == "[0 1 2 3]" {
				return // the index is of before
			}
			mustLive(t, list, 2, 3, 4)
		}
		mustSee(knows)
		mustSee(newPoller(t, bucket, c, false, ""))
		c.now = c.now.Add(30 * time.Second)
		for _, p := range []*Poller{owner, newPoller(t, bucket, c, true, "next owner"), knows} {
			list, _ := mustPoll(t, p)
			mustLive(t, list, 2, 3, 4)
		}
		if err == nil {
			return
		}
	}
}

func TestABlockIsKeptUntilWhatSupersedesItIsSeenAgain(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner := newPoller(t, bucket, c, true, "owner")
	bucket.write(t, metaOf(1), metaOf(2, 1))
	list, _ := mustPoll(t, owner)
	c.now = c.now.Add(time.Hour)
	bucket.set(metaName(idOf(2)), []byte("damaged meanwhile"))
	deleted, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Minute})
	if len(deleted) != 0 || err == nil || !strings.Contains(err.Error(), string(idOf(1))) || !strings.Contains(err.Error(), tenant) {
		t.Fatal(deleted, err)
	}
	bucket.set(metaName(idOf(2)), nil) // moved away by hand
	deleted, err = Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Minute})
	if len(deleted) != 0 || err == nil || !bucket.isThere(idOf(1)) {
		t.Fatal(deleted, err)
	}
	bucket.set(tenant+"/"+string(idOf(2))+"/data", nil)
	mustPoll(t, owner)
	list, _ = mustPoll(t, owner)
	mustLive(t, list, 1)
}

func TestReapRemovesGarbageThatIsOldEnough(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(25 * time.Hour)}
	owner := newPoller(t, bucket, c, true, "owner")
	old, young, finished := idOf(1), idOf(20*3600), idOf(2)
	for _, id := range []block.ID{old, young, finished} {
		bucket.begin(id)
	}
	list, _ := mustPoll(t, owner)
	bucket.finish(t, metaOf(2)) // a writer that took its time
	deleted, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Hour})
	if err != nil || !slices.Equal(deleted, []block.ID{old}) {
		t.Fatal(numbers(deleted), err)
	}
}

func TestABlockFinishedSinceTheListingIsNoRest(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner := newPoller(t, bucket, c, true, "owner")
	bucket.write(t, metaOf(1))
	bucket.begin(idOf(2))
	mustPoll(t, owner)
	bucket.write(t, metaOf(2, 1), metaOf(3, 2)) // 2 is not looked at again so soon, it is old
	list, _ := mustPoll(t, owner)
	if len(list.Unfinished) != 1 {
		t.Fatalf("unfinished: %v", list.Unfinished)
	}
	deleted, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Hour})
	if err != nil || len(deleted) != 0 || !bucket.isThere(idOf(2)) {
		t.Fatalf("deleted%s, and 1 serves again: %v", numbers(deleted), err)
	}
}

func TestReapOnlyOfAListing(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	chain(t, bucket)
	mustPoll(t, newPoller(t, bucket, c, true, "owner"))
	list, _ := mustPoll(t, newPoller(t, bucket, c, false, ""))
	if _, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now.Add(time.Hour)}); err == nil || !strings.Contains(err.Error(), tenant) {
		t.Error(err)
	}
}

func TestReapTellsWhatFailedAndGoesOn(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner := newPoller(t, bucket, c, true, "owner")
	chain(t, bucket)
	list, _ := mustPoll(t, owner)
	down := errors.New("503")
	bucket.before = func(kind, name string) error {
		if kind == "delete" && strings.HasPrefix(name, tenant+"/"+string(idOf(1))) {
			return down
		}
		return nil
	}
	deleted, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now.Add(time.Hour), Grace: time.Hour})
	// 4 came from 1 and stays with it.
	if want := []block.ID{idOf(0), idOf(2), idOf(3), idOf(5)}; !errors.Is(err, down) || !slices.Equal(deleted, want) {
		t.Errorf("deleted%s: %v", numbers(deleted), err)
	}
}

// All on a directory, with what the block package itself lists.
func TestOnADirectory(t *testing.T) {
	bucket, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, content []byte) {
		w, err := bucket.Create(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []*block.Meta{metaOf(0), metaOf(1), metaOf(2, 0)} {
		content, err := block.AppendMeta(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		put(tenant+"/"+string(m.ID)+"/data", []byte("data"))
		put(metaName(m.ID), content)
	}
	c := &clock{epoch.Add(time.Hour)}
	owner, reader := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
	list, _ := mustPoll(t, owner)
	mustLive(t, list, 1, 2)
	c.now = c.now.Add(2 * time.Hour)
	if _, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Hour}); err != nil {
		t.Fatal(err)
	}
	mustPoll(t, owner)
	list, _ = mustPoll(t, reader)
	mustLive(t, list, 1, 2)
	// The index is no block.
	if ids, err := block.List(t.Context(), bucket, tenant); err != nil || !slices.Equal(ids, []block.ID{idOf(1), idOf(2)}) {
		t.Fatal(ids, err)
	}
}
