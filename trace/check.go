package trace

import "unicode/utf8"

// maxValueDepth bounds the nesting of attribute values: an array in an array is two deep.
const maxValueDepth = 64

// checker reads messages to their last byte: bytes that are not OTLP make it fail, as the functions of
// wire.go do; what is OTLP but must not be stored is a problem of the span (or resource or scope) that is
// read, and reading goes on.
type checker struct {
	// problem is the first problem of what was read; empty if there is none.
	problem string
	// Of the span that was read last: where its IDs begin and end.
	traceID, spanID, parentID extent
}

// found notes a problem.
func (c *checker) found(problem string) {
	if c.problem == "" {
		c.problem = problem
	}
}

// text reads a string.
func (c *checker) text(b []byte, i int, problem string) (next int) {
	start, end := readLen(b, i)
	if end >= 0 && !validUTF8(b[start:end]) {
		c.found(problem)
	}
	return end
}

// Field numbers that a message knows, as bits.
const (
	knownInSpan     = 1<<17 - 2
	knownInEvent    = 1<<5 - 2
	knownInLink     = 1<<7 - 2
	knownInStatus   = 1<<2 | 1<<3
	knownInKeyValue = 1<<4 - 2
	knownInAnyValue = 1<<9 - 2
	knownInResource = 1<<4 - 2
	knownInEntity   = 1<<5 - 2
	knownInScope    = 1<<5 - 2
	knownInGroup    = 1<<4 - 2 // ResourceSpans, ScopeSpans
	knownInList     = 1 << 1   // TracesData, ArrayValue, KeyValueList
)

// span reads the span b[i:] and judges it.
func (c *checker) span(b []byte, i int) (next int) {
	c.problem = ""
	c.traceID, c.spanID, c.parentID = extent{}, extent{}, extent{}
	for uint(i) < uint(len(b)) {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeLen:
			c.traceID.start, i = readLen(b, i)
			c.traceID.end = i
		case 2<<3 | typeLen:
			c.spanID.start, i = readLen(b, i)
			c.spanID.end = i
		case 3<<3 | typeLen:
			i = c.text(b, i, "trace state is not valid UTF-8")
		case 4<<3 | typeLen:
			c.parentID.start, i = readLen(b, i)
			c.parentID.end = i
		case 5<<3 | typeLen:
			i = c.text(b, i, "name is not valid UTF-8")
		case 6<<3 | typeVarint, 10<<3 | typeVarint, 12<<3 | typeVarint, 14<<3 | typeVarint:
			_, i = readVarint(b, i)
		case 7<<3 | typeFixed64, 8<<3 | typeFixed64:
			i = skipFixed(b, i, 8)
		case 9<<3 | typeLen:
			i = c.keyValue(b, i, 1)
		case 11<<3 | typeLen:
			i = c.event(b, i)
		case 13<<3 | typeLen:
			i = c.link(b, i)
		case 15<<3 | typeLen:
			i = c.status(b, i)
		case 16<<3 | typeFixed32:
			i = skipFixed(b, i, 4)
		default:
			i = skipOther(b, i, tag, knownInSpan)
		}
	}
	if i < 0 {
		return i
	}
	switch id := c.traceID.of(b); {
	case len(id) != 16:
		c.found("trace ID is not 16 bytes long")
	case load64(id)|load64(id[8:]) == 0:
		c.found("trace ID is zero")
	}
	switch id := c.spanID.of(b); {
	case len(id) != 8:
		c.found("span ID is not 8 bytes long")
	case load64(id) == 0:
		c.found("span ID is zero")
	}
	if n := len(c.parentID.of(b)); n != 0 && n != 8 {
		c.found("parent span ID is not 8 bytes long")
	}
	return i
}

func (c *checker) event(b []byte, i int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeFixed64:
			i = skipFixed(b, i, 8)
		case 2<<3 | typeLen:
			i = c.text(b, i, "event name is not valid UTF-8")
		case 3<<3 | typeLen:
			i = c.keyValue(b, i, 1)
		case 4<<3 | typeVarint:
			_, i = readVarint(b, i)
		default:
			i = skipOther(b, i, tag, knownInEvent)
		}
	}
	return i
}

