package columnar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// MaxContent is how many bytes the values of a page may have together.
	MaxContent = 64 << 20

	version       = 1
	primedVersion = 2
	// A page that would be a smaller part of its content has its values as they are; so the memory that a
	// page takes is bounded by its length. So many bytes more are always granted.
	maxRatio   = 256
	ratioSlack = 1 << 16
	// What a decoder makes of a page is less than so many times its content: values, nodes, texts, patterns
	// and shells that are counted take a byte of it each at least.
	budgetRatio = 8

	keySize = 16
	// maxKept is the content of the longest page after which buffers are kept.
	maxKept = 8 << 20
)

// ErrCorrupt is what errors of Parse and Value wrap when bytes are not a page that Append made.
var ErrCorrupt = errors.New("not a columnar page of traces, or a damaged one")

// Encoder makes pages. The zero Encoder is ready for use; it is for one goroutine at a time and keeps its
// buffers from one page to the next.
type Encoder struct {
	// Primer is what the pages begin with, if it is not nil. They are read with the same one.
	Primer *Primer

	model  model
	parser parser
	t      content
	coded  []byte
	raw    []byte
	blob   []byte
}

// Append appends to dst a page that holds the values, in their order, and their keys, and returns the
// extended buffer. A value should be the TracesData of the trace with its key for an ID, but may be any
// bytes. Values that have more than MaxContent bytes together, or are not as many as the keys, are refused.
// The values are not kept.
func (e *Encoder) Append(dst []byte, keys [][keySize]byte, values [][]byte) ([]byte, error) {
	if len(keys) != len(values) {
		return dst, fmt.Errorf("page of traces: %d keys for %d values", len(keys), len(values))
	}
	size := 0
	for _, v := range values {
		size += len(v)
	}
	if size > MaxContent {
		return dst, fmt.Errorf("page of traces: values of %d bytes, more than the %d that a page can hold", size, MaxContent)
	}
	begin := len(dst)
	dst, spans := e.page(dst, keys, values, size, false)
	length := len(dst) - begin
	if spans > length || size > maxRatio*length+ratioSlack || len(e.model.nodes) > maxNodes {
		dst, _ = e.page(dst[:begin], keys, values, size, true)
	}
	if e.t.reset(); size > maxKept {
		*e = Encoder{Primer: e.Primer}
	}
	return dst, nil
}

// page appends a page and tells how many spans it has. If plain, the values stay as they are.
func (e *Encoder) page(dst []byte, keys [][keySize]byte, values [][]byte, size int, plain bool) (_ []byte, spans int) {
	m := &e.model
	m.reset(e.Primer)
	m.startEncoding(e.coded[:0], e.raw[:0])
	m.blob = e.blob[:0]
	e.parser.reset(m, e.Primer)
	for i, value := range values {
		if plain {
			e.t.reset()
			e.t.raw, e.t.text = true, value
		} else {
			e.parser.parse(&e.t, &keys[i], value)
		}
		m.value(&e.t)
		spans += len(e.t.spans)
	}
	m.finish()
	dst = appendPrimerID(dst, e.Primer)
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = binary.AppendUvarint(dst, uint64(len(m.coded)))
	dst = binary.AppendUvarint(dst, uint64(len(m.raw)))
	dst = binary.AppendUvarint(dst, uint64(len(m.blob)))
	for i := range keys {
		dst = append(dst, keys[i][:]...)
	}
	dst = append(dst, m.coded...)
	dst = append(dst, m.raw...)
	z := encoders.Get().(*zstd.Encoder)
	dst = z.EncodeAll(m.blob, dst)
	encoders.Put(z)
	e.coded, e.raw, e.blob = m.coded, m.raw, m.blob
	return dst, spans
}

var (
	encoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithEncoderConcurrency(1),
			zstd.WithLowerEncoderMem(true),
			zstd.WithSingleSegment(true),
			zstd.WithEncoderCRC(false))
		if err != nil {
			panic(err) // constant options
		}
		return e
	}}
	decoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(MaxContent))
		if err != nil {
			panic(err) // constant options
		}
		return d
	}}
)

// Page reads a page. The zero Page is ready for Parse; it is for one goroutine at a time and keeps its
// buffers from one page to the next.
type Page struct {
	primer  *Primer
	model   model
	t       content
	keys    []byte
	coded   []byte
	raw     []byte
	blob    []byte
	count   int
	length  int // of the encoded page
	content int
	next    int // the value behind the one that is in t
}

