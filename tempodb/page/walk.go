package page

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// walker goes through the pages of an object, one after another, without being told where they are. Where there is no whole
// page it looks for the next one byte by byte: checksums that hold at their place are not there by chance.
type walker struct {
	r        io.ReaderAt
	salt     uint64
	off, end int64

	window   []byte // of the object, from windowAt on
	windowAt int64
	content  []byte
	budget   int64 // of bytes to be hashed in vain
}

// walked is a page, or a stretch of the object without a whole one.
type walked struct {
	kind           kind
	offset, length int64
	content        []byte // valid until the next
	err            error  // a *CorruptError if it is no whole page
}

func newWalker(r io.ReaderAt, begin, end int64) *walker {
	// What looks like the beginning of pages, one in another, would be hashed over and over.
	return &walker{r: r, salt: saltOf(r), off: begin, end: end, budget: 1<<20 + 8*(end-begin)}
}

// next returns what comes next, or io.EOF at the end. After an error of reading it may be called again.
func (w *walker) next() (found walked, err error) {
	if w.off >= w.end {
		return found, io.EOF
	}
	begin := w.off
	length, err := w.check(begin)
	if err != nil {
		return found, err
	}
	if length == 0 {
		at, err := w.resume(begin + 1)
		if err != nil {
			return found, err
		}
		w.off = at
		bad := &CorruptError{What: "page", Offset: begin, Reason: fmt.Sprintf("in %d bytes there is no whole page", at-begin)}
		return walked{offset: begin, length: at - begin, err: naming(bad, w.r)}, nil
	}
	raw, err := w.view(begin, length)
	if err != nil {
		return found, err
	}
	found = walked{kind: kind(raw[1]), offset: begin, length: length}
	w.content, err = decode(w.content[:0], found.kind, raw, begin, w.salt+uint64(begin))
	found.content, found.err = w.content, naming(err, w.r)
	w.off = begin + length
	return found, nil
}

// resume returns the place at or after from where the next whole page begins; the end if there is none.
func (w *walker) resume(from int64) (int64, error) {
	for from <= w.end-Overhead && w.budget > 0 {
		stretch, err := w.view(from, Overhead)
		if err != nil {
			return 0, err
		}
		if len(stretch) < Overhead {
			break
		}
		stretch = w.window[from-w.windowAt:]
		i := 0
		for i <= len(stretch)-Overhead && !likely(stretch[i:]) {
			i++
		}
		from += int64(i)
		if i > len(stretch)-Overhead {
			continue
		}
		length, err := w.check(from)
		if err != nil || length > 0 {
			return from, err
		}
		from++
	}
	return w.end, nil
}

// likely says whether a page may begin with b; of bytes by chance, one place in some thousands.
func likely(b []byte) bool {
	if b[0]|b[1] > 15 {
		return false
	}
	length, stored := headerLengths(b)
	return length <= MaxPage && stored <= MaxPage && (encoding(b[0]) != encodingRaw || length == stored)
}

// zstdMagic is what a zstd frame begins with.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// check returns the length of the page at off, 0 if none is there.
func (w *walker) check(off int64) (length int64, err error) {
	b, err := w.view(off, min(w.end-off, Overhead))
	if err != nil || len(b) < Overhead || !likely(b) {
		return 0, err
	}
	_, stored := headerLengths(b)
	if length = stored + Overhead; length > w.end-off {
		return 0, nil
	}
	if encoding(b[0]) == encodingZstd && !bytes.HasPrefix(b[headerSize:], zstdMagic) {
		return 0, nil
	}
	if b, err = w.view(off, length); err != nil || int64(len(b)) < length {
		return 0, err
	}
	body := b[:length-checksumSize]
	if !sumHolds(body, b[len(body):], w.salt+uint64(off)) {
		w.budget -= length
		return 0, nil
	}
	return length, nil
}

// view returns n bytes from off, fewer only where the object ends. They are valid until the next call.
func (w *walker) view(off, n int64) ([]byte, error) {
	if at := off - w.windowAt; at >= 0 && at <= int64(len(w.window))-n {
		return w.window[at : at+n], nil
	}
	if cap(w.window) > maxKept {
		w.window = nil
	}
	w.window, w.windowAt = w.window[:0], off
	want := max(n, min(w.end-off, oneRead))
	for step := int64(oneRead); want > 0; step *= 2 {
		m := int(min(want, step))
		w.window = slices.Grow(w.window, m)
		have := len(w.window)
		got, err := w.r.ReadAt(w.window[have:have+m], off+int64(have))
		w.window = w.window[:have+got]
		if got < m {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || err == nil || IsCorrupt(err) {
				break
			}
			w.window = w.window[:0]
			return nil, fmt.Errorf("read pages%s at offset %d: %w", of(w.r), off, err)
		}
		want -= int64(m)
	}
	return w.window[:min(n, int64(len(w.window)))], nil
}
