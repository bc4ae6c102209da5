package trace

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"sync"
)

// internalPrefix begins the keys of attributes in which the store keeps what OTLP has no field for. They
// are no terms.
const internalPrefix = "@jaeger@"

func isInternal(key []byte) bool {
	return len(key) >= len(internalPrefix) && string(key[:len(internalPrefix)]) == internalPrefix
}

// Index lists the groups, terms and rows of data to s: a row for each span, in the order of the spans. It
// returns a *WireError for bytes that are not OTLP; s may then have been shown what stands before them.
//
// The group terms are FieldService, the resource's attributes and the scope's (with its name and version);
// a row's are FieldOperation, the span's attributes and its events'. Attributes are listed in the string
// form in which Jaeger compares them (see DoubleForms for doubles; binary values in hexadecimal, lists as
// JSON, no value as the empty string), put through AppendValueTerm. Attributes whose keys begin with
// "@jaeger@" are the store's own and are not listed.
//
// What Jaeger shows as tags though OTLP has fields of it is listed like an attribute of the span, unless
// the span has an attribute of that key: span.kind, if specified; error=true and otel.status_code for a
// status; otel.status_description; w3c.tracestate. Of the last two, and of an event's name, what such an attribute hides is
// in SpaceHidden.
func Index(data []byte, s Sink) error {
	ix := indexers.Get().(*indexer)
	ix.sink = s
	err := wireError(ix.scanner.scan(data, ix))
	ix.forget()
	indexers.Put(ix)
	return err
}

var indexers = sync.Pool{New: func() any { return new(indexer) }}

// indexer is the visitor of Index.
type indexer struct {
	scanner  scanner
	sink     Sink
	identity []byte
	service  []byte // of the current resource
	inGroup  bool   // terms are the group's

	field, value, cut, operation []byte // scratch
	attributes, events           []extent
	present                      ownTags
}

// forget drops what points into the data, and buffers that one large value made large.
func (ix *indexer) forget() {
	const kept = 1 << 20
	ix.sink = nil
	ix.scanner.forget()
	if cap(ix.identity)+cap(ix.service)+cap(ix.value)+cap(ix.operation)+cap(ix.field) > kept ||
		cap(ix.attributes)+cap(ix.events) > kept/16 {
		*ix = indexer{}
	}
}

func (ix *indexer) group(resource, scope *shell, sameResource bool) (next int) {
	if !sameResource {
		var service anyValue
		found := false
		if service, found, next = findService(resource.head); next < 0 {
			return next
		}
		if ix.service, next = ix.service[:0], 0; !found {
			ix.service = append(ix.service, ServiceUnknown...)
		} else if ix.service, next = service.appendText(ix.service); next < 0 {
			return next
		}
	}
	ix.identity = binary.AppendUvarint(ix.identity[:0], uint64(len(resource.rest)))
	ix.identity = append(append(ix.identity, resource.rest...), scope.rest...)
	if ix.sink.Group(ix.identity) {
		return 0
	}
	ix.inGroup = true
	defer func() { ix.inGroup = false }()
	ix.sink.GroupTerm(FieldService, ix.service)
	if next = eachOf(resource.head, 0, 1, ix.resourceAttribute); next < 0 {
		return next
	}
	return ix.scope(scope.head)
}

// keyService is the attribute that names a resource's service.
const keyService = "service.name"

// findService finds the value of the first service.name among a Resource's attributes.
func findService(resource []byte) (v anyValue, found bool, next int) {
	i := 0
	for uint(i) < uint(len(resource)) {
		var tag uint32
		if tag, i = readTag(resource, i); tag != 1<<3|typeLen {
			i = skipOther(resource, i, tag, 1<<1)
			continue
		}
		start, end := readLen(resource, i)
		if end < 0 {
			return v, false, end
		}
		key, value, next := readKeyValue(resource[:end], start)
		if next < 0 {
			return v, false, next
		}
		if string(key) == keyService {
			v, next = readAnyValue(value.b, value.i)
			return v, true, next
		}
		i = end
	}
	return v, false, i
}

func (ix *indexer) resourceAttribute(b []byte, i int) (next int) {
	_, next = ix.attribute(b, i, SpaceResource)
	return next
}

// scope lists the terms of an InstrumentationScope.
func (ix *indexer) scope(b []byte) (next int) {
	var name, version []byte
	i := 0
	for uint(i) < uint(len(b)) {
		var tag uint32
		var start int
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeLen:
			if start, i = readLen(b, i); i >= 0 {
				name = b[start:i]
			}
		case 2<<3 | typeLen:
			if start, i = readLen(b, i); i >= 0 {
				version = b[start:i]
			}
		case 3<<3 | typeLen:
			if start, i = readLen(b, i); i >= 0 {
				if _, next := ix.attribute(b[:i], start, SpaceScope); next < 0 {
					return next
				}
			}
		default:
			i = skipOther(b, i, tag, 1<<1|1<<2|1<<3)
		}
	}
	if len(name) > 0 {
		ix.put(fieldScopeName, name)
		ix.put(fieldLibraryName, name)
	}
	if len(version) > 0 {
		ix.put(fieldScopeVersion, version)
		ix.put(fieldLibraryVersion, version)
	}
	return i
}

