package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/filter"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// loadedFilter is the length up to which a filter is kept in memory whole.
const loadedFilter = 1 << 20

// Block reads a block. It may be used concurrently.
type Block struct {
	meta  *Meta
	codec Codec
	open  opener

	data    part[page.Table]
	summary part[page.Table]
	filter  part[filter.Filter]
	search  part[index.Object]
}

// Open reads the meta.json of a block. If there is none there is no block: the error is
// backend.ErrNotExist. Damage is a *page.CorruptError. The codec is the one with which the block was written.
func Open(ctx context.Context, bucket backend.Bucket, tenant string, id ID, codec Codec) (*Block, error) {
	meta, err := ReadMeta(ctx, bucket, tenant, id)
	if err != nil {
		return nil, err
	}
	return &Block{meta: meta, codec: codec, open: openerOf(bucket, meta)}, nil
}

// Meta returns what the block is. It must not be changed.
func (b *Block) Meta() *Meta { return b.meta }

// Load opens all parts of the block, so that questions need not. Where that fails, the other
// parts may still be asked.
func (b *Block) Load(ctx context.Context) error {
	if _, err := b.dataTable(ctx); err != nil {
		return err
	}
	if _, err := b.keyFilter(ctx); err != nil {
		return err
	}
	if _, err := b.summaryTable(ctx); err != nil {
		return err
	}
	_, err := b.searchObject(ctx)
	return err
}

// Get appends the value of key to dst.
func (b *Block) Get(ctx context.Context, dst []byte, key [16]byte) (value []byte, found bool, err error) {
	if !b.inRange(key) {
		return dst, false, nil
	}
	f, err := b.keyFilter(ctx)
	if err != nil {
		return dst, false, err
	}
	maybe, err := f.MayContain(key)
	if err != nil {
		return dst, false, b.fail(err)
	}
	if !maybe {
		return dst, false, nil
	}
	t, err := b.dataTable(ctx)
	if err != nil {
		return dst, false, err
	}
	value, found, err = t.Get(dst, key[:])
	return value, found, b.fail(err)
}

// Scan calls fn with the keys from the first that is not less than from, in ascending order, and their
// values, until fn returns false or an error, which Scan returns. The value is valid during the call.
func (b *Block) Scan(ctx context.Context, from [16]byte, fn func(key [16]byte, value []byte) (more bool, err error)) error {
	t, err := b.dataTable(ctx)
	if err != nil {
		return err
	}
	return b.scan(t, dataObject, from, fn)
}

// Search returns the keys that q asks for, newest first.
func (b *Block) Search(ctx context.Context, q *index.Query) ([]index.Hit, error) {
	o, err := b.searchObject(ctx)
	if err != nil {
		return nil, err
	}
	hits, err := o.Search(ctx, q)
	return hits, b.failSearch(err)
}

// Terms calls fn with each value of field that begins with prefix, in ascending order, until fn returns false.
// The value is valid during the call.
func (b *Block) Terms(ctx context.Context, field, prefix []byte, fn func(value []byte) (more bool)) error {
	o, err := b.searchObject(ctx)
	if err != nil {
		return err
	}
	return b.failSearch(o.Terms(ctx, field, prefix, fn))
}

// Summary appends the summary of key's value to dst. The filter is not asked: who wants a summary knows
// that the key is there.
func (b *Block) Summary(ctx context.Context, dst []byte, key [16]byte) (summary []byte, found bool, err error) {
	if !b.inRange(key) {
		return dst, false, nil
	}
	t, err := b.summaryTable(ctx)
	if err != nil {
		return dst, false, err
	}
	summary, found, err = t.Get(dst, key[:])
	return summary, found, b.fail(err)
}

// ScanSummaries is Scan over the values' summaries.
func (b *Block) ScanSummaries(ctx context.Context, from [16]byte, fn func(key [16]byte, summary []byte) (more bool, err error)) error {
	t, err := b.summaryTable(ctx)
	if err != nil {
		return err
	}
	return b.scan(t, summaryObject, from, fn)
}

