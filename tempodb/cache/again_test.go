package cache

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// A body that was changed on its way is right for every tier. Who knows better has it replaced in all of them.
func TestWhatIsReadAgainReplacesWhatTheTiersHave(t *testing.T) {
	dir, server := t.TempDir(), newMemcachedServer(t)
	o := memcachedOptions(server)
	o.Disk = DiskOptions{Dir: dir, Bytes: 100 * frame}
	const size = 10*frame - 7
	s := newStore()
	want := bytes.Clone(s.object("data", size))
	s.objects["data"][5*frame+3] ^= 1

	c := newCache(t, o)
	r := c.Over(s, "here").Reader(background, "data", size, KindData)
	if bytes.Equal(mustRead(t, r, 0, size), want) {
		t.Fatal("nothing is wrong")
	}
	c.settle()
	s.objects["data"][5*frame+3] ^= 1
	s.took()
	p := make([]byte, frame)
	if n, err := r.ReadAgain(p, 4*frame+10); n != frame || err != nil || !bytes.Equal(p, want[4*frame+10:5*frame+10]) {
		t.Fatal("read again:", n, err)
	}
	if got := s.took(); !slices.Equal(got, []string{fmt.Sprintf("data[%d:%d)", 4*frame, 6*frame)}) {
		t.Errorf("the store was asked for %v", got)
	}
	if n, err := r.ReadAgain(p, size); n != 0 || err == nil {
		t.Errorf("beyond the end: %d, %v", n, err)
	}
	c.settle()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	disk, both := o, o
	disk.Memcached.Servers, both.Disk.Dir = nil, t.TempDir()
	for name, o := range map[string]Options{"disk": disk, "memcached": both} {
		c := newCache(t, o)
		if got := mustRead(t, c.Over(s, "here").Reader(background, "data", size, KindData), 0, size); !bytes.Equal(got, want) {
			t.Errorf("%s has what was wrong", name)
		}
		if got := s.took(); len(got) != 0 {
			t.Errorf("%s: the store was asked for %v", name, got)
		}
	}
}

func TestAScanThatReadsAgainPassesTheTiersAndFillsNone(t *testing.T) {
	s := newStore()
	want := bytes.Clone(s.object("data", 4*frame))
	s.objects["data"][frame] ^= 1
	c := newCache(t, Options{FrameBytes: frame, MemoryBytes: room(32, frame), Disk: DiskOptions{Dir: t.TempDir(), Bytes: 100 * frame}})
	b := c.Over(s, "here")
	mustRead(t, b.Reader(background, "data", 4*frame, KindData), 0, 4*frame)
	c.settle()
	s.objects["data"][frame] ^= 1
	p := make([]byte, 2*frame)
	if n, err := b.Scanning().Reader(background, "data", 4*frame, KindData).ReadAgain(p, 0); n != len(p) || err != nil || !bytes.Equal(p, want[:2*frame]) {
		t.Fatal(n, err)
	}
	if got := c.Stats(); got.Memory.UsedBytes != 2*frame || got.Disk.UsedBytes != 2*frame {
		t.Errorf("memory holds %d bytes, disk %d", got.Memory.UsedBytes, got.Disk.UsedBytes)
	}
}