var (
	fieldScopeName      = AppendField(nil, "otel.scope.name", SpaceScope)
	fieldScopeVersion   = AppendField(nil, "otel.scope.version", SpaceScope)
	fieldLibraryName    = AppendField(nil, "otel.library.name", SpaceScope)
	fieldLibraryVersion = AppendField(nil, "otel.library.version", SpaceScope)

	fieldKind              = AppendField(nil, "span.kind", SpaceSpan)
	fieldError             = AppendField(nil, "error", SpaceSpan)
	fieldStatusCode        = AppendField(nil, "otel.status_code", SpaceSpan)
	fieldStatusDescription = AppendField(nil, "otel.status_description", SpaceSpan)
	fieldTraceState        = AppendField(nil, "w3c.tracestate", SpaceSpan)
	fieldEvent             = AppendField(nil, "event", SpaceEvent)

	valueTrue = []byte("true")
	valueOK   = []byte("OK")
	valueErr  = []byte("ERROR")
)

// ownTags says which of the tags that a span's fields make are attributes of the span already.
type ownTags struct{ kind, err, statusCode, statusDescription, traceState bool }

// note notes an attribute's key.
func (p *ownTags) note(key []byte) {
	switch string(key) {
	case "span.kind":
		p.kind = true
	case "error":
		p.err = true
	case "otel.status_code":
		p.statusCode = true
	case "otel.status_description":
		p.statusDescription = true
	case "w3c.tracestate":
		p.traceState = true
	}
}

// The codes of a span's status.
const (
	statusOK    = 1
	statusError = 2
)

// span lists the row and the terms of a span.
func (ix *indexer) span(b []byte, i int) (next int) {
	var start, end, kind, code uint64
	var name, state, message extent
	ix.attributes, ix.events = ix.attributes[:0], ix.events[:0]
	for uint(i) < uint(len(b)) {
		var tag uint32
		var from int
		tag, i = readTag(b, i)
		switch tag {
		case 3<<3 | typeLen:
			from, i = readLen(b, i)
			state = extent{from, i}
		case 5<<3 | typeLen:
			from, i = readLen(b, i)
			name = extent{from, i}
		case 6<<3 | typeVarint:
			kind, i = readVarint(b, i)
		case 7<<3 | typeFixed64:
			start, i = readFixed64(b, i)
		case 8<<3 | typeFixed64:
			end, i = readFixed64(b, i)
		case 9<<3 | typeLen:
			from, i = readLen(b, i)
			ix.attributes = append(ix.attributes, extent{from, i})
		case 11<<3 | typeLen:
			from, i = readLen(b, i)
			ix.events = append(ix.events, extent{from, i})
		case 15<<3 | typeLen:
			if from, i = readLen(b, i); i >= 0 {
				code, message, from = readStatus(b[:i], from, code, message)
				if from < 0 {
					return from
				}
			}
		default:
			i = skipOther(b, i, tag, 1<<3|1<<5|1<<6|1<<7|1<<8|1<<9|1<<11|1<<15)
		}
	}
	if i < 0 {
		return i
	}
	ix.sink.Row(int64(start), int64(end-start))
	ix.operation = AppendOperation(ix.operation[:0], ix.service, Kind(kind), name.of(b))
	ix.sink.Term(FieldOperation, ix.operation)

	ix.present = ownTags{}
	for _, a := range ix.attributes {
		key, next := ix.attribute(b[:a.end], a.start, SpaceSpan)
		if next < 0 {
			return next
		}
		ix.present.note(key)
	}
	if k := Kind(kind).known(); k != KindUnspecified && !ix.present.kind {
		ix.value = append(ix.value[:0], kindNames[k]...)
		ix.sink.Term(fieldKind, ix.value)
	}
	if code == statusError && !ix.present.err {
		ix.sink.Term(fieldError, valueTrue)
	}
	if !ix.present.statusCode {
		switch code {
		case statusOK:
			ix.sink.Term(fieldStatusCode, valueOK)
		case statusError:
			ix.sink.Term(fieldStatusCode, valueErr)
		}
	}
	if message.end > message.start {
		ix.putUnless(ix.present.statusDescription, fieldStatusDescription, message.of(b))
	}
	if state.end > state.start {
		ix.putUnless(ix.present.traceState, fieldTraceState, state.of(b))
	}
	for _, e := range ix.events {
		if next := ix.event(b[:e.end], e.start); next < 0 {
			return next
		}
	}
	return i
}

