package objectstores

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
	"github.com/jaeger-tempo/tempo/tempodb/backend/gcs"
	"github.com/jaeger-tempo/tempo/tempodb/backend/objstore/s3"
)

// folder returns a name that no other test of this run has used.
var folder = func() func() string {
	var n atomic.Int64
	return func() string { return fmt.Sprintf("test/%d", n.Add(1)) }
}()

func TestDirectoryConforms(t *testing.T) {
	backendtest.Run(t, openLocal)
}

func TestGCSConforms(t *testing.T) {
	address := fakeGCS(t, itself)
	backendtest.Run(t, func(t *testing.T) backend.Bucket { return openGCS(t, address, folder()) })
}

func TestGCSHonoursTheEmulatorVariable(t *testing.T) {
	t.Setenv("STORAGE_EMULATOR_HOST", fakeGCS(t, itself))
	b, err := gcs.Open(context.Background(), gcs.Options{Bucket: bucketName})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	put(t, b, "a/b", []byte("content"))
	mustHold(t, b, "a/b", []byte("content"))
}

func TestS3Conforms(t *testing.T) {
	address, _ := s3Server(t)
	backendtest.Run(t, func(t *testing.T) backend.Bucket { return openS3(t, address, folder()) })
}

// stores are the stores with real servers.
var stores = map[string]func(t *testing.T) backend.Bucket{
	"gcs": func(t *testing.T) backend.Bucket { return openGCS(t, fakeGCS(t, itself), folder()) },
	"s3": func(t *testing.T) backend.Bucket {
		address, _ := s3Server(t)
		return openS3(t, address, folder())
	},
}

