package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A cache of a few frames, over a store that fails at times, read by many at once, some of which go away: whatever is
// answered is what the store has, or an error that is the store's or of who went away.
func TestAnyReadGivesTheRightBytesOrTheStoresError(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		frameBytes := 512 << rapid.IntRange(0, 2).Draw(rt, "frame size")
		frames := rapid.IntRange(1, 40).Draw(rt, "frames")
		o := Options{
			FrameBytes:     frameBytes,
			MemoryBytes:    room(frames, frameBytes),
			MaxReadBytes:   frameBytes * rapid.IntRange(1, 6).Draw(rt, "longest read"),
			DirectoryShare: rapid.SampledFrom([]float64{-1, 0.25, 1}).Draw(rt, "share"),
			shards:         rapid.SampledFrom([]int{1, 2}).Draw(rt, "shards"),
		}
		if o.shards > frames {
			o.shards = 1
		}
		o.InFlightBytes = int64(o.MaxReadBytes)
		if rapid.Bool().Draw(rt, "disk") {
			o.Disk = DiskOptions{Dir: t.TempDir(), Bytes: int64(rapid.IntRange(2, 60).Draw(rt, "disk frames")) * int64(frameBytes+slotEntry)}
		}
		failing := rapid.IntRange(0, 40).Draw(rt, "percent that fail")
		seed := rapid.Uint64().Draw(rt, "seed")
		readAtRandom(t, o, failing, seed)
	})
}

func readAtRandom(t *testing.T, o Options, failing int, seed uint64) {
	s := newStore()
	var objects [][]byte
	for i := range 3 {
		objects = append(objects, s.object(fmt.Sprint("object", i), 1+i*o.FrameBytes*9+i*37))
	}
	var mu sync.Mutex
	chance := rand.New(rand.NewPCG(seed, 1))
	s.do(func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if chance.IntN(100) < failing {
			return errStore
		}
		return nil
	})
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	b := c.Over(s, "here")
	var all sync.WaitGroup
	for reader := range 6 {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(100+reader)))
			for range 60 {
				i := rnd.IntN(len(objects))
				want := objects[i]
				ctx, cancel := context.WithCancel(background)
				goesAway := rnd.IntN(10) == 0
				if goesAway {
					all.Go(cancel)
				}
				from := b
				if rnd.IntN(5) == 0 {
					from = b.Scanning()
				}
				r := from.Reader(ctx, fmt.Sprint("object", i), int64(len(want)), Kind(rnd.IntN(Kinds)))
				off := rnd.Int64N(int64(len(want)))
				p := make([]byte, 1+rnd.IntN(min(len(want)-int(off), 1+rnd.IntN(12*o.FrameBytes))))
				n, err := r.ReadAt(p, off)
				if err == nil && n != len(p) || !bytes.Equal(p[:n], want[off:off+int64(n)]) {
					t.Errorf("seed %d: object %d, %d bytes at %d: wrong bytes among %d, %v", seed, i, len(p), off, n, err)
				}
				if err != nil && !errors.Is(err, errStore) && (!goesAway || err != context.Canceled) {
					t.Errorf("seed %d: error %v", seed, err)
				}
				cancel()
				// What was not answered is the caller's again.
				for j := range p {
					p[j] = 0
				}
				if rnd.IntN(50) == 0 {
					b.Forget(r.Name())
				}
				if m := c.Stats(); m.Memory.UsedBytes > m.Memory.LimitBytes || m.Disk.UsedBytes > m.Disk.LimitBytes {
					t.Errorf("more is used than allowed: %+v", m)
				}
			}
		})
	}
	all.Wait()
	c.flights.running.Wait()
	if len(c.flights.flying) != 0 || c.Stats().Store.InFlightBytes != 0 {
		t.Error("flights are left over")
	}
	for i := range c.memory.shards {
		checkPolicy(t, c.memory.shards[i].policy)
	}
	if c.disk != nil {
		c.settle()
		checkPolicy(t, c.disk.policy)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// Every slot of a policy that nobody has reserved is in exactly one queue, or free.
func checkPolicy(t *testing.T, p *policy) {
	t.Helper()
	seen := map[uint32]bool{}
	see := func(i uint32) {
		if seen[i] {
			t.Fatalf("slot %d is in two places", i)
		}
		seen[i] = true
	}
	for i := p.free; i != noSlot; i = p.slots[i].next {
		see(i)
	}
	for class := range p.queues {
		q := &p.queues[class]
		for _, f := range []*fifo{&q.small, &q.main} {
			n := 0
			for i := f.first; i != noSlot; i = p.slots[i].next {
				see(i)
				n++
				s := &p.slots[i]
				if at, ok := p.index[s.key]; !ok || at != i || s.kind.class() != class || s.main != (f == &q.main) {
					t.Fatalf("slot %d is not what its queue says: %+v", i, s)
				}
			}
			if n != f.n {
				t.Fatalf("a queue of %d slots counts %d", n, f.n)
			}
		}
		if len(q.ghosts.at) > q.ghosts.limit || len(q.ghosts.ring) > q.ghosts.limit {
			t.Fatalf("%d ghosts, more than %d", len(q.ghosts.at), q.ghosts.limit)
		}
	}
	if len(seen) != len(p.slots) || len(p.slots) > p.capacity {
		t.Fatalf("%d of %d slots are somewhere, %d are allowed", len(seen), len(p.slots), p.capacity)
	}
	held := int64(0)
	for _, u := range p.used {
		held += u.frames
	}
	if held != int64(len(p.index)) {
		t.Fatalf("%d frames are counted, %d held", held, len(p.index))
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails where a goroutine is left
		readAtRandom(t, Options{
			FrameBytes: frame, MemoryBytes: room(10, frame), MaxReadBytes: 4 * frame, Disk: DiskOptions{Dir: t.TempDir(), Bytes: 100 * frame},
			Memcached: MemcachedOptions{Servers: []string{"127.0.0.1:1"}, Timeout: time.Second},
		}, 20, 1)
	})
}
