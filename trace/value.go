package trace

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// region is a message b[i:], with positions that count from the beginning of b.
type region struct {
	b      []byte
	i      int
	joined bool // b is a buffer of the region's own
}

func (r region) bytes() []byte { return r.b[r.i:] }

// join returns the message of which r was the first part and b[start:end] is the next: what protobuf makes
// of a message field that occurs more than once. Then it copies; OTLP senders do not do that.
func (r region) join(b []byte, start, end int) region {
	switch {
	case r.b == nil:
		return region{b: b[:end], i: start}
	case !r.joined:
		r = region{b: slices.Clone(r.bytes()), joined: true}
	}
	r.b = append(r.b, b[start:end]...)
	return r
}

// plainString reads the attribute b[i:] if its value is a short string and it is written as every
// protobuf library writes it: key first, no field twice. This is what most attributes are, and much quicker
// than readKeyValue and readAnyValue.
func plainString(b []byte, i int) (key, value []byte, ok bool) {
	m := b[i:]
	if len(m) < 6 || m[0] != 1<<3|typeLen || m[1] >= 0x80 {
		return nil, nil, false
	}
	end := 2 + int(m[1])
	if len(m) < end+4 {
		return nil, nil, false
	}
	v := m[end:]
	if v[0] != 2<<3|typeLen || v[1] >= 0x80 || int(v[1]) != len(v)-2 ||
		v[2] != valueString<<3|typeLen || int(v[3]) != len(v)-4 {
		return nil, nil, false
	}
	return m[2:end], v[4:], true
}

// readKeyValue reads the attribute b[i:], not what is in its value.
func readKeyValue(b []byte, i int) (key []byte, value region, next int) {
	for uint(i) < uint(len(b)) {
		var tag uint32
		var start int
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeLen:
			if start, i = readLen(b, i); i >= 0 {
				key = b[start:i]
			}
		case 2<<3 | typeLen:
			if start, i = readLen(b, i); i >= 0 {
				value = value.join(b, start, i)
			}
		case 3<<3 | typeVarint:
			_, i = readVarint(b, i)
		default:
			i = skipOther(b, i, tag, knownInKeyValue)
		}
	}
	return key, value, i
}

// The types of a value are the numbers of the fields of AnyValue that hold them.
const (
	valueNone   = 0
	valueString = 1
	valueBool   = 2
	valueInt    = 3
	valueDouble = 4
	valueArray  = 5
	valueMap    = 6
	valueBytes  = 7
)

// anyValue is an attribute's value.
type anyValue struct {
	kind   int
	data   region // of string, array, map and bytes
	number uint64 // of bool, int and double
}

// readAnyValue reads the AnyValue b[i:], not what is in its lists.
func readAnyValue(b []byte, i int) (v anyValue, next int) {
	for uint(i) < uint(len(b)) {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case valueBool<<3 | typeVarint, valueInt<<3 | typeVarint:
			v = anyValue{kind: int(tag >> 3)}
			v.number, i = readVarint(b, i)
		case valueDouble<<3 | typeFixed64:
			v = anyValue{kind: valueDouble}
			v.number, i = readFixed64(b, i)
		case valueString<<3 | typeLen, valueBytes<<3 | typeLen, valueArray<<3 | typeLen, valueMap<<3 | typeLen:
			var start int
			if start, i = readLen(b, i); i < 0 {
				return v, i
			}
			// One list after another of its type is one list; anything else replaces what was before.
			if kind := int(tag >> 3); kind != v.kind || kind == valueString || kind == valueBytes {
				v = anyValue{kind: kind}
			}
			v.data = v.data.join(b, start, i)
		case 8<<3 | typeVarint: // index into a table of strings, which trace data does not have
			v = anyValue{}
			_, i = readVarint(b, i)
		default:
			i = skipOther(b, i, tag, knownInAnyValue)
		}
	}
	return v, i
}

// isTrue reports whether the value is what Jaeger's error tag holds for an error.
func (v *anyValue) isTrue() bool {
	return v.kind == valueBool && v.number != 0 || v.kind == valueString && string(v.data.bytes()) == "true"
}

// appendText appends the string form in which Jaeger compares the value: of a double, the shortest form.
func (v *anyValue) appendText(dst []byte) (_ []byte, next int) {
	switch v.kind {
	case valueString:
		return append(dst, v.data.bytes()...), 0
	case valueBool:
		return strconv.AppendBool(dst, v.number != 0), 0
	case valueInt:
		return strconv.AppendInt(dst, int64(v.number), 10), 0
	case valueDouble:
		return strconv.AppendFloat(dst, math.Float64frombits(v.number), 'g', -1, 64), 0
	case valueBytes:
		return hex.AppendEncode(dst, v.data.bytes()), 0
	case valueArray, valueMap:
		start := len(dst)
		w := jsonWriter{out: dst}
		if next = w.value(v, 1); w.unsupported {
			return w.out[:start], next
		}
		return w.out, next
	}
	return dst, 0
}

