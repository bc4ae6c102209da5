package cache

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// diskOptions are those of a cache with little memory and a disk tier of that many frames.
func diskOptions(dir string, frames int) Options {
	return Options{FrameBytes: frame, MemoryBytes: room(2, frame), Disk: DiskOptions{Dir: dir, Bytes: slotEntry + int64(frames)*(frame+slotEntry)}}
}

// readAll reads an object frame by frame, checks it, and returns how often the store was asked.
func readAll(t *testing.T, c *Cache, s *store, name string) int {
	t.Helper()
	want := s.objects[name]
	s.took()
	r := c.Over(s, "here").Reader(background, name, int64(len(want)), KindData)
	for off := 0; off < len(want); off += frame {
		n := min(frame, len(want)-off)
		if got := mustRead(t, r, int64(off), n); !bytes.Equal(got, want[off:off+n]) {
			t.Errorf("wrong bytes at %d", off)
		}
		c.settle()
	}
	return len(s.took())
}

func TestWhatMemoryDoesNotHoldIsReadFromDisk(t *testing.T) {
	s := newStore()
	s.object("data", 100*frame-5)
	c := newCache(t, diskOptions(t.TempDir(), 200))
	if n := readAll(t, c, s, "data"); n != 100 {
		t.Errorf("cold: %d reads of the store", n)
	}
	if n := readAll(t, c, s, "data"); n != 0 {
		t.Errorf("warm: %d reads of the store", n)
	}
	d := c.Stats().Disk
	if k := d.Kinds[KindData]; k.Hits < 90 || k.Frames != 100 || k.Bytes != 100*frame-5 || d.UsedBytes != 100*frame || d.LimitBytes != 200*frame {
		t.Errorf("counted %+v", d)
	}
	// Scans find it too, and do not bring it into memory.
	s.took()
	mustRead(t, c.Over(s, "here").Scanning().Reader(background, "data", 100*frame-5, KindData), 7, 50*frame)
	if got := s.took(); len(got) != 0 {
		t.Errorf("a scan asked the store for %v", got)
	}
	// Where disk has some, the store is asked once for the rest.
	s.object("other", 20*frame)
	r := c.Over(s, "here").Reader(background, "other", 20*frame, KindData)
	mustRead(t, r, 8*frame, frame)
	mustRead(t, r, 0, frame)
	mustRead(t, r, 10*frame, frame)
	mustRead(t, r, 12*frame, frame)
	c.settle()
	s.took()
	mustRead(t, r, 0, 11*frame)
	if got := s.took(); len(got) != 1 {
		t.Errorf("the store was asked for %v", got)
	}
}

