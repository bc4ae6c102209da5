package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

const frame = 512 // of most tests

var background = context.Background()

func TestAColdFrameIsReadOnceForAllWhoWantIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		want := s.object("data", 100*frame)
		open := make(chan struct{})
		s.do(func(context.Context) error { <-open; return nil })
		c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(64, frame)})
		b := c.Over(s, "here")

		const readers = 50
		var all sync.WaitGroup
		for range readers {
			all.Go(func() {
				r := b.Reader(background, "data", int64(len(want)), KindData)
				if got := mustRead(t, r, 7*frame+100, 50); !bytes.Equal(got, want[7*frame+100:7*frame+150]) {
					t.Error("wrong bytes")
				}
			})
		}
		synctest.Wait() // all readers wait for the store
		close(open)
		all.Wait()
		if got := s.took(); !slices.Equal(got, []string{fmt.Sprintf("data[%d:%d)", 7*frame, 8*frame)}) {
			t.Errorf("the store was asked for %v", got)
		}
		if got := c.Stats().Store.Kinds[KindData].Joins; got != readers-1 {
			t.Errorf("%d joined the flight, want %d", got, readers-1)
		}
	})
}

func TestNeighboursAreReadByOneRequest(t *testing.T) {
	s := newStore()
	want := s.object("data", 100*frame+77)
	size := int64(len(want))
	c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(256, frame), MaxReadBytes: 16 * frame})
	c.bridge = 4
	r := c.Over(s, "here").Reader(background, "data", size, KindData)
	reads := func(off int64, n int, ranges ...string) {
		t.Helper()
		if got := mustRead(t, r, off, n); !bytes.Equal(got, want[off:off+int64(n)]) {
			t.Errorf("wrong bytes at %d", off)
		}
		got := s.took()
		slices.Sort(got)
		if !slices.Equal(got, ranges) {
			t.Errorf("reading %d bytes at %d: the store was asked for %v, want %v", n, off, got, ranges)
		}
	}
	is := func(from, to int64) string { return fmt.Sprintf("data[%d:%d)", from*frame, min(to*frame, size)) }

	reads(10*frame+5, 9*frame+100, is(10, 20))      // ten cold ones
	reads(12*frame, 3*frame)                        // warm
	reads(8*frame, 14*frame, is(20, 22), is(8, 10)) // around warm ones
	reads(25*frame, frame, is(25, 26))
	reads(22*frame+1, 8*frame, is(22, 31))                        // over a warm one, which costs less than a request
	reads(40*frame, 40*frame, is(40, 56), is(56, 72), is(72, 80)) // no longer than allowed
	reads(99*frame+1, frame+70, is(99, 101))                      // to where the object ends
	if got := c.Stats().Store.Kinds[KindData]; got.Reads != 9 || got.Coalesced != 8 || got.Bytes != int64((10+4+1+9+40+1)*frame+77) {
		t.Errorf("counted %+v", got)
	}
}

func TestReadsAreThoseOfAnyReaderAt(t *testing.T) {
	s := newStore()
	want := s.object("data", 3*frame+10)
	c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(8, frame)})
	b := c.Over(s, "here")
	for _, b := range []*Bucket{b, b, b.Scanning()} { // cold, warm, scanning
		r := b.Reader(background, "data", int64(len(want)), KindData)
		for _, x := range []struct {
			off     int64
			n, want int
			err     error
		}{
			{0, 0, 0, nil},
			{3*frame + 9, 1, 1, nil},
			{3*frame + 9, 2, 1, io.EOF},
			{3*frame + 10, 1, 0, io.EOF},
			{1 << 40, 1, 0, io.EOF},
			{0, 4 * frame, 3*frame + 10, io.EOF},
		} {
			p := make([]byte, x.n)
			n, err := r.ReadAt(p, x.off)
			if n != x.want || err != x.err || n > 0 && !bytes.Equal(p[:n], want[x.off:x.off+int64(n)]) {
				t.Errorf("%d bytes at %d: %d, %v", x.n, x.off, n, err)
			}
		}
		if _, err := r.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
			t.Errorf("before the object: %v", err)
		}
	}
}

