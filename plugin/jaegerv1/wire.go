package jaegerv1

import (
	"encoding/binary"
	"errors"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

var errMalformed = errors.New("malformed protobuf")

// cursor walks the fields of one protobuf message, which is a view into a larger buffer, or a string
// where the values read from it shall outlive that buffer.
//
//	for c.next() {
//		switch {
//		case c.is(spanName, protowire.BytesType):
//			name = c.body
//		}
//	}
//	return c.err
type cursor[T string | []byte] struct {
	rest T
	err  error

	// The field last read.
	num  protowire.Number
	wire protowire.Type
	n    uint64 // value of a varint, fixed32 or fixed64
	body T      // value of a length-delimited field
}

func walk[T string | []byte](message T) cursor[T] { return cursor[T]{rest: message} }

// is reports whether the field last read is this one. A known number with a foreign wire type is an
// unknown field.
func (c *cursor[T]) is(num protowire.Number, wire protowire.Type) bool {
	return c.num == num && c.wire == wire
}

// next reads a field. It reports false at the end of the message and at an error, which stays in c.err.
// Groups, which OTLP does not have, are passed over with all that is in them.
func (c *cursor[T]) next() bool {
	for depth := 0; ; {
		if len(c.rest) == 0 {
			if depth > 0 {
				c.err = errMalformed
			}
			return false
		}
		tag, ok := c.varint()
		num := tag >> 3
		if !ok || num == 0 || num > math.MaxInt32 {
			c.err = errMalformed
			return false
		}
		c.num, c.wire = protowire.Number(num), protowire.Type(tag&7)
		switch c.wire {
		case protowire.VarintType:
			c.n, ok = c.varint()
		case protowire.Fixed64Type:
			c.n, ok = c.fixed(8)
		case protowire.Fixed32Type:
			c.n, ok = c.fixed(4)
		case protowire.BytesType:
			var size uint64
			size, ok = c.varint()
			if ok = ok && size <= uint64(len(c.rest)); ok {
				c.body, c.rest = c.rest[:size], c.rest[size:]
			}
		case protowire.StartGroupType:
			depth++
		case protowire.EndGroupType:
			depth--
			ok = depth >= 0
		default:
			ok = false
		}
		if !ok {
			c.err = errMalformed
			return false
		}
		if depth == 0 && c.wire != protowire.EndGroupType {
			return true
		}
	}
}

func (c *cursor[T]) varint() (v uint64, ok bool) {
	for i := 0; i < len(c.rest) && i < binary.MaxVarintLen64; i++ {
		b := c.rest[i]
		if b < 0x80 {
			c.rest = c.rest[i+1:]
			return v | uint64(b)<<(7*i), i < 9 || b <= 1
		}
		v |= uint64(b&0x7f) << (7 * i)
	}
	return 0, false
}

func (c *cursor[T]) fixed(size int) (v uint64, ok bool) {
	if len(c.rest) < size {
		return 0, false
	}
	for i := range size {
		v |= uint64(c.rest[i]) << (8 * i)
	}
	c.rest = c.rest[size:]
	return v, true
}

// openMessage appends the head of a length-delimited field of which the size is not known yet,
// keeping width bytes for it, and returns where the body begins. Numbers up to 15 only.
func openMessage(dst []byte, num protowire.Number, width int) (_ []byte, body int) {
	dst = append(dst, byte(num)<<3|byte(protowire.BytesType))
	for range width {
		dst = append(dst, 0)
	}
	return dst, len(dst)
}

// closeMessage writes the size of the message that was opened with this width, and moves its body
// where the guess was wrong.
func closeMessage(dst []byte, body, width int) []byte {
	size := len(dst) - body
	need := protowire.SizeVarint(uint64(size))
	if need > width {
		dst = append(dst, "0123456789"[:need-width]...)
	}
	if need != width {
		copy(dst[body+need-width:], dst[body:body+size])
		dst = dst[:body+need-width+size]
	}
	binary.PutUvarint(dst[body-width:], uint64(size))
	return dst
}

func appendString(dst []byte, num protowire.Number, s string) []byte {
	dst = append(dst, byte(num)<<3|byte(protowire.BytesType))
	dst = protowire.AppendVarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendVarint(dst []byte, num protowire.Number, v uint64) []byte {
	dst = append(dst, byte(num)<<3|byte(protowire.VarintType))
	return protowire.AppendVarint(dst, v)
}

func appendFixed64(dst []byte, num protowire.Number, v uint64) []byte {
	dst = append(dst, byte(num)<<3|byte(protowire.Fixed64Type))
	return protowire.AppendFixed64(dst, v)
}

// sizeBytes is the size of a length-delimited field with a number up to 15.
func sizeBytes(n int) int { return 1 + protowire.SizeBytes(n) }
