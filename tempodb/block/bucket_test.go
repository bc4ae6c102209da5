package block

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// memory is a bucket in memory that counts what is asked of it and fails when told to.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	reads   map[string]int        // by the last part of the name
	fail    func(do string) error // asked with "create data", "write data", "commit data", "delete data"
	late    bool                  // commits and deletions that fail are done all the same
}

func newMemory() *memory {
	return &memory{objects: map[string][]byte{}, reads: map[string]int{}, fail: func(string) error { return nil }}
}

func (m *memory) clone() *memory {
	c := newMemory()
	maps.Copy(c.objects, m.objects)
	return c
}

func (m *memory) Create(_ context.Context, name string) (backend.ObjectWriter, error) {
	if err := m.fail("create " + path.Base(name)); err != nil {
		return nil, err
	}
	return &memoryWriter{m: m, name: name}, nil
}

func (m *memory) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.reads[path.Base(name)]++
	b, ok := m.objects[name]
	if !ok {
		return 0, fmt.Errorf("%s: %w", name, backend.ErrNotExist)
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) Size(_ context.Context, name string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[name]
	if !ok {
		return 0, fmt.Errorf("%s: %w", name, backend.ErrNotExist)
	}
	return int64(len(b)), nil
}

func (m *memory) List(_ context.Context, dir string, fn func(string) error) error {
	m.mu.Lock()
	names := map[string]bool{}
	for name := range m.objects {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				rest = rest[:i+1]
			}
			names[rest] = true
		}
	}
	m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := fn(name); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Delete(_ context.Context, name string) error {
	err := m.fail("delete " + path.Base(name))
	if err != nil && !m.late {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return err
}

type memoryWriter struct {
	m    *memory
	name string
	buf  bytes.Buffer
	done bool
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	if err := w.m.fail("write " + path.Base(w.name)); err != nil {
		return 0, err
	}
	return w.buf.Write(p)
}

func (w *memoryWriter) Commit() error {
	if w.done {
		panic("object is ended twice: " + w.name)
	}
	w.done = true
	err := w.m.fail("commit " + path.Base(w.name))
	if err != nil && !w.m.late {
		return err
	}
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.objects[w.name] = bytes.Clone(w.buf.Bytes())
	return err
}

func (w *memoryWriter) Abort() { w.done = true }
