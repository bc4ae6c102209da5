package tempodb

import (
	"errors"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
)

// A compactor drops, salvages, merges and deletes, and dies at each operation of the store in turn, before it is carried out or behind. Who looks then, with
// the index or without, finds all that is to be there, and what was dropped not again once it was gone. Another compactor finishes the work, and
// leaves nothing behind.
func TestACompactorThatDiesAnywhereLosesNothing(t *testing.T) {
	before := backendtest.NewMemory()
	old, young := make(content), make(content)
	var bad *block.Meta
	for i := range 6 {
		has, of := oneLine(i/3*40+i, i), old
		if i >= 3 {
			of = young
		}
		bad = mustWrite(t, before, has)
		of.addAll(has)
	}
	damage(before, bad.ID, "search")
	all := make(content)
	all.addAll(old)
	all.addAll(young)
	for _, claims := range []bool{true, false} {
		as := func(store *backendtest.Memory) backend.Bucket {
			if claims {
				return store
			}
			return withoutClaims{store}
		}
		for _, behind := range []bool{false, true} {
			dieAt := 1
			for ; ; dieAt++ {
				clock, store := &testClock{}, before.Clone()
				retention := func() compact.RetainOptions {
					return compact.RetainOptions{MaxAge: clock.now().Sub(time.Unix(0, dawn+20*hour))}
				}
				first := openCompactor(t, as(store), clock, nil) // there is an index
				if err := first.Poll(t.Context()); err != nil {
					t.Fatal(err)
				}
				p := &process{Bucket: as(store), dieAt: dieAt, behind: behind}
				c, err := OpenCompactor(t.Context(), CompactorOptions{
					Bucket: p, Name: sharedTenant, Codec: lineCodec{}, Writer: "the mortal", Compaction: everyThree, Retention: retention,
					PollEvery: worldPoll, Grace: worldGrace, ClaimTTL: worldTTL, Now: clock.now,
				})
				if err == nil {
					err = c.work(t.Context())
				}
				if err == nil {
					clock.pass(worldGrace)
					err = c.Reap(t.Context())
				}
				if err == nil {
					clock.pass(25 * time.Hour)
					err = c.Reap(t.Context())
				}
				if err != nil && !errors.Is(err, errDead) {
					t.Fatalf("operation %d, behind %v: %v", dieAt, behind, err)
				}
				fresh, err := readFresh(t.Context(), store)
				if err != nil {
					t.Fatalf("after a death at operation %d, behind %v: %v", dieAt, behind, err)
				}
				here := make(content)
				here.addAll(young)
				for k := range old {
					for line := range old[k] {
						if fresh.has(k, line) {
							here.add(k, line)
						}
					}
				}
				if d := contentDiffers(fresh, here); d != "" {
					t.Fatalf("after a death at operation %d, behind %v: %s", dieAt, behind, d)
				}
				byIndex, err := OpenReader(t.Context(), ReaderOptions{Bucket: store, Name: sharedTenant, Codec: lineCodec{}, PollEvery: -1, CacheBytes: -1})
				if err != nil {
					t.Fatal(err)
				}
				found, err := readAll(t.Context(), byIndex)
				if err != nil {
					t.Fatalf("after a death at operation %d, behind %v, by the index: %v", dieAt, behind, err)
				}
				byIndex.Close()
				for k := range young {
					for line := range young[k] {
						if !found.has(k, line) {
							t.Fatalf("after a death at operation %d, behind %v, by the index: %q is missing", dieAt, behind, line)
						}
					}
				}
				next := openCompactor(t, as(store), clock, func(o *CompactorOptions) { o.Retention = retention })
				if err := next.work(t.Context()); err != nil {
					t.Fatal(err)
				}
				now, err := readFresh(t.Context(), store)
				if err != nil {
					t.Fatal(err)
				}
				for k := range now {
					for line := range now[k] {
						if !here.has(k, line) {
							t.Fatalf("after a death at operation %d, behind %v: %q is back", dieAt, behind, line)
						}
					}
				}
				mustFinish(t, next, clock, store)
				mustHave(t, store, young)
				if !p.isDead() {
					break
				}
			}
			t.Logf("claims %v: it died at %d operations", claims, dieAt-1)
			if dieAt < 50 {
				t.Errorf("that is few")
			}
		}
	}
}
