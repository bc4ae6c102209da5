package index

import (
	"encoding/binary"
	"errors"
)

// stripeRows is the number of rows that one record of postings covers. A search for the newest reads stripe after stripe
// and seldom more than the first; and a set of a stripe's rows is a bitmap of 8 KiB, whatever the block's size.
const stripeRows = 1 << 16

// The encodings of a list of a stripe's rows: one byte, and
const (
	listOne    byte = 0 // the row, 2 bytes little endian
	listDeltas byte = 1 // uvarint of the first row, then of each difference to the one before
	listBitmap byte = 2 // a bitmap of stripeRows bits, trailing zero bytes left out
)

var errRowList = errors.New("malformed list of rows")

// appendRowList encodes ascending rows, each below stripeRows.
func appendRowList(dst []byte, rows []uint32) []byte {
	if len(rows) == 1 {
		return binary.LittleEndian.AppendUint16(append(dst, listOne), uint16(rows[0]))
	}
	if len(rows) > stripeRows/8 {
		dst = append(dst, listBitmap)
		at := len(dst)
		dst = append(dst, make([]byte, rows[len(rows)-1]/8+1)...)
		for _, row := range rows {
			dst[at+int(row/8)] |= 1 << (row % 8)
		}
		return dst
	}
	dst = append(dst, listDeltas)
	var prior uint32
	for _, row := range rows {
		dst = binary.AppendUvarint(dst, uint64(row-prior))
		prior = row
	}
	return dst
}

// addRowList adds the rows of an encoded list to set, which has room for limit rows.
func addRowList(set rowSet, list []byte, limit int) error {
	if len(list) == 0 {
		return errRowList
	}
	kind, list := list[0], list[1:]
	switch kind {
	case listOne:
		if len(list) != 2 {
			return errRowList
		}
		row := binary.LittleEndian.Uint16(list)
		if int(row) >= limit {
			return errRowList
		}
		set.add(uint32(row))
	case listDeltas:
		row := uint64(0)
		for len(list) > 0 {
			delta, n := uint64(list[0]), 1
			if delta >= 0x80 {
				if delta, n = binary.Uvarint(list); n <= 0 {
					return errRowList
				}
			}
			list = list[n:]
			if row += delta; delta >= uint64(limit) || row >= uint64(limit) {
				return errRowList
			}
			set.add(uint32(row))
		}
	case listBitmap:
		if len(list) > (limit+7)/8 {
			return errRowList
		}
		for i, b := range list {
			set[i>>3] |= uint64(b) << (i & 7 * 8)
		}
		if tail := limit & 63; tail != 0 && set[len(set)-1]>>tail != 0 {
			return errRowList
		}
	default:
		return errRowList
	}
	return nil
}

// appendClassList encodes ascending classes.
func appendClassList(dst []byte, classes []uint32) []byte {
	var prior uint32
	for _, class := range classes {
		dst = binary.AppendUvarint(dst, uint64(class-prior))
		prior = class
	}
	return dst
}

// eachClass calls fn with the classes of an encoded list, each below limit.
func eachClass(list []byte, limit uint64, fn func(class uint32)) error {
	class := uint64(0)
	for len(list) > 0 {
		delta, n := binary.Uvarint(list)
		if n <= 0 || delta >= limit || class+delta >= limit {
			return errors.New("malformed list of classes")
		}
		class += delta
		list = list[n:]
		fn(uint32(class))
	}
	return nil
}
