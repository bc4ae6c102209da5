package trace

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// WireError says that bytes are not OTLP: where reading failed, and at what.
type WireError struct {
	// Offset is the position of the first byte that can't be read as it must be.
	Offset int
	What   string
}

// Error names the position and the fault.
func (e *WireError) Error() string {
	return fmt.Sprintf("not OTLP trace data: at byte %d: %s", e.Offset, e.What)
}

// The functions below read protobuf's wire form from b at position i and return the position behind what
// they read. A message is b[i:len(b)]: an inner message is read as b[:its end] at its beginning, so that
// positions count from the beginning of the outermost one.
//
// A negative position is a failure (see fail) and passes through every function unchanged, so a loop
//
//	for uint(i) < uint(len(b)) { ... }
//
// ends at the first failure as it ends behind the last field, and its caller looks at the sign once.

// The faults that a failed position tells.
const (
	faultTruncated = iota + 1
	faultVarint
	faultTag
	faultType
	faultKnownType
	faultGroup
	faultGroupDepth
	faultValueDepth
	faultStopped // by a visitor; no fault of the bytes
)

var faults = [...]string{
	faultTruncated:  "message ends within a field",
	faultVarint:     "varint longer than 64 bits",
	faultTag:        "field number out of range",
	faultType:       "wire type that protobuf does not define",
	faultKnownType:  "wire type that the field does not have in OTLP",
	faultGroup:      "end of a group that was not begun",
	faultGroupDepth: "groups nested too deeply",
	faultValueDepth: "attribute value nested too deeply",
	faultStopped:    "stopped",
}

// fail is the failed position that tells of a fault at offset.
func fail(offset, fault int) int { return -(offset<<4 | fault) }

// wireError is the error that a failed position tells; nil if i is none.
func wireError(i int) error {
	if i >= 0 {
		return nil
	}
	return &WireError{Offset: -i >> 4, What: faults[-i&15]}
}

// The wire types that fields of OTLP have, and the tags made of them.
const (
	typeVarint  = 0
	typeFixed64 = 1
	typeLen     = 2
	typeGroup   = 3
	typeEnd     = 4
	typeFixed32 = 5

	maxFieldNumber = 1<<29 - 1
)

// readVarint reads a varint.
func readVarint(b []byte, i int) (v uint64, next int) {
	if uint(i) < uint(len(b)) && b[i] < 0x80 {
		return uint64(b[i]), i + 1
	}
	return readLongVarint(b, i)
}

func readLongVarint(b []byte, i int) (v uint64, next int) {
	if i < 0 {
		return 0, i
	}
	for shift := uint(0); ; shift += 7 {
		at := i + int(shift/7)
		if at >= len(b) {
			return 0, fail(at, faultTruncated)
		}
		c := b[at]
		if shift == 63 && c > 1 {
			return 0, fail(i, faultVarint)
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, at + 1
		}
	}
}

// readTag reads a field's number and wire type, as number<<3|type.
func readTag(b []byte, i int) (tag uint32, next int) {
	if uint(i) < uint(len(b)) && b[i]-8 < 0x78 {
		return uint32(b[i]), i + 1
	}
	return readLongTag(b, i)
}

func readLongTag(b []byte, i int) (tag uint32, next int) {
	v, next := readLongVarint(b, i)
	if next < 0 {
		return 0, next
	}
	if number := v >> 3; number < 1 || number > maxFieldNumber {
		return 0, fail(i, faultTag)
	}
	return uint32(v), next
}

// readLen reads a length and returns where the bytes that it counts begin and end.
func readLen(b []byte, i int) (start, end int) {
	if uint(i) < uint(len(b)) {
		if n := int(b[i]); n < 0x80 && n < len(b)-i {
			return i + 1, i + 1 + n
		}
	}
	return readLongLen(b, i)
}

func readLongLen(b []byte, i int) (start, end int) {
	n, start := readLongVarint(b, i)
	switch {
	case start < 0:
		return 0, start
	case n > uint64(len(b)-start):
		return 0, fail(i, faultTruncated)
	}
	return start, start + int(n)
}

// readFixed64 reads eight bytes, least significant first.
func readFixed64(b []byte, i int) (v uint64, next int) {
	switch {
	case i < 0:
		return 0, i
	case len(b)-i < 8:
		return 0, fail(i, faultTruncated)
	}
	return load64(b[i:]), i + 8
}

// skipFixed skips n bytes.
func skipFixed(b []byte, i, n int) (next int) {
	switch {
	case i < 0:
		return i
	case len(b)-i < n:
		return fail(i, faultTruncated)
	}
	return i + n
}

// skipOther skips the value of a field whose tag the caller does not expect. known has bit n set if the
// message knows field number n: then tag has a wire type that the field does not have, and it fails.
func skipOther(b []byte, i int, tag, known uint32) (next int) {
	if i >= 0 && tag>>3 < 32 && known>>(tag>>3)&1 != 0 {
		return fail(i, faultKnownType)
	}
	return skip(b, i, tag, 0)
}

// maxGroupDepth bounds the nesting of groups in unknown fields. OTLP itself has none.
const maxGroupDepth = 64

// skip skips the value of a field.
func skip(b []byte, i int, tag uint32, depth int) (next int) {
	switch tag & 7 {
	case typeVarint:
		_, i = readVarint(b, i)
	case typeFixed64:
		i = skipFixed(b, i, 8)
	case typeLen:
		_, i = readLen(b, i)
	case typeFixed32:
		i = skipFixed(b, i, 4)
	case typeGroup:
		if depth == maxGroupDepth && i >= 0 {
			return fail(i, faultGroupDepth)
		}
		for {
			var inner uint32
			at := i
			if inner, i = readTag(b, i); i < 0 {
				return i
			}
			if inner&7 == typeEnd {
				if inner>>3 != tag>>3 {
					return fail(at, faultGroup)
				}
				return i
			}
			i = skip(b, i, inner, depth+1)
		}
	case typeEnd:
		if i >= 0 {
			i = fail(i, faultGroup)
		}
	default:
		if i >= 0 {
			i = fail(i, faultType)
		}
	}
	return i
}

// extent is a part of a message.
type extent struct{ start, end int }

func (e extent) of(b []byte) []byte { return b[e.start:e.end] }

// load64 reads eight bytes, least significant first. b has at least eight.
func load64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// maxHeader is the length of the longest header that appendHeader appends.
const maxHeader = 1 + binary.MaxVarintLen64

// appendHeader appends the tag and the length of a field that holds a message of the given size.
func appendHeader(dst []byte, number, size int) []byte {
	return binary.AppendUvarint(append(dst, byte(number<<3|typeLen)), uint64(size))
}

// sizeField returns the length of a field, header included, that holds a message of the given size. Field
// numbers here have one byte.
func sizeField(size int) int {
	return 1 + (bits.Len64(uint64(size)|1)+6)/7 + size
}
