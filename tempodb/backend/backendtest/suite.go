// Package backendtest says in code what a backend.Bucket is. Every implementation runs it:
//
//	func TestBucket(t *testing.T) {
//		backendtest.Run(t, func(t *testing.T) backend.Bucket { return newEmptyBucket(t) })
//	}
package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// Run tests the buckets that newBucket returns: each call a new and empty one. Clean up with t.Cleanup.
func Run(t *testing.T, newBucket func(t *testing.T) backend.Bucket) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, b backend.Bucket)
	}{
		{"what is committed is read back", testWhole},
		{"an object of many writes", testManyWrites},
		{"an empty object", testEmpty},
		{"a large object", testLarge},
		{"ranges at all edges", testRanges},
		{"a missing object", testMissing},
		{"nothing is seen before Commit", testUncommitted},
		{"an aborted object leaves nothing", testAbort},
		{"Commit and Abort happen once", testOnce},
		{"an object is replaced at Commit", testReplace},
		{"a deleted object is gone", testDelete},
		{"lists are in order, with folders", testList},
		{"an error ends a list", testListError},
		{"odd names", testOddNames},
		{"bad names", testBadNames},
		{"a cancelled context", testCancelled},
		{"many callers", testConcurrent},
		{"a replaced object is never mixed", testConcurrentReplace},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newBucket(t)) })
	}
}

