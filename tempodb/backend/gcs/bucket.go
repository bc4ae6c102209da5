package gcs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// Options say which bucket, and how it is written to.
type Options struct {
	// Bucket is the name of the bucket. It must exist.
	Bucket string
	// Prefix is the folder inside the bucket that holds all objects; none if empty.
	Prefix string
	// ChunkSize is how many bytes a request of a big upload has, and the size of an object from which on an upload is
	// big; rounded up to a multiple of 256 KiB. A writer holds two chunks in memory. 8 MiB if zero.
	ChunkSize int
	// ChunkTimeout is how long a chunk may take before it is sent again, and an object of one chunk before Commit fails.
	// 30 s if zero.
	ChunkTimeout time.Duration
	// ChunkRetries is how long a chunk is sent again and again before the upload fails. 2 min if zero.
	ChunkRetries time.Duration
	// Client holds further options of the client: credentials, an endpoint.
	Client []option.ClientOption
}

// Bucket is a bucket of Google Cloud Storage, or a folder in one.
type Bucket struct {
	o      Options
	client *storage.Client
	handle *storage.BucketHandle
	prefix string // of object names; empty, or with a slash at its end
}

var (
	_ backend.Bucket  = (*Bucket)(nil)
	_ backend.Claimer = (*Bucket)(nil)
)

// Open connects to a bucket. It asks once for a name in the bucket, so that a bucket that does not exist or
// may not be read is an error now: later it could not be told from an empty one.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	if o.Bucket == "" {
		return nil, errors.New("a GCS bucket's name is missing")
	}
	prefix := strings.Trim(o.Prefix, "/")
	if prefix != "" {
		if err := backend.CheckName(prefix); err != nil {
			return nil, fmt.Errorf("prefix in GCS bucket %s: %w", o.Bucket, err)
		}
		prefix += "/"
	}
	const quantum = 256 << 10
	o.ChunkSize = (cmp.Or(o.ChunkSize, 8<<20) + quantum - 1) / quantum * quantum
	o.ChunkTimeout = cmp.Or(o.ChunkTimeout, 30*time.Second)
	o.ChunkRetries = cmp.Or(o.ChunkRetries, 2*time.Minute)
	client, err := storage.NewClient(ctx, append([]option.ClientOption{storage.WithJSONReads()}, o.Client...)...)
	if err != nil {
		return nil, fmt.Errorf("GCS bucket %s: %w", o.Bucket, err)
	}
	client.SetRetry(storage.WithPolicy(storage.RetryNever))
	b := &Bucket{o: o, client: client, handle: client.Bucket(o.Bucket), prefix: prefix}
	err = b.pages(ctx, &storage.Query{Prefix: prefix}, 1, func([]*storage.ObjectAttrs) error { return io.EOF })
	if err != nil && err != io.EOF {
		client.Close()
		return nil, fmt.Errorf("open: %w", b.fail(ctx, "list", "", err))
	}
	return b, nil
}

// Close ends the connections. The bucket must not be used afterwards.
func (b *Bucket) Close() error { return b.client.Close() }

// Name returns where the objects are, as gs://bucket/prefix.
func (b *Bucket) Name() string { return "gs://" + b.o.Bucket + "/" + b.prefix }

func (b *Bucket) object(ctx context.Context, name string) (*storage.ObjectHandle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := backend.CheckName(name); err != nil {
		return nil, err
	}
	return b.handle.Object(b.prefix + name), nil
}

// ReadAt implements backend.Bucket, with one request.
func (b *Bucket) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	o, err := b.object(ctx, name)
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, b.fail(ctx, "read", name, fmt.Errorf("the offset %d is negative", off))
	}
	if len(p) == 0 {
		_, err := b.Size(ctx, name) // a range of no bytes can't be asked for
		return 0, err
	}
	r, err := o.NewRangeReader(ctx, off, int64(len(p)))
	if status(err) == http.StatusRequestedRangeNotSatisfiable {
		return 0, io.EOF
	}
	if err != nil {
		return 0, b.fail(ctx, "read", name, err)
	}
	defer r.Close()
	n, err := io.ReadFull(r, p)
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() != nil:
		return n, b.fail(ctx, "read", name, ctx.Err())
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return n, b.fail(ctx, "read", name, err)
	case off+int64(n) == r.Attrs.Size:
		return n, io.EOF
	default: // the answer came to its end before the object did
		return n, b.fail(ctx, "read", name, fmt.Errorf("%d of %d bytes at offset %d: %w", n, len(p), off, io.ErrUnexpectedEOF))
	}
}

// Size implements backend.Bucket, with one request.
func (b *Bucket) Size(ctx context.Context, name string) (int64, error) {
	o, err := b.object(ctx, name)
	if err != nil {
		return 0, err
	}
	attrs, err := o.Attrs(ctx)
	if err != nil {
		return 0, b.fail(ctx, "ask for the size", name, err)
	}
	return attrs.Size, nil
}

// List implements backend.Bucket, with a request for each thousand names.
func (b *Bucket) List(ctx context.Context, dir string, fn func(name string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	prefix, err := backend.FolderPrefix(b.prefix, dir)
	if err != nil {
		return err
	}
	var refused error // by fn
	err = b.pages(ctx, &storage.Query{Prefix: prefix, Delimiter: "/"}, 1000, func(page []*storage.ObjectAttrs) error {
		names := make([]string, 0, len(page))
		for _, o := range page {
			if name := strings.TrimPrefix(o.Prefix+o.Name, prefix); name != "" { // the folder itself, as consoles create it
				names = append(names, name)
			}
		}
		refused = backend.EachName(ctx, names, fn) // sorted: objects come before folders in a page
		return refused
	})
	if refused != nil {
		return refused
	}
	if err != nil {
		return b.fail(ctx, "list", dir, err)
	}
	return nil
}

// pages calls fn with the names that the query finds, page by page; pages ascend.
func (b *Bucket) pages(ctx context.Context, q *storage.Query, size int, fn func([]*storage.ObjectAttrs) error) error {
	if err := q.SetAttrSelection([]string{"Name"}); err != nil {
		return err
	}
	pager := iterator.NewPager(b.handle.Objects(ctx, q), size, "")
	for {
		var page []*storage.ObjectAttrs
		next, err := pager.NextPage(&page)
		if err != nil {
			return err
		}
		if err := fn(page); err != nil || next == "" {
			return err
		}
	}
}

// Delete implements backend.Bucket, with one request.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	o, err := b.object(ctx, name)
	if err != nil {
		return err
	}
	if err := o.Delete(ctx); err != nil && !errors.Is(err, storage.ErrObjectNotExist) {
		return b.fail(ctx, "delete", name, err)
	}
	return nil
}
