package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/index"
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
// It streams: in memory are a page of each input with its summaries, what is kept of a Writer (24 bytes a key), the index of keys that several inputs
// have up to MemoryBytes, and what index.Merge keeps. A page with keys between which no other input has any is copied as it is stored. A key of one
// input, or with equal values in several, is neither merged nor indexed again. Damage in an input ends the merge; nothing is left of it.
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

	values         [][]byte // at the key
	value, summary []byte   // what they are merged to

	shared []sharedKey // keys that several inputs have, ascending
	owners [][16]byte  // of the index in memory
	runs   []*index.Object
}

// sharedKey is a key that several inputs have.
type sharedKey struct {
	key [16]byte
	// input is the one whose rows of the key are kept; anew if its rows were listed again.
	input int32
}

const anew = -1

func (m *merge) stop() {
	for _, c := range m.cursors {
		c.close()
	}
}

func (m *merge) run() error {
	for i, b := range m.inputs {
		c, err := b.mergeCursor(m.ctx, i)
		if err != nil {
			return err
		}
		m.cursors = append(m.cursors, c)
	}
	var at []*mergeCursor
	for n := 0; ; n++ {
		if n%256 == 0 && m.ctx.Err() != nil {
			return m.ctx.Err()
		}
		if at = m.least(at[:0]); len(at) == 0 {
			return m.searches()
		}
		if c := at[0]; len(at) == 1 && m.apart(c) {
			copied, err := m.w.copyPage(c)
			if err == nil && copied {
				err = c.nextPage()
			}
			if err != nil {
				return fmt.Errorf("page of key %x: %w", c.key, err)
			}
			if copied {
				continue
			}
		}
		if err := m.take(at); err != nil {
			return fmt.Errorf("key %x: %w", at[0].key, err)
		}
		for _, c := range at {
			if err := c.next(); err != nil {
				return err
			}
		}
	}
}

// least appends the cursors at the least key to at.
func (m *merge) least(at []*mergeCursor) []*mergeCursor {
	for _, c := range m.cursors {
		if !c.live {
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
	return at
}

// apart reports whether c stands before a page whose keys all come before those of the other cursors.
func (m *merge) apart(c *mergeCursor) bool {
	if !c.atPage() {
		return false
	}
	last := c.last()
	for _, other := range m.cursors {
		if other != c && other.live && bytes.Compare(other.key[:], last[:]) <= 0 {
			return false
		}
	}
	return true
}

// take writes the key at which the cursors stand.
func (m *merge) take(at []*mergeCursor) error {
	first := at[0]
	key := first.key
	m.values = m.values[:0]
	equal := true
	for _, c := range at {
		value, err := c.value()
		if err != nil {
			return err
		}
		m.values = append(m.values, value)
		equal = equal && bytes.Equal(value, m.values[0])
	}
	if equal {
		if len(at) > 1 {
			m.shared = append(m.shared, sharedKey{key, int32(first.input)})
		}
		return m.w.copy(key, m.values[0], first.summary())
	}
	m.shared = append(m.shared, sharedKey{key, anew})
	var err error
	if m.value, err = m.o.Codec.Merge(m.value[:0], m.values...); err != nil {
		return err
	}
	if m.summary, err = m.o.Codec.Summarize(m.summary[:0], m.value); err != nil {
		return err
	}
	if err := m.w.copy(key, m.value, m.summary); err != nil {
		return err
	}
	if err := m.list(key, m.value); err != nil {
		return err
	}
	if m.w.rows.Bytes() > m.o.MemoryBytes {
		return m.spill()
	}
	return nil
}

// list lists the rows of a value in the index in memory.
func (m *merge) list(key [16]byte, value []byte) error {
	m.w.rows.Own(uint32(len(m.owners)))
	if err := m.w.options.Codec.Index(value, m.w.rows); err != nil {
		return fmt.Errorf("list rows: %w", err)
	}
	m.owners = append(m.owners, key)
	return nil
}

// spill makes a search object of the index in memory, which takes a tenth of it, and empties that.
func (m *merge) spill() error {
	if len(m.owners) == 0 {
		return nil
	}
	var buf bytes.Buffer
	if err := index.Write(&buf, m.w.rows, m.owners); err != nil {
		return err
	}
	run, err := index.OpenObject(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		return err
	}
	m.runs = append(m.runs, run)
	m.owners = m.owners[:0]
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
			i, shared := slices.BinarySearchFunc(m.shared, key, func(s sharedKey, key [16]byte) int { return bytes.Compare(s.key[:], key[:]) })
			return shared && m.shared[i].input != int32(source)
		})
	}
	return nil
}