// put writes an object.
func put(t testing.TB, b backend.Bucket, name string, content []byte) {
	t.Helper()
	w, err := b.Create(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if n, err := w.Write(content); n != len(content) || err != nil {
		t.Fatalf("write of %d bytes to %q: %d, %v", len(content), name, n, err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// mustHold checks an object's size and content.
func mustHold(t testing.TB, b backend.Bucket, name string, want []byte) {
	t.Helper()
	size, err := b.Size(context.Background(), name)
	if err != nil || size != int64(len(want)) {
		t.Fatalf("size of %q is %d, %v; want %d", name, size, err, len(want))
	}
	got := make([]byte, len(want))
	if n, err := b.ReadAt(context.Background(), name, got, 0); n != len(want) || (err != nil && err != io.EOF) {
		t.Fatalf("read of %q: %d, %v; want %d", name, n, err, len(want))
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%q is not what was written", name)
	}
}

// mustMiss checks that there is no such object.
func mustMiss(t testing.TB, b backend.Bucket, name string) {
	t.Helper()
	for _, p := range [][]byte{nil, make([]byte, 10)} {
		if n, err := b.ReadAt(context.Background(), name, p, 0); n != 0 || !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("read of %q, which does not exist: %d, %v", name, n, err)
		}
	}
	_, err := b.Size(context.Background(), name)
	if !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("size of %q, which does not exist: %v", name, err)
	} else if !strings.Contains(err.Error(), name) {
		t.Errorf("the error %q does not name %q", err, name)
	}
}

func list(t testing.TB, b backend.Bucket, dir string) []string {
	t.Helper()
	names := []string{}
	err := b.List(context.Background(), dir, func(name string) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		t.Fatalf("list %q: %v", dir, err)
	}
	return names
}

func mustList(t testing.TB, b backend.Bucket, dir string, want ...string) {
	t.Helper()
	if got := list(t, b, dir); !slices.Equal(got, want) {
		t.Errorf("list of %q is %q, want %q", dir, got, want)
	}
}

// random returns n bytes that do not compress and do not repeat.
func random(n int, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func testWhole(t *testing.T, b backend.Bucket) {
	for i, name := range []string{"top", "a/b", "a/c", "tenant/block/data", "a/deep/er/and/deeper"} {
		content := random(1000+i, byte(i))
		put(t, b, name, content)
		mustHold(t, b, name, content)
	}
}

func testManyWrites(t *testing.T, b backend.Bucket) {
	w, err := b.Create(context.Background(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	var want []byte
	for i := range 300 {
		part := random(i*7, byte(i))
		want = append(want, part...)
		if n, err := w.Write(part); n != i*7 || err != nil {
			t.Fatal(n, err)
		}
		clear(part) // the writer must not keep it
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	mustHold(t, b, "a/b", want)
}

func testEmpty(t *testing.T, b backend.Bucket) {
	w, err := b.Create(context.Background(), "a/empty")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	mustHold(t, b, "a/empty", nil)
	mustList(t, b, "a", "empty")
	if n, err := b.ReadAt(context.Background(), "a/empty", make([]byte, 1), 0); n != 0 || err != io.EOF {
		t.Errorf("reading one byte of nothing: %d, %v", n, err)
	}
}

func testLarge(t *testing.T, b backend.Bucket) {
	content := random(8<<20, 1)
	put(t, b, "large", content)
	mustHold(t, b, "large", content)
	p := make([]byte, 100_000)
	for off := 0; off+len(p) < len(content); off += 1_234_567 {
		if n, err := b.ReadAt(context.Background(), "large", p, int64(off)); n != len(p) || err != nil || !bytes.Equal(p, content[off:off+len(p)]) {
			t.Fatalf("range at %d: %d, %v", off, n, err)
		}
	}
}

func testRanges(t *testing.T, b backend.Bucket) {
	const size = 20
	content := random(size, 1)
	put(t, b, "a", content)
	for off := 0; off <= size+2; off++ {
		for n := 0; n <= size+3; n++ {
			p := make([]byte, n)
			got, err := b.ReadAt(context.Background(), "a", p, int64(off))
			want := min(n, max(0, size-off))
			if got != want || !bytes.Equal(p[:got], content[min(off, size):][:want]) {
				t.Fatalf("%d bytes at %d: read %d, want %d", n, off, got, want)
			}
			switch {
			case want < n && err != io.EOF: // io.EOF itself, as io.ReaderAt says
				t.Fatalf("%d bytes at %d: error is %v, want EOF", n, off, err)
			case want == n && err != nil && err != io.EOF:
				t.Fatalf("%d bytes at %d: %v", n, off, err)
			}
		}
	}
	if _, err := b.ReadAt(context.Background(), "a", make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) || errors.Is(err, backend.ErrNotExist) {
		t.Errorf("read at -1: %v", err)
	}
}

func testMissing(t *testing.T, b backend.Bucket) {
	put(t, b, "folder/object", []byte("x"))
	for _, name := range []string{"nothing", "folder", "folder/nothing", "no/such/folder", "folder/object/below", "folder/objec"} {
		mustMiss(t, b, name)
		if err := b.Delete(context.Background(), name); err != nil {
			t.Errorf("delete of %q, which does not exist: %v", name, err)
		}
	}
	mustHold(t, b, "folder/object", []byte("x"))
	mustList(t, b, "nothing")
	mustList(t, b, "folder/nothing")
}

func testUncommitted(t *testing.T, b backend.Bucket) {
	put(t, b, "a/before", []byte("x"))
	w, err := b.Create(context.Background(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for range 10 {
		if _, err := w.Write(random(100_000, 1)); err != nil {
			t.Fatal(err)
		}
		mustMiss(t, b, "a/b")
		mustList(t, b, "a", "before")
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	mustHold(t, b, "a/b", bytes.Repeat(random(100_000, 1), 10))
	mustList(t, b, "a", "b", "before")
}

func testAbort(t *testing.T, b backend.Bucket) {
	put(t, b, "old", []byte("old"))
	for _, name := range []string{"a/b", "top", "old"} {
		w, err := b.Create(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(random(1<<20, 1)); err != nil {
			t.Fatal(err)
		}
		w.Abort()
	}
	mustMiss(t, b, "a/b")
	mustMiss(t, b, "top")
	mustHold(t, b, "old", []byte("old"))
	mustList(t, b, "a")
	mustList(t, b, "", "old")
}

func testOnce(t *testing.T, b backend.Bucket) {
	w, err := b.Create(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	mustHold(t, b, "a", []byte("x"))
	if err := w.Commit(); err == nil {
		t.Error("a second Commit succeeded")
	}
	if _, err := w.Write([]byte("y")); err == nil {
		t.Error("a Write after Commit succeeded")
	}
	w, err = b.Create(context.Background(), "b")
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if err := w.Commit(); err == nil {
		t.Error("a Commit after Abort succeeded")
	}
	mustMiss(t, b, "b")
}

func testReplace(t *testing.T, b backend.Bucket) {
	for i := range 5 { // shorter and longer ones, read in between, so that caches are warm
		content := random(1000+(i%2)*500-i, byte(i))
		w, err := b.Create(context.Background(), "a/b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			mustHold(t, b, "a/b", random(1000+((i-1)%2)*500-(i-1), byte(i-1)))
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		mustHold(t, b, "a/b", content)
		mustList(t, b, "a", "b")
	}
	put(t, b, "a/b", nil)
	mustHold(t, b, "a/b", nil)
}

func testDelete(t *testing.T, b backend.Bucket) {
	put(t, b, "a/b/c", []byte("c"))
	put(t, b, "a/d", []byte("d"))
	mustHold(t, b, "a/b/c", []byte("c"))
	for range 2 {
		if err := b.Delete(context.Background(), "a/b/c"); err != nil {
			t.Fatal(err)
		}
		mustMiss(t, b, "a/b/c")
		mustList(t, b, "a/b")
		mustList(t, b, "a", "d")
	}
	put(t, b, "a/b/c", []byte("again"))
	mustHold(t, b, "a/b/c", []byte("again"))
	mustHold(t, b, "a/d", []byte("d"))
}

func testList(t *testing.T, b backend.Bucket) {
	mustList(t, b, "")
	for _, name := range []string{"b", "a-b", "a/2", "a/10", "a/sub/x", "a/sub/y", "a/sub.z", "a0", "B", "ä", "long/" + strings.Repeat("n", 200)} {
		put(t, b, name, []byte(name))
	}
	// A folder's slash counts in the order: "a-b" < "a/" < "a0".
	mustList(t, b, "", "B", "a-b", "a/", "a0", "b", "long/", "ä")
	mustList(t, b, "a", "10", "2", "sub.z", "sub/")
	mustList(t, b, "a/", "10", "2", "sub.z", "sub/")
	mustList(t, b, "a/sub", "x", "y")
	mustList(t, b, "a/s")
	mustList(t, b, "long", strings.Repeat("n", 200))

	var want []string
	for i := range 1100 { // more than a page of the usual stores
		name := fmt.Sprintf("%04d", i)
		want = append(want, name)
		if i%10 == 0 { // few writes, for the sake of slow stores
			put(t, b, "many/"+name, nil)
		}
	}
	want = slices.DeleteFunc(want, func(name string) bool { return name[3] != '0' })
	mustList(t, b, "many", want...)
}

func testListError(t *testing.T, b backend.Bucket) {
	put(t, b, "a", nil)
	put(t, b, "b", nil)
	enough := errors.New("enough")
	calls := 0
	err := b.List(context.Background(), "", func(string) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("after %d calls: %v", calls, err)
	}
}

var oddNames = []string{
	"with space", " leading", "trailing ", "per%cent", "%2F", "a+b", "a&b=c?d#e", "ümläut", "日本語", "emoji 🦀",
	"quote\"s'", "back\\slash", "semi;colon:", "dots...", "..two", ".hidden", "-dash", "~tilde", "(brackets)[1]{2}", "star*", "UPPER", "<>|",
}

func testOddNames(t *testing.T, b backend.Bucket) {
	var want []string
	for _, name := range oddNames {
		put(t, b, "odd/"+name, []byte(name))
		put(t, b, "folders/"+name+"/object", []byte(name))
	}
	for _, name := range oddNames {
		mustHold(t, b, "odd/"+name, []byte(name))
		mustHold(t, b, "folders/"+name+"/object", []byte(name))
		mustList(t, b, "folders/"+name, "object")
		want = append(want, name)
	}
	slices.Sort(want)
	mustList(t, b, "odd", want...)
	for _, name := range oddNames {
		if err := b.Delete(context.Background(), "odd/"+name); err != nil {
			t.Error(err)
		}
	}
	mustList(t, b, "odd")
}

func testBadNames(t *testing.T, b backend.Bucket) {
	for _, name := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "a\x00b", "a\nb", "\xff", strings.Repeat("n/", 600) + "n",
	} {
		_, createErr := b.Create(context.Background(), name)
		_, readErr := b.ReadAt(context.Background(), name, make([]byte, 1), 0)
		_, sizeErr := b.Size(context.Background(), name)
		for what, err := range map[string]error{
			"create": createErr,
			"read":   readErr,
			"size":   sizeErr,
			"delete": b.Delete(context.Background(), name),
		} {
			if !errors.Is(err, backend.ErrName) {
				t.Errorf("%s of %q: %v", what, name, err)
			}
		}
	}
	if err := b.List(context.Background(), "a/../..", func(string) error { return nil }); !errors.Is(err, backend.ErrName) {
		t.Errorf("list of a/../..: %v", err)
	}
	mustList(t, b, "")
}

func testCancelled(t *testing.T, b backend.Bucket) {
	put(t, b, "a/b", []byte("x"))
	ctx, cancel := context.WithCancel(context.Background())
	w, err := b.Create(ctx, "a/c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	seen := 0
	put(t, b, "a/b2", nil)
	err = b.List(ctx, "a", func(string) error { seen++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || seen != 1 {
		t.Errorf("a list that was cancelled on its way: %d names, %v", seen, err)
	}

	_, createErr := b.Create(ctx, "a/d")
	_, readErr := b.ReadAt(ctx, "a/b", make([]byte, 1), 0)
	_, sizeErr := b.Size(ctx, "a/b")
	for what, err := range map[string]error{
		"create": createErr,
		"commit": w.Commit(),
		"read":   readErr,
		"size":   sizeErr,
		"list":   b.List(ctx, "a", func(string) error { return nil }),
		"delete": b.Delete(ctx, "a/b"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	mustMiss(t, b, "a/c")
	mustHold(t, b, "a/b", []byte("x"))
	mustList(t, b, "a", "b", "b2")
}

// testConcurrent creates, reads, lists and deletes in one folder that becomes empty again and again.
func testConcurrent(t *testing.T, b backend.Bucket) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			content := random(5000, byte(g))
			for i := range 10 {
				name := fmt.Sprintf("shared/folder/%d-%d", g, i)
				w, err := b.Create(context.Background(), name)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = w.Write(content)
				if err == nil {
					err = w.Commit()
				}
				if err != nil {
					t.Error(err)
					return
				}
				got := make([]byte, len(content))
				if n, err := b.ReadAt(context.Background(), name, got, 0); n != len(got) || (err != nil && err != io.EOF) || !bytes.Equal(got, content) {
					t.Errorf("read of %q: %d, %v", name, n, err)
				}
				found := false
				err = b.List(context.Background(), "shared/folder", func(n string) error {
					found = found || "shared/folder/"+n == name
					return nil
				})
				if err != nil || !found {
					t.Errorf("%q is not listed, %v", name, err)
				}
				if err := b.Delete(context.Background(), name); err != nil {
					t.Error(err)
				}
				if _, err := b.Size(context.Background(), name); !errors.Is(err, backend.ErrNotExist) {
					t.Errorf("%q was deleted: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
	mustList(t, b, "shared/folder")
}

// testConcurrentReplace reads while an object is replaced: each read sees one of its versions.
func testConcurrentReplace(t *testing.T, b backend.Bucket) {
	version := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 50_000) }
	put(t, b, "a", version(0))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			last := byte(0)
			p := make([]byte, 50_000)
			for {
				select {
				case <-stop:
					return
				default:
				}
				n, err := b.ReadAt(context.Background(), "a", p, 0)
				if n != len(p) || (err != nil && err != io.EOF) {
					t.Errorf("read: %d, %v", n, err)
					return
				}
				if bytes.Count(p, p[:1]) != len(p) {
					t.Error("a read mixes two versions")
				}
				if p[0] < last {
					t.Errorf("version %d was read after version %d", p[0], last)
				}
				last = p[0]
			}
		})
	}
	for i := 1; i <= 20; i++ {
		put(t, b, "a", version(i))
		mustHold(t, b, "a", version(i))
	}
	close(stop)
	wg.Wait()
}
