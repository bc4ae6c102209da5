package blocklist

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/oklog/ulid/v2"

	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// IndexObject is the name of the index object in a tenant's folder.
const IndexObject = "blocks.index"

// Index is the content of an index object: a tenant's blocks as an owner has listed them. It is immutable.
type Index struct {
	Header
	// Live and Retired are the blocks by ID, Damaged those whose meta.json can't be read.
	Live    []*block.Meta
	Retired []Retired
	Damaged []Damaged

	present map[block.ID]*block.Meta
	retired map[block.ID]Retired
}

func (x *Index) isLive(id block.ID) bool {
	_, retired := x.retired[id]
	return !retired && x.present[id] != nil
}

// Header is the beginning of an index object. Who knows it can tell whether the rest is new.
type Header struct {
	// Seq grows with every write: it is greater than that of the index which the owner saw before it listed.
	Seq uint64
	// Listed is when the owner began to list the blocks.
	Listed time.Time
	// Tenant is whose blocks they are, Writer who the owner was.
	Tenant, Writer string
	// Sum is the XXH64 of what follows the header.
	Sum uint64

	pages []indexPage
}

// indexPage is a page of entries: its length, and that of its content.
type indexPage struct{ stored, content int }

const (
	indexMagic   = "TPOBLKS\n"
	indexVersion = 1
	indexPrefix  = len(indexMagic) + 8 // magic, version, length of the header's fields

	// maxIndexHeader is the greatest length of a header with all around it: a reader has it with its first request.
	maxIndexHeader = 64 << 10
	// indexPageBytes is the content at which a page is closed, maxIndexPage the most that it can have.
	indexPageBytes, maxIndexPage = 256 << 10, 8 << 20
	// maxIndexRatio is how many times longer than stored a page's content may be. What compresses better is stored as it is.
	maxIndexRatio = 64
	// maxIndexBody bounds what follows the header.
	maxIndexBody = 4 << 30

	maxDamageText = 1 << 10
)

// Entry states, the first byte of an entry. Those of retired blocks are their Cause.
const (
	entryLive    = 0
	entryDamaged = 255
)

// AppendIndex appends the index object of a list to dst. h says all but Tenant and Sum. The same blocks give the same Sum.
func AppendIndex(dst []byte, l *List, h Header) ([]byte, error) {
	ids := make([]block.ID, 0, len(l.present)+len(l.Damaged))
	for id := range l.present {
		ids = append(ids, id)
	}
	damaged := l.damagedByID()
	for id := range damaged {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var (
		body, content, entry []byte
		err                  error
		pages                []indexPage
	)
	closePage := func() {
		begin := len(body)
		body = page.AppendPage(body, content, int64(begin), page.DefaultLevel)
		if len(content) > maxIndexRatio*(len(body)-begin) {
			body = page.AppendPage(body[:begin], content, int64(begin), page.Raw)
		}
		pages = append(pages, indexPage{len(body) - begin, len(content)})
		content = content[:0]
	}
	for _, id := range ids {
		u, err := ulid.ParseStrict(string(id))
		if err != nil {
			return dst, fmt.Errorf("%q is no block ID: %w", id, err)
		}
		if entry, err = appendEntry(entry[:0], l, id, damaged); err != nil {
			return dst, fmt.Errorf("block %s: %w", id, err)
		}
		content = append(content, u[:]...)
		content = binary.AppendUvarint(content, uint64(len(entry)))
		if content = append(content, entry...); len(content) >= indexPageBytes {
			closePage()
		}
	}
	if len(content) > 0 {
		closePage()
	}
	h.Tenant, h.Sum, h.pages = l.Tenant, xxhash.Sum64(body), pages
	if dst, err = appendHeader(dst, &h); err != nil {
		return dst, err
	}
	return append(dst, body...), nil
}

func appendHeader(dst []byte, h *Header) ([]byte, error) {
	fields := binary.AppendUvarint(nil, h.Seq)
	fields = appendTime(fields, h.Listed)
	fields = appendString(fields, h.Tenant)
	fields = appendString(fields, h.Writer)
	fields = binary.LittleEndian.AppendUint64(fields, h.Sum)
	fields = binary.AppendUvarint(fields, uint64(len(h.pages)))
	for _, p := range h.pages {
		if p.content > maxIndexPage {
			return dst, fmt.Errorf("a block is described by more than %d bytes", maxIndexPage-indexPageBytes)
		}
		fields = binary.AppendUvarint(fields, uint64(p.stored))
		fields = binary.AppendUvarint(fields, uint64(p.content))
	}
	if indexPrefix+len(fields)+8 > maxIndexHeader {
		return dst, fmt.Errorf("%d pages are too many for the index of blocks", len(h.pages))
	}
	begin := len(dst)
	dst = append(dst, indexMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, indexVersion)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(fields)))
	dst = append(dst, fields...)
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[begin:])), nil
}

