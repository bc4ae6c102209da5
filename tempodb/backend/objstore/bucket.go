package objstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	client "github.com/thanos-io/objstore"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// Options say how a client is used. The zero value is good for all of them.
type Options struct {
	// Name is what errors call the bucket, as "s3://traces". If empty it is made from what the client says.
	Name string
	// Prefix is the folder inside the bucket that holds all objects; none if empty.
	Prefix string
	// Memory is the size up to which an object that is written is kept in memory. 8 MiB if zero.
	Memory int
	// TempDir is the folder for bigger ones. The system's if empty.
	TempDir string
	// Big uploads the objects that are bigger than Memory: a client of the same bucket that sends a part again which failed.
	// If nil they go the way of all others.
	Big client.Bucket
	// PastEnd says whether an error means that a range begins behind the object's end. If nil, the object's size is asked for.
	PastEnd func(error) bool
	// Permanent says whether an error is of no use to retry.
	Permanent func(error) bool
}

// Bucket is an object store over a client.
type Bucket struct {
	o      Options
	client client.Bucket
	prefix string // of object names; empty, or with a slash at its end
}

var _ backend.Bucket = (*Bucket)(nil)

// New returns the store in a client's bucket. It asks for nothing: see Check.
func New(c client.Bucket, o Options) (*Bucket, error) {
	if o.Name == "" {
		o.Name = strings.ToLower(string(c.Provider())) + "://" + c.Name()
	}
	prefix := strings.Trim(o.Prefix, "/")
	if prefix != "" {
		if err := backend.CheckName(prefix); err != nil {
			return nil, fmt.Errorf("prefix in %s: %w", o.Name, err)
		}
		prefix += "/"
	}
	o.Memory = cmp.Or(o.Memory, 8<<20)
	if o.Big == nil {
		o.Big = c
	}
	return &Bucket{o: o, client: c, prefix: prefix}, nil
}

// Name returns where the objects are, as s3://bucket/prefix.
func (b *Bucket) Name() string { return b.o.Name + "/" + b.prefix }

// Check asks for the first names in the bucket. For some services a bucket that does not exist can't be told
// from one that is empty in any other way.
func (b *Bucket) Check(ctx context.Context) error {
	err := b.client.Iter(ctx, b.prefix, func(string) error { return io.EOF })
	if err != nil && !errors.Is(err, io.EOF) {
		return b.Fail(ctx, "list", "", err)
	}
	return nil
}

// Close ends the connections. The bucket must not be used afterwards.
func (b *Bucket) Close() error {
	err := b.client.Close()
	if b.o.Big != b.client {
		err = errors.Join(err, b.o.Big.Close())
	}
	return err
}

// FullName returns the object's name in the client's bucket, with the prefix.
func (b *Bucket) FullName(ctx context.Context, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := backend.CheckName(name); err != nil {
		return "", err
	}
	return b.prefix + name, nil
}

// ReadAt implements backend.Bucket, with one request. A range that goes beyond the object's end may need a second one, for its size.
func (b *Bucket) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	full, err := b.FullName(ctx, name)
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, b.Fail(ctx, "read", name, fmt.Errorf("the offset %d is negative", off))
	}
	if len(p) == 0 {
		_, err := b.Size(ctx, name) // a range of no bytes can't be asked for
		return 0, err
	}
	r, err := b.client.GetRange(ctx, full, off, int64(len(p)))
	if err != nil {
		return 0, b.refused(ctx, name, off, err)
	}
	defer r.Close()
	n, err := io.ReadFull(r, p)
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() != nil:
		return n, b.Fail(ctx, "read", name, ctx.Err())
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return n, b.Fail(ctx, "read", name, err)
	}
	// The object's end, or that of a broken answer.
	if sizer, ok := r.(client.ObjectSizer); ok {
		if promised, err := sizer.ObjectSize(); err == nil && promised == int64(n) {
			return n, io.EOF
		}
	}
	size, err := b.Size(ctx, name)
	switch {
	case err != nil:
		return n, err
	case size == off+int64(n), n == 0 && off >= size:
		return n, io.EOF
	default:
		return n, b.Fail(ctx, "read", name, fmt.Errorf("%d of %d bytes at offset %d: %w", n, len(p), off, io.ErrUnexpectedEOF))
	}
}

// refused returns what a failed request for a range means.
func (b *Bucket) refused(ctx context.Context, name string, off int64, err error) error {
	switch {
	case ctx.Err() != nil || b.client.IsObjNotFoundErr(err):
	case b.o.PastEnd != nil:
		if b.o.PastEnd(err) {
			return io.EOF
		}
	default:
		if size, failed := b.Size(ctx, name); failed == nil && off >= size {
			return io.EOF
		}
	}
	return b.Fail(ctx, "read", name, err)
}

// Size implements backend.Bucket, with one request.
func (b *Bucket) Size(ctx context.Context, name string) (int64, error) {
	full, err := b.FullName(ctx, name)
	if err != nil {
		return 0, err
	}
	attrs, err := b.client.Attributes(ctx, full)
	if err != nil {
		return 0, b.Fail(ctx, "ask for the size", name, err)
	}
	return attrs.Size, nil
}

// List implements backend.Bucket, with a request for each thousand names (Azure: five thousand). It calls fn after the last of
// them, since the clients do not give objects and folders in one order.
func (b *Bucket) List(ctx context.Context, dir string, fn func(name string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	prefix, err := backend.FolderPrefix(b.prefix, dir)
	if err != nil {
		return err
	}
	var names []string
	err = b.client.Iter(ctx, prefix, func(full string) error {
		if name := strings.TrimPrefix(full, prefix); name != "" { // the folder itself, as consoles create it
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return b.Fail(ctx, "list", dir, err)
	}
	return backend.EachName(ctx, names, fn)
}

// Delete implements backend.Bucket, with one request.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	full, err := b.FullName(ctx, name)
	if err != nil {
		return err
	}
	if err := b.client.Delete(ctx, full); err != nil && !b.client.IsObjNotFoundErr(err) {
		return b.Fail(ctx, "delete", name, err)
	}
	return nil
}

// objectError says what failed on which object of which bucket.
type objectError struct {
	do, name  string
	err       error
	permanent bool
}

func (e *objectError) Error() string { return fmt.Sprintf("%s %s: %v", e.do, e.name, e.err) }
func (e *objectError) Unwrap() error { return e.err }

// Permanent says that another try will fail as well. It is what instrument.Retry asks for.
func (e *objectError) Permanent() bool { return e.permanent }

// Fail describes an error of the client: what was done, and on which object. It is for packages that add to this one. A missing object is
// backend.ErrNotExist, and whatever a client makes of a context that is done is the context's error.
func (b *Bucket) Fail(ctx context.Context, do, name string, err error) error {
	name = b.Name() + name
	if b.client.IsObjNotFoundErr(err) {
		return fmt.Errorf("%s %s: %w", do, name, backend.ErrNotExist)
	}
	if done := ctx.Err(); done != nil && !errors.Is(err, done) {
		err = fmt.Errorf("%w: %w", done, err)
	}
	permanent := b.client.IsAccessDeniedErr(err) || b.o.Permanent != nil && b.o.Permanent(err)
	return &objectError{do: do, name: name, err: err, permanent: permanent}
}