func (c *checker) link(b []byte, i int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeLen, 2<<3 | typeLen:
			_, i = readLen(b, i)
		case 3<<3 | typeLen:
			i = c.text(b, i, "trace state of a link is not valid UTF-8")
		case 4<<3 | typeLen:
			i = c.keyValue(b, i, 1)
		case 5<<3 | typeVarint:
			_, i = readVarint(b, i)
		case 6<<3 | typeFixed32:
			i = skipFixed(b, i, 4)
		default:
			i = skipOther(b, i, tag, knownInLink)
		}
	}
	return i
}

func (c *checker) status(b []byte, i int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case 2<<3 | typeLen:
			i = c.text(b, i, "status message is not valid UTF-8")
		case 3<<3 | typeVarint:
			_, i = readVarint(b, i)
		default:
			i = skipOther(b, i, tag, knownInStatus)
		}
	}
	return i
}

// keyValue reads an attribute, length first. depth is that of its value.
func (c *checker) keyValue(b []byte, i, depth int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	if key, value, ok := plainString(b[:end], i); ok && validUTF8(key) && validUTF8(value) {
		return end
	}
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeLen:
			i = c.text(b, i, "attribute key is not valid UTF-8")
		case 2<<3 | typeLen:
			i = c.anyValue(b, i, depth)
		case 3<<3 | typeVarint:
			_, i = readVarint(b, i)
		default:
			i = skipOther(b, i, tag, knownInKeyValue)
		}
	}
	return i
}

// anyValue reads an attribute's value, length first.
func (c *checker) anyValue(b []byte, i, depth int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	if depth > maxValueDepth {
		c.found("attribute value is nested too deeply")
		return end
	}
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeLen:
			i = c.text(b, i, "attribute value is not valid UTF-8")
		case 2<<3 | typeVarint, 3<<3 | typeVarint, 8<<3 | typeVarint:
			_, i = readVarint(b, i)
		case 4<<3 | typeFixed64:
			i = skipFixed(b, i, 8)
		case 5<<3 | typeLen:
			i = c.list(b, i, depth+1, false)
		case 6<<3 | typeLen:
			i = c.list(b, i, depth+1, true)
		case 7<<3 | typeLen:
			_, i = readLen(b, i)
		default:
			i = skipOther(b, i, tag, knownInAnyValue)
		}
	}
	return i
}

// list reads an ArrayValue or, of keys and values, a KeyValueList.
func (c *checker) list(b []byte, i, depth int, keyed bool) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		switch tag, i = readTag(b, i); {
		case tag != 1<<3|typeLen:
			i = skipOther(b, i, tag, knownInList)
		case keyed:
			i = c.keyValue(b, i, depth)
		default:
			i = c.anyValue(b, i, depth)
		}
	}
	return i
}

// resource reads a Resource, length first.
func (c *checker) resource(b []byte, i int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeLen:
			i = c.keyValue(b, i, 1)
		case 2<<3 | typeVarint:
			_, i = readVarint(b, i)
		case 3<<3 | typeLen:
			i = c.entity(b, i)
		default:
			i = skipOther(b, i, tag, knownInResource)
		}
	}
	return i
}

// entity reads a resource's reference to an entity: four kinds of strings.
func (c *checker) entity(b []byte, i int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeLen, 2<<3 | typeLen, 3<<3 | typeLen, 4<<3 | typeLen:
			i = c.text(b, i, "entity reference is not valid UTF-8")
		default:
			i = skipOther(b, i, tag, knownInEntity)
		}
	}
	return i
}

// scope reads an InstrumentationScope, length first.
func (c *checker) scope(b []byte, i int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeLen:
			i = c.text(b, i, "name is not valid UTF-8")
		case 2<<3 | typeLen:
			i = c.text(b, i, "version is not valid UTF-8")
		case 3<<3 | typeLen:
			i = c.keyValue(b, i, 1)
		case 4<<3 | typeVarint:
			_, i = readVarint(b, i)
		default:
			i = skipOther(b, i, tag, knownInScope)
		}
	}
	return i
}

// validUTF8 is utf8.Valid, with a shorter way through the short ASCII strings that keys and values are.
func validUTF8(b []byte) bool {
	const high = 0x8080808080808080
	i := 0
	for ; len(b)-i >= 8; i += 8 {
		if load64(b[i:])&high != 0 {
			return utf8.Valid(b[i:])
		}
	}
	if i > 0 && i < len(b) { // the last eight bytes, some of them seen before
		return load64(b[len(b)-8:])&high == 0 || utf8.Valid(b[i:])
	}
	for ; i < len(b); i++ {
		if b[i] >= utf8.RuneSelf {
			return utf8.Valid(b[i:])
		}
	}
	return true
}
