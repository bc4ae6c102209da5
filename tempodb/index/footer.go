package index

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// footer is what a reader keeps of a search object: some 40 bytes for each 4,096 rows.
type footer struct {
	rows, owners, groups uint64
	terms                page.Root
	chunks               []chunkInfo
}

// chunkInfo tells where a page of columns is and what lies in it. Chunk i has the rows from i×chunkRows on.
type chunkInfo struct {
	ref               page.Ref
	starts, durations Range
}

// append encodes f:
//
//	uvarint version, rows, owners, groups; root of the term table; uvarint chunks
//	per chunk: uvarint length, varint least start, uvarint greatest minus least, the same of durations
//
// The first chunk begins at an offset that stands before the chunks (uvarint); the others follow without a gap.
func (f *footer) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, objectVersion)
	dst = binary.AppendUvarint(dst, f.rows)
	dst = binary.AppendUvarint(dst, f.owners)
	dst = binary.AppendUvarint(dst, f.groups)
	dst = page.AppendRoot(dst, f.terms)
	dst = binary.AppendUvarint(dst, uint64(len(f.chunks)))
	if len(f.chunks) > 0 {
		dst = binary.AppendUvarint(dst, uint64(f.chunks[0].ref.Offset))
	}
	for _, c := range f.chunks {
		dst = binary.AppendUvarint(dst, uint64(c.ref.Length))
		for _, r := range [...]Range{c.starts, c.durations} {
			dst = binary.AppendVarint(dst, r.Min)
			dst = binary.AppendUvarint(dst, uint64(r.Max)-uint64(r.Min))
		}
	}
	return dst
}

var errFooter = errors.New("malformed footer")

// parse decodes a footer of an object of size bytes.
func (f *footer) parse(b []byte, size int64) error {
	ok := true
	uvarint := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			ok = false
			return 0
		}
		b = b[n:]
		return v
	}
	rng := func() Range {
		least, n := binary.Varint(b)
		if n <= 0 {
			ok = false
			return Range{}
		}
		b = b[n:]
		return Range{Min: least, Max: int64(uint64(least) + uvarint())}
	}
	if version := uvarint(); ok && version != objectVersion {
		return fmt.Errorf("search object of version %d; this program reads version %d: use a newer one", version, objectVersion)
	}
	f.rows, f.owners, f.groups = uvarint(), uvarint(), uvarint()
	if !ok {
		return errFooter
	}
	root, rest, err := page.ParseRoot(b)
	if err != nil {
		return err
	}
	f.terms, b = root, rest
	n := uvarint()
	if !ok || n > uint64(len(b)) || n != (f.rows+chunkRows-1)/chunkRows || f.owners > 1<<32 || f.groups > f.rows+1<<32 {
		return errFooter
	}
	f.chunks = make([]chunkInfo, n)
	offset := uint64(0)
	if n > 0 {
		offset = uvarint()
	}
	for i := range f.chunks {
		length := uvarint()
		if !ok || offset > uint64(size) || length > uint64(size)-offset {
			return errFooter
		}
		f.chunks[i] = chunkInfo{ref: page.Ref{Offset: int64(offset), Length: int64(length)}, starts: rng(), durations: rng()}
		offset += length
	}
	if !ok || len(b) != 0 {
		return errFooter
	}
	return nil
}
