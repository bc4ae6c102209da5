package columnar

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// render appends the value that t was taken from. It fails if that has more than limit bytes.
func (m *model) render(dst []byte, t *content, key *[16]byte, limit int) []byte {
	if t.raw {
		return append(dst, t.text...)
	}
	m.values, m.valueAt = t.values, 0
	m.longest = len(dst) + limit
	first, outer := 0, 0
	for i, g := range t.groups {
		if !g.joined {
			dst = append(dst, 1<<3|typeBytes, 0)
			outer = len(dst)
			dst = append(dst, m.shells[g.resource].head...)
		}
		dst = append(dst, 2<<3|typeBytes, 0)
		inner := len(dst)
		dst = append(dst, m.shells[g.scope].head...)
		for n := first; n < int(g.end); n++ {
			dst = append(dst, 2<<3|typeBytes, 0)
			begin := len(dst)
			dst = m.message(dst, &t.spans[n], t.spans[n].shape, key)
			if dst = closeMessage(dst, begin); m.failed {
				return dst
			}
		}
		first = int(g.end)
		dst = closeMessage(append(dst, m.shells[g.scope].tail...), inner)
		if i+1 == len(t.groups) || !t.groups[i+1].joined {
			dst = closeMessage(append(dst, m.shells[g.resource].tail...), outer)
		}
	}
	return dst
}

// renderShell makes the fields of a shell of the values that were read.
func (m *model) renderShell(s *shell) {
	var of span
	m.valueAt, m.longest = 0, max(m.budget, 0)
	m.scratch = m.message(m.scratch[:0], &of, s.shape, new([16]byte))
	if m.spend(len(m.scratch)); m.failed {
		return
	}
	all := bytes.Clone(m.scratch)
	s.head = all[:m.spansAt]
	s.tail = all[m.spansAt:]
}

// closeMessage writes the length of the message that begins at begin of dst, where one byte was left for it.
func closeMessage(dst []byte, begin int) []byte {
	n := len(dst) - begin
	if n < 0x80 {
		dst[begin-1] = byte(n)
		return dst
	}
	var length [binary.MaxVarintLen64]byte
	more := binary.PutUvarint(length[:], uint64(n)) - 1
	dst = append(dst, length[:more]...)
	copy(dst[begin+more:], dst[begin:len(dst)-more])
	copy(dst[begin-1:], length[:more+1])
	return dst
}

// message appends the message of a shape.
func (m *model) message(dst []byte, s *span, shape int32, key *[16]byte) []byte {
	var begins [maxDepth]int
	depth := 0
	m.spansAt = -1
	origin := len(dst)
	for _, id := range m.shapes[shape].path {
		c := &m.columns[m.nodes[id].column]
		if len(dst) > m.longest {
			m.failed = true
			return dst
		}
		var v uint64
		if c.op.hasValue() {
			v = m.nextValue()
		}
		if c.op.hasTag() && c.op != opChildren {
			if c.tag < 0x80 {
				dst = append(dst, byte(c.tag))
			} else {
				dst = binary.AppendUvarint(dst, uint64(c.tag))
			}
		}
		switch c.op {
		case opEnd:
			depth--
			dst = closeMessage(dst, begins[depth])
		case opBegin:
			dst = append(dst, 0)
			begins[depth] = len(dst)
			depth++
		case opConstVarint:
			dst = binary.AppendUvarint(dst, c.arg)
		case opConstFixed32:
			dst = binary.LittleEndian.AppendUint32(dst, uint32(c.arg))
		case opConstBytes:
			dst = appendBytes(dst, m.texts.of(c.arg))
		case opTraceID:
			dst = append(append(dst, 16), key[:]...)
		case opSpanID:
			dst = binary.LittleEndian.AppendUint64(append(dst, 8), s.id)
		case opParent:
			dst = binary.LittleEndian.AppendUint64(append(dst, 8), s.parentID)
		case opStart:
			dst = binary.LittleEndian.AppendUint64(dst, s.start)
		case opFinish:
			dst = binary.LittleEndian.AppendUint64(dst, s.finish)
		case opTime, opFixed64:
			dst = binary.LittleEndian.AppendUint64(dst, v)
		case opFixed32:
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
		case opVarint:
			dst = binary.AppendUvarint(dst, v)
		case opBytes:
			dst = appendBytes(dst, m.texts.of(v))
		case opRest:
			dst = append(dst, m.texts.of(v)...)
		case opSpans:
			m.spansAt = len(dst) - origin
		case opChildren:
			for ; v > 0 && !m.failed; v-- {
				dst = binary.AppendUvarint(dst, uint64(c.tag))
				shape := int32(m.nextValue())
				dst = append(dst, 0)
				begin := len(dst)
				dst = m.message(dst, s, shape, key)
				dst = closeMessage(dst, begin)
			}
		default:
			dst = m.attribute(dst, c, v)
		}
	}
	if m.spansAt < 0 {
		m.spansAt = len(dst) - origin
	}
	return dst
}

// attribute appends a KeyValue behind its tag.
func (m *model) attribute(dst []byte, c *column, v uint64) []byte {
	key := m.texts.of(c.arg)
	var text []byte
	size := 0 // of the AnyValue
	switch c.op {
	case opString:
		text = m.texts.of(v)
		size = 1 + sizeBytes(len(text))
	case opInt, opBool:
		size = 1 + sizeVarint(v)
	case opDouble:
		size = 9
	case opAny:
		text = m.texts.of(v)
		size = len(text)
	}
	dst = binary.AppendUvarint(dst, uint64(1+sizeBytes(len(key))+1+sizeBytes(size)))
	dst = appendBytes(append(dst, 1<<3|typeBytes), key)
	dst = binary.AppendUvarint(append(dst, 2<<3|typeBytes), uint64(size))
	switch c.op {
	case opString:
		return appendBytes(append(dst, 1<<3|typeBytes), text)
	case opInt:
		return binary.AppendUvarint(append(dst, 3<<3|typeVarint), v)
	case opBool:
		return append(dst, 2<<3|typeVarint, byte(v))
	case opDouble:
		return binary.LittleEndian.AppendUint64(append(dst, 4<<3|typeFixed64), v)
	}
	return append(dst, text...)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func sizeVarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func sizeBytes(n int) int { return sizeVarint(uint64(n)) + n }