func (b *Block) scan(t *page.Table, object string, from [16]byte, fn func([16]byte, []byte) (bool, error)) error {
	var ours error // fn's errors are its own
	err := t.Scan(from[:], func(key, value []byte) (bool, error) {
		if len(key) != len(from) {
			return false, &page.CorruptError{Object: b.objectName(object), What: "table", Reason: fmt.Sprintf("has a key of %d bytes", len(key))}
		}
		more, err := fn([16]byte(key), value)
		ours = err
		return more, err
	})
	if ours != nil {
		return ours
	}
	return b.fail(err)
}

func (b *Block) inRange(key [16]byte) bool {
	return bytes.Compare(key[:], b.meta.MinKey[:]) >= 0 && bytes.Compare(key[:], b.meta.MaxKey[:]) <= 0
}

func (b *Block) objectName(object string) string { return objectName(b.meta.Tenant, b.meta.ID, object) }

func (b *Block) fail(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("block %s of tenant %s: %w", b.meta.ID, b.meta.Tenant, err)
}

// failSearch is fail for the search object, which does not say its name everywhere.
func (b *Block) failSearch(err error) error {
	var corrupt *page.CorruptError
	if errors.As(err, &corrupt) && corrupt.Object == "" {
		corrupt.Object = b.objectName(searchObject)
	}
	return b.fail(err)
}

// An opener makes the reader of an object of the block, for as long as ctx lasts. All that is read of a
// block but its meta.json is read through it.
type opener func(ctx context.Context, object string) io.ReaderAt

func openerOf(bucket backend.Bucket, meta *Meta) opener {
	return func(ctx context.Context, object string) io.ReaderAt {
		return &reader{ctx: ctx, bucket: bucket, name: objectName(meta.Tenant, meta.ID, object), salt: pageSalt(meta.ID, object)}
	}
}

// reader reads an object, while its context lasts.
type reader struct {
	ctx    context.Context
	bucket backend.Bucket
	name   string
	salt   uint64
}

// ReadAt reads from the object.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.bucket.ReadAt(r.ctx, r.name, p, off)
}

// Name returns the object's name; errors of the packages that read say it.
func (r *reader) Name() string { return r.name }

// PageSalt returns the salt of the object's pages.
func (r *reader) PageSalt() uint64 { return r.salt }

// part is a part of the block that is opened at its first use and kept. If that fails, the next use tries again.
type part[T any] struct {
	mu     sync.Mutex
	opened atomic.Pointer[T]
}

func (p *part[T]) get(open func() (*T, error)) (*T, error) {
	if v := p.opened.Load(); v != nil {
		return v, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.opened.Load(); v != nil {
		return v, nil
	}
	v, err := open()
	if err != nil {
		return nil, err
	}
	p.opened.Store(v)
	return v, nil
}

func (b *Block) dataTable(ctx context.Context) (*page.Table, error) {
	data, dir := b.open(ctx, dataObject), b.open(ctx, indexObject)
	t, err := b.data.get(func() (*page.Table, error) {
		return page.OpenPacked(data, dir, b.meta.Data, packerOf(b.codec))
	})
	if err != nil {
		return nil, b.fail(err)
	}
	return t.Reading(data, dir), nil
}

func (b *Block) summaryTable(ctx context.Context) (*page.Table, error) {
	r := b.open(ctx, summaryObject)
	t, err := b.summary.get(func() (*page.Table, error) { return page.OpenTable(r, r, b.meta.Summary) })
	if err != nil {
		return nil, b.fail(err)
	}
	return t.Reading(r, r), nil
}

func (b *Block) keyFilter(ctx context.Context) (*filter.Filter, error) {
	r := b.open(ctx, filterObject)
	size := b.meta.Objects[filterObject].Bytes
	f, err := b.filter.get(func() (*filter.Filter, error) {
		f, err := filter.Open(r, size)
		if err == nil && size <= loadedFilter {
			err = f.Load()
		}
		return f, err
	})
	if err != nil {
		return nil, b.fail(err)
	}
	return f.Reading(r), nil
}

// searchObject opens the search object for longer than ctx lasts: it looks at the context itself.
func (b *Block) searchObject(ctx context.Context) (*index.Object, error) {
	o, err := b.search.get(func() (*index.Object, error) {
		r := &sealedReader{r: b.open(context.WithoutCancel(ctx), searchObject), size: b.meta.Objects[searchObject].Bytes - sealBytes, name: b.objectName(searchObject), seal: salt(b.meta.ID, searchObject)}
		return index.OpenObject(r, r.size)
	})
	return o, b.failSearch(err)
}
