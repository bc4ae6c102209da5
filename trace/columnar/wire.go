package columnar

import "encoding/binary"

// field is a field on the wire. The forms that it can have and that protobuf would read alike are not
// fields here, but what readField fails at.
type field struct {
	tag    uint32
	number uint64 // of a varint or fixed type
	bytes  []byte // of a message or bytes
	size   int    // on the wire
}

const (
	typeVarint  = 0
	typeFixed64 = 1
	typeBytes   = 2
	typeFixed32 = 5
)

// readVarint reads a varint of minimal length.
func readVarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return readLongVarint(b)
}

func readLongVarint(b []byte) (v uint64, n int) {
	v, n = binary.Uvarint(b)
	if n <= 0 || b[n-1] == 0 {
		return 0, 0
	}
	return v, n
}

func readField(b []byte, f *field) bool {
	tag, n := readVarint(b)
	if n == 0 || tag>>32 != 0 {
		return false
	}
	f.tag = uint32(tag)
	switch tag & 7 {
	case typeVarint:
		v, m := readVarint(b[n:])
		f.number, f.size = v, n+m
		return m > 0
	case typeFixed64:
		if len(b)-n < 8 {
			return false
		}
		f.number, f.size = binary.LittleEndian.Uint64(b[n:]), n+8
	case typeFixed32:
		if len(b)-n < 4 {
			return false
		}
		f.number, f.size = uint64(binary.LittleEndian.Uint32(b[n:])), n+4
	case typeBytes:
		v, m := readVarint(b[n:])
		if m == 0 || v > uint64(len(b)-n-m) {
			return false
		}
		f.size = n + m + int(v)
		f.bytes = b[n+m : f.size]
	default:
		return false
	}
	return true
}