func TestAFailureIsAnsweredAndNotKept(t *testing.T) {
	s := newStore()
	want := s.object("data", 10*frame)
	s.do(func(context.Context) error { return errStore })
	c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(32, frame)})
	for _, b := range []*Bucket{c.Over(s, "here"), c.Over(s, "here").Scanning()} {
		r := b.Reader(background, "data", int64(len(want)), KindData)
		s.do(func(context.Context) error { return errStore })
		p := make([]byte, 6*frame)
		n, err := r.ReadAt(p, 2*frame)
		if err != errStore || n != 2*frame || !bytes.Equal(p[:n], want[2*frame:4*frame]) {
			t.Errorf("%d bytes, %v: want the first third, which is good, and the store's error", n, err)
		}
		s.do(nil)
		if got := mustRead(t, r, 2*frame, 6*frame); !bytes.Equal(got, want[2*frame:8*frame]) {
			t.Error("wrong bytes after a failure")
		}
		c.memory.forget(r.id)
	}
	if got := c.Stats().Store.Kinds[KindData].Errors; got != 2 {
		t.Errorf("%d errors counted", got)
	}
}

func TestAnObjectThatIsShorterThanItWasOrGone(t *testing.T) {
	s := newStore()
	want := s.object("data", 2*frame+10)
	c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(8, frame)})
	r := c.Over(s, "here").Reader(background, "data", 10*frame, KindData)
	p := make([]byte, 4*frame)
	if n, err := r.ReadAt(p, 0); n != len(want) || err != io.EOF || !bytes.Equal(p[:n], want) {
		t.Errorf("past the end that was not known: %d, %v", n, err)
	}
	if n, err := r.ReadAt(p[:5], 2*frame); n != 5 || err != nil || !bytes.Equal(p[:n], want[2*frame:2*frame+5]) {
		t.Errorf("in the last frame, before the end: %d, %v", n, err)
	}
	r = c.Over(s, "here").Reader(background, "gone", 10*frame, KindData)
	if n, err := r.ReadAt(p, 0); n != 0 || !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("gone: %d, %v", n, err)
	}
}

func TestWhoGoesAwayTakesNothingFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		want := s.object("data", 10*frame)
		open := make(chan struct{})
		s.do(func(ctx context.Context) error {
			select {
			case <-open:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(32, frame)})
		b := c.Over(s, "here")
		first, goAway := context.WithCancel(background)
		var all sync.WaitGroup
		all.Go(func() {
			r := b.Reader(first, "data", int64(len(want)), KindData)
			if n, err := r.ReadAt(make([]byte, 4*frame), 0); n != 0 || err != context.Canceled {
				t.Errorf("who went away: %d, %v", n, err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			r := b.Reader(background, "data", int64(len(want)), KindData)
			if got := mustRead(t, r, frame, 2*frame); !bytes.Equal(got, want[frame:3*frame]) {
				t.Error("who stayed got wrong bytes")
			}
		})
		synctest.Wait()
		goAway()
		synctest.Wait()
		close(open)
		all.Wait()
		if n := s.reads.Load(); n != 1 {
			t.Errorf("%d reads of the store", n)
		}
	})
}

func TestAFlightThatNobodyWaitsForIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		want := s.object("data", 10*frame)
		stubborn := make(chan struct{})
		cancelled := 0
		s.do(func(ctx context.Context) error {
			<-ctx.Done()
			cancelled++
			<-stubborn // a store may be slow to obey
			return ctx.Err()
		})
		c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(32, frame)})
		b := c.Over(s, "here")
		ctx, cancel := context.WithCancel(background)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				r := b.Reader(ctx, "data", int64(len(want)), KindData)
				if _, err := r.ReadAt(make([]byte, frame), 0); err != context.Canceled {
					t.Errorf("error %v", err)
				}
			})
		}
		synctest.Wait()
		cancel()
		all.Wait() // without the store's answer
		synctest.Wait()
		if cancelled != 1 {
			t.Errorf("%d reads of the store were cancelled, want 1", cancelled)
		}
		// Who comes now has a flight of its own, not the cancelled one.
		s.do(nil)
		mustRead(t, b.Reader(background, "data", int64(len(want)), KindData), 0, frame)
		close(stubborn)
	})
}

