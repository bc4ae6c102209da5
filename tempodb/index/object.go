package index

import (
	"context"
	"io"
)

// Write writes m as the search object of a block to w. The rows' owners must be 0, 1, 2, … in
// ascending order of keys, and keys[i] the key of owner i.
func Write(w io.Writer, m *Memory, keys [][16]byte) error { panic("being written") }

// Object is the search object of a block, read through r. It may be used concurrently.
type Object struct{}

// OpenObject opens the search object of size bytes.
func OpenObject(r io.ReaderAt, size int64) (*Object, error) { panic("being written") }

// Search returns the keys that q asks for, newest first.
func (o *Object) Search(ctx context.Context, q *Query) ([]Hit, error) { panic("being written") }

// Terms calls fn with each value of field that begins with prefix, in ascending order, until fn returns false.
func (o *Object) Terms(ctx context.Context, field, prefix []byte, fn func(value []byte) bool) error {
	panic("being written")
}

// Check reads and verifies the whole object.
func (o *Object) Check(ctx context.Context) error { panic("being written") }
