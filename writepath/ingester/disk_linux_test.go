package ingester_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// smallDisk returns a directory on a file system of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small file system can't be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// noise is text that does not compress well, 32 KiB.
func noise(seed uint64) string {
	var text strings.Builder
	for x := seed*0x9e3779b97f4a7c15 + 1; text.Len() < 32<<10; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		text.WriteByte('!' + byte(x%90))
	}
	return text.String()
}

// fill pushes traces from first on until one is refused, and returns the number of the first that was.
func (n *node) fill(first uint64) uint64 {
	n.t.Helper()
	for id := first; id < first+10_000; id++ {
		if o := n.push(group("a", id, spans(id, 1, noise(id))))[0]; o.GetCode() != 0 {
			if codes.Code(o.GetCode()) != codes.ResourceExhausted || o.GetRetryAfterMs() == 0 {
				n.t.Errorf("trace %d is refused with %v", id, o)
			}
			return id
		}
	}
	n.t.Fatal("the disk is never full")
	return 0
}

// allHere fails the test unless traces 1 to before-1 are answered whole.
func (n *node) allHere(before uint64) {
	n.t.Helper()
	for id := uint64(1); id < before; id++ {
		if got := n.spansOf("a", id); got != 1 {
			n.t.Fatalf("trace %d, which was acknowledged, has %d spans", id, got)
		}
	}
}

func TestAFullDiskRefusesAndLosesNothingAndTakesWhenThereIsRoom(t *testing.T) {
	disk := smallDisk(t, "24m")
	o := options(t)
	o.Dir = filepath.Join(disk, "ingester")
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, bytes.Repeat([]byte("x"), 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, o)
	refused := n.fill(1)
	if refused < 20 {
		t.Errorf("only %d traces were taken", refused-1)
	}
	n.allHere(refused)
	n.stop()
	n = start(t, o) // replays with the disk full
	n.allHere(refused)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	until(t, "it takes again", func() bool {
		return n.push(group("a", refused, spans(refused, 1, noise(refused))))[0].GetCode() == 0
	})
	n.allHere(refused + 1)
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.allHere(refused + 1)
}

func TestWhatIsReservedLetsAFullDiskEmptyItselfOnceTheStoreIsBack(t *testing.T) {
	o := options(t)
	store := &flaky{Bucket: o.Blocks}
	store.down.Store(true)
	o.Blocks = store
	o.Dir = filepath.Join(smallDisk(t, "24m"), "ingester")
	o.CutBytes, o.Reserve, o.Keep = 1<<20, 6<<20, 50*time.Millisecond
	n := start(t, o)
	refused := n.fill(1)
	reserved := func() bool {
		o := n.push(group("a", refused, spans(refused, 1, noise(refused))))[0]
		if o.GetCode() == 0 {
			refused++ // now and then cutting makes room
		}
		return strings.Contains(o.GetMessage(), "free")
	}
	for !reserved() && refused < 5000 {
	}
	n.allHere(refused)
	store.down.Store(false)
	for range 20 {
		until(t, "it takes again", func() bool {
			return n.push(group("a", refused, spans(refused, 1, noise(refused))))[0].GetCode() == 0
		})
		refused++
	}
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(traces(t, o.Blocks, "a")); got != int(refused-1) {
		t.Errorf("%d of %d traces that were acknowledged are in the object store", got, refused-1)
	}
}