// readStatus reads the Status b[i:] over what an earlier part of it said.
func readStatus(b []byte, i int, code uint64, message extent) (_ uint64, _ extent, next int) {
	for uint(i) < uint(len(b)) {
		var tag uint32
		tag, i = readTag(b, i)
		switch tag {
		case 2<<3 | typeLen:
			message.start, i = readLen(b, i)
			message.end = i
		case 3<<3 | typeVarint:
			code, i = readVarint(b, i)
			code = uint64(uint32(code)) // an enum is of 32 bits
		default:
			i = skipOther(b, i, tag, knownInStatus)
		}
	}
	return code, message, i
}

// event lists the terms of the event b[i:].
func (ix *indexer) event(b []byte, i int) (next int) {
	var name []byte
	named := false    // an attribute "event" stands for the name
	var stands []byte // its value
	for uint(i) < uint(len(b)) {
		var tag uint32
		var start int
		tag, i = readTag(b, i)
		switch tag {
		case 2<<3 | typeLen:
			if start, i = readLen(b, i); i >= 0 {
				name = b[start:i]
			}
		case 3<<3 | typeLen:
			if start, i = readLen(b, i); i >= 0 {
				key, next := ix.attribute(b[:i], start, SpaceEvent)
				if next < 0 {
					return next
				}
				if string(key) == "event" {
					// What Jaeger v1 sent has the name in both: no reason to list it twice.
					named = true
					if stands, next = stringOf(b[:i], start); next < 0 {
						return next
					}
				}
			}
		default:
			i = skipOther(b, i, tag, 1<<2|1<<3)
		}
	}
	if len(name) > 0 && !(named && bytes.Equal(stands, name)) {
		ix.putUnless(named, fieldEvent, name)
	}
	return i
}

// stringOf returns the value of the attribute b[i:], if it is a string.
func stringOf(b []byte, i int) (value []byte, next int) {
	_, r, next := readKeyValue(b, i)
	if next < 0 {
		return nil, next
	}
	v, next := readAnyValue(r.b, r.i)
	if next >= 0 && v.kind == valueString {
		value = v.data.bytes()
	}
	return value, next
}

// attribute lists the terms of the attribute b[i:] and returns its key.
func (ix *indexer) attribute(b []byte, i int, space byte) (key []byte, next int) {
	if key, value, ok := plainString(b, i); ok {
		if !isInternal(key) {
			ix.field = AppendField(ix.field[:0], key, space)
			ix.put(ix.field, value)
		}
		return key, len(b)
	}
	key, r, next := readKeyValue(b, i)
	if next < 0 || isInternal(key) {
		return key, next
	}
	v, next := readAnyValue(r.b, r.i)
	if next < 0 {
		return key, next
	}
	ix.field = AppendField(ix.field[:0], key, space)
	if v.kind == valueString {
		ix.put(ix.field, v.data.bytes())
		return key, next
	}
	if ix.value, next = v.appendText(ix.value[:0]); next < 0 {
		return key, next
	}
	ix.put(ix.field, ix.value)
	if v.kind == valueDouble {
		ix.otherForms(math.Float64frombits(v.number))
	}
	return key, next
}

// otherForms lists the forms of a double besides the shortest one, which is in ix.value.
func (ix *indexer) otherForms(v float64) {
	n := len(ix.value)
	ix.value = appendPlain(ix.value, v)
	if plain := ix.value[n:]; len(plain) > 0 && string(plain) != string(ix.value[:n]) {
		ix.put(ix.field, plain)
	}
	ix.value = strconv.AppendFloat(ix.value[:n], v, 'g', jaegerDigits, 64)
	if jaeger := ix.value[n:]; string(jaeger) != string(ix.value[:n]) {
		ix.put(ix.field, jaeger)
	}
}

// jaegerDigits is the precision to which Jaeger v1 compares doubles.
const jaegerDigits = 10

// putUnless is put of what OTLP has a field for: among the hidden if an attribute has the key.
func (ix *indexer) putUnless(hidden bool, field, value []byte) {
	if hidden {
		field = AppendField(ix.field[:0], field[:len(field)-1], SpaceHidden)
	}
	ix.put(field, value)
}

// put lists a term, its value cut if it is long.
func (ix *indexer) put(field, value []byte) {
	if len(value) >= MaxValueTerm {
		ix.cut = AppendValueTerm(ix.cut[:0], value)
		value = ix.cut
	}
	if ix.inGroup {
		ix.sink.GroupTerm(field, value)
	} else {
		ix.sink.Term(field, value)
	}
}
