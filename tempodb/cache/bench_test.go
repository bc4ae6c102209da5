package cache

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
)

func benchObject(b *testing.B, o Options, size int) *Reader {
	s := newStore()
	s.object("data", size)
	r := newCache(b, o).Over(s, "here").Reader(background, "data", int64(size), KindData)
	mustRead(b, r, 0, size)
	return r
}

func BenchmarkHit(b *testing.B) {
	const size = 32 << 20
	for _, n := range []int{100, 4 << 10, 32 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			r := benchObject(b, Options{}, size)
			p := make([]byte, n)
			offsets := make([]int64, 1024)
			for i := range offsets {
				offsets[i] = rand.Int64N(int64((size-n)/4096)) * 4096
			}
			b.SetBytes(int64(n))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := r.ReadAt(p, offsets[i&1023]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// Each goroutine has a reader of its own, as each question to a block has.
func BenchmarkHitParallel(b *testing.B) {
	const size, hot, n = 32 << 20, 4 << 20, 4 << 10 // the hot part lies in the processor's cache, or else it is that which is measured
	shared := benchObject(b, Options{}, size)
	b.SetBytes(n)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := (&Bucket{Bucket: shared.bucket, cache: shared.cache, place: "here"}).Reader(background, "data", size, KindData)
		p := make([]byte, n)
		at := rand.Int64N(hot / n)
		for pb.Next() {
			at = (at*5 + 1) % (hot / n)
			if _, err := r.ReadAt(p, at*n); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// What it would cost to hand out a frame instead of a copy of it: a count of its users, up and down.
func BenchmarkHandOut(b *testing.B) {
	const size, n = 32 << 20, 4 << 10
	r := benchObject(b, Options{}, size)
	m := r.cache.memory
	users := make([]atomic.Int32, size/DefaultFrameBytes)
	sum, room := byte(0), make([]byte, n)
	b.ReportAllocs()
	at := int64(0)
	for b.Loop() {
		at = (at*5 + 1) % (size / n)
		_, key, from := r.part(room, at*n)
		s := m.shard(key)
		s.mu.RLock()
		i, ok := s.policy.find(key)
		if !ok {
			b.Fatal("not here")
		}
		view := s.frame(i, m.frameBytes)[from : from+n]
		s.policy.use(i)
		users[key.index].Add(1)
		s.mu.RUnlock()
		s.counts[KindData].hits.Add(1)
		s.counts[KindData].hitBytes.Add(n)
		sum += view[0]
		users[key.index].Add(-1)
	}
	_ = sum
}

func BenchmarkNewReader(b *testing.B) {
	c := newCache(b, Options{})
	bucket := c.Over(newStore(), "/var/lib/tempo/objects")
	b.ReportAllocs()
	for b.Loop() {
		bucket.Reader(background, "single-tenant/01JDA2V9W8ZV0Q3W5T8N6K4R7C/data", 1<<20, KindData)
	}
}

// A store that answers at once: what is left is the way of a frame through a flight into a full cache.
func BenchmarkMiss(b *testing.B) {
	const size = 256 << 20
	for _, frames := range []int{1, 4, 32} {
		b.Run(fmt.Sprintf("frames=%d", frames), func(b *testing.B) {
			s := newStore()
			s.objects["data"] = make([]byte, size)
			c := newCache(b, Options{MemoryBytes: 8 << 20})
			r := c.Over(s, "here").Reader(background, "data", size, KindData)
			p := make([]byte, frames*DefaultFrameBytes)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			off := int64(0)
			for b.Loop() {
				if _, err := r.ReadAt(p, off); err != nil {
					b.Fatal(err)
				}
				if off += int64(len(p)); off+int64(len(p)) > size {
					off = 0
				}
			}
		})
	}
}

func BenchmarkDiskHit(b *testing.B) {
	const size = 64 << 20
	s := newStore()
	s.objects["data"] = make([]byte, size)
	c := newCache(b, Options{MemoryBytes: 1 << 20, Disk: DiskOptions{Dir: b.TempDir(), Bytes: 128 << 20}})
	r := c.Over(s, "here").Reader(background, "data", size, KindData)
	for off := int64(0); off < size; off += 1 << 20 {
		mustRead(b, r, off, 1<<20)
		c.settle()
	}
	p := make([]byte, 4<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	reads := s.reads.Load()
	for b.Loop() {
		if _, err := r.ReadAt(p, rand.Int64N(size/4096)*4096); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.reads.Load()-reads), "store-reads")
}

// Reads of the length of compressed pages at places by Zipf: the size of frames decides how much of the cache
// is what nobody asked for, how much is read for it, and how often.
func BenchmarkFrameSize(b *testing.B) {
	const size, limit, pages = 256 << 20, 16 << 20, 20_000
	rnd := rand.New(rand.NewPCG(3, 4))
	type place struct {
		off int64
		n   int
	}
	places := make([]place, 0, pages)
	for off := int64(0); len(places) < pages; {
		n := 6<<10 + rnd.IntN(14<<10) // 128 KiB of records, compressed
		if off+int64(n) > size {
			break
		}
		places = append(places, place{off, n})
		off += int64(n)
	}
	rnd.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	z := rand.NewZipf(rnd, 1.1, 10, uint64(len(places)-1))
	sequence := make([]int, 60_000)
	for i := range sequence {
		sequence[i] = int(z.Uint64())
	}
	for _, frameBytes := range []int{8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10} {
		b.Run(fmt.Sprintf("frame=%dK", frameBytes>>10), func(b *testing.B) {
			for b.Loop() {
				s := newStore()
				s.objects["data"] = make([]byte, size)
				c := newCache(b, Options{MemoryBytes: limit, FrameBytes: frameBytes})
				r := c.Over(s, "here").Reader(background, "data", size, KindData)
				for _, i := range sequence {
					mustRead(b, r, places[i].off, places[i].n)
				}
				k := c.Stats().Store.Kinds[KindData]
				b.ReportMetric(100*float64(k.Reads)/float64(len(sequence)), "%requests")
				b.ReportMetric(float64(k.Bytes)/float64(k.Reads)/1024, "KiB/request")
			}
		})
	}
}

// The same reads from a directory, through the system's cache and through this one.
func BenchmarkDirectory(b *testing.B) {
	const size = 16 << 20
	dir, err := local.New(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	w, err := dir.Create(background, "t/b/data")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(make([]byte, size)); err != nil {
		b.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		b.Fatal(err)
	}
	c := newCache(b, Options{})
	r := c.Over(dir, "here").Reader(background, "t/b/data", size, KindData)
	for _, n := range []int{4 << 10, 20 << 10} {
		p := make([]byte, n)
		b.Run(fmt.Sprintf("direct/bytes=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := dir.ReadAt(background, "t/b/data", p, rand.Int64N(size-int64(n))); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("cached/bytes=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := r.ReadAt(p, rand.Int64N(size-int64(n))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Copies from one shard while frames are put into it.
func BenchmarkHitWhileOthersMiss(b *testing.B) {
	const size = 256 << 20
	s := newStore()
	s.objects["data"] = make([]byte, size)
	c := newCache(b, Options{MemoryBytes: 32 << 20})
	bucket := c.Over(s, "here")
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		r := bucket.Reader(background, "data", size, KindData)
		p := make([]byte, 64<<10)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = r.ReadAt(p, 1<<20+rand.Int64N(size-2<<20))
			}
		}
	})
	r := bucket.Reader(background, "data", size, KindData)
	mustRead(b, r, 0, 1<<20)
	mustRead(b, r, 0, 1<<20)
	p := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.ReadAt(p, rand.Int64N(255)*4096); err != nil {
			b.Fatal(err)
		}
	}
	close(stop)
	others.Wait()
}
