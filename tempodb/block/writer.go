package block

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/filter"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Codec says what a block's values mean. Its methods must not keep the slices they are given. One that is a page.Packer too packs the pages
// of data.
type Codec interface {
	// Index lists the rows of a value.
	Index(value []byte, s index.Sink) error
	// Summarize appends a summary of a value.
	Summarize(dst, value []byte) ([]byte, error)
}

// packerOf returns the codec if it packs pages of values as well, and nil if it does not.
func packerOf(c Codec) page.Packer {
	p, _ := c.(page.Packer)
	return p
}

// WriterOptions says what a block is made of. Codec must be set.
type WriterOptions struct {
	Codec Codec
	// ID is the block's; a new one if empty.
	ID ID
	// Level, Parents and Sources are said in the block's Meta.
	Level   int
	Parents []ID
	Sources []string
	// Rows, if not nil, is an index that at Finish has the rows of all values, and Owners has the key of each of its owners. Then no
	// rows are listed by Add.
	Rows   *index.Memory
	Owners [][16]byte
	// PageBytes is the uncompressed size of a page of data; if zero, 128 KiB, and 256 KiB where the codec packs.
	PageBytes int
	// Compression is how hard data and summaries are compressed.
	Compression page.Level
	// Now tells the time of writing; time.Now if nil.
	Now func() time.Time
}

// packedPageBytes is greater than what is best for rows: what is packed together is packed the better, and takes a fraction of its size.
const packedPageBytes = 256 << 10

// summaryPageBytes is small: summaries are asked for one by one.
const summaryPageBytes = 16 << 10

// ErrEmpty is returned by Finish if no key was added.
var ErrEmpty = errors.New("a block without keys is not written")

// Writer writes a block. It is for one goroutine, which must end it with Finish or Abort.
//
// Values and summaries are written as they come; what searches need is in memory until Finish.
type Writer struct {
	bucket  backend.Bucket
	options WriterOptions
	meta    Meta
	err     error

	data, summary           *objectWriter
	dataTable, summaryTable *page.TableWriter
	filter                  *filter.Builder
	keys                    [][16]byte
	rows                    *index.Memory
	buf                     []byte
	committed               []string // objects that an Abort has to delete

	// A merge has no index of all rows: it writes the search object by this, which returns the number of rows, and says what span of time they take.
	mergeSearch func(context.Context, *objectWriter) (int64, error)
	span        span
}

// span is the time that rows take: the range of their starts, and the latest end.
type span struct {
	starts index.Range
	maxEnd int64
}

// noSpan is the span of no rows.
var noSpan = span{starts: index.Range{Min: math.MaxInt64, Max: math.MinInt64}, maxEnd: math.MinInt64}

// NewWriter begins a block of tenant. ctx is for all that Add writes.
func NewWriter(ctx context.Context, bucket backend.Bucket, tenant string, o WriterOptions) (*Writer, error) {
	if err := CheckTenant(tenant); err != nil {
		return nil, err
	}
	if o.ID == "" {
		o.ID = NewID()
	} else if _, err := ParseID(string(o.ID)); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &Writer{
		bucket:  bucket,
		options: o,
		meta: Meta{
			Version: Version, ID: o.ID, Tenant: tenant, Level: o.Level, Parents: o.Parents, Sources: o.Sources,
			Objects: make(map[string]Object),
		},
		filter: filter.NewBuilder(),
		rows:   o.Rows,
	}
	if w.rows == nil {
		w.rows = index.NewMemory()
	}
	var err error
	if w.data, err = w.create(ctx, dataObject); err != nil {
		return nil, w.fail(err)
	}
	if w.summary, err = w.create(ctx, summaryObject); err != nil {
		w.data.abort()
		return nil, w.fail(err)
	}
	packer := packerOf(o.Codec)
	if packer != nil && o.PageBytes == 0 {
		o.PageBytes = packedPageBytes
	}
	w.dataTable = page.NewTableWriter(w.data, 0, page.TableOptions{PageBytes: o.PageBytes, Level: o.Compression, Packer: packer})
	w.summaryTable = page.NewTableWriter(w.summary, 0, page.TableOptions{PageBytes: summaryPageBytes, Level: o.Compression})
	return w, nil
}