func appendEntry(dst []byte, l *List, id block.ID, damaged map[block.ID]Damaged) ([]byte, error) {
	m := l.present[id]
	if m == nil {
		d := damaged[id]
		text := d.Err.Error()
		dst = appendTime(append(dst, entryDamaged), d.Since)
		return append(dst, text[:min(len(text), maxDamageText)]...), nil
	}
	if m.Tenant != l.Tenant {
		return dst, fmt.Errorf("is of tenant %q, the index of %q", m.Tenant, l.Tenant)
	}
	if r, ok := l.retired[id]; ok {
		dst = appendTime(append(dst, byte(r.Cause)), r.Since)
	} else {
		dst = append(dst, entryLive)
	}
	return appendMeta(dst, m)
}

// ParseHeader reads the header of an index object from its beginning, and returns its length. What follows is of h.Body bytes.
func ParseHeader(b []byte) (h Header, length int, err error) {
	if len(b) < indexPrefix || string(b[:len(indexMagic)]) != indexMagic {
		return h, 0, corruptIndex(0, "does not begin as one")
	}
	if version := binary.LittleEndian.Uint32(b[len(indexMagic):]); version != indexVersion {
		return h, 0, corruptIndex(0, "format version %d; this program reads version %d", version, indexVersion)
	}
	n := int(binary.LittleEndian.Uint32(b[len(indexMagic)+4:]))
	length = indexPrefix + n + 8
	if n > maxIndexHeader || length > len(b) {
		return h, 0, corruptIndex(0, "header of %d bytes is cut short or too long", n)
	}
	sum := binary.LittleEndian.Uint64(b[length-8:])
	if got := xxhash.Sum64(b[:length-8]); got != sum {
		return h, 0, corruptIndex(0, "header's checksum is %016x, its bytes have %016x", sum, got)
	}
	in := input{b: b[indexPrefix : length-8]}
	h.Seq, h.Listed = in.uvarint(), in.time()
	h.Tenant, h.Writer = string(in.bytes(in.length())), string(in.bytes(in.length()))
	h.Sum = in.uint64()
	h.pages = make([]indexPage, in.count(2))
	for i := range h.pages {
		p := indexPage{in.length(), in.length()}
		in.bad = in.bad || p.content > maxIndexPage || p.content > maxIndexRatio*p.stored || p.stored < page.Overhead
		h.pages[i] = p
	}
	if in.bad || len(in.b) > 0 || h.Body() > maxIndexBody {
		return Header{}, 0, corruptIndex(0, "header contradicts itself")
	}
	return h, length, nil
}

// Body returns the number of bytes that follow the header.
func (h *Header) Body() (n int64) {
	for _, p := range h.pages {
		n += int64(p.stored)
	}
	return n
}

// ParseIndex reads an index object. Of a block that known returns, if it is not nil, the meta is taken from there. Damage is a
// *page.CorruptError. What is returned has no part of b in it.
func ParseIndex(b []byte, known func(block.ID) *block.Meta) (*Index, error) {
	h, length, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	return parseBody(h, b[length:], known)
}

