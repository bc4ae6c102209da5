package blocklist

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

func mustDrop(t *testing.T, b *memory, at time.Time, ids ...block.ID) {
	t.Helper()
	if err := Drop(t.Context(), b, tenant, ids, Dropping{At: at, By: "test", Reason: "it is old"}); err != nil {
		t.Fatal(err)
	}
}

// Listing finds the marks without a further request, with an index and without, whoever looks, and whatever becomes of the owner.
func TestADroppedBlockAnswersNobodyWhateverIsLost(t *testing.T) {
	bucket, c := newMemory(), &clock{epoch.Add(time.Hour)}
	owner, knows := newPoller(t, bucket, c, true, "owner"), newPoller(t, bucket, c, false, "")
	bucket.write(t, metasOf(0, 3)...)
	mustPoll(t, owner)
	mustPoll(t, knows)
	mustDrop(t, bucket, c.now, idOf(0), idOf(2))
	bucket.asked()
	list, _ := mustPoll(t, owner)
	mustLive(t, list, 1)
	mustAsk(t, bucket, "1 get, 1 list, 1 put")
	list, _ = mustPoll(t, knows)
	mustLive(t, list, 1)

	// The owner is gone, and the index is lost.
	bucket.set(tenant+"/"+IndexObject, nil)
	for _, p := range []*Poller{knows, newPoller(t, bucket, c, false, ""), newPoller(t, bucket, c, true, "next owner")} {
		list, _ = mustPoll(t, p)
		mustLive(t, list, 1)
	}

	// A deletion that fails in the middle.
	down := errors.New("503")
	bucket.before = func(kind, name string) error {
		if kind == "delete" && strings.HasSuffix(name, "/data") {
			return down
		}
		return nil
	}
	c.now = c.now.Add(time.Hour)
	if _, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Minute}); !errors.Is(err, down) {
		t.Fatal(err)
	}
	bucket.before = nil
	next := newPoller(t, bucket, c, true, "next owner")
	list, _ = mustPoll(t, next)
	mustLive(t, list, 1)
	deleted, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Minute})
	if err != nil || len(deleted) != 2 {
		t.Fatalf("deleted%s, %v", numbers(deleted), err)
	}

	// The marks stay for as long as a writer writes, and then go.
	marks := func() (n int) {
		for name := range bucket.objects {
			if strings.Contains(name, markInfix) {
				n++
			}
		}
		return n
	}
	for _, step := range []struct{ after, marks int }{{1, 2}, {25, 0}} {
		c.now = c.now.Add(time.Duration(step.after) * time.Hour)
		list, _ = mustPoll(t, next)
		mustLive(t, list, 1)
		if _, err := Reap(t.Context(), bucket, list, ReapOptions{Now: c.now, Grace: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if n := marks(); n != step.marks {
			t.Errorf("%d marks are left, want %d", n, step.marks)
		}
	}
}

func TestADropThatFailsNamesTheBlock(t *testing.T) {
	bucket := newMemory()
	down := errors.New("503")
	bucket.before = func(string, string) error { return down }
	err := Drop(t.Context(), bucket, tenant, []block.ID{idOf(3)}, Dropping{At: epoch})
	if !errors.Is(err, down) || !strings.Contains(err.Error(), string(idOf(3))) {
		t.Error(err)
	}
	if err := Drop(t.Context(), bucket, "../evil", nil, Dropping{At: epoch}); err == nil {
		t.Error("a tenant that is none is taken")
	}
}
