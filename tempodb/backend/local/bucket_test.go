package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
)

var ctx = context.Background()

func newBucket(t testing.TB, dir string) *Bucket {
	t.Helper()
	b, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func put(t testing.TB, b *Bucket, name, content string) {
	t.Helper()
	w, err := b.Create(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestBucket(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backend.Bucket { return newBucket(t, t.TempDir()) })
}

// With few handles every read evicts another one's.
func TestBucketWithFewHandles(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backend.Bucket {
		b := newBucket(t, t.TempDir())
		b.handles.max = 1
		return b
	})
}

// files lists all that is in a directory, folders with a slash, temporary names shortened.
func files(t testing.TB, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if at := strings.Index(name, tempPrefix); at >= 0 {
			name = name[:at+len(tempPrefix)]
		}
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "store")
	put(t, newBucket(t, dir), "a/b", "x")
	for path, want := range map[string]fs.FileMode{
		filepath.Dir(dir):            fs.ModeDir | 0o700,
		dir:                          fs.ModeDir | 0o700,
		filepath.Join(dir, "a"):      fs.ModeDir | 0o700,
		filepath.Join(dir, "a", "b"): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}

func TestAbortAndDeleteLeaveNoFilesAndNoFolders(t *testing.T) {
	dir := t.TempDir()
	b := newBucket(t, dir)
	put(t, b, "keep/object", "x")
	w, err := b.Create(ctx, "a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); got != "a/ a/b/ a/b/.tmp- keep/ keep/object" {
		t.Errorf("while writing: %s", got)
	}
	w.Abort()
	put(t, b, "d/e/f", "x")
	if err := b.Delete(ctx, "d/e/f"); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); got != "keep/ keep/object" {
		t.Errorf("afterwards: %s", got)
	}
}

func TestAFailedCommitLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	b := newBucket(t, dir)
	put(t, b, "folder/object", "x")
	w, err := b.Create(ctx, "folder") // where a folder is
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err == nil || !strings.Contains(err.Error(), `"folder"`) {
		t.Errorf("error is %v", err)
	}
	if _, err := b.Create(ctx, "folder/object/below"); err == nil {
		t.Error("an object below an object was created")
	}
	if got := files(t, dir); got != "folder/ folder/object" {
		t.Errorf("the directory holds %s", got)
	}
}

func TestTemporaryNamesAreNoObjects(t *testing.T) {
	b := newBucket(t, t.TempDir())
	for _, name := range []string{".tmp-1", "a/.tmp-1", ".tmp-a/b"} {
		if _, err := b.Create(ctx, name); !errors.Is(err, backend.ErrName) {
			t.Errorf("create %q: %v", name, err)
		}
		if _, err := b.Size(ctx, name); !errors.Is(err, backend.ErrName) {
			t.Errorf("size %q: %v", name, err)
		}
	}
}

func TestNewSaysWhatIsWrongWithTheDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := New(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("New(%s): %v", dir, err)
		}
	}
}

// TestKilledWriter kills a process that is writing an object, and looks at what it leaves.
func TestKilledWriter(t *testing.T) {
	const variable = "TEMPO_TEST_KILLED_WRITER"
	if dir := os.Getenv(variable); dir != "" {
		writeForEver(dir)
	}
	dir := t.TempDir()
	put(t, newBucket(t, dir), "block/old", "old")
	for range 3 {
		child := exec.Command(os.Args[0], "-test.run=^TestKilledWriter$")
		child.Env = append(os.Environ(), variable+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "writing\n" {
			t.Errorf("child says %q, %v", line, err)
		}
		child.Process.Kill()
		child.Wait()

		b := newBucket(t, dir)
		got, seen := make([]byte, 3), ""
		if _, err := b.ReadAt(ctx, "block/old", got, 0); err != nil || string(got) != "old" {
			t.Errorf("the object that was being replaced is %q, %v", got, err)
		}
		if _, err := b.Size(ctx, "block/new"); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("the object that was being written: %v", err)
		}
		if err := b.List(ctx, "block", func(name string) error { seen += name + " "; return nil }); err != nil || seen != "old " {
			t.Errorf("list is %q, %v", seen, err)
		}
	}
	b := newBucket(t, dir)
	if n, err := b.RemoveStale(ctx, time.Hour); n != 0 || err != nil {
		t.Errorf("young files: removed %d, %v", n, err)
	}
	if n, err := b.RemoveStale(ctx, 0); n != 6 || err != nil {
		t.Errorf("stale files: removed %d, %v", n, err)
	}
	if got := files(t, dir); got != "block/ block/old" {
		t.Errorf("the directory holds %s", got)
	}
}