// ID returns the block's ID.
func (w *Writer) ID() ID { return w.meta.ID }

// Add adds a key and its value, which is not kept. Keys must be strictly ascending (page.ErrOrder). After an
// error, of which the codec's are some, the block can't be finished and every call returns it.
func (w *Writer) Add(key [16]byte, value []byte) error {
	if w.err != nil {
		return w.err
	}
	if err := w.add(key, value); err != nil {
		w.err = w.fail(fmt.Errorf("key %x: %w", key, err))
	}
	return w.err
}

func (w *Writer) add(key [16]byte, value []byte) error {
	var err error
	if w.buf, err = w.options.Codec.Summarize(w.buf[:0], value); err != nil {
		return fmt.Errorf("summarize: %w", err)
	}
	if err := w.copy(key, value, w.buf); err != nil {
		return err
	}
	if w.options.Rows != nil {
		return nil
	}
	w.rows.Own(uint32(len(w.keys) - 1))
	if err := w.options.Codec.Index(value, w.rows); err != nil {
		return fmt.Errorf("list rows: %w", err)
	}
	return nil
}

// copy adds a key without listing its rows.
func (w *Writer) copy(key [16]byte, value, summary []byte) error {
	if err := w.roomFor(1); err != nil {
		return err
	}
	if err := w.dataTable.Add(key[:], value); err != nil {
		return err
	}
	return w.enter(key, summary)
}

// Finish makes the block durable and visible. On an error the writer is aborted and leaves none; but if meta.json was being
// committed, the block may be there, now or a moment later, whole, or its other objects are, which are garbage. It returns ErrEmpty if
// no key was added.
func (w *Writer) Finish(ctx context.Context) (*Meta, error) {
	if w.err == nil && len(w.keys) == 0 {
		w.err = w.fail(ErrEmpty)
	}
	if w.err == nil {
		if err := w.finish(ctx); err != nil {
			w.err = w.fail(err)
		}
	}
	if w.err != nil {
		w.Abort()
		return nil, w.err
	}
	w.err = w.fail(errors.New("is finished"))
	w.committed = nil
	meta := w.meta
	return &meta, nil
}

func (w *Writer) finish(ctx context.Context) error {
	m := &w.meta
	directory, err := w.create(ctx, indexObject)
	if err != nil {
		return err
	}
	defer directory.abort()
	if m.Data, _, err = w.dataTable.Finish(directory, 0); err != nil {
		return fmt.Errorf("object %s: %w", dataObject, err)
	}
	if m.Summary, _, err = w.summaryTable.Finish(nil, 0); err != nil {
		return fmt.Errorf("object %s: %w", summaryObject, err)
	}
	keys, err := w.create(ctx, filterObject)
	if err != nil {
		return err
	}
	defer keys.abort()
	if err := w.filter.Write(keys); err != nil {
		return fmt.Errorf("object %s: %w", filterObject, err)
	}
	search, err := w.create(ctx, searchObject)
	if err != nil {
		return err
	}
	defer search.abort()
	if w.mergeSearch == nil {
		m.Rows, err = w.writeSearch(search)
	} else {
		m.Rows, err = w.mergeSearch(ctx, search)
	}
	if err != nil {
		return fmt.Errorf("object %s: %w", searchObject, err)
	}
	if _, err := search.Write(appendSeal(nil, m.ID, searchObject)); err != nil {
		return fmt.Errorf("object %s: %w", searchObject, err)
	}
	for _, o := range []*objectWriter{w.data, directory, keys, search, w.summary} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.commit(o); err != nil {
			return err
		}
	}
	m.MinKey, m.MaxKey = Key(w.keys[0]), Key(w.keys[len(w.keys)-1])
	m.Keys = int64(len(w.keys))
	if m.Rows > 0 {
		m.MinStart, m.MaxStart, m.MaxEnd = w.span.starts.Min, w.span.starts.Max, w.span.maxEnd
	}
	m.Created = w.options.Now().UTC()
	return w.publish(ctx)
}

