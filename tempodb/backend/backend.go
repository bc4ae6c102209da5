package backend

import (
	"context"
	"errors"
	"io"
)

// ErrNotExist is returned (wrapped, with the object's name) where an object does not exist.
var ErrNotExist = errors.New("object does not exist")

// Bucket is an object store: whole immutable objects under slash-separated names.
//
// An object becomes visible whole, at Commit, or not at all. All methods may be called concurrently.
type Bucket interface {
	// Create begins an object. An object of that name is replaced at Commit.
	Create(ctx context.Context, name string) (ObjectWriter, error)
	// ReadAt fills p from offset off of the object. Fewer bytes than len(p) come only with an error
	// (io.EOF at the object's end, ErrNotExist where there is no such object).
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	// Size returns the object's length in bytes.
	Size(ctx context.Context, name string) (int64, error)
	// List calls fn with the names directly under the folder dir, in ascending order: objects as they
	// are, sub-folders with a trailing slash. A folder that does not exist is empty.
	List(ctx context.Context, dir string, fn func(name string) error) error
	// Delete removes an object; one that does not exist is no error.
	Delete(ctx context.Context, name string) error
}

// ObjectWriter writes one object. Exactly one of Commit and Abort must be called, last.
// It is for one goroutine.
type ObjectWriter interface {
	io.Writer
	// Commit makes the object durable and visible.
	Commit() error
	// Abort leaves no object behind. After Commit it does nothing.
	Abort()
}
