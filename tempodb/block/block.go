package block

import (
	"context"
	"errors"
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
	bucket backend.Bucket
	meta   *Meta
	codec  Codec
	open   opener
	shelf  atomic.Pointer[Shelf]

	data    part[page.Table]
	summary part[page.Table]
	filter  part[filter.Filter]
	search  part[index.Object]
	rebuilt rebuilding // data, if its directory is damaged

	damage  *damage
	detours *detours
}

// Open reads the meta.json of a block. If there is none there is no block: the error is
// backend.ErrNotExist. Damage is a *page.CorruptError. The codec is the one with which the block was written.
func Open(ctx context.Context, bucket backend.Bucket, tenant string, id ID, codec Codec) (*Block, error) {
	meta, err := ReadMeta(ctx, bucket, tenant, id)
	if err != nil {
		return nil, err
	}
	return New(bucket, meta, codec), nil
}

// New returns the block that meta describes, and reads nothing. It is Open for who knows the meta.json.
func New(bucket backend.Bucket, meta *Meta, codec Codec) *Block {
	b := &Block{bucket: bucket, meta: meta, codec: codec, open: openerOf(bucket, meta), damage: new(damage), detours: new(detours)}
	b.data.init()
	b.summary.init()
	b.filter.init()
	b.search.init()
	b.rebuilt.turn = make(chan struct{}, 1)
	return b
}

// over returns the same block read from another bucket. Its parts are its own; damage that it meets b has met.
func (b *Block) over(bucket backend.Bucket) *Block {
	o := New(bucket, b.meta, b.codec)
	o.damage, o.detours = b.damage, b.detours
	return o
}

// Meta returns what the block is. It must not be changed.
func (b *Block) Meta() *Meta { return b.meta }

// KeepOn makes the shelf the one on which the block keeps what it has open; without one it keeps everything. It is to be called before the block
// is asked for anything; calling it again does nothing.
func (b *Block) KeepOn(s *Shelf) { b.shelf.CompareAndSwap(nil, s) }

// Release closes what is open, for a block that will be asked no more, or not soon. Questions that are under way go on.
func (b *Block) Release() {
	s := b.shelf.Load()
	for _, spot := range []*spot{&b.data.spot, &b.summary.spot, &b.filter.spot, &b.search.spot} {
		s.leave(spot)
	}
}

// Load opens all parts of the block, so that questions need not. Where that fails, it opens the others, and
// they may be asked.
func (b *Block) Load(ctx context.Context) error {
	_, data := b.openData(ctx)
	_, keys := b.keyFilter(ctx)
	_, summary := b.summaryTable(ctx)
	_, search := b.searchObject(ctx)
	return errors.Join(data, keys, summary, search)
}

// Get appends the value of key to dst. A damaged filter is done without, and a damaged directory made anew; if the page is damaged
// that has the key, or may have it, the error is a *page.CorruptError.
func (b *Block) Get(ctx context.Context, dst []byte, key [16]byte) (value []byte, found bool, err error) {
	if !b.inRange(key) {
		return dst, false, nil
	}
	maybe, err := b.mayHold(ctx, key)
	if !maybe || err != nil {
		return dst, false, err
	}
	value = dst
	err = b.withData(ctx, func(t *page.Table) (err error) {
		value, found, err = t.Get(dst, key[:])
		return err
	})
	return value, found, err
}

// mayHold asks the filter.
func (b *Block) mayHold(ctx context.Context, key [16]byte) (bool, error) {
	f, err := b.keyFilter(ctx)
	if err == nil {
		var maybe bool
		if maybe, err = f.MayContain(key); err == nil {
			return maybe, nil
		}
		err = b.fail(err)
	}
	if !page.IsCorrupt(err) {
		return false, err
	}
	b.detours.filter.Add(1)
	return true, nil
}

// Search returns the keys that q asks for, newest first. If what it needs of the search object is damaged, a *page.CorruptError, SearchByScan
// answers.
func (b *Block) Search(ctx context.Context, q *index.Query) ([]index.Hit, error) {
	o, err := b.searchObject(ctx)
	if err != nil {
		return nil, err
	}
	hits, err := o.Search(ctx, q)
	return hits, b.failSearch(err)
}

// Terms calls fn with each value of field that begins with prefix, in ascending order, until fn returns false.
// The value is valid during the call. Where the search object is damaged, TermsByScan answers.
func (b *Block) Terms(ctx context.Context, field, prefix []byte, fn func(value []byte) (more bool)) error {
	o, err := b.searchObject(ctx)
	if err != nil {
		return err
	}
	return b.failSearch(o.Terms(ctx, field, prefix, fn))
}