func TestADoneContextReadsNothing(t *testing.T) {
	s := newStore()
	s.object("data", frame)
	c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(8, frame)})
	ctx, cancel := context.WithCancel(background)
	r := c.Over(s, "here").Reader(ctx, "data", frame, KindData)
	mustRead(t, r, 0, 10)
	cancel()
	if n, err := r.ReadAt(make([]byte, 10), 0); n != 0 || err != context.Canceled {
		t.Errorf("%d, %v", n, err)
	}
}

func TestReadsInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		want := s.object("data", 64*frame)
		open := make(chan struct{})
		s.do(func(context.Context) error { <-open; return nil })
		c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(32, frame), MaxReadBytes: frame, InFlightBytes: 3 * frame})
		b := c.Over(s, "here")
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				r := b.Reader(background, "data", int64(len(want)), KindData)
				if got := mustRead(t, r, int64(2*i*frame), frame); !bytes.Equal(got, want[2*i*frame:(2*i+1)*frame]) {
					t.Error("wrong bytes")
				}
			})
		}
		synctest.Wait()
		if n, bytes := s.reads.Load(), c.Stats().Store.InFlightBytes; n != 3 || bytes != 3*frame {
			t.Errorf("%d reads of %d bytes at one time, want 3", n, bytes)
		}
		close(open)
		all.Wait()
	})
}

func TestScansLeaveNoTrace(t *testing.T) {
	s := newStore()
	want := s.object("data", 100*frame)
	c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(32, frame)})
	b := c.Over(s, "here")
	mustRead(t, b.Reader(background, "data", int64(len(want)), KindData), 4*frame, 2*frame)
	s.took()
	before := c.Stats().Memory

	r := b.Scanning().Reader(background, "data", int64(len(want)), KindData)
	if got := mustRead(t, r, 3*frame+10, 5*frame); !bytes.Equal(got, want[3*frame+10:8*frame+10]) {
		t.Error("wrong bytes")
	}
	// One request for exactly what was asked for, though the middle of it is cached; none for what is.
	if got := s.took(); !slices.Equal(got, []string{fmt.Sprintf("data[%d:%d)", 3*frame+10, 8*frame+10)}) {
		t.Errorf("the store was asked for %v", got)
	}
	mustRead(t, r, 4*frame, 2*frame)
	if got := s.took(); len(got) != 0 {
		t.Errorf("the store was asked for %v", got)
	}
	if after := c.Stats().Memory; after != before {
		t.Errorf("the scan changed %+v to %+v", before, after)
	}
}

func TestDeletedObjectsAreForgotten(t *testing.T) {
	s := newStore()
	s.object("a/data", 4*frame)
	s.object("b/data", 4*frame)
	c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(32, frame), shards: 4})
	b := c.Over(s, "here")
	a := b.Reader(background, "a/data", 4*frame, KindData)
	other := b.Reader(background, "b/data", 4*frame, KindData)
	mustRead(t, a, 0, 4*frame)
	mustRead(t, other, 0, 4*frame)
	if err := b.Delete(background, "a/data"); err != nil || !slices.Equal(s.deleted, []string{"a/data"}) {
		t.Fatal(err, s.deleted)
	}
	if _, err := a.ReadAt(make([]byte, 10), 0); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("deleted object: %v", err)
	}
	s.took()
	mustRead(t, other, 0, 4*frame)
	if got := s.took(); len(got) != 0 {
		t.Errorf("another object was forgotten too: %v", got)
	}
	if got := c.Stats().Memory.UsedBytes; got != 4*frame {
		t.Errorf("%d bytes used", got)
	}
}

