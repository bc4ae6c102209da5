package block

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/cache"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// An opener makes the reader of an object of the block, for as long as ctx lasts. All that is read of a
// block but its meta.json is read through it.
type opener func(ctx context.Context, object string) *reader

func openerOf(bucket backend.Bucket, meta *Meta) opener {
	cached, _ := bucket.(*cache.Bucket)
	objects := make(map[string]*blockObject)
	for _, object := range objectNames {
		o := &blockObject{
			bucket: bucket, meta: meta, object: object, name: objectName(meta.Tenant, meta.ID, object), salt: pageSalt(meta.ID, object),
		}
		if cached != nil {
			o.cached = cached.Reader(context.Background(), o.name, meta.Objects[object].Bytes, cache.KindOf(object))
		}
		objects[object] = o
	}
	return func(ctx context.Context, object string) *reader {
		r := &reader{ctx: ctx, blockObject: objects[object]}
		if cached != nil {
			r.cache = r.cached.Within(ctx)
		}
		return r
	}
}

// beneath returns the bucket without the cache in front of it.
func beneath(bucket backend.Bucket) backend.Bucket {
	if cached, ok := bucket.(*cache.Bucket); ok {
		return cached.Bucket
	}
	return bucket
}

// scans returns the blocks for who reads them whole: nothing that is in a cache gives way to what is read of them.
func scans(blocks []*Block) []*Block {
	scans := make([]*Block, len(blocks))
	for i, b := range blocks {
		scans[i] = b
		if cached, ok := b.bucket.(*cache.Bucket); ok {
			scans[i] = b.over(cached.Scanning())
		}
	}
	return scans
}

// blockObject is an object of a block, to be read.
type blockObject struct {
	bucket       backend.Bucket
	cached       *cache.Reader // nil if the bucket has no cache
	meta         *Meta
	object, name string
	salt         uint64
}

// Name returns the object's name; errors of the packages that read say it.
func (o *blockObject) Name() string { return o.name }

// PageSalt returns the salt of the object's pages.
func (o *blockObject) PageSalt() uint64 { return o.salt }

// reader reads an object, while its context lasts: through the cache if there is one.
type reader struct {
	ctx context.Context
	*blockObject
	cache *cache.Reader // nil to read from the bucket
	again bool          // past what the cache has
}

var _ page.Rereader = (*reader)(nil)

// ReadAt reads from the object.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if r.again {
		return r.ReadAgain(p, off)
	}
	n, err := r.read(p, off)
	if r.cache != nil && n < len(p) && r.endsEarly(err) && off+int64(len(p)) <= r.cache.Size() {
		// The object does not end there, or it is damaged: a body that was cut short on its way is no damage.
		return r.ReadAgain(p, off)
	}
	return n, err
}

func (r *reader) endsEarly(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (r *reader) read(p []byte, off int64) (n int, err error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.cache != nil {
		n, err = r.cache.ReadAt(p, off)
	} else {
		n, err = r.bucket.ReadAt(r.ctx, r.name, p, off)
	}
	return n, r.told(err)
}

// ReadAgain implements page.Rereader. Where there is no cache, what was read is what the object store has.
func (r *reader) ReadAgain(p []byte, off int64) (int, error) {
	if r.cache == nil {
		return 0, errors.ErrUnsupported
	}
	n, err := r.cache.ReadAgain(p, off)
	return n, r.told(err)
}

// told makes of an error what it means.
func (r *reader) told(err error) error {
	if err != nil && errors.Is(err, backend.ErrNotExist) {
		return r.missing(r.ctx, err)
	}
	return err
}

// beneath returns a reader that knows no cache.
func (r *reader) beneath() *reader { return &reader{ctx: r.ctx, blockObject: r.blockObject} }

// twice opens a part of the block, and where that meets damage, once more past the cache. Package page reads pages again by itself; this is for
// footers and seals, which are in no page.
func twice[T any](r *reader, open func(*reader) (*T, error)) (*T, error) {
	v, err := open(r)
	if page.IsCorrupt(err) && r.cache != nil {
		past := *r
		past.again = true
		v, err = open(&past)
	}
	return v, err
}

// wholeObject is an object that was read with one request.
type wholeObject struct {
	*blockObject
	bytes.Reader
}

// inOneRead reads an object that should have size bytes. That it has fewer is found by who reads them.
func inOneRead(r *reader, size int64) (io.ReaderAt, error) {
	content := make([]byte, size)
	n, err := r.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return &wholeObject{r.blockObject, *bytes.NewReader(content[:n])}, nil
}