// Summary appends the summary of key's value to dst. The filter is not asked: who wants a summary knows
// that the key is there. Where it is damaged, the value tells.
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
	var theirs error
	err = t.Scan(from[:], func(key, summary []byte) (more bool, err error) {
		if len(key) != len(from) {
			return false, b.oddKey(summaryObject, key)
		}
		more, theirs = fn([16]byte(key), summary)
		return more, theirs
	})
	if theirs != nil {
		return theirs
	}
	return b.fail(err)
}

func (b *Block) objectName(object string) string { return objectName(b.meta.Tenant, b.meta.ID, object) }

// failSearch is fail for the search object, which does not say its name everywhere.
func (b *Block) failSearch(err error) error {
	var corrupt *page.CorruptError
	if errors.As(err, &corrupt) && corrupt.Object == "" {
		corrupt.Object = b.objectName(searchObject)
	}
	return b.fail(err)
}

// dataTable returns the table of data, with a new directory if the root of its own is damaged.
func (b *Block) dataTable(ctx context.Context) (*page.Table, error) {
	if b.rebuilt.done.Load() != nil {
		return b.rebuiltTable(ctx)
	}
	t, err := b.openData(ctx)
	if b.isDirectory(err) {
		return b.rebuiltTable(ctx)
	}
	return t, err
}

// openData returns the table of data with its own directory.
func (b *Block) openData(ctx context.Context) (*page.Table, error) {
	data, dir := b.open(ctx, dataObject), b.open(ctx, indexObject)
	t, err := b.data.get(ctx, b.shelf.Load(), func(keep func(int64) bool) (*page.Table, error) {
		t, err := page.OpenPacked(data, dir, b.meta.Data, packerOf(b.codec))
		if err == nil {
			keep(t.Bytes())
		}
		return t, err
	})
	if err != nil {
		return nil, b.fail(err)
	}
	return t.Reading(data, dir), nil
}

func (b *Block) summaryTable(ctx context.Context) (*page.Table, error) {
	r := b.open(ctx, summaryObject)
	t, err := b.summary.get(ctx, b.shelf.Load(), func(keep func(int64) bool) (*page.Table, error) {
		t, err := page.OpenTable(r, r, b.meta.Summary)
		if err == nil {
			keep(t.Bytes())
		}
		return t, err
	})
	if err != nil {
		return nil, b.fail(err)
	}
	return t.Reading(r, r), nil
}

func (b *Block) keyFilter(ctx context.Context) (*filter.Filter, error) {
	r := b.open(ctx, filterObject)
	size := b.meta.Objects[filterObject].Bytes
	f, err := b.filter.get(ctx, b.shelf.Load(), func(keep func(int64) bool) (*filter.Filter, error) {
		return twice(r, func(r *reader) (*filter.Filter, error) {
			small := size >= 0 && size <= loadedFilter
			if small && keep(size) {
				return loadFilter(r, size)
			}
			f, err := filter.Open(r, size)
			if err == nil && !small {
				keep(f.Bytes())
			}
			return f, err
		})
	})
	if err != nil {
		return nil, b.fail(err)
	}
	return f.Reading(r), nil
}

// loadFilter reads a filter with one request. It takes as much memory as the object has bytes.
func loadFilter(r *reader, size int64) (*filter.Filter, error) {
	whole, err := inOneRead(r, size)
	if err != nil {
		return nil, err
	}
	f, err := filter.Open(whole, size)
	if err != nil {
		return nil, err
	}
	if err := f.Load(); err != nil {
		return nil, err
	}
	return f.Reading(r), nil // it has a copy of what it needs
}

func (b *Block) searchObject(ctx context.Context) (*index.Object, error) {
	size := b.meta.Objects[searchObject].Bytes - sealBytes
	sealed := func(r *reader) *sealedReader {
		return &sealedReader{r: r, size: size, name: r.name, seal: salt(b.meta.ID, searchObject)}
	}
	r := b.open(ctx, searchObject)
	o, err := b.search.get(ctx, b.shelf.Load(), func(keep func(int64) bool) (*index.Object, error) {
		o, err := twice(r, func(r *reader) (*index.Object, error) { return index.OpenObject(sealed(r), size) })
		if err == nil {
			keep(o.Bytes())
		}
		return o, err
	})
	if err != nil {
		return nil, b.failSearch(err)
	}
	return o.Reading(sealed(r)), nil
}
