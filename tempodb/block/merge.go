package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// MergeCodec is a Codec that merges values.
type MergeCodec interface {
	Codec
	// Merge appends to dst one value that holds what values hold together, what several hold in the same way once.
	Merge(dst []byte, values ...[]byte) ([]byte, error)
}

// MergeOptions says how blocks are merged. Codec must be set.
type MergeOptions struct {
	Codec MergeCodec
	// MemoryBytes is about how much memory may go to the index of keys that several blocks have; 64 MiB if zero.
	MemoryBytes int64
	// Writer has the rest. Codec, Level and Parents are set by Merge.
	Writer WriterOptions
}

const defaultMergeMemory = 64 << 20

// Merge writes a block that has all that the inputs have, each key once, with the inputs for parents and a level above theirs.
//
// It streams: in memory are a page of each input, what is kept of a Writer (24 bytes a key), the index of keys that several inputs have up to
// MemoryBytes, and what index.Merge keeps. A key of one input is neither merged nor indexed again. Damage in an input
// ends the merge; nothing is left of it.
func Merge(ctx context.Context, bucket backend.Bucket, tenant string, inputs []*Block, o MergeOptions) (*Meta, error) {
	if len(inputs) == 0 {
		return nil, errors.New("merge blocks: there are none")
	}
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = defaultMergeMemory
	}
	wo := o.Writer
	wo.Codec, wo.Parents, wo.Level, wo.Sources = o.Codec, nil, 0, nil
	for _, b := range inputs {
		wo.Parents = append(wo.Parents, b.meta.ID)
		wo.Level = max(wo.Level, b.meta.Level+1)
	}
	w, err := NewWriter(ctx, bucket, tenant, wo)
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	m := &merge{ctx: ctx, w: w, o: o, inputs: scans(inputs)}
	defer m.stop()
	if err := m.run(); err != nil {
		return nil, w.fail(err)
	}
	return w.Finish(ctx)
}

type merge struct {
	ctx     context.Context
	w       *Writer
	o       MergeOptions
	inputs  []*Block
	cursors []*mergeCursor

	shared [][16]byte // keys that several inputs have, ascending
	run0   int        // the first of them in the index in memory
	runs   []*index.Object
}

// mergeCursor stands at a key of an input.
type mergeCursor struct {
	key            [16]byte
	value, summary []byte // valid until next
	valid          bool
	err            error
	pull           func() (record, bool)
	stop           func()
}

type record struct {
	key            [16]byte
	value, summary []byte
}

// records iterates over the keys of b with their values and summaries. An error ends it, and is left in *failed.
func (b *Block) records(ctx context.Context, failed *error) iter.Seq[record] {
	return func(yield func(record) bool) {
		type summary struct {
			key [16]byte
			s   []byte
		}
		var summaryErr error
		next, stop := iter.Pull(func(yield func(summary) bool) {
			summaryErr = b.ScanSummaries(ctx, [16]byte{}, func(key [16]byte, s []byte) (bool, error) {
				return yield(summary{key, s}), nil
			})
		})
		defer stop()
		*failed = b.Scan(ctx, [16]byte{}, func(key [16]byte, value []byte) (bool, error) {
			s, any := next()
			if !any && summaryErr != nil {
				return false, summaryErr
			}
			if !any || s.key != key {
				return false, &page.CorruptError{Object: b.objectName(summaryObject), What: "table",
					Reason: fmt.Sprintf("has no summary of key %x, which %s has", key, dataObject)}
			}
			return yield(record{key, value, s.s}), nil
		})
	}
}

func (m *merge) stop() {
	for _, c := range m.cursors {
		c.stop()
	}
}

func (c *mergeCursor) next() {
	var r record
	r, c.valid = c.pull()
	c.key, c.value, c.summary = r.key, r.value, r.summary
}

func (m *merge) run() error {
	for _, b := range m.inputs {
		c := &mergeCursor{}
		c.pull, c.stop = iter.Pull(b.records(m.ctx, &c.err))
		m.cursors = append(m.cursors, c)
		c.next()
	}
	var at []*mergeCursor
	for n := 0; ; n++ {
		if n%256 == 0 && m.ctx.Err() != nil {
			return m.ctx.Err()
		}
		at = at[:0]
		for _, c := range m.cursors {
			if c.err != nil {
				return c.err
			}
			if !c.valid {
				continue
			}
			order := -1
			if len(at) > 0 {
				order = bytes.Compare(c.key[:], at[0].key[:])
			}
			if order < 0 {
				at = append(at[:0], c)
			} else if order == 0 {
				at = append(at, c)
			}
		}
		if len(at) == 0 {
			break
		}
		if err := m.take(at); err != nil {
			return fmt.Errorf("key %x: %w", at[0].key, err)
		}
		for _, c := range at {
			c.next()
		}
	}
	return m.searches()
}

// take writes the key at which the cursors stand.
func (m *merge) take(at []*mergeCursor) error {
	key := at[0].key
	if len(at) == 1 {
		return m.w.copy(key, at[0].value, at[0].summary)
	}
	values := make([][]byte, len(at))
	for i, c := range at {
		values[i] = c.value
	}
	value, err := m.o.Codec.Merge(nil, values...)
	if err != nil {
		return err
	}
	summary, err := m.o.Codec.Summarize(nil, value)
	if err != nil {
		return err
	}
	if err := m.w.copy(key, value, summary); err != nil {
		return err
	}
	m.w.rows.Own(uint32(len(m.shared) - m.run0))
	if err := m.o.Codec.Index(value, m.w.rows); err != nil {
		return fmt.Errorf("list rows: %w", err)
	}
	m.shared = append(m.shared, key)
	if m.w.rows.Bytes() > m.o.MemoryBytes {
		return m.spill()
	}
	return nil
}

// spill makes a search object of the index in memory, which takes a tenth of it, and empties that.
func (m *merge) spill() error {
	if m.run0 == len(m.shared) {
		return nil
	}
	var buf bytes.Buffer
	if err := index.Write(&buf, m.w.rows, m.shared[m.run0:]); err != nil {
		return err
	}
	run, err := index.OpenObject(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		return err
	}
	m.runs = append(m.runs, run)
	m.run0 = len(m.shared)
	m.w.rows = index.NewMemory()
	return nil
}

// searches tells the writer what its search object is made of.
func (m *merge) searches() error {
	if err := m.spill(); err != nil {
		return err
	}
	var objects []*index.Object
	w := m.w
	w.span = noSpan
	for _, b := range m.inputs {
		o, err := b.searchObject(m.ctx)
		if err != nil {
			return err
		}
		objects = append(objects, o)
		if b.meta.Rows > 0 {
			w.span.starts.Min = min(w.span.starts.Min, b.meta.MinStart)
			w.span.starts.Max = max(w.span.starts.Max, b.meta.MaxStart)
			w.span.maxEnd = max(w.span.maxEnd, b.meta.MaxEnd)
		}
	}
	objects = append(objects, m.runs...)
	w.mergeSearch = func(ctx context.Context, to *objectWriter) (int64, error) {
		return index.Merge(ctx, to, objects, func(source int, key [16]byte) bool {
			if source >= len(m.inputs) {
				return false
			}
			_, shared := slices.BinarySearchFunc(m.shared, key, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
			return shared
		})
	}
	return nil
}
