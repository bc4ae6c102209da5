package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// writeBuffer gathers small writes. Larger ones pass by it.
const writeBuffer = 64 << 10

// writer writes one object to a temporary file.
type writer struct {
	ctx  context.Context
	b    *Bucket
	name string
	path string // where the object will be
	temp string
	file *os.File
	buf  *bufio.Writer
	done bool
}

// Create implements backend.Bucket.
func (b *Bucket) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := b.path(name)
	if err != nil {
		return nil, err
	}
	f, err := b.createTemp(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("create object %q: %w", name, err)
	}
	return &writer{ctx: ctx, b: b, name: name, path: path, temp: f.Name(), file: f, buf: bufio.NewWriterSize(f, writeBuffer)}, nil
}

// createTemp creates a temporary file in dir, and dir. The lock keeps prune from removing dir in between.
func (b *Bucket) createTemp(dir string) (*os.File, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, tempPrefix+"*") // mode 0600
	if err != nil {
		return nil, err
	}
	b.writing[f.Name()] = true
	return f, nil
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("write object %q: %w", w.name, fs.ErrClosed)
	}
	n, err := w.buf.Write(p)
	if err != nil {
		err = fmt.Errorf("write object %q: %w", w.name, err)
	}
	return n, err
}

// Commit implements backend.ObjectWriter.
func (w *writer) Commit() error {
	if w.done {
		return fmt.Errorf("commit object %q: %w", w.name, fs.ErrClosed)
	}
	err := w.commit()
	w.Abort() // of what is left
	if err != nil {
		return fmt.Errorf("commit object %q: %w", w.name, err)
	}
	return nil
}

func (w *writer) commit() error {
	if err := w.buf.Flush(); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := os.Rename(w.temp, w.path); err != nil {
		return err
	}
	w.b.handles.drop(w.name)
	return w.b.makeDurable(filepath.Dir(w.path))
}

// Abort implements backend.ObjectWriter.
func (w *writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	w.file.Close()
	if err := os.Remove(w.temp); err == nil { // after a rename there is none
		w.b.prune(filepath.Dir(w.temp))
	}
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	delete(w.b.writing, w.temp)
}

// makeDurable syncs the names in dir and, unless that was done, those of dir and of the folders above it.
func (b *Bucket) makeDurable(dir string) error {
	b.mu.Lock()
	before := b.pruned
	b.mu.Unlock()
	err := syncDir(dir)
	var synced []string
	for err == nil && dir != b.dir && !b.isDurable(dir) {
		synced = append(synced, dir)
		dir = filepath.Dir(dir)
		err = syncDir(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody deleted the object at once, and the folder with it
	}
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pruned == before { // else a folder may be another one of the same name
		for _, d := range synced {
			b.durable[d] = true
		}
	}
	return nil
}

func (b *Bucket) isDurable(dir string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.durable[dir]
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
