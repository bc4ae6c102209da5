package index

import (
	"bytes"
	"encoding/binary"
)

// A record of the term table is one stripe's postings of one term, or a term's classes. Its key is
//
//	uvarint len(field), field, escaped value, 0x00, kind, stripe
//
// so that all records of a field stand together, those of one value next to each other, and a
// prefix of a value is a prefix of the key. In the value 0x00 is written 0x00 0xFF, which keeps the
// order of values and can't be taken for the end, since kinds are smaller.
const (
	kindClasses byte = 1 // the value lists classes; no stripe follows
	kindRows    byte = 2 // the value lists rows of the stripe

	escape byte = 0xFF
)

// appendFieldKey appends what all keys of field begin with.
func appendFieldKey(dst, field []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(field)))
	return append(dst, field...)
}

// appendValueKey appends value, escaped, without the end.
func appendValueKey(dst, value []byte) []byte {
	for {
		i := bytes.IndexByte(value, 0)
		if i < 0 {
			return append(dst, value...)
		}
		dst = append(dst, value[:i+1]...)
		dst = append(dst, escape)
		value = value[i+1:]
	}
}

// appendStripe appends what ends the key of a stripe's record.
func appendStripe(dst []byte, stripe uint32) []byte {
	dst = append(dst, 0, kindRows)
	// An ordering varint: one byte below 0xF0, else the number of bytes and the bytes.
	switch {
	case stripe < 0xF0:
		return append(dst, byte(stripe))
	case stripe < 1<<16:
		return append(dst, 0xF2, byte(stripe>>8), byte(stripe))
	default:
		return binary.BigEndian.AppendUint32(append(dst, 0xF4), stripe)
	}
}

// appendClasses appends what ends the key of the record that lists a term's classes.
func appendClasses(dst []byte) []byte { return append(dst, 0, kindClasses) }

// splitTermKey takes apart what follows the field in a record's key. value is appended to dst, unescaped.
func splitTermKey(dst, rest []byte) (value []byte, kind byte, stripe uint32, ok bool) {
	value = dst
	for {
		i := bytes.IndexByte(rest, 0)
		if i < 0 || i+1 == len(rest) {
			return value, 0, 0, false
		}
		value = append(value, rest[:i]...)
		mark := rest[i+1]
		rest = rest[i+2:]
		switch mark {
		case escape:
			value = append(value, 0)
		case kindClasses:
			return value, kindClasses, 0, len(rest) == 0
		case kindRows:
			stripe, ok = parseStripe(rest)
			return value, kindRows, stripe, ok
		default:
			return value, 0, 0, false
		}
	}
}

// cutStem takes a record's key apart into the part that all records of the term share, a view into key, and the rest.
func cutStem(key []byte) (stem []byte, kind byte, stripe uint32, ok bool) {
	length, n := binary.Uvarint(key)
	if n <= 0 || length > uint64(len(key)-n) {
		return nil, 0, 0, false
	}
	for at := n + int(length); ; at += 2 {
		i := bytes.IndexByte(key[at:], 0)
		if i < 0 || at+i+1 == len(key) {
			return nil, 0, 0, false
		}
		at += i
		if key[at+1] != escape {
			_, kind, stripe, ok = splitTermKey(nil, key[at:])
			return key[:at], kind, stripe, ok
		}
	}
}

func parseStripe(b []byte) (uint32, bool) {
	switch {
	case len(b) == 1 && b[0] < 0xF0:
		return uint32(b[0]), true
	case len(b) == 3 && b[0] == 0xF2:
		return uint32(binary.BigEndian.Uint16(b[1:])), true
	case len(b) == 5 && b[0] == 0xF4:
		return binary.BigEndian.Uint32(b[1:]), true
	default:
		return 0, false
	}
}
