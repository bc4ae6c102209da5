package columnar

// A pattern is a text with marks in place of what varies from one text to the next.
const (
	markNumber = 1 // decimal digits, at most maxDigits of them
	markHex    = 2 // hexadecimal digits, as many as the next byte says
	markUUID   = 3 // a UUID in lower case
	marks      = 4 // no byte of a text with marks is less but the marks themselves

	maxDigits = 19
	minHex    = 5
	// maxPatterned is the length of the longest text that is taken apart. For longer ones zstd does better.
	maxPatterned = 256
)

// part is what stands in a text at the place of a mark.
type part struct {
	text   []byte
	value  uint64 // of digits
	digits int
}

// appendPattern appends the pattern of a text to dst, and its parts to parts. A text without parts, or one
// that can't be told from a pattern, has none.
func appendPattern(dst []byte, parts []part, b []byte) ([]byte, []part) {
	begin := len(dst)
	if len(b) > maxPatterned {
		return dst, parts
	}
	for i := 0; i < len(b); {
		c := classes[b[i]]
		if c&classMark != 0 {
			return dst[:begin], parts[:0]
		}
		if c&classWord == 0 {
			dst = append(dst, b[i])
			i++
			continue
		}
		if isUUID(b[i:]) {
			dst = append(dst, markUUID)
			parts = append(parts, part{text: b[i : i+36]})
			i += 36
			continue
		}
		start, all, some := i, byte(0xff), byte(0)
		for i < len(b) && classes[b[i]]&classWord != 0 {
			all &= classes[b[i]]
			some |= classes[b[i]]
			i++
		}
		word := b[start:i]
		switch {
		case all&classDigit != 0 && len(word) <= maxDigits && word[0] <= '9':
			var v uint64
			for _, d := range word {
				v = v*10 + uint64(d-'0')
			}
			dst = append(dst, markNumber)
			parts = append(parts, part{text: word, value: v})
		case all&classHex != 0 && some&classDigit != 0 && len(word) >= minHex && len(word) < 256:
			dst = append(dst, markHex, byte(len(word)))
			parts = append(parts, part{text: word})
		default:
			dst = append(dst, word...)
		}
	}
	return dst, parts
}

const (
	classDigit = 1 << iota
	classHex
	classWord
	classMark
)

var classes = func() (t [256]byte) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9':
			t[c] = classDigit | classHex | classWord
		case 'a' <= c && c <= 'f':
			t[c] = classHex | classWord
		case 'g' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			t[c] = classWord
		case c < marks:
			t[c] = classMark
		}
	}
	return t
}()

// isUUID tells whether b begins with a UUID in lower case.
func isUUID(b []byte) bool {
	if len(b) < 36 || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return false
	}
	for i, c := range b[:36] {
		if classes[c]&classHex == 0 && i != 8 && i != 13 && i != 18 && i != 23 {
			return false
		}
	}
	return true
}

// isBinary tells whether b looks like noise that is not worth looking for matches in.
func isBinary(b []byte) bool {
	if len(b) < 4 || len(b) > 64 {
		return false
	}
	n := 0
	for _, c := range b {
		if c < ' ' || c >= 0x7f {
			n++
		}
	}
	return n*4 > len(b)
}
