package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// writer writes an object to a temporary file beside the place where it will be.
type writer struct {
	b    *Bucket
	ctx  context.Context
	name string
	path string
	file *os.File
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
	dir := filepath.Dir(path)
	var file *os.File
	// Another object's deletion may remove the empty folder before the file is in it.
	for range 10 {
		if err = os.MkdirAll(dir, 0o700); err != nil {
			break
		}
		if file, err = os.CreateTemp(dir, temporary); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("create object %s: %w", name, err)
	}
	return &writer{b: b, ctx: ctx, name: name, path: path, file: file}, nil
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.file.Write(p)
	if err != nil {
		return n, fmt.Errorf("write object %s: %w", w.name, err)
	}
	return n, nil
}

// Commit syncs the file, gives it its name, and syncs the folders.
func (w *writer) Commit() error {
	if w.done {
		return fmt.Errorf("commit object %s: it was committed or aborted before", w.name)
	}
	err := w.ctx.Err()
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		w.Abort()
		return fmt.Errorf("commit object %s: %w", w.name, err)
	}
	w.done = true
	err = w.file.Close()
	if err == nil {
		err = os.Rename(w.file.Name(), w.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("commit object %s: %w", w.name, err), os.Remove(w.file.Name()))
	}
	w.b.files.drop(w.path)
	// Folders above may be new as well; to sync an old one costs little.
	for dir := filepath.Dir(w.path); ; dir = filepath.Dir(dir) {
		if err := syncFolder(dir); err != nil {
			return fmt.Errorf("commit object %s: %w", w.name, err)
		}
		if dir == w.b.dir {
			return nil
		}
	}
}

// Abort removes the temporary file.
func (w *writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	_ = w.file.Close()
	_ = os.Remove(w.file.Name())
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