func parseBody(h Header, body []byte, known func(block.ID) *block.Meta) (*Index, error) {
	if int64(len(body)) != h.Body() {
		return nil, corruptIndex(0, "%d bytes follow the header, should be %d", len(body), h.Body())
	}
	if sum := xxhash.Sum64(body); sum != h.Sum {
		return nil, corruptIndex(0, "checksum of the blocks is %016x, their bytes have %016x", h.Sum, sum)
	}
	x := &Index{Header: h, present: make(map[block.ID]*block.Meta), retired: make(map[block.ID]Retired)}
	p := entryParser{index: x, known: known, names: make(map[string]string)}
	var content []byte
	offset := 0
	for _, at := range h.pages {
		raw := body[offset : offset+at.stored]
		// The page says itself how long its content is (docs/format.md): ask it before it takes memory for that.
		if n := binary.LittleEndian.Uint32(raw[2:]); uint64(n) != uint64(at.content) {
			return nil, corruptIndex(offset, "page's content is of %d bytes, should be %d", n, at.content)
		}
		var err error
		if content, err = page.Decode(content[:0], raw, int64(offset)); err != nil {
			return nil, err
		}
		p.in = input{b: content}
		for len(p.in.b) > 0 {
			if err := p.entry(); err != nil {
				return nil, corruptIndex(offset, "%v", err)
			}
		}
		offset += at.stored
	}
	return x, nil
}

// entryParser reads entries into an index.
type entryParser struct {
	index *Index
	known func(block.ID) *block.Meta
	in    input
	last  ulid.ULID
	any   bool
	names map[string]string // of objects: a few, said again with every block
}

func (p *entryParser) entry() error {
	var u ulid.ULID
	copy(u[:], p.in.bytes(len(u)))
	e := input{b: p.in.bytes(p.in.length())}
	if p.in.bad {
		return errors.New("an entry is cut short")
	}
	if p.any && u.Compare(p.last) <= 0 {
		return errors.New("entries are not ascending")
	}
	p.last, p.any = u, true
	id := block.ID(u.String())
	state := e.byte()
	switch {
	case state == entryDamaged:
		since := e.time()
		if e.bad || len(e.b) > maxDamageText {
			return fmt.Errorf("entry of block %s is cut short", id)
		}
		p.index.Damaged = append(p.index.Damaged, Damaged{ID: id, Since: since, Err: errors.New(string(e.b))})
		return nil
	case state > byte(Void):
		return fmt.Errorf("block %s is in the unknown state %d", id, state)
	}
	r := Retired{Cause: Cause(state)}
	if state != entryLive {
		r.Since = e.time()
	}
	if p.known != nil {
		r.Meta = p.known(id)
	}
	if r.Meta == nil {
		r.Meta = parseMeta(&e, id, p.index.Tenant, p.names)
		if e.bad || len(e.b) > 0 {
			return fmt.Errorf("meta of block %s can't be read", id)
		}
	}
	p.index.present[id] = r.Meta
	if state == entryLive {
		p.index.Live = append(p.index.Live, r.Meta)
	} else {
		p.index.Retired = append(p.index.Retired, r)
		p.index.retired[id] = r
	}
	return nil
}

func corruptIndex(offset int, reason string, args ...any) error {
	return &page.CorruptError{Object: IndexObject, What: "index of blocks", Offset: int64(offset), Reason: fmt.Sprintf(reason, args...)}
}

// appendMeta appends all of m but its ID and tenant.
func appendMeta(dst []byte, m *block.Meta) ([]byte, error) {
	dst = binary.AppendUvarint(dst, uint64(m.Version))
	dst = appendTime(dst, m.Created)
	dst = append(append(dst, m.MinKey[:]...), m.MaxKey[:]...)
	// One near the other: the differences are short, whatever they wrap around.
	dst = binary.AppendVarint(dst, m.MinStart)
	dst = binary.AppendVarint(dst, m.MaxStart-m.MinStart)
	dst = binary.AppendVarint(dst, m.MaxEnd-m.MaxStart)
	dst = binary.AppendVarint(dst, m.Keys)
	dst = binary.AppendVarint(dst, m.Rows)
	dst = binary.AppendVarint(dst, int64(m.Level))
	dst = binary.AppendUvarint(dst, uint64(len(m.Parents)))
	for _, id := range m.Parents {
		u, err := ulid.ParseStrict(string(id))
		if err != nil {
			return dst, fmt.Errorf("parent %q: %w", id, err)
		}
		dst = append(dst, u[:]...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Sources)))
	for _, s := range m.Sources {
		dst = appendString(dst, s)
	}
	names := make([]string, 0, 8)
	for name := range m.Objects {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare)
	dst = binary.AppendUvarint(dst, uint64(len(names)))
	for _, name := range names {
		o := m.Objects[name]
		dst = appendString(dst, name)
		dst = binary.AppendVarint(dst, o.Bytes)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(o.Checksum))
	}
	return page.AppendRoot(page.AppendRoot(dst, m.Data), m.Summary), nil
}

