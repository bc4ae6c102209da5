package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// The segment file. docs/format.md describes the bytes; these are the numbers.
const (
	version = 1

	segmentHeaderSize = 48
	// secondHeader is where the segment header stands again: in another block of any usual file system.
	secondHeader = 4096
	firstRecord  = secondHeader + segmentHeaderSize

	recordHeaderSize = 24

	saltSize = 16
)

var (
	segmentMagic = []byte("TDBWAL\r\n")
	recordMagic  = []byte{0xf1, 'R', 0xec} // followed by the kind
)

// recordKind is the fourth byte of a record.
type recordKind uint8

const (
	kindData recordKind = 1
	// kindEnd marks the end of a sealed segment: all before it was durable when it was written.
	kindEnd recordKind = 2
)

// unknownBack stands in a record header where the distance to the durable offset does not fit.
const unknownBack = 1<<32 - 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentHeader is what a file says about itself.
type segmentHeader struct {
	id   uint64
	salt [saltSize]byte
}

// appendTo appends the 4144 bytes that stand before the first record: the header, zeros, the header again.
func (h *segmentHeader) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, firstRecord)...)
	b := dst[start:]
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint64(b[16:], h.id)
	copy(b[24:40], h.salt[:])
	binary.LittleEndian.PutUint64(b[40:], xxhash.Sum64(b[:40]))
	copy(b[secondHeader:], b[:segmentHeaderSize])
	return dst
}

// decodeSegmentHeader reads one copy of the header. The version is returned for every copy whose checksum
// holds; the header only for the version this program knows.
func decodeSegmentHeader(b []byte) (h segmentHeader, ver uint32, ok bool) {
	if len(b) < segmentHeaderSize || !bytes.Equal(b[:8], segmentMagic) ||
		binary.LittleEndian.Uint64(b[40:]) != xxhash.Sum64(b[:40]) {
		return h, 0, false
	}
	ver = binary.LittleEndian.Uint32(b[8:])
	if ver == version {
		h.id = binary.LittleEndian.Uint64(b[16:])
		copy(h.salt[:], b[24:40])
	}
	return h, ver, true
}

// recordHeader is what stands before a payload.
type recordHeader struct {
	kind   recordKind
	length uint32
	crc    uint32 // crc32c of the payload
	// back is the distance from the record's offset to the one before which the file was durable when
	// the record was written; unknownBack if it does not fit.
	back uint32
}

// appendTo appends the header of a record at the offset off of the file with that salt.
func (h *recordHeader) appendTo(dst []byte, salt *[saltSize]byte, off int64) []byte {
	dst = append(dst, recordMagic...)
	dst = append(dst, byte(h.kind))
	dst = binary.LittleEndian.AppendUint32(dst, h.length)
	dst = binary.LittleEndian.AppendUint32(dst, h.crc)
	dst = binary.LittleEndian.AppendUint32(dst, h.back)
	return binary.LittleEndian.AppendUint64(dst, recordSum(dst[len(dst)-16:], salt, off))
}

// decodeRecordHeader reads a record header at the offset off. What it accepts was written for that file
// and that offset, so its length may be believed.
func decodeRecordHeader(b []byte, salt *[saltSize]byte, off int64) (h recordHeader, ok bool) {
	if len(b) < recordHeaderSize || b[0] != recordMagic[0] || b[1] != recordMagic[1] || b[2] != recordMagic[2] {
		return h, false
	}
	if binary.LittleEndian.Uint64(b[16:]) != recordSum(b[:16], salt, off) {
		return h, false
	}
	h.kind = recordKind(b[3])
	h.length = binary.LittleEndian.Uint32(b[4:])
	h.crc = binary.LittleEndian.Uint32(b[8:])
	h.back = binary.LittleEndian.Uint32(b[12:])
	return h, h.length <= MaxRecord && (h.kind == kindData || h.kind == kindEnd)
}

// recordSum is the checksum of a record header's first 16 bytes, in that file, at that offset.
func recordSum(head []byte, salt *[saltSize]byte, off int64) uint64 {
	var b [saltSize + 8 + 16]byte
	copy(b[:], salt[:])
	binary.LittleEndian.PutUint64(b[saltSize:], uint64(off))
	copy(b[saltSize+8:], head)
	return xxhash.Sum64(b[:])
}

const segmentSuffix = ".wal"

// segmentName is the file name of a segment.
func segmentName(id uint64) string { return fmt.Sprintf("%016d%s", id, segmentSuffix) }

// parseSegmentName is the inverse of segmentName; false for any other name.
func parseSegmentName(name string) (uint64, bool) {
	digits, found := strings.CutSuffix(name, segmentSuffix)
	if !found {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || id == 0 || segmentName(id) != name {
		return 0, false
	}
	return id, true
}
