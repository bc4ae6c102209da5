package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// Memory is an object store in memory, with claims. It may be used concurrently.
type Memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

var _ backend.Claimer = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{objects: make(map[string][]byte)} }

// Clone returns a store with the same objects.
func (b *Memory) Clone() *Memory {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &Memory{objects: maps.Clone(b.objects)}
}

// Names returns the names of all objects, ascending.
func (b *Memory) Names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.objects))
}

// Change replaces an object, if it is there, by what change makes of a copy of it.
func (b *Memory) Change(name string, change func([]byte) []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if content, ok := b.objects[name]; ok {
		b.objects[name] = change(bytes.Clone(content))
	}
}

func (b *Memory) get(ctx context.Context, name string) ([]byte, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	content, ok := b.objects[name]
	if !ok {
		return nil, fmt.Errorf("object %q: %w", name, backend.ErrNotExist)
	}
	return content, nil
}

func check(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return backend.CheckName(name)
}

// ReadAt implements backend.Bucket.
func (b *Memory) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	content, err := b.get(ctx, name)
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	n := copy(p, content[min(off, int64(len(content))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Size implements backend.Bucket.
func (b *Memory) Size(ctx context.Context, name string) (int64, error) {
	content, err := b.get(ctx, name)
	return int64(len(content)), err
}

// List implements backend.Bucket.
func (b *Memory) List(ctx context.Context, dir string, fn func(name string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if dir = strings.TrimSuffix(dir, "/"); dir != "" {
		if err := backend.CheckName(dir); err != nil {
			return err
		}
		dir += "/"
	}
	seen := make(map[string]bool)
	for _, name := range b.Names() {
		if rest, ok := strings.CutPrefix(name, dir); ok {
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				rest = rest[:i+1]
			}
			seen[rest] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(name); err != nil {
			return err
		}
	}
	return nil
}

// Delete implements backend.Bucket.
func (b *Memory) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, name)
	return nil
}

// CreateIfAbsent implements backend.Claimer.
func (b *Memory) CreateIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	if err := check(ctx, name); err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := b.objects[name]; there {
		return false, nil
	}
	b.objects[name] = bytes.Clone(content)
	return true, nil
}

// Create implements backend.Bucket.
func (b *Memory) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	return &memoryWriter{ctx: ctx, bucket: b, name: name}, nil
}

type memoryWriter struct {
	ctx     context.Context
	bucket  *Memory
	name    string
	content []byte
	ended   bool
}

var errEnded = errors.New("object was committed or aborted")

func (w *memoryWriter) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errEnded
	}
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	w.content = append(w.content, p...)
	return len(p), nil
}

func (w *memoryWriter) Commit() error {
	if w.ended {
		return errEnded
	}
	w.ended = true
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.bucket.mu.Lock()
	defer w.bucket.mu.Unlock()
	w.bucket.objects[w.name] = w.content
	return nil
}

func (w *memoryWriter) Abort() { w.ended = true }
