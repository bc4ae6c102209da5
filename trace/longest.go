package trace

// LongestAttribute returns the key of the attribute of data, in a resource, a scope, a span, an event or a link, that takes the most bytes, and how many: the
// lengths of its key and its value, as they are encoded. Without attributes the size is 0. It returns a *WireError for bytes that are not OTLP. The key is a part of data.
func LongestAttribute(data []byte) (key []byte, size int, err error) {
	var l longest
	next := eachOf(data, 0, 1, func(b []byte, i int) int {
		next := eachOf(b, i, 1, l.in(1)) // of the resource
		if next < 0 {
			return next
		}
		return eachOf(b, i, 2, func(b []byte, i int) int {
			next := eachOf(b, i, 1, l.in(3)) // of the scope
			if next < 0 {
				return next
			}
			return eachOf(b, i, 2, l.span)
		})
	})
	return l.key, l.size, wireError(next)
}

// longest is the longest attribute so far.
type longest struct {
	key  []byte
	size int
}

func (l *longest) span(b []byte, i int) (next int) {
	for _, part := range [...]struct {
		number uint32
		read   func(b []byte, i int) int
	}{{9, l.attribute}, {11, l.in(3)}, {13, l.in(4)}} {
		if next = eachOf(b, i, part.number, part.read); next < 0 {
			return next
		}
	}
	return next
}

// in reads a message whose attributes are its fields of the given number.
func (l *longest) in(number uint32) func(b []byte, i int) (next int) {
	return func(b []byte, i int) int { return eachOf(b, i, number, l.attribute) }
}

func (l *longest) attribute(b []byte, i int) (next int) {
	var key []byte
	if next = eachOf(b, i, 1, func(b []byte, i int) int { key = b[i:]; return len(b) }); next < 0 {
		return next
	}
	size := len(key)
	next = eachOf(b, i, 2, func(b []byte, i int) int { size += len(b) - i; return len(b) })
	if next >= 0 && size > l.size {
		l.key, l.size = key, size
	}
	return next
}
