package page

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"
)

const (
	// MaxPage is the greatest length of a page's content, in bytes.
	MaxPage = 64 << 20
	// Overhead is the number of bytes a page takes beside its stored content.
	Overhead = headerSize + checksumSize

	headerSize   = 10
	checksumSize = 8
)

// An encoding says how a page's content is stored.
type encoding uint8

const (
	encodingRaw encoding = iota
	encodingZstd
)

// A kind says what a page is for. A reader that expects one kind refuses the others.
type kind uint8

const (
	kindBlob kind = iota // content that the caller of this package gives a meaning
	kindRecords
	kindChunk
	kindHead
	kindDirectory
	kindPacked
)

// Ref says where in an object a page is.
type Ref struct {
	// Offset is the position of the page's first byte in its object.
	Offset int64 `json:"offset"`
	// Length is the number of bytes the page takes there.
	Length int64 `json:"length"`
}

// AppendPage appends to dst the page that holds payload and will lie at offset in its object.
// It panics if payload is longer than MaxPage.
func AppendPage(dst, payload []byte, offset int64, level Level) []byte {
	return appendPage(dst, kindBlob, payload, uint64(offset), level)
}

// Decode appends the content of the page raw, which was read at offset of its object, to dst.
// raw must be the whole page and nothing else. The error is a *CorruptError.
func Decode(dst, raw []byte, offset int64) ([]byte, error) {
	return decode(dst, kindBlob, raw, offset, uint64(offset))
}

// Salted is what a reader or writer of an object may be as well, to bind the pages to the object: with a salt that no other object
// has, a page of one object is corrupt in another, as it is at another offset. A page is read with the salt it was written with.
type Salted interface {
	// PageSalt returns the object's salt, which is always the same; 0 is the salt of who is not Salted.
	PageSalt() uint64
}

func saltOf(object any) uint64 {
	if s, ok := object.(Salted); ok {
		return s.PageSalt()
	}
	return 0
}

// Rereader is what a reader may be as well that does not always ask the object itself, such as one with a cache: of a page that is not whole
// a second opinion is asked there before it is called damaged.
type Rereader interface {
	// ReadAgain is ReadAt from the object itself. It replaces what the reader has kept of these bytes.
	ReadAgain(p []byte, off int64) (int, error)
}

// Read reads the page at ref and appends its content to dst. Damage is a *CorruptError, which
// names the object where r has a method Name() string.
func Read(dst []byte, r io.ReaderAt, ref Ref) ([]byte, error) {
	return read(dst, kindBlob, r, ref)
}

// Writer writes pages one after another to an object.
type Writer struct {
	w      io.Writer
	offset int64
	salt   uint64
	level  Level
	buf    []byte
	err    error
}

// NewWriter returns a Writer of pages to w, which stands at offset of its object. The pages are bound to the object if w is Salted.
func NewWriter(w io.Writer, offset int64, level Level) *Writer {
	return &Writer{w: w, offset: offset, salt: saltOf(w), level: level}
}

// Write writes a page that holds payload, of at most MaxPage bytes. After an error the
// writer only repeats it.
func (w *Writer) Write(payload []byte) (Ref, error) { return w.write(kindBlob, payload) }

// Offset returns the position in the object after the last page.
func (w *Writer) Offset() int64 { return w.offset }

func (w *Writer) write(k kind, payload []byte) (Ref, error) { return w.writeLevel(k, payload, w.level) }

func (w *Writer) writeLevel(k kind, payload []byte, level Level) (Ref, error) {
	if w.err != nil {
		return Ref{}, w.err
	}
	if len(payload) > MaxPage {
		return Ref{}, fmt.Errorf("page at offset %d: content of %d bytes is longer than the %d a page can hold", w.offset, len(payload), MaxPage)
	}
	w.buf = appendPage(w.buf[:0], k, payload, w.salt+uint64(w.offset), level)
	return w.flush()
}