func parseMeta(in *input, id block.ID, tenant string, names map[string]string) *block.Meta {
	m := &block.Meta{ID: id, Tenant: tenant, Version: int(in.uvarint()), Created: in.time()}
	copy(m.MinKey[:], in.bytes(len(m.MinKey)))
	copy(m.MaxKey[:], in.bytes(len(m.MaxKey)))
	m.MinStart = in.varint()
	m.MaxStart = m.MinStart + in.varint()
	m.MaxEnd = m.MaxStart + in.varint()
	m.Keys, m.Rows, m.Level = in.varint(), in.varint(), int(in.varint())
	if n := in.count(len(ulid.ULID{})); n > 0 {
		m.Parents = make([]block.ID, n)
		for i := range m.Parents {
			var u ulid.ULID
			copy(u[:], in.bytes(len(u)))
			m.Parents[i] = block.ID(u.String())
		}
	}
	if n := in.count(1); n > 0 {
		m.Sources = make([]string, n)
		for i := range m.Sources {
			m.Sources[i] = string(in.bytes(in.length()))
		}
	}
	n := in.count(10)
	m.Objects = make(map[string]block.Object, n)
	for range n {
		name := in.bytes(in.length())
		shared, ok := names[string(name)]
		if !ok {
			shared = string(name)
			names[shared] = shared
		}
		m.Objects[shared] = block.Object{Bytes: in.varint(), Checksum: block.Sum(in.uint64())}
	}
	m.Data, m.Summary = in.root(), in.root()
	return m
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = binary.AppendVarint(dst, t.Unix())
	return binary.AppendUvarint(dst, uint64(t.Nanosecond()))
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// input reads from b. When that is not what it should be it is bad, and everything read is zero.
type input struct {
	b   []byte
	bad bool
}

// bytes returns a view of the next n bytes; nil if there are not so many.
func (in *input) bytes(n int) []byte {
	if in.bad || n < 0 || n > len(in.b) {
		in.bad, in.b = true, nil
		return nil
	}
	b := in.b[:n]
	in.b = in.b[n:]
	return b
}

func (in *input) byte() byte {
	if b := in.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (in *input) uint64() uint64 {
	if b := in.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (in *input) uvarint() uint64 {
	v, n := binary.Uvarint(in.b)
	if in.bytes(max(n, 0)); n <= 0 {
		in.bad, in.b = true, nil
		return 0
	}
	return v
}

func (in *input) varint() int64 {
	v := in.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// length returns a length that fits into an int and is not absurd.
func (in *input) length() int {
	v := in.uvarint()
	if v > math.MaxInt32 {
		in.bad, in.b = true, nil
		return 0
	}
	return int(v)
}

// count returns a number of things that take at least size bytes each, which are all there.
func (in *input) count(size int) int {
	n := in.length()
	if n > len(in.b)/size {
		in.bad, in.b = true, nil
		return 0
	}
	return n
}

func (in *input) time() time.Time {
	seconds, nanos := in.varint(), in.uvarint()
	if nanos >= 1e9 {
		in.bad, in.b = true, nil
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

func (in *input) root() page.Root {
	root, rest, err := page.ParseRoot(in.b)
	if err != nil {
		in.bad, in.b = true, nil
		return page.Root{}
	}
	in.b = rest
	return root
}
