package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/FastFilter/xorfilter"
	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// maxFilterTerms is how many terms a search object has at most of which it has a filter: one takes 8 bytes of memory in a writer, and
// some 1.2 in a reader.
const maxFilterTerms = 4 << 20

// termTable writes the term table of a search object and remembers which terms it has.
type termTable struct {
	*page.TableWriter
	hashes []uint64 // of terms, until there are too many
	stem   []byte   // of the last record
	many   bool
}

func newTermTable(w io.Writer, offset int64) *termTable {
	return &termTable{TableWriter: page.NewTableWriter(w, offset, page.TableOptions{PageBytes: termPageBytes})}
}

// Add adds a record; see page.TableWriter.
func (t *termTable) Add(key, list []byte) error {
	if stem, _, _, ok := cutStem(key); ok && !bytes.Equal(stem, t.stem) {
		t.stem = append(t.stem[:0], stem...)
		if t.many = t.many || len(t.hashes) == maxFilterTerms; !t.many {
			t.hashes = append(t.hashes, xxhash.Sum64(stem))
		}
	}
	return t.TableWriter.Add(key, list)
}

// filter appends the filter of the terms; nothing if there are none, or too many.
func (t *termTable) filter(dst []byte) ([]byte, error) {
	if t.many || len(t.hashes) == 0 {
		return dst, nil
	}
	f, err := xorfilter.NewBinaryFuse[uint8](t.hashes)
	t.hashes = nil
	if err != nil {
		return dst, fmt.Errorf("filter of terms: %w", err)
	}
	dst = binary.LittleEndian.AppendUint64(dst, f.Seed)
	dst = binary.LittleEndian.AppendUint32(dst, f.SegmentLength)
	dst = binary.LittleEndian.AppendUint32(dst, f.SegmentCount)
	return append(dst, f.Fingerprints...), nil
}

// termFilter tells which terms a search object may have: all that it has, and one in 256 others. It is a binary fuse filter of
// one byte a fingerprint, which tells enough: what it lets through costs a read, as all did without it.
type termFilter struct {
	seed                        uint64
	segmentLength, segmentCount uint32
	prints                      []byte
}

const termFilterHeader = 8 + 4 + 4

var errTermFilter = errors.New("malformed filter of terms")

// parseTermFilter reads what termTable.filter appends. The filter keeps b.
func parseTermFilter(b []byte) (*termFilter, error) {
	if len(b) < termFilterHeader {
		return nil, errTermFilter
	}
	f := &termFilter{
		seed:          binary.LittleEndian.Uint64(b),
		segmentLength: binary.LittleEndian.Uint32(b[8:]),
		segmentCount:  binary.LittleEndian.Uint32(b[12:]),
		prints:        b[termFilterHeader:],
	}
	length, count := uint64(f.segmentLength), uint64(f.segmentCount)
	if length == 0 || length&(length-1) != 0 || count == 0 || (count+2)*length != uint64(len(f.prints)) {
		return nil, errTermFilter
	}
	return f, nil
}

// has reports whether there may be a term, given by what the keys of its records begin with.
func (f *termFilter) has(stem []byte) bool {
	h := xxhash.Sum64(stem) + f.seed
	// murmur3's finaliser
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33

	length, mask := f.segmentLength, f.segmentLength-1
	hi, _ := bits.Mul64(h, uint64(length)*uint64(f.segmentCount))
	first := uint32(hi)
	second := (first + length) ^ uint32(h>>18)&mask
	third := (first + 2*length) ^ uint32(h)&mask
	return uint8(h^h>>32) == f.prints[first]^f.prints[second]^f.prints[third]
}

// mayHold reports whether a row of the object may satisfy e. It reads nothing.
func (o *Object) mayHold(e *Expr) bool {
	if e == nil || o.filter == nil {
		return true
	}
	switch e.Op {
	case OpEqual:
		return o.mayHaveTerm(e)
	case OpAnd:
		for _, of := range e.Of {
			if !o.mayHold(of) {
				return false
			}
		}
		return true
	case OpOr:
		for _, of := range e.Of {
			if o.mayHold(of) {
				return true
			}
		}
		return false
	default:
		return true
	}
}

// mayHaveTerm is mayHold for a leaf that asks for one term.
func (o *Object) mayHaveTerm(e *Expr) bool {
	if o.filter == nil {
		return true
	}
	var memory [256]byte
	return o.filter.has(appendValueKey(appendFieldKey(memory[:0], e.Field), e.Value))
}

// Excludes reports whether no row of the object is known to answer q: by its terms, or by the ranges of starts and durations. It
// reads nothing.
func (o *Object) Excludes(q *Query) bool {
	return q.Where.validate() == nil && !o.mayHold(q.Where) || !o.mayMatch(q, 0, len(o.chunks))
}
