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

var _ backend.Claimer = (*Bucket)(nil)

// CreateIfAbsent implements backend.Claimer: the object is written to a temporary file and gets its name as a hard link, which the file
// system gives to one caller only, also among processes. Where it has no hard links the error is errors.ErrUnsupported.
func (b *Bucket) CreateIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	created, err := b.createIfAbsent(ctx, name, content)
	if err != nil {
		return false, fmt.Errorf("create object %q if absent: %w", name, err)
	}
	return created, nil
}

func (b *Bucket) createIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	o, err := b.Create(ctx, name)
	if err != nil {
		return false, err
	}
	w := o.(*writer)
	defer w.Abort() // removes the temporary name
	if _, err := w.file.Write(content); err != nil {
		return false, err
	}
	if err := w.file.Sync(); err != nil {
		return false, err
	}
	switch err := os.Link(w.temp, w.path); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case errors.Is(err, fs.ErrPermission):
		return false, fmt.Errorf("%w (%w in this file system)", err, errors.ErrUnsupported) // what Linux says where there are no hard links
	case err != nil:
		return false, err
	}
	b.handles.drop(name)
	return true, b.makeDurable(filepath.Dir(w.path))
}
