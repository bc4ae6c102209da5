package tempodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

var errFlaky = errors.New("the store has a bad day")

// flakyBucket is an object store that can be told to fail, now and then or always, before an operation or behind it, and to
// stand still at one of its changes for a copy of everything as a crash at that moment would leave it.
type flakyBucket struct {
	backend.Bucket

	mu     sync.Mutex
	rng    *rand.Rand
	faults map[string]float64 // by operation: how often it fails

	change  sync.RWMutex // held for reading by each change
	armed   int          // the change before or behind which crash is called; 0 is none
	behind  bool
	crash   func()
	touched int // changes since it was armed
}

func newFlakyBucket(b backend.Bucket, rng *rand.Rand) *flakyBucket {
	return &flakyBucket{Bucket: b, rng: rng}
}

// fail sets what fails; nil is nothing.
func (b *flakyBucket) fail(faults map[string]float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = faults
}

// arm has crash called at the nth change from now.
func (b *flakyBucket) arm(n int, behind bool, crash func()) {
	b.change.Lock()
	defer b.change.Unlock()
	b.armed, b.behind, b.crash, b.touched = n, behind, crash, 0
}

// stand calls fn while nothing changes in the store.
func (b *flakyBucket) stand(fn func()) {
	b.change.Lock()
	defer b.change.Unlock()
	fn()
}

func (b *flakyBucket) ask(op, name string) (before, behind error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.faults[op]
	if p == 0 || p < 1 && b.rng.Float64() >= p {
		return nil, nil
	}
	err := fmt.Errorf("%s %q: %w", op, name, errFlaky)
	if p < 1 && b.rng.IntN(3) == 0 {
		return nil, err
	}
	return err, nil
}

// changes does an operation that changes the store.
func (b *flakyBucket) changes(op, name string, do func() error) error {
	before, behind := b.ask(op, name)
	if before != nil {
		return before
	}
	b.change.Lock()
	defer b.change.Unlock()
	b.touched++
	now := b.armed > 0 && b.touched == b.armed
	if now && !b.behind {
		b.crash()
	}
	err := do()
	if now && b.behind {
		b.crash()
	}
	return errors.Join(err, behind)
}

func (b *flakyBucket) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	if before, _ := b.ask("create", name); before != nil {
		return nil, before
	}
	b.change.RLock()
	defer b.change.RUnlock()
	w, err := b.Bucket.Create(ctx, name)
	if err != nil {
		return nil, err
	}
	return &flakyWriter{w, b, name}, nil
}

func (b *flakyBucket) Delete(ctx context.Context, name string) error {
	return b.changes("delete", name, func() error { return b.Bucket.Delete(ctx, name) })
}

func (b *flakyBucket) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if before, _ := b.ask("read", name); before != nil {
		return 0, before
	}
	return b.Bucket.ReadAt(ctx, name, p, off)
}

func (b *flakyBucket) Size(ctx context.Context, name string) (int64, error) {
	if before, _ := b.ask("size", name); before != nil {
		return 0, before
	}
	return b.Bucket.Size(ctx, name)
}

func (b *flakyBucket) List(ctx context.Context, dir string, fn func(string) error) error {
	before, behind := b.ask("list", dir)
	if before != nil {
		return before
	}
	return errors.Join(b.Bucket.List(ctx, dir, fn), behind)
}

type flakyWriter struct {
	backend.ObjectWriter
	b    *flakyBucket
	name string
}

func (w *flakyWriter) Write(p []byte) (int, error) {
	if before, _ := w.b.ask("write", w.name); before != nil {
		return 0, before
	}
	return w.ObjectWriter.Write(p)
}

func (w *flakyWriter) Commit() error {
	err := w.b.changes("commit", w.name, w.ObjectWriter.Commit)
	if err != nil {
		w.ObjectWriter.Abort() // after Commit it does nothing
	}
	return err
}

func (w *flakyWriter) Abort() {
	w.b.change.RLock()
	defer w.b.change.RUnlock()
	w.ObjectWriter.Abort()
}