// Parse makes p a reader of the page encoded, which must stay as it is while p is used. A page that was
// made with a Primer is read with that.
func (p *Page) Parse(encoded []byte, primer *Primer) error {
	p.count, p.next = 0, 0
	rest, err := cutPrimerID(encoded, primer)
	if err != nil {
		return err
	}
	if p.primer = primer; encoded[0] == version {
		p.primer = nil
	}
	h, rest, err := parseHeader(rest)
	if err != nil {
		return err
	}
	coded, raw, blob := h.coded, h.raw, h.blob
	p.keys, rest = rest[:h.count*keySize], rest[h.count*keySize:]
	p.coded, p.raw, rest = rest[:coded], rest[coded:coded+raw], rest[coded+raw:]
	if p.content > maxKept {
		*p = Page{primer: p.primer, keys: p.keys, coded: p.coded, raw: p.raw}
	}
	p.length = len(encoded)
	p.content = min(h.content, maxRatio*len(encoded)+ratioSlack)
	if p.blob, err = decompress(p.blob[:0], rest, blob); err != nil {
		return fmt.Errorf("%w: texts: %w", ErrCorrupt, err)
	}
	p.count = h.count
	p.restart()
	return nil
}

// Keys returns the keys of the page encoded, one after another, and how many bytes its values have together. It reads no value.
// keys is a part of encoded. A page that was made with a Primer, which can't be read by itself, is refused.
func Keys(encoded []byte) (keys []byte, content int, err error) {
	rest, err := cutPrimerID(encoded, nil)
	if err != nil {
		return nil, 0, err
	}
	h, rest, err := parseHeader(rest)
	if err != nil {
		return nil, 0, err
	}
	return rest[:h.count*keySize], h.content, nil
}

// header is how many values a page has, and the lengths of them all and of its parts.
type header struct{ count, content, coded, raw, blob int }

// parseHeader returns what follows the header, too, which has the keys, coded and raw.
func parseHeader(rest []byte) (header, []byte, error) {
	var numbers [5]int
	for i := range numbers {
		v, n := binary.Uvarint(rest)
		if n <= 0 || v > 4*MaxContent {
			return header{}, nil, fmt.Errorf("%w: bad header", ErrCorrupt)
		}
		numbers[i], rest = int(v), rest[n:]
	}
	h := header{numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]}
	if h.content > MaxContent || h.blob > MaxContent || h.count*keySize+h.coded+h.raw > len(rest) {
		return header{}, nil, fmt.Errorf("%w: lengths that can't be", ErrCorrupt)
	}
	return h, rest, nil
}

// decompress appends the length bytes that stored holds to dst.
func decompress(dst, stored []byte, length int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(stored); err != nil {
		return dst, err
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize != uint64(length) {
		return dst, errors.New("zstd frame of another length than the page says")
	}
	// The length is worth the memory only if there are blocks enough for it: one has 3 bytes at least, and holds 128 KiB at most.
	if length > (len(stored)/3+1)<<17 {
		return dst, fmt.Errorf("%d bytes of zstd can't hold %d", len(stored), length)
	}
	dst = slices.Grow(dst, length)
	d := decoders.Get().(*zstd.Decoder)
	defer decoders.Put(d)
	out, err := d.DecodeAll(stored, dst)
	if err == nil && len(out) != len(dst)+length {
		err = errors.New("zstd frame of another length than it says")
	}
	return out, err
}

// restart goes back to the first value.
func (p *Page) restart() {
	p.model.reset(p.primer)
	p.model.startDecoding(p.coded, p.raw)
	p.model.blob, p.model.budget, p.model.spansLeft = p.blob, budgetRatio*p.content, p.length
	p.next = 0
}

// Len returns the number of values.
func (p *Page) Len() int { return p.count }

// Key returns the key of value i.
func (p *Page) Key(i int) [keySize]byte { return [keySize]byte(p.keys[i*keySize:]) }

// Find returns the first value with the given key, for keys in ascending order.
func (p *Page) Find(key [keySize]byte) (i int, found bool) {
	i = sort.Search(p.count, func(i int) bool { return bytes.Compare(p.keys[i*keySize:][:keySize], key[:]) >= 0 })
	return i, i < p.count && p.Key(i) == key
}

// Value appends value i to dst. Values are read from the first on: going on to a later one reads only those
// between, going back to an earlier one begins anew.
func (p *Page) Value(dst []byte, i int) ([]byte, error) {
	if i < 0 || i >= p.count {
		return dst, fmt.Errorf("page of traces: value %d of %d asked for", i, p.count)
	}
	if i+1 < p.next {
		p.restart()
	}
	for p.next <= i {
		if err := p.step(); err != nil {
			return dst, err
		}
	}
	key := p.Key(i)
	begin := len(dst)
	if dst = p.model.render(dst, &p.t, &key, p.content); p.model.failed {
		p.restart()
		return dst[:begin], fmt.Errorf("%w: value %d of %d is too long", ErrCorrupt, i, p.count)
	}
	return dst, nil
}

// step reads the next value.
func (p *Page) step() error {
	p.t.reset()
	p.model.value(&p.t)
	if p.model.failed {
		err := fmt.Errorf("%w: value %d of %d", ErrCorrupt, p.next, p.count)
		p.restart()
		return err
	}
	p.next++
	return nil
}