func writeForEver(dir string) {
	b, err := New(dir)
	if err != nil {
		panic(err)
	}
	var writers []backend.ObjectWriter
	for _, name := range []string{"block/old", "block/new"} {
		w, err := b.Create(ctx, name)
		if err != nil {
			panic(err)
		}
		writers = append(writers, w)
	}
	for n := 0; ; n++ {
		for _, w := range writers {
			if _, err := w.Write(make([]byte, 100_000)); err != nil {
				panic(err)
			}
		}
		if n == 3 {
			fmt.Println("writing")
			select {} // until killed
		}
	}
}

func TestRemoveStaleLeavesLiveWritersAlone(t *testing.T) {
	dir := t.TempDir()
	b := newBucket(t, dir)
	w, err := b.Create(ctx, "a/b")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := b.RemoveStale(ctx, 0); n != 0 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.RemoveStale(cancelled, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOpenFilesAreBounded(t *testing.T) {
	b := newBucket(t, t.TempDir())
	b.handles.max = 4
	var held []*handle
	for i := range 20 {
		name := fmt.Sprintf("object-%02d", i)
		put(t, b, name, name)
		h, err := b.acquire(ctx, name, trusted)
		if err != nil {
			t.Fatal(err)
		}
		if i < 3 {
			held = append(held, h) // read for a long time
		} else {
			b.handles.release(h)
		}
		if n := b.handles.recent.Len(); n > 4 || n != len(b.handles.byName) {
			t.Fatalf("%d files are kept open", n)
		}
	}
	for i, h := range held {
		p := make([]byte, h.info.Size())
		if _, err := h.file.ReadAt(p, 0); err != nil || string(p) != fmt.Sprintf("object-%02d", i) {
			t.Errorf("an evicted file in use reads %q, %v", p, err)
		}
		b.handles.release(h)
		if _, err := h.file.ReadAt(p, 0); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("an evicted file is not closed after use: %v", err)
		}
	}
}

func TestAReaderKeepsTheObjectItBeganWith(t *testing.T) {
	b := newBucket(t, t.TempDir())
	put(t, b, "a", "old")
	h, err := b.acquire(ctx, "a", trusted)
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, "a", "new")
	p := make([]byte, 3)
	if _, err := h.file.ReadAt(p, 0); err != nil || string(p) != "old" {
		t.Errorf("the reader that was there before sees %q, %v", p, err)
	}
	b.handles.release(h)
	if _, err := b.ReadAt(ctx, "a", p, 0); err != nil || string(p) != "new" {
		t.Errorf("a new reader sees %q, %v", p, err)
	}
	if err := b.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadAt(ctx, "a", p, 0); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("after Delete: %v", err)
	}
}

func TestWhatAnotherProcessReplacesOrDeletesIsSeen(t *testing.T) {
	dir := t.TempDir()
	here, there := newBucket(t, dir), newBucket(t, dir)
	put(t, here, "a", "old")
	p := make([]byte, 5)
	read := func() string {
		n, err := here.ReadAt(ctx, "a", p, 0)
		if err != nil && err != io.EOF {
			return err.Error()
		}
		return string(p[:n])
	}
	if got := read(); got != "old" {
		t.Fatal(got)
	}
	put(t, there, "a", "newer")
	if size, err := here.Size(ctx, "a"); err != nil || size != 5 {
		t.Errorf("after it was replaced: %d bytes, %v", size, err)
	}
	if got := read(); got != "newer" {
		t.Errorf("after a look: %q", got)
	}
	put(t, there, "a", "third")
	here.handles.byName["a"].seen = time.Time{} // long ago
	if got := read(); got != "third" {
		t.Errorf("after a while: %q", got)
	}
	if err := there.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if size, err := here.Size(ctx, "a"); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("after it was deleted: %d bytes, %v", size, err)
	}
}

func TestReadsAndCloseAtOnce(t *testing.T) {
	b := newBucket(t, t.TempDir())
	b.handles.max = 2
	want := bytes.Repeat([]byte("x"), 1000)
	for i := range 5 {
		put(t, b, fmt.Sprint(i), string(want))
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			p := make([]byte, len(want))
			for i := range 200 {
				if _, err := b.ReadAt(ctx, fmt.Sprint((g+i)%5), p, 0); err != nil || !bytes.Equal(p, want) {
					t.Errorf("read: %v", err)
				}
				if i%50 == 0 {
					b.Close()
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkReadAt(b *testing.B) {
	bucket := newBucket(b, b.TempDir())
	put(b, bucket, "object", strings.Repeat("x", 64<<10))
	p := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bucket.ReadAt(ctx, "object", p, 8192); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	bucket := newBucket(b, b.TempDir())
	content := strings.Repeat("x", 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		put(b, bucket, "tenant/block/object", content)
	}
}