func TestObjectsOfOneNameInTwoBucketsAreTwo(t *testing.T) {
	one, two := newStore(), newStore()
	a, b := one.object("data", frame), two.object("data", frame+1)[:frame]
	c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(8, frame)})
	ra := c.Over(one, "one").Reader(background, "data", frame, KindData)
	rb := c.Over(two, "two").Reader(background, "data", frame, KindData)
	for range 2 {
		if !bytes.Equal(mustRead(t, ra, 0, frame), a) || !bytes.Equal(mustRead(t, rb, 0, frame), b) {
			t.Error("one bucket was answered from the other")
		}
	}
}

func TestCloseEndsReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.object("data", 10*frame)
		c, err := New(Options{FrameBytes: frame, MemoryBytes: room(8, frame)})
		if err != nil {
			t.Fatal(err)
		}
		b := c.Over(s, "here")
		r := b.Reader(background, "data", 10*frame, KindData)
		mustRead(t, r, 0, frame)
		s.do(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := r.ReadAt(make([]byte, frame), 5*frame); err != ErrClosed {
				t.Errorf("read in flight: %v", err)
			}
		})
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
		for _, off := range []int64{0, 5 * frame} {
			if _, err := r.ReadAt(make([]byte, 10), off); err != ErrClosed {
				t.Errorf("read after close: %v", err)
			}
			if _, err := b.Scanning().Reader(background, "data", 10*frame, KindData).ReadAt(make([]byte, 10), off); err != ErrClosed {
				t.Errorf("scan after close: %v", err)
			}
		}
		_ = c.Stats()
		b.Forget("data")
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, o := range []Options{
		{FrameBytes: 1000},
		{FrameBytes: 256},
		{FrameBytes: 1 << 20},
		{FrameBytes: 4096, MemoryBytes: 4096},
		{MaxReadBytes: 1000},
		{MaxReadBytes: 1 << 20, InFlightBytes: 1 << 19},
		{DirectoryShare: 1.5},
		{Disk: DiskOptions{Dir: t.TempDir(), Bytes: 1000}},
	} {
		if c, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
			_ = c.Close()
		}
	}
}

func TestMemoryStaysWithinItsBound(t *testing.T) {
	const limit, frameBytes = 16 << 20, 32 << 10
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	s := newStore()
	s.object("data", 4*limit)
	before := heap()
	c := newCache(t, Options{FrameBytes: frameBytes, MemoryBytes: limit})
	b := c.Over(s, "here")
	p := make([]byte, 100<<10)
	for _, kind := range []Kind{KindData, KindIndex, KindSearch} {
		r := b.Reader(background, "data", 4*limit, kind)
		for off := int64(0); off+int64(len(p)) < 4*limit; off += int64(len(p)) {
			if _, err := r.ReadAt(p, off); err != nil {
				t.Fatal(err)
			}
			if m := c.Stats().Memory; m.UsedBytes > m.LimitBytes || m.LimitBytes > limit {
				t.Fatalf("%d bytes used of %d, where %d are allowed", m.UsedBytes, m.LimitBytes, limit)
			}
		}
	}
	s.took()
	m := c.Stats().Memory
	if m.UsedBytes < limit*95/100 {
		t.Errorf("only %d bytes of %d used", m.UsedBytes, limit)
	}
	real := heap() - before
	if outside := int64(len(c.memory.area.bytes)); !areaIsHeap {
		real += outside
	}
	t.Logf("limit %d, used %d, really taken %d", limit, m.UsedBytes, real)
	if real > limit*105/100 {
		t.Errorf("%d bytes are taken, where %d are allowed", real, limit)
	}
	if real < limit*95/100 {
		t.Errorf("%d bytes are taken: less than is used", real)
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(s) // it was there before
	runtime.KeepAlive(b)
}
