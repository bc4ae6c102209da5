package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// footer is what a reader keeps of a search object: some 40 bytes for each 1,024 rows.
type footer struct {
	rows, owners, classes uint64 // owners that have rows
	terms                 page.Root
	filter                page.Ref   // page of the filter of terms; of no length if there is none
	stripes               []page.Ref // pages of classes: stripe i has the rows from i×stripeRows on
	chunks                []chunkInfo
}

// chunkInfo tells where a page of columns is and what lies in it. Chunk i has the rows from i×chunkRows on.
type chunkInfo struct {
	ref               page.Ref
	starts, durations Range
}

// append encodes f:
//
//	uvarint version, rows, owners, classes; root of the term table; uvarint offset and length of the filter's page, or 0 and 0
//	uvarint offset of the first page of classes
//	per stripe: uvarint length of its page of classes
//	per chunk: uvarint length, varint least start, uvarint greatest minus least, the same of durations
//
// Pages of classes follow each other without a gap, and pages of columns follow them so. The number of stripes and
// of chunks follows from the number of rows.
func (f *footer) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, objectVersion)
	dst = binary.AppendUvarint(dst, f.rows)
	dst = binary.AppendUvarint(dst, f.owners)
	dst = binary.AppendUvarint(dst, f.classes)
	dst = page.AppendRoot(dst, f.terms)
	dst = page.AppendRoot(dst, page.Root(f.filter))
	if len(f.stripes) > 0 {
		dst = binary.AppendUvarint(dst, uint64(f.stripes[0].Offset))
	}
	for _, ref := range f.stripes {
		dst = binary.AppendUvarint(dst, uint64(ref.Length))
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

// writeEnd writes what follows the pages of the term table: a reader that begins at the end then has all that it keeps with one read.
func (f *footer) writeEnd(w io.Writer, table *termTable) error {
	root, stats, err := table.Finish(nil, -1)
	if err != nil {
		return fmt.Errorf("search object: term directory: %w", err)
	}
	f.terms = root
	filter, err := table.filter(nil)
	if err != nil {
		return fmt.Errorf("search object: %w", err)
	}
	if len(filter) > 0 {
		prints := page.NewWriter(w, stats.DirectoryEnd, page.Raw) // they do not compress
		if f.filter, err = prints.Write(filter); err != nil {
			return fmt.Errorf("search object: filter of terms: %w", err)
		}
	}
	ref, err := page.NewWriter(w, stats.DirectoryEnd+f.filter.Length, page.DefaultLevel).Write(f.append(nil))
	if err != nil {
		return fmt.Errorf("search object: footer: %w", err)
	}
	trailer := binary.LittleEndian.AppendUint64(nil, uint64(ref.Offset))
	trailer = binary.LittleEndian.AppendUint64(trailer, uint64(ref.Length))
	trailer = append(trailer, objectMagic...)
	if _, err := w.Write(trailer); err != nil {
		return fmt.Errorf("search object: trailer: %w", err)
	}
	return nil
}

// maxClasses is how many classes, beside one a row, an object may have for each of its bytes: a search takes a bit of memory for each, a
// merge 16 bytes. A class is told from others by terms that list it, so there are far fewer.
const maxClasses = 64

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
	f.rows, f.owners, f.classes = uvarint(), uvarint(), uvarint()
	if !ok {
		return errFooter
	}
	root, rest, err := page.ParseRoot(b)
	if err != nil {
		return err
	}
	f.terms, b = root, rest
	if root, rest, err = page.ParseRoot(b); err != nil {
		return err
	}
	f.filter, b = page.Ref(root), rest
	if f.filter.Offset > size || f.filter.Length > size-f.filter.Offset {
		return errFooter
	}
	stripes, chunks := (f.rows+stripeRows-1)/stripeRows, (f.rows+chunkRows-1)/chunkRows
	if f.rows > math.MaxUint32 || f.owners > math.MaxUint32 || f.classes > math.MaxUint32 || f.classes > f.rows+maxClasses*uint64(size) || stripes+chunks > uint64(len(b)) {
		return errFooter
	}
	offset := uint64(0)
	if stripes > 0 {
		offset = uvarint()
	}
	next := func() page.Ref {
		length := uvarint()
		if !ok || offset > uint64(size) || length > uint64(size)-offset {
			ok = false
			return page.Ref{}
		}
		offset += length
		return page.Ref{Offset: int64(offset - length), Length: int64(length)}
	}
	f.stripes = make([]page.Ref, stripes)
	for i := range f.stripes {
		f.stripes[i] = next()
	}
	f.chunks = make([]chunkInfo, chunks)
	for i := range f.chunks {
		f.chunks[i] = chunkInfo{ref: next(), starts: rng(), durations: rng()}
	}
	if !ok || len(b) != 0 {
		return errFooter
	}
	return nil
}
