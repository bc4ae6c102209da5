package objstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	client "github.com/thanos-io/objstore"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
)

func newBucket(t testing.TB, c client.Bucket, o Options) *Bucket {
	t.Helper()
	b, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBucketConforms(t *testing.T) {
	for name, o := range map[string]Options{
		"in memory":       {},
		"in a file":       {Memory: 1},
		"below a prefix":  {Prefix: "/some/where/"},
		"at a file's end": {Memory: 8<<20 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			o.TempDir = t.TempDir()
			backendtest.Run(t, func(t *testing.T) backend.Bucket { return newBucket(t, client.NewInMemBucket(), o) })
			left, err := os.ReadDir(o.TempDir)
			if err != nil || len(left) > 0 {
				t.Errorf("%d temporary files are left, %v", len(left), err)
			}
		})
	}
}

// spoiled is a client whose answers are cut, and whose uploads fail as often as it says.
type spoiled struct {
	client.Bucket
	cut       int64
	failures  int
	uploads   []string
	exactSize bool
}

var errUpload = errors.New("503")

func (s *spoiled) GetRange(ctx context.Context, name string, off, length int64) (io.ReadCloser, error) {
	r, err := s.Bucket.GetRange(ctx, name, off, length)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.LimitReader(r, length-s.cut)), nil
}

func (s *spoiled) Upload(ctx context.Context, name string, r io.Reader, o ...client.ObjectUploadOption) error {
	size, err := client.TryToGetSize(r)
	content, readErr := io.ReadAll(r)
	s.exactSize = err == nil && readErr == nil && size == int64(len(content))
	s.uploads = append(s.uploads, string(content))
	if s.failures > 0 {
		s.failures--
		return errUpload
	}
	return s.Bucket.Upload(ctx, name, bytes.NewReader(content), o...)
}

func put(t testing.TB, b backend.Bucket, name, content string) {
	t.Helper()
	w, err := b.Create(t.Context(), name)
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

func TestAnAnswerThatIsCutIsAnError(t *testing.T) {
	c := &spoiled{Bucket: client.NewInMemBucket(), cut: 3}
	b := newBucket(t, c, Options{})
	put(t, b, "a", "0123456789")
	for _, off := range []int64{0, 2, 5} {
		n, err := b.ReadAt(t.Context(), "a", make([]byte, 5), off)
		if n != 2 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("at %d: %d, %v", off, n, err)
		}
	}
}

func TestACommitThatFailedCanBeRepeated(t *testing.T) {
	for name, memory := range map[string]int{"in memory": 100, "in a file": 5} {
		t.Run(name, func(t *testing.T) {
			c := &spoiled{Bucket: client.NewInMemBucket(), failures: 2}
			b := newBucket(t, c, Options{Memory: memory, TempDir: t.TempDir()})
			w, err := b.Create(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, "0123")
			io.WriteString(w, "456789")
			for range 2 {
				if err := w.Commit(); !errors.Is(err, errUpload) || !w.(*writer).Repeatable() {
					t.Fatal(err)
				}
			}
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			if w.(*writer).Repeatable() || strings.Join(c.uploads, ",") != "0123456789,0123456789,0123456789" || !c.exactSize {
				t.Errorf("uploads: %q", c.uploads)
			}
		})
	}
}

func TestBigObjectsGoThroughTheirOwnClient(t *testing.T) {
	store := client.NewInMemBucket()
	small, big := &spoiled{Bucket: store}, &spoiled{Bucket: store}
	b := newBucket(t, small, Options{Memory: 5, Big: big, TempDir: t.TempDir()})
	put(t, b, "a", "01234")
	put(t, b, "b", "012345")
	if len(small.uploads) != 1 || len(big.uploads) != 1 {
		t.Errorf("small: %q, big: %q", small.uploads, big.uploads)
	}
}

func TestAFullDiskFailsTheObject(t *testing.T) {
	b := newBucket(t, client.NewInMemBucket(), Options{Memory: 1, TempDir: "/does/not/exist"})
	w, err := b.Create(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "0123"); err == nil || !strings.Contains(err.Error(), "temporary file") {
		t.Errorf("write: %v", err)
	}
	if err := w.Commit(); err == nil {
		t.Error("committed")
	}
	if _, err := b.Size(t.Context(), "a"); !errors.Is(err, backend.ErrNotExist) {
		t.Error(err)
	}
}

func TestErrorsOfClients(t *testing.T) {
	b := newBucket(t, client.NewInMemBucket(), Options{Name: "s3://traces", Prefix: "p", Permanent: func(err error) bool { return err == errUpload }})
	var p interface{ Permanent() bool }
	err := b.Fail(t.Context(), "read", "tenant/block/data", errUpload)
	if !errors.As(err, &p) || !p.Permanent() || err.Error() != "read s3://traces/p/tenant/block/data: 503" {
		t.Error(err)
	}
	if err := b.Fail(t.Context(), "read", "a", io.ErrUnexpectedEOF); !errors.As(err, &p) || p.Permanent() {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Fail(ctx, "read", "a", errUpload); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := New(client.NewInMemBucket(), Options{Prefix: "../up"}); !errors.Is(err, backend.ErrName) {
		t.Error(err)
	}
}