// AppendValueText appends the text form, in which Index lists it, of an attribute's value: an AnyValue message. Of a double it is the shortest form (see DoubleForms). It returns
// dst as it was and a *WireError for bytes that are no such message.
func AppendValueText(dst, value []byte) ([]byte, error) {
	v, next := readAnyValue(value, 0)
	if next >= 0 {
		var text []byte
		if text, next = v.appendText(dst); next >= 0 {
			return text, nil
		}
	}
	return dst, wireError(next)
}

// jsonWriter writes lists as encoding/json writes the like of them in Go (maps sorted by key, bytes in
// base64, <, > and & escaped): so OpenTelemetry, and with it Jaeger, turns lists into strings.
type jsonWriter struct {
	out []byte
	// unsupported is whether there was a double that JSON has no form of; the list then has none either.
	unsupported bool
	entries     []jsonEntry // of all maps that are being written
}

type jsonEntry struct {
	key   []byte
	value region
}

func (w *jsonWriter) value(v *anyValue, depth int) (next int) {
	switch v.kind {
	case valueNone:
		w.out = append(w.out, "null"...)
	case valueString:
		w.string(v.data.bytes())
	case valueBytes:
		w.out = append(w.out, '"')
		w.out = base64.StdEncoding.AppendEncode(w.out, v.data.bytes())
		w.out = append(w.out, '"')
	case valueDouble:
		w.double(math.Float64frombits(v.number))
	case valueArray:
		return w.array(v.data, depth)
	case valueMap:
		return w.object(v.data, depth)
	default:
		w.out, _ = v.appendText(w.out)
	}
	return 0
}

// inner writes the value that the AnyValue r holds.
func (w *jsonWriter) inner(r region, depth int) (next int) {
	if depth > maxValueDepth {
		return fail(r.i, faultValueDepth)
	}
	v, next := readAnyValue(r.b, r.i)
	if next < 0 {
		return next
	}
	return w.value(&v, depth)
}

func (w *jsonWriter) array(r region, depth int) (next int) {
	w.out = append(w.out, '[')
	n := 0
	next = eachOf(r.b, r.i, 1, func(b []byte, i int) int {
		if n++; n > 1 {
			w.out = append(w.out, ',')
		}
		return w.inner(region{b: b, i: i}, depth+1)
	})
	w.out = append(w.out, ']')
	return next
}

func (w *jsonWriter) object(r region, depth int) (next int) {
	first := len(w.entries)
	next = eachOf(r.b, r.i, 1, func(b []byte, i int) int {
		key, value, next := readKeyValue(b, i)
		w.entries = append(w.entries, jsonEntry{key, value})
		return next
	})
	if next < 0 {
		return next
	}
	defer func() { w.entries = w.entries[:first] }()
	entries := w.entries[first:]
	slices.SortStableFunc(entries, func(a, b jsonEntry) int { return bytes.Compare(a.key, b.key) })
	w.out = append(w.out, '{')
	written := false
	for n, e := range entries {
		if n+1 < len(entries) && bytes.Equal(e.key, entries[n+1].key) {
			continue // of equal keys, the last counts
		}
		if written {
			w.out = append(w.out, ',')
		}
		written = true
		w.string(e.key)
		w.out = append(w.out, ':')
		if next := w.inner(e.value, depth+1); next < 0 {
			return next
		}
	}
	w.out = append(w.out, '}')
	return next
}

func (w *jsonWriter) double(v float64) {
	abs := math.Abs(v)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		w.unsupported = true
	case abs != 0 && (abs < 1e-6 || abs >= 1e21):
		w.out = strconv.AppendFloat(w.out, v, 'e', -1, 64)
		if n := len(w.out); string(w.out[n-4:n-1]) == "e-0" { // e-09 is e-9 in JSON
			w.out = append(w.out[:n-2], w.out[n-1])
		}
	default:
		w.out = strconv.AppendFloat(w.out, v, 'f', -1, 64)
	}
}

func (w *jsonWriter) string(s []byte) {
	const digits = "0123456789abcdef"
	w.out = append(w.out, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				w.out = append(w.out, `\ufffd`...)
			case r == '\u2028' || r == '\u2029':
				w.out = append(w.out, `\u202`...)
				w.out = append(w.out, digits[r&15])
			default:
				w.out = append(w.out, s[i:i+size]...)
			}
			i += size
			continue
		}
		i++
		switch {
		case c == '"' || c == '\\':
			w.out = append(w.out, '\\', c)
		case c == '\b':
			w.out = append(w.out, '\\', 'b')
		case c == '\f':
			w.out = append(w.out, '\\', 'f')
		case c == '\n':
			w.out = append(w.out, '\\', 'n')
		case c == '\r':
			w.out = append(w.out, '\\', 'r')
		case c == '\t':
			w.out = append(w.out, '\\', 't')
		case c < ' ' || c == '<' || c == '>' || c == '&':
			w.out = append(w.out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			w.out = append(w.out, c)
		}
	}
	w.out = append(w.out, '"')
}