// writeSearch writes the search object from the index of all rows, and returns their number.
func (w *Writer) writeSearch(to *objectWriter) (int64, error) {
	owners := w.keys
	if w.options.Rows != nil {
		if owners = w.options.Owners; len(owners) != len(w.keys) {
			return 0, fmt.Errorf("the index of the rows has %d owners, but there are %d keys", len(owners), len(w.keys))
		}
	}
	rows, starts, maxEnd := w.rows.Extent()
	w.span = span{starts, maxEnd}
	return int64(rows), index.Write(to, w.rows, owners)
}

// publish writes meta.json, after which there is a block.
func (w *Writer) publish(ctx context.Context) error {
	content, err := AppendMeta(nil, &w.meta)
	if err != nil {
		return err
	}
	if _, err := ParseMeta(content); err != nil {
		return fmt.Errorf("what it is described as can't be read again: %w", err)
	}
	o, err := w.bucket.Create(ctx, objectName(w.meta.Tenant, w.meta.ID, metaObject))
	if err != nil {
		return fmt.Errorf("object %s: %w", metaObject, err)
	}
	defer o.Abort()
	if _, err := o.Write(content); err != nil {
		return fmt.Errorf("object %s: %w", metaObject, err)
	}
	// If Commit fails it may be there all the same, or come to be there: what was sent to a store may take effect after the sender has given it
	// up. It must find a whole block then, so from here on nothing is deleted.
	w.committed = nil
	if err := o.Commit(); err != nil {
		return fmt.Errorf("object %s: %w", metaObject, err)
	}
	return nil
}

// Abort ends the writer and leaves no block behind. After Finish it does nothing.
func (w *Writer) Abort() {
	if w.err == nil {
		w.err = w.fail(errors.New("is aborted"))
	}
	w.data.abort()
	w.summary.abort()
	// Whatever ended the writer must not keep it from cleaning up; nor must a store that is down keep it at that. What can't be deleted is
	// garbage, not a block.
	ctx, cancel := context.WithTimeout(context.Background(), cleanUp)
	defer cancel()
	for _, object := range w.committed {
		if w.bucket.Delete(ctx, objectName(w.meta.Tenant, w.meta.ID, object)) != nil && ctx.Err() != nil {
			break
		}
	}
	w.committed = nil
}

// cleanUp is the time that an Abort has to delete what was committed.
const cleanUp = 10 * time.Second

func (w *Writer) fail(err error) error {
	return fmt.Errorf("write block %s of tenant %s: %w", w.meta.ID, w.meta.Tenant, err)
}

// objectWriter writes an object, and counts and hashes it on the way.
type objectWriter struct {
	object string
	w      backend.ObjectWriter
	buf    *bufio.Writer
	hash   xxhash.Digest
	salt   uint64
	bytes  int64
	ended  bool
}

func (w *Writer) create(ctx context.Context, object string) (*objectWriter, error) {
	o, err := w.bucket.Create(ctx, objectName(w.meta.Tenant, w.meta.ID, object))
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", object, err)
	}
	ow := &objectWriter{object: object, w: o, buf: bufio.NewWriterSize(o, 64<<10), salt: pageSalt(w.meta.ID, object)}
	ow.hash.Reset()
	return ow, nil
}

// PageSalt returns the salt of the object's pages.
func (o *objectWriter) PageSalt() uint64 { return o.salt }

// Write appends p to the object.
func (o *objectWriter) Write(p []byte) (int, error) {
	n, err := o.buf.Write(p)
	_, _ = o.hash.Write(p[:n])
	o.bytes += int64(n)
	return n, err
}

func (w *Writer) commit(o *objectWriter) error {
	err := o.buf.Flush()
	if err == nil {
		w.committed = append(w.committed, o.object)
		o.ended = true
		err = o.w.Commit()
	}
	if err != nil {
		return fmt.Errorf("object %s: %w", o.object, err)
	}
	w.meta.Objects[o.object] = Object{Bytes: o.bytes, Checksum: Sum(o.hash.Sum64())}
	return nil
}

func (o *objectWriter) abort() {
	if !o.ended {
		o.ended = true
		o.w.Abort()
	}
}
