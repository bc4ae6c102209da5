package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// chunkRows is the number of rows whose columns make a page: a search decodes a page for each of the first rows it finds, so
// few; and a reader keeps some 20 bytes in memory for each page, so not too few.
const chunkRows = 1024

// chunk is the columns of up to chunkRows rows, which stand in the order of their owners.
type chunk struct {
	firstOwner uint32
	keys       [][16]byte // of the owners, from firstOwner on
	ends       []uint32   // by owner: the row, counted within the chunk, at which its rows end
	starts     []int64
	durations  []int64
	scratch    []int64
}

// appendChunk encodes c:
//
//	uvarint first owner, uvarint owners, uvarint rows
//	owners × uvarint rows of the owner in this chunk
//	owners × 16 bytes key
//	plane-coded zigzag: per owner, start of its first row minus that of the owner before (the first: absolute)
//	plane-coded zigzag: per further row of an owner, start minus the start of the owner's first row here
//	plane-coded zigzag: per row, duration
func appendChunk(dst []byte, c *chunk) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.firstOwner))
	dst = binary.AppendUvarint(dst, uint64(len(c.keys)))
	dst = binary.AppendUvarint(dst, uint64(len(c.starts)))
	begin := uint32(0)
	for _, end := range c.ends {
		dst = binary.AppendUvarint(dst, uint64(end-begin))
		begin = end
	}
	for i := range c.keys {
		dst = append(dst, c.keys[i][:]...)
	}
	firsts := make([]uint64, 0, len(c.keys))
	offsets := make([]uint64, 0, len(c.starts))
	begin, prior := uint32(0), int64(0)
	for _, end := range c.ends {
		if begin == end {
			continue // an owner without rows here
		}
		first := c.starts[begin]
		firsts = append(firsts, zigzag(first-prior))
		prior = first
		for _, start := range c.starts[begin+1 : end] {
			offsets = append(offsets, zigzag(start-first))
		}
		begin = end
	}
	dst = appendPlanes(dst, firsts)
	dst = appendPlanes(dst, offsets)
	durations := offsets[:0]
	for _, d := range c.durations {
		durations = append(durations, zigzag(d))
	}
	return appendPlanes(dst, durations)
}

var errChunk = errors.New("malformed page of columns")

// parse decodes what appendChunk encoded, into c, whose memory it reuses.
func (c *chunk) parse(b []byte) error {
	var head [3]uint64
	for i := range head {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return errChunk
		}
		head[i], b = v, b[n:]
	}
	owners, rows := head[1], head[2]
	if head[0] > 1<<32-1 || rows > chunkRows || owners > uint64(len(b))/17 {
		return errChunk
	}
	c.firstOwner = uint32(head[0])
	c.ends = c.ends[:0]
	end := uint64(0)
	withRows := 0
	for range owners {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > rows || end+v > rows {
			return errChunk
		}
		if v > 0 {
			withRows++
		}
		end += v
		b = b[n:]
		c.ends = append(c.ends, uint32(end))
	}
	if end != rows || uint64(len(b)) < owners*16 {
		return errChunk
	}
	c.keys = c.keys[:0]
	for range owners {
		c.keys = append(c.keys, [16]byte(b))
		b = b[16:]
	}
	// The starts of first rows lie behind each other as they were coded, then those of other rows; they are put in their places below.
	c.starts = slices.Grow(c.starts[:0], int(rows))[:rows]
	c.durations = slices.Grow(c.durations[:0], int(rows))[:rows]
	c.scratch = slices.Grow(c.scratch[:0], int(rows))[:rows]
	var err error
	for _, values := range [...][]int64{c.scratch[:withRows], c.scratch[withRows:], c.durations} {
		if b, err = parsePlanes(values, b); err != nil {
			return err
		}
	}
	if len(b) != 0 {
		return fmt.Errorf("%w: %d bytes too many", errChunk, len(b))
	}
	firsts, offsets := c.scratch[:withRows], c.scratch[withRows:]
	begin, start := 0, int64(0)
	for _, end := range c.ends {
		if begin == int(end) {
			continue
		}
		start += firsts[0]
		firsts = firsts[1:]
		c.starts[begin] = start
		n := int(end) - begin - 1
		for i, offset := range offsets[:n] {
			c.starts[begin+1+i] = start + offset
		}
		offsets = offsets[n:]
		begin = int(end)
	}
	return nil
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// appendPlanes writes values byte by byte: all lowest bytes, all second bytes and so on, up to the
// highest that is not zero everywhere. What is random stays dense, and what is alike lies together for the
// compression of the page.
func appendPlanes(dst []byte, values []uint64) []byte {
	var all uint64
	for _, v := range values {
		all |= v
	}
	at := len(dst)
	dst = append(dst, 0)
	for ; all != 0; all >>= 8 {
		shift := 8 * uint(dst[at])
		for _, v := range values {
			dst = append(dst, byte(v>>shift))
		}
		dst[at]++
	}
	return dst
}

// parsePlanes decodes zigzag-coded values and returns what follows them.
func parsePlanes(values []int64, b []byte) (rest []byte, err error) {
	n := len(values)
	if len(b) == 0 || b[0] > 8 || len(b)-1 < int(b[0])*n {
		return nil, errChunk
	}
	planes := int(b[0])
	b = b[1:]
	clear(values)
	for p := range planes {
		shift := 8 * uint(p)
		for i, v := range b[:n] {
			values[i] |= int64(uint64(v) << shift)
		}
		b = b[n:]
	}
	for i, v := range values {
		values[i] = unzigzag(uint64(v))
	}
	return b, nil
}
