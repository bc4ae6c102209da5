package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// hits reads frames and returns which part of them was in memory.
func hits(t *testing.T, c *Cache, r *Reader, frames []int64) float64 {
	t.Helper()
	before := c.Stats().Memory.Kinds[r.kind]
	for _, i := range frames {
		mustRead(t, r, i*frame+1, 10)
	}
	after := c.Stats().Memory.Kinds[r.kind]
	return float64(after.Hits-before.Hits) / float64(len(frames))
}

func span(from, to int64) []int64 {
	var all []int64
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

// shuffled returns the frames in another order, so that no two reads look like reading on.
func shuffled(frames []int64) []int64 {
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
	return frames
}

func TestAScanDoesNotFlushOutWhatIsUsed(t *testing.T) {
	const slots = 1000
	for _, x := range []struct {
		name string
		hot  Kind
		scan func(t *testing.T, b *Bucket, size int64)
	}{
		{"by pages", KindData, func(t *testing.T, b *Bucket, size int64) {
			r := b.Reader(background, "scan", size, KindData)
			for off := int64(0); off+3*frame/2 <= size; off += 3 * frame / 2 {
				mustRead(t, r, off, 3*frame/2)
			}
		}},
		{"in small steps", KindData, func(t *testing.T, b *Bucket, size int64) {
			r := b.Reader(background, "scan", size, KindData)
			for off := int64(0); off+frame/8 <= size; off += frame / 8 {
				mustRead(t, r, off, frame/8)
			}
		}},
		{"at once", KindSearch, func(t *testing.T, b *Bucket, size int64) {
			mustRead(t, b.Reader(background, "scan", size, KindData), 0, int(size))
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := newStore()
			size := int64(10 * slots * frame)
			s.object("scan", int(size))
			s.object("hot", slots*frame)
			c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(slots, frame)})
			b := c.Over(s, "here")
			hot := b.Reader(background, "hot", slots*frame, x.hot)
			for range 2 { // it's used twice: that makes it hot
				hits(t, c, hot, span(0, slots/2))
			}
			x.scan(t, b, size)
			if got := hits(t, c, hot, span(0, slots/2)); got <= 0.9 {
				t.Errorf("after a scan of ten times the cache, %.1f %% of the hot set hit", 100*got)
			}
		})
	}
}

func TestDirectoriesKeepTheirShareInAFloodOfData(t *testing.T) {
	const slots = 1000
	s := newStore()
	s.object("index", slots*frame)
	s.object("data", 10*slots*frame)
	c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(slots, frame), DirectoryShare: 0.25, shards: 1})
	b := c.Over(s, "here")
	index := b.Reader(background, "index", slots*frame, KindIndex)
	data := b.Reader(background, "data", 10*slots*frame, KindData)

	// The data is used over and over, the directories once.
	hits(t, c, index, span(0, slots/5))
	for range 3 {
		hits(t, c, data, shuffled(span(0, 2*slots)))
	}
	if got := hits(t, c, index, span(0, slots/5)); got < 1 {
		t.Errorf("%.1f %% of the directories hit", 100*got)
	}
	// They take no more than their share where data is wanted, and all where it is not.
	hits(t, c, index, span(0, slots))
	m := c.Stats().Memory
	if got := m.Kinds[KindIndex].Frames; got != slots/4 {
		t.Errorf("%d frames of directories, their share is %d", got, slots/4)
	}
	if got := m.Kinds[KindData].Frames; got != slots-slots/4 {
		t.Errorf("%d frames of data, want the rest: %d", got, slots-slots/4)
	}
	if m.Kinds[KindData].Evictions == 0 || m.Kinds[KindIndex].Evictions == 0 {
		t.Errorf("evictions are not counted: %+v", m.Kinds)
	}
	b.Forget("data")
	hits(t, c, index, span(0, slots))
	if got := c.Stats().Memory.Kinds[KindIndex].Frames; got != slots {
		t.Errorf("%d frames of directories where nobody else wants the room", got)
	}
}

func TestWhatComesBackSoonStays(t *testing.T) {
	p := newPolicy(100, 0)
	put := func(n int64) {
		key := frameKey{index: n}
		if i, ok := p.find(key); ok {
			p.use(i)
			return
		}
		i, ok := p.reserve(KindData)
		if !ok {
			t.Fatal("no slot")
		}
		p.publish(i, key, KindData, 1, 0)
	}
	for n := range int64(110) {
		put(n)
	}
	if _, ok := p.find(frameKey{index: 5}); ok {
		t.Fatal("the oldest is still here")
	}
	put(5) // it was evicted a moment ago
	for n := int64(1000); n < 2000; n++ {
		put(n)
	}
	if i, ok := p.find(frameKey{index: 5}); !ok || !p.slots[i].main {
		t.Error("it was flushed out by what is read once")
	}
	checkPolicy(t, p)
}

// hitRatio is that of a policy on a sequence of frames.
func hitRatio(p *policy, sequence []int64) float64 {
	n := 0
	for _, x := range sequence {
		key := frameKey{index: x}
		if i, ok := p.find(key); ok {
			p.use(i)
			n++
			continue
		}
		i, _ := p.reserve(KindData)
		p.publish(i, key, KindData, 1, 0)
	}
	return float64(n) / float64(len(sequence))
}

func BenchmarkHitRatio(b *testing.B) {
	const slots = 1000
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, skew := range []float64{1.01, 1.1, 1.3} {
		z := rand.NewZipf(rnd, skew, 1, 20*slots)
		sequence := make([]int64, 400_000)
		for i := range sequence {
			sequence[i] = int64(z.Uint64())
			if i%10 == 0 {
				sequence[i] = int64(1_000_000 + i) // read once
			}
		}
		b.Run(fmt.Sprintf("zipf=%g", skew), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.ReportMetric(100*hitRatio(newPolicy(slots, 0), sequence), "%hits")
			}
		})
	}
}
