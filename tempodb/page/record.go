package page

import (
	"fmt"
	"io"
	"slices"
)

// nextRecord reads a record of a page: the number of bytes its key shares with the key before,
// the rest of the key, and the value.
func nextRecord(in *input) (shared int, suffix, value []byte, ok bool) {
	var n, m int
	if b := in.b; len(b) >= 3 && b[0]|b[1]|b[2] < 0x80 {
		shared, n, m, in.b = int(b[0]), int(b[1]), int(b[2]), b[3:]
	} else {
		shared, n, m = in.int(), in.int(), in.int()
	}
	if in.bad || n > len(in.b) || m > len(in.b)-n {
		return 0, nil, nil, false
	}
	suffix, value, in.b = in.b[:n], in.b[n:n+m:n+m], in.b[n+m:]
	return shared, suffix, value, true
}

// lookUp returns the value of key in the content of a page of records; it is not ok if the page makes no sense.
//
// No key is put together: it is enough to know how many bytes the last key, which was less, has in common
// with the one looked for. A key that shares more than that with the last is less too, one that shares
// less is greater, and only where both are equal do bytes have to be compared.
func lookUp(page, key []byte) (value []byte, found, ok bool) {
	in := input{b: page}
	common := 0
	for len(in.b) > 0 {
		shared, suffix, value, ok := nextRecord(&in)
		if !ok {
			return nil, false, false
		}
		if shared > common {
			continue
		}
		if shared < common {
			return nil, false, true
		}
		rest := key[common:]
		n := commonPrefix(suffix, rest)
		switch {
		case n == len(suffix) && n == len(rest):
			return value, true, true
		case n == len(rest) || n < len(suffix) && suffix[n] > rest[n]:
			return nil, false, true
		}
		common += n
	}
	return nil, false, true
}

func badRecords(e *dirEntry) error {
	return &CorruptError{What: kindRecords.String(), Offset: e.offset, Reason: "its records make no sense, or are not as many as the directory says"}
}

// head is the content of the head page of a big value.
type head struct {
	key     []byte
	total   int64 // length of the value
	size    int64 // of a chunk's content; the last has what remains
	count   int64 // of chunks
	lengths input // of the chunk pages
}

// bigHead reads the head page of the big value at e. raw are all its pages, or nil.
// The head is valid as long as s.page.
func (s *scratch) bigHead(r io.ReaderAt, e *dirEntry, raw []byte) (h head, err error) {
	if raw != nil {
		s.page, err = decodeOf(s.page[:0], kindHead, raw[e.chunks:], r, e.offset)
	} else {
		s.page, err = read(s.page[:0], kindHead, r, Ref{Offset: e.offset, Length: e.length})
	}
	if err != nil {
		return h, err
	}
	h, sum, ok := parseHead(s.page)
	if !ok || sum != e.chunks {
		return h, naming(&CorruptError{What: kindHead.String(), Offset: e.offset, Reason: "the chunks it lists are not those before it"}, r)
	}
	return h, nil
}

// parseHead reads the content of a head page, of which h is a view, and sums up the lengths of the chunk pages.
func parseHead(b []byte) (h head, sum int64, ok bool) {
	in := input{b: b}
	h = head{key: in.bytes(), total: in.int64(), size: in.int64(), count: in.int64()}
	h.lengths = in
	n := int64(0)
	for ; len(in.b) > 0; n++ {
		length := in.int64()
		if length < Overhead || length > MaxPage+Overhead {
			return h, sum, false
		}
		sum += length
	}
	// No sum or product overflows: a page has at most 2^26 lengths, of chunks of at most as many bytes.
	return h, sum, !in.bad && n > 0 && n == h.count && h.size >= 1 && h.size <= MaxPage &&
		h.total > (n-1)*h.size && h.total <= n*h.size
}

// bigValue appends the value whose head is h to dst.
func (s *scratch) bigValue(dst []byte, r io.ReaderAt, e *dirEntry, h head, raw []byte) ([]byte, error) {
	begin := len(dst)
	// The chunks are there, for their head was read behind them. The total is believed as far as they make it likely.
	dst = slices.Grow(dst, int(min(h.total, 16*e.chunks)))
	err := s.eachChunk(r, e, h, raw, func(page []byte, offset, size int64) (err error) {
		before := len(dst)
		if dst, err = decodeOf(dst, kindChunk, page, r, offset); err != nil {
			return err
		}
		return checkChunk(r, offset, int64(len(dst)-before), size)
	})
	if err != nil {
		return dst[:begin], err
	}
	return dst, nil
}

// eachChunk calls fn with each chunk page of the big value whose head is h, where it lies, and the size that its content should have. raw are
// all pages of the value, or nil: then some are read at a time.
func (s *scratch) eachChunk(r io.ReaderAt, e *dirEntry, h head, raw []byte, fn func(page []byte, offset, size int64) error) error {
	offset := e.offset - e.chunks
	lengths := h.lengths
	var group []int64
	for rest := h.total; len(lengths.b) > 0; {
		group = group[:0]
		var sum int64
		for len(lengths.b) > 0 && (sum == 0 || sum < oneRead) {
			length := lengths.int64()
			group = append(group, length)
			sum += length
		}
		pages := raw
		if raw == nil {
			var err error
			if s.raw, err = readRun(s.raw[:0], kindChunk, r, offset, sum); err != nil {
				return err
			}
			pages = s.raw
		}
		for _, length := range group {
			if err := fn(pages[:length], offset, min(h.size, rest)); err != nil {
				return err
			}
			rest -= h.size
			offset, pages = offset+length, pages[length:]
		}
		if raw != nil {
			raw = pages
		}
	}
	return nil
}

func checkChunk(r io.ReaderAt, offset, has, should int64) error {
	if has == should {
		return nil
	}
	return naming(&CorruptError{What: kindChunk.String(), Offset: offset, Reason: fmt.Sprintf("holds %d bytes, should hold %d", has, should)}, r)
}
