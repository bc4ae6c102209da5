package instrument

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
)

var errBroken = errors.New("503 slow down")

type permanentError struct{}

func (permanentError) Error() string   { return "403 forbidden" }
func (permanentError) Permanent() bool { return true }

// fake is a bucket with one object in it whose calls take and answer what a test says.
type fake struct {
	content []byte
	claim   []byte
	act     func(ctx context.Context, call int) error // asked before each call with its number, from 1 on
	names   []string

	mu    sync.Mutex
	calls int
}

func (f *fake) call(ctx context.Context) error {
	f.mu.Lock()
	f.calls++
	n := f.calls
	f.mu.Unlock()
	if f.act == nil {
		return ctx.Err()
	}
	return f.act(ctx, n)
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fake) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := f.call(ctx); err != nil {
		clear(p) // a failed read may leave anything
		return 0, err
	}
	n := copy(p, f.content[min(off, int64(len(f.content))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *fake) Size(ctx context.Context, name string) (int64, error) {
	return int64(len(f.content)), f.call(ctx)
}

func (f *fake) List(ctx context.Context, dir string, fn func(string) error) error {
	for _, name := range f.names {
		if err := fn(name); err != nil {
			return err
		}
	}
	return f.call(ctx)
}

func (f *fake) Delete(ctx context.Context, name string) error { return f.call(ctx) }

// CreateIfAbsent makes the claim also when the answer is an error.
func (f *fake) CreateIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	err := f.call(ctx)
	created := f.claim == nil
	if created {
		f.claim = bytes.Clone(content)
		f.content = f.claim
	}
	return created && err == nil, err
}

func (f *fake) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	return &fakeWriter{f: f, ctx: ctx, repeatable: true}, nil
}

type fakeWriter struct {
	f          *fake
	ctx        context.Context
	content    []byte
	repeatable bool
	aborted    bool
}

func (w *fakeWriter) Write(p []byte) (int, error) {
	w.content = append(w.content, p...)
	return len(p), nil
}
func (w *fakeWriter) Repeatable() bool { return w.repeatable }
func (w *fakeWriter) Abort()           { w.aborted = true }
func (w *fakeWriter) Commit() error {
	if err := w.f.call(w.ctx); err != nil {
		return err
	}
	w.f.content = w.content
	return nil
}

// takes returns an act that takes the times given, the last of them for all later calls, unless the context is done first.
func takes(times ...time.Duration) func(context.Context, int) error {
	return func(ctx context.Context, call int) error {
		select {
		case <-time.After(times[min(call, len(times))-1]):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fails returns an act that fails the first n times.
func fails(n int, err error) func(context.Context, int) error {
	return func(_ context.Context, call int) error {
		if call <= n {
			return err
		}
		return nil
	}
}

func TestWrappedBucketsConform(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backend.Bucket {
		b, err := local.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return Retry(Hedge(Count(b, CountOptions{}), HedgeOptions{}), RetryOptions{})
	})
}

func TestClaimsAreUnsupportedWhereTheStoreHasNone(t *testing.T) {
	b := Retry(Hedge(Count(struct{ backend.Bucket }{&fake{}}, CountOptions{}), HedgeOptions{}), RetryOptions{})
	if created, err := backend.CreateIfAbsent(t.Context(), b, "a", nil); created || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v, %v", created, err)
	}
}

func ExampleCount() {
	store := &fake{content: make([]byte, 1000)}
	counted := Count(store, CountOptions{Kind: LastElement("data", "index")})
	bucket := Retry(Hedge(counted, HedgeOptions{}), RetryOptions{})

	before := counted.Counts()
	bucket.ReadAt(context.Background(), "tenant/block/index", make([]byte, 100), 0)
	bucket.ReadAt(context.Background(), "tenant/block/data", make([]byte, 200), 0)
	used := counted.Counts().Since(before)
	fmt.Println(used.Op(OpRead).Requests, used.Op(OpRead).Bytes, used[Key{OpRead, "data"}].Bytes)
	// Output: 2 300 200
}