func each(t *testing.T, test func(t *testing.T, b backend.Bucket)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func TestObjectsOfManyChunksAreWhole(t *testing.T) {
	each(t, func(t *testing.T, b backend.Bucket) {
		for _, size := range []int{chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize, partSize, partSize + 1, 3*partSize + 12345} {
			name := fmt.Sprintf("big/%d", size)
			content := random(size)
			put(t, b, name, content)
			mustHold(t, b, name, content)
		}
	})
}

func TestABigObjectIsNotThereBeforeCommitNorAfterAbort(t *testing.T) {
	each(t, func(t *testing.T, b backend.Bucket) {
		w, err := b.Create(context.Background(), "big")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(random(2*partSize + 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Size(context.Background(), "big"); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("before Commit: %v", err)
		}
		w.Abort()
		if _, err := b.Size(context.Background(), "big"); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("after Abort: %v", err)
		}
	})
}

func TestABigObjectWhoseContextIsCancelledIsNotThere(t *testing.T) {
	each(t, func(t *testing.T, b backend.Bucket) {
		ctx, cancel := context.WithCancel(context.Background())
		w, err := b.Create(ctx, "big")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(random(2*partSize + 1)); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := w.Commit(); !errors.Is(err, context.Canceled) {
			t.Errorf("Commit: %v", err)
		}
		w.Abort()
		if _, err := b.Size(context.Background(), "big"); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestNamesHaveNothingToDoWithThoseOutsideThePrefix(t *testing.T) {
	address, _ := s3Server(t)
	gcsAddress := fakeGCS(t, itself)
	for name, open := range map[string]func(prefix string) backend.Bucket{
		"s3":  func(prefix string) backend.Bucket { return openS3(t, address, prefix) },
		"gcs": func(prefix string) backend.Bucket { return openGCS(t, gcsAddress, prefix) },
	} {
		t.Run(name, func(t *testing.T) {
			all, in := open(""), open("/in/side/")
			put(t, all, "outside", []byte("o"))
			put(t, in, "a/b", []byte("i"))
			mustHold(t, all, "in/side/a/b", []byte("i"))
			if _, err := in.Size(context.Background(), "outside"); !errors.Is(err, backend.ErrNotExist) {
				t.Errorf("outside is seen: %v", err)
			}
			var names []string
			if err := in.List(context.Background(), "", func(name string) error { names = append(names, name); return nil }); err != nil || fmt.Sprint(names) != "[a/]" {
				t.Errorf("list: %q, %v", names, err)
			}
		})
	}
}

func TestOneClaimWins(t *testing.T) {
	each(t, func(t *testing.T, b backend.Bucket) {
		claimer := b.(backend.Claimer)
		for round := range 5 {
			name := fmt.Sprintf("claims/%d", round)
			var wins atomic.Int64
			var winner atomic.Value
			var wg sync.WaitGroup
			for caller := range 8 {
				wg.Go(func() {
					me := fmt.Sprintf("caller %d", caller)
					created, err := claimer.CreateIfAbsent(context.Background(), name, []byte(me))
					if err != nil {
						t.Errorf("%s: %v", me, err)
					}
					if created {
						wins.Add(1)
						winner.Store(me)
					}
				})
			}
			wg.Wait()
			if wins.Load() != 1 {
				t.Fatalf("%d callers have won", wins.Load())
			}
			mustHold(t, b, name, []byte(winner.Load().(string)))
		}
		if err := b.Delete(context.Background(), "claims/0"); err != nil {
			t.Fatal(err)
		}
		if created, err := claimer.CreateIfAbsent(context.Background(), "claims/0", []byte("next")); !created || err != nil {
			t.Errorf("after the claim was deleted: %v, %v", created, err)
		}
	})
}

func TestErrorsNameBucketAndObject(t *testing.T) {
	each(t, func(t *testing.T, b backend.Bucket) {
		_, err := b.Size(context.Background(), "tenant/block/meta.json")
		if err == nil || !strings.Contains(err.Error(), bucketName+"/") || !strings.Contains(err.Error(), "tenant/block/meta.json") {
			t.Error(err)
		}
	})
}

func TestOpenRefusesABucketThatIsNotThereOrNotOurs(t *testing.T) {
	t.Setenv("STORAGE_EMULATOR_HOST", fakeGCS(t, itself))
	address, _ := s3Server(t)
	ctx := context.Background()
	if _, err := gcs.Open(ctx, gcs.Options{Bucket: "typo"}); err == nil || !strings.Contains(err.Error(), "typo") {
		t.Errorf("gcs: %v", err)
	}
	if _, err := gcs.Open(ctx, gcs.Options{}); err == nil {
		t.Error("gcs: opened without a name")
	}
	o := s3Options(address, "", patient)
	o.Bucket = "typo"
	if _, err := s3.Open(ctx, o); err == nil || !strings.Contains(err.Error(), "typo") {
		t.Errorf("s3: %v", err)
	}
	o = s3Options(address, "", patient)
	o.SecretKey = "wrong"
	_, err := s3.Open(ctx, o)
	var p interface{ Permanent() bool }
	if !errors.As(err, &p) || !p.Permanent() {
		t.Errorf("s3 with a wrong key: %v", err)
	}
}

func TestTemporaryFilesOfBigUploadsGoAway(t *testing.T) {
	address, _ := s3Server(t)
	o := s3Options(address, "", patient)
	o.TempDir = t.TempDir()
	b, err := s3.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, end := range []func(backend.ObjectWriter) error{
		func(w backend.ObjectWriter) error { return w.Commit() },
		func(w backend.ObjectWriter) error { w.Abort(); return nil },
	} {
		w, err := b.Create(context.Background(), "big")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(random(partSize + 1)); err != nil {
			t.Fatal(err)
		}
		if err := end(w); err != nil {
			t.Fatal(err)
		}
		left, _ := filepath.Glob(filepath.Join(o.TempDir, "*"))
		if len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
	if _, err := os.Stat(o.TempDir); err != nil {
		t.Error(err)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func put(t testing.TB, b backend.Bucket, name string, content []byte) {
	t.Helper()
	if err := tryPut(b, name, content); err != nil {
		t.Fatal(err)
	}
}

func tryPut(b backend.Bucket, name string, content []byte) error {
	w, err := b.Create(context.Background(), name)
	if err != nil {
		return err
	}
	defer w.Abort()
	for part := range bytesIn(content, 300_000) {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return w.Commit()
}

// bytesIn yields b in parts.
func bytesIn(b []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > size {
			if !yield(b[:size]) {
				return
			}
			b = b[size:]
		}
		yield(b)
	}
}

func mustHold(t testing.TB, b backend.Bucket, name string, want []byte) {
	t.Helper()
	size, err := b.Size(context.Background(), name)
	if err != nil || size != int64(len(want)) {
		t.Fatalf("size of %q is %d, %v; want %d", name, size, err, len(want))
	}
	got := make([]byte, len(want))
	if _, err := b.ReadAt(context.Background(), name, got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%q is not what was written: %v", name, err)
	}
}