func TestTheDiskTierIsFoundAgainAfterARestart(t *testing.T) {
	s := newStore()
	s.object("data", 50*frame-5)
	dir := t.TempDir()
	open := func(o Options) *Cache {
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open(diskOptions(dir, 100))
	readAll(t, c, s, "data")

	// A process that is killed leaves its files as they are.
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := New(diskOptions(dir, 100)); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two caches on one directory: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, killed} {
		c := open(diskOptions(dir, 100))
		if n := readAll(t, c, s, "data"); n != 0 {
			t.Errorf("%d reads of the store after a restart", n)
		}
		checkPolicy(t, c.disk.policy)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	// With a smaller bound, as much as fits into it is kept.
	c = open(diskOptions(dir, 20))
	if got := c.Stats().Disk; got.UsedBytes != 20*frame {
		t.Errorf("used %+v", got)
	}
	checkBytes(t, dir, diskOptions(dir, 20).Disk.Bytes)
	if n := readAll(t, c, s, "data"); n < 30 {
		t.Errorf("%d reads of the store", n)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	// With frames of another size, nothing is.
	o := diskOptions(dir, 100)
	o.FrameBytes = 2 * frame
	c = open(o)
	if got := c.Stats().Disk; got.UsedBytes != 0 || got.Errors != 0 {
		t.Errorf("used %+v", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func checkBytes(t *testing.T, dir string, limit int64) {
	t.Helper()
	total := int64(0)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > limit {
		t.Errorf("the files have %d bytes, %d are allowed", total, limit)
	}
}

func TestTheDiskTierStaysWithinItsBound(t *testing.T) {
	s := newStore()
	s.object("data", 300*frame)
	dir := t.TempDir()
	o := diskOptions(dir, 40)
	c := newCache(t, o)
	readAll(t, c, s, "data")
	readAll(t, c, s, "data")
	checkBytes(t, dir, o.Disk.Bytes)
	d := c.Stats().Disk
	if d.UsedBytes != 40*frame || d.Kinds[KindData].Evictions == 0 {
		t.Errorf("counted %+v", d)
	}
	c.Over(s, "here").Forget("data")
	if got := c.Stats().Disk.UsedBytes; got != 0 {
		t.Errorf("%d bytes used after it was forgotten", got)
	}
}

func TestADamagedDiskTierIsAMiss(t *testing.T) {
	s := newStore()
	s.object("data", 30*frame-5)
	dir := t.TempDir()
	c, err := New(diskOptions(dir, 50))
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, c, s, "data")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, name := range []string{framesFile, slotsFile} {
		whole, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write := func(b []byte) {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		damages := [][]byte{nil, whole[:1], whole[:len(whole)/2], whole[:len(whole)-1], append(bytes.Clone(whole), whole...), make([]byte, len(whole))}
		for range 40 {
			b := bytes.Clone(whole)
			for range 1 + rnd.IntN(20) {
				b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
			}
			damages = append(damages, b)
		}
		for at := range slotEntry { // of the header, and of the second entry
			for _, at := range []int{at, 2*slotEntry + at} {
				b := bytes.Clone(whole)
				b[at] ^= 0x10
				damages = append(damages, b)
			}
		}
		// Slots that have changed their places.
		swapped := bytes.Clone(whole)
		copy(swapped[slotEntry:2*slotEntry], whole[2*slotEntry:])
		copy(swapped[2*slotEntry:3*slotEntry], whole[slotEntry:])
		damages = append(damages, swapped)

		for _, b := range damages {
			write(b)
			c, err := New(diskOptions(dir, 50))
			if err != nil {
				t.Fatalf("%s damaged: %v", name, err)
			}
			readAll(t, c, s, "data") // which compares
			checkPolicy(t, c.disk.policy)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		// It heals: what was read again is there again.
		c, err := New(diskOptions(dir, 50))
		if err != nil {
			t.Fatal(err)
		}
		if n := readAll(t, c, s, "data"); n != 0 {
			t.Errorf("%d reads of the store after damage was read over", n)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// badFile fails when it is told to.
type badFile struct {
	file
	writes, reads *atomic.Bool
}

func (f badFile) WriteAt(p []byte, off int64) (int, error) {
	if f.writes.Load() {
		n, _ := f.file.WriteAt(p[:len(p)/2], off)
		return n, syscall.ENOSPC
	}
	return f.file.WriteAt(p, off)
}

func (f badFile) ReadAt(p []byte, off int64) (int, error) {
	if f.reads.Load() {
		return 0, syscall.EIO
	}
	return f.file.ReadAt(p, off)
}

func TestAFullOrBrokenDiskIsAMiss(t *testing.T) {
	s := newStore()
	s.object("data", 50*frame)
	var writes, reads atomic.Bool
	now := time.Unix(1_000_000, 0)
	o := diskOptions(t.TempDir(), 100)
	o.now = func() time.Time { return now }
	o.open = func(name string) (file, error) {
		f, err := openOSFile(name)
		return badFile{f, &writes, &reads}, err
	}
	c := newCache(t, o)
	writes.Store(true)
	if n := readAll(t, c, s, "data"); n != 50 {
		t.Errorf("%d reads of the store", n)
	}
	d := c.Stats().Disk
	if d.Errors != 1 || d.Dropped != 49 || d.UsedBytes != 0 {
		t.Errorf("a full disk was not left alone: %+v", d)
	}
	now = now.Add(diskPause)
	readAll(t, c, s, "data")
	if d := c.Stats().Disk; d.Errors != 2 {
		t.Errorf("it was tried %d times, want one more", d.Errors)
	}
	writes.Store(false)
	now = now.Add(2 * diskPause)
	readAll(t, c, s, "data")
	if n := readAll(t, c, s, "data"); n != 0 {
		t.Errorf("%d reads of the store when there is room again", n)
	}
	reads.Store(true)
	if n := readAll(t, c, s, "data"); n < 48 { // two are in memory
		t.Errorf("%d reads of the store where the disk can't be read", n)
	}
	reads.Store(false)
	if n := readAll(t, c, s, "data"); n != 0 {
		t.Errorf("%d reads of the store when it can be read again", n)
	}
}

func TestADirectoryThatCannotBeUsedIsAnError(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(diskOptions(name, 10)); !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v", err)
	}
	// Nothing is held after it.
	if c, err := New(diskOptions(dir, 10)); err != nil {
		t.Error(err)
	} else if err := c.Close(); err != nil {
		t.Error(err)
	}
}