// flush writes the page that is in w.buf.
func (w *Writer) flush() (Ref, error) {
	if n, err := w.w.Write(w.buf); err != nil {
		w.err = fmt.Errorf("write page at offset %d: %w", w.offset, err)
	} else if n != len(w.buf) {
		w.err = fmt.Errorf("write page at offset %d: %w", w.offset, io.ErrShortWrite)
	}
	ref := Ref{Offset: w.offset, Length: int64(len(w.buf))}
	w.offset += ref.Length
	if cap(w.buf) > maxKept {
		w.buf = nil
	}
	return ref, w.err
}

func appendPage(dst []byte, k kind, payload []byte, seed uint64, level Level) []byte {
	if len(payload) > MaxPage {
		panic("page: content longer than MaxPage")
	}
	begin := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	enc := encodingRaw
	// Below some tens of bytes zstd's own frame eats what it saves.
	if level != Raw && len(payload) >= 32 {
		dst = compress(dst, payload, level)
		enc = encodingZstd
		// Reading a raw page is a copy: a saving of less than a thirty-second is not worth decompressing it.
		if stored := len(dst) - begin - headerSize; stored >= len(payload)-len(payload)/32 {
			dst, enc = dst[:begin+headerSize], encodingRaw
		}
	}
	if enc == encodingRaw {
		dst = append(dst, payload...)
	}
	header := dst[begin:]
	header[0], header[1] = byte(enc), byte(k)
	binary.LittleEndian.PutUint32(header[2:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(header[6:], uint32(len(dst)-begin-headerSize))
	return binary.LittleEndian.AppendUint64(dst, checksum(dst[begin:], seed))
}

// decodeOf decodes a page that was read from r at offset. If it is damaged and r is a Rereader, it is read again, into raw.
func decodeOf(dst []byte, k kind, raw []byte, r io.ReaderAt, offset int64) ([]byte, error) {
	return twice(raw, r, offset, func(seed uint64) ([]byte, error) { return decode(dst, k, raw, offset, seed) })
}

// checkedOf is checked of a page that was read from r at offset, and read again as by decodeOf.
func checkedOf(k kind, raw []byte, r io.ReaderAt, offset int64) (body []byte, err error) {
	return twice(raw, r, offset, func(seed uint64) ([]byte, error) { return checked(k, raw, offset, seed) })
}

// twice calls look with the seed of the page raw, which was read from r at offset; and once more if it returns an error and the page can be read again.
func twice(raw []byte, r io.ReaderAt, offset int64, look func(seed uint64) ([]byte, error)) ([]byte, error) {
	seed := saltOf(r) + uint64(offset)
	content, err := look(seed)
	if again, ok := r.(Rereader); ok && err != nil {
		if n, _ := again.ReadAgain(raw, offset); n == len(raw) {
			content, err = look(seed)
		}
	}
	return content, naming(err, r)
}

func decode(dst []byte, k kind, raw []byte, offset int64, seed uint64) ([]byte, error) {
	body, err := checked(k, raw, offset, seed)
	if err != nil {
		return dst, err
	}
	corrupt := func(reason string, args ...any) ([]byte, error) {
		return dst, &CorruptError{What: k.String(), Offset: offset, Reason: fmt.Sprintf(reason, args...)}
	}
	length, _ := headerLengths(body)
	payload := body[headerSize:]
	switch encoding(body[0]) {
	case encodingRaw:
		return append(dst, payload...), nil
	case encodingZstd:
		out, err := decompress(dst, payload, int(length))
		if err != nil {
			return corrupt("%v", err)
		}
		return out, nil
	}
	return corrupt("unknown encoding %d; a newer version may read it", body[0])
}

// checked returns a page without its checksum, if that and the lengths and the kind that the header says are right.
func checked(k kind, raw []byte, offset int64, seed uint64) (body []byte, err error) {
	corrupt := func(reason string, args ...any) ([]byte, error) {
		return nil, &CorruptError{What: k.String(), Offset: offset, Reason: fmt.Sprintf(reason, args...)}
	}
	if len(raw) < Overhead {
		return corrupt("%d bytes are too few for a page", len(raw))
	}
	body, sum := raw[:len(raw)-checksumSize], binary.LittleEndian.Uint64(raw[len(raw)-checksumSize:])
	if got := checksum(body, seed); got != sum {
		return corrupt("checksum is %016x, its bytes at this place have %016x", sum, got)
	}
	if kind(body[1]) != k {
		return corrupt("is a %s", kind(body[1]))
	}
	length, stored := headerLengths(body)
	if stored != int64(len(body)-headerSize) {
		return corrupt("says it stores %d bytes, has %d", stored, len(body)-headerSize)
	}
	if length > MaxPage {
		return corrupt("says it holds %d bytes, more than the %d a page can", length, MaxPage)
	}
	if encoding(body[0]) == encodingRaw && length != stored {
		return corrupt("says it holds %d bytes, stores %d", length, stored)
	}
	return body, nil
}

// headerLengths returns what a page's header says of the content's length, uncompressed and as stored.
func headerLengths(header []byte) (length, stored int64) {
	return int64(binary.LittleEndian.Uint32(header[2:])), int64(binary.LittleEndian.Uint32(header[6:]))
}

func sumHolds(body, sum []byte, seed uint64) bool {
	return checksum(body, seed) == binary.LittleEndian.Uint64(sum)
}

// checksum binds a page's bytes to their place: the seed of the hash is the page's offset, and the object's salt.
func checksum(b []byte, seed uint64) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	_, _ = d.Write(b)
	return d.Sum64()
}

func read(dst []byte, k kind, r io.ReaderAt, ref Ref) ([]byte, error) {
	buf := borrow()
	defer buf.giveBack()
	var err error
	if buf.b, err = readRaw(buf.b[:0], k, r, ref); err != nil {
		return dst, err
	}
	return decodeOf(dst, k, buf.b, r, ref.Offset)
}

// readRaw appends the bytes at ref to dst. Memory is taken in steps, so that a false length costs no
// more than twice what the object really has.
func readRaw(dst []byte, k kind, r io.ReaderAt, ref Ref) ([]byte, error) {
	if ref.Offset < 0 || ref.Length < Overhead || ref.Length > MaxPage+Overhead {
		return dst, naming(&CorruptError{What: k.String(), Offset: ref.Offset, Reason: fmt.Sprintf("a page can't be %d bytes long", ref.Length)}, r)
	}
	return readRun(dst, k, r, ref.Offset, ref.Length)
}

func readRun(dst []byte, k kind, r io.ReaderAt, offset, length int64) ([]byte, error) {
	const firstStep = 1 << 20
	for step := int64(firstStep); length > 0; step *= 2 {
		n := int(min(length, step))
		dst = slices.Grow(dst, n)
		p := dst[len(dst) : len(dst)+n]
		got, err := r.ReadAt(p, offset)
		if got < n {
			if err == io.EOF || err == io.ErrUnexpectedEOF || err == nil {
				return dst, naming(&CorruptError{What: k.String(), Offset: offset, Reason: fmt.Sprintf("object ends after %d of %d bytes", got, n)}, r)
			}
			return dst, fmt.Errorf("read %s%s at offset %d: %w", k, of(r), offset, err)
		}
		dst = dst[:len(dst)+n]
		offset, length = offset+int64(n), length-int64(n)
	}
	return dst, nil
}

func (k kind) String() string {
	switch k {
	case kindBlob:
		return "page"
	case kindRecords:
		return "page of records"
	case kindChunk:
		return "page of a big value"
	case kindHead:
		return "head page of a big value"
	case kindDirectory:
		return "directory page"
	case kindPacked:
		return "page of packed records"
	}
	return fmt.Sprintf("page of unknown kind %d", uint8(k))
}
