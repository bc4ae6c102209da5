package trace

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// A field names what a term's value is the value of. An attribute's field is its key and, last, one byte
// for the space it belongs to; so the fields of one key are neighbours in sorted order, and since the last
// byte alone tells the space, no two fields collide whatever bytes a key holds.
const (
	// SpaceSpan holds a span's attributes, and the tags that Jaeger shows for what OTLP has fields of:
	// span.kind, error, otel.status_code, otel.status_description, w3c.tracestate.
	SpaceSpan byte = 's'
	// SpaceResource holds the attributes of a span's resource.
	SpaceResource byte = 'r'
	// SpaceScope holds the attributes of a span's scope, and its name and version as otel.scope.name,
	// otel.scope.version, otel.library.name and otel.library.version.
	SpaceScope byte = 'c'
	// SpaceEvent holds the attributes of a span's events, and an event's name under the key "event".
	SpaceEvent byte = 'e'
	// SpaceHidden holds what would be in another space under the same key, did not an attribute of that key stand there: a status description, a trace state, the name
	// of an event. Nobody sees it as a tag; a filter that asks for what OTLP has a field for finds it.
	SpaceHidden byte = 'h'
	// spaceIntrinsic holds fields that are no attributes. No attribute is ever in it.
	spaceIntrinsic byte = 'i'
)

// Spaces lists the spaces of attributes: a tag that Jaeger asks for may be in any of them.
var Spaces = [...]byte{SpaceSpan, SpaceResource, SpaceScope, SpaceEvent}

// Fields of terms that are no attributes. They must not be modified.
var (
	// FieldService is the field of a group's service: the resource's service.name, or ServiceUnknown.
	FieldService = []byte{'s', 'e', 'r', 'v', 'i', 'c', 'e', spaceIntrinsic}
	// FieldOperation is the field of a row's operation; see AppendOperation. Its values, as those of
	// FieldService, are never cut.
	FieldOperation = []byte{'o', 'p', 'e', 'r', 'a', 't', 'i', 'o', 'n', spaceIntrinsic}
)

// ServiceUnknown is the service of spans whose resource has no service.name: Jaeger's name for it.
const ServiceUnknown = "OTLPResourceNoServiceName"

// Text is what keys and values are given as.
type Text interface{ ~string | ~[]byte }

// AppendField appends the field of the attributes with the given key in the given space.
func AppendField[T Text](dst []byte, key T, space byte) []byte {
	return append(append(dst, key...), space)
}

// ParseField splits a field of an attribute into key, a view into field, and space. It is false for
// intrinsic fields and for what AppendField does not make.
func ParseField(field []byte) (key []byte, space byte, ok bool) {
	if len(field) == 0 {
		return nil, 0, false
	}
	key, space = field[:len(field)-1], field[len(field)-1]
	return key, space, slices.Contains(Spaces[:], space)
}

// MaxValueTerm is the length of the longest term of an attribute's value, in bytes. A term of just this
// length stands for a longer value and holds only its beginning; shorter ones are whole.
const MaxValueTerm = 256

// valueTermHash is how many bytes of a term that stands for a longer value are the value's hash.
const valueTermHash = 16

// AppendValueTerm appends the term of an attribute's value given in its string form: the value itself or,
// if it has MaxValueTerm bytes or more, its beginning and 16 bytes of hash.
func AppendValueTerm[T Text](dst []byte, value T) []byte {
	if len(value) < MaxValueTerm {
		return append(dst, value...)
	}
	dst = append(dst, value[:MaxTermText]...)
	var d xxhash.Digest
	for _, seed := range [...]uint64{0, 0x9e3779b97f4a7c15} {
		d.ResetWithSeed(seed)
		d.Write([]byte(value)) // never fails
		dst = binary.LittleEndian.AppendUint64(dst, d.Sum64())
	}
	return dst
}

// MaxTermText is the length up to which every term holds a value's beginning, in bytes.
const MaxTermText = MaxValueTerm - valueTermHash

// TermText returns what a term that AppendValueTerm has made holds of the value: a view of all of it, or of its first MaxTermText bytes.
func TermText(term []byte) []byte {
	if len(term) < MaxValueTerm {
		return term
	}
	return term[:MaxTermText]
}

// DoubleForms returns the string forms under which a double is certain to be found: the shortest decimal
// that reads back as v, as strconv formats it with 'g' and, if that has an exponent and v is of moderate
// size, with 'f', so that 1234567 is found whether it was stored as integer or as double. A query for a
// double asks for any of them. (Index lists besides the form that Jaeger v1 compares, ten digits.)
func DoubleForms(v float64) []string {
	forms := []string{strconv.FormatFloat(v, 'g', -1, 64)}
	if plain := appendPlain(nil, v); plain != nil && string(plain) != forms[0] {
		forms = append(forms, string(plain))
	}
	return forms
}

// appendPlain appends v without an exponent, zero without a sign; nothing if v is too big or too small
// for that to be what a person types.
func appendPlain(dst []byte, v float64) []byte {
	switch abs := math.Abs(v); {
	case abs == 0:
		return append(dst, '0')
	case abs >= 1e-6 && abs < 1<<53:
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	}
	return dst
}

// AppendOperation appends the value of FieldOperation for a span: uvarint length of service, service, one
// byte of kind, name. The operations of a service, and those of one kind, so share a prefix. A kind that
// OTLP does not define counts as KindUnspecified.
func AppendOperation[S, N Text](dst []byte, service S, kind Kind, name N) []byte {
	return append(AppendOperationPrefix(dst, service, kind), name...)
}

// AppendOperationPrefix appends the prefix that the operations of service have in common or, with a kind,
// its operations of that kind.
func AppendOperationPrefix[S Text](dst []byte, service S, kind ...Kind) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(service))), service...)
	for _, k := range kind {
		dst = append(dst, byte(k.known()))
	}
	return dst
}

// ParseOperation reads what AppendOperation appends.
func ParseOperation(value []byte) (service string, kind Kind, name string, err error) {
	n, size := binary.Uvarint(value)
	if size <= 0 || n >= uint64(len(value)-size) {
		return "", 0, "", errOperation
	}
	at := size + int(n)
	if kind = Kind(value[at]); kind != kind.known() {
		return "", 0, "", errOperation
	}
	return string(value[size:at]), kind, string(value[at+1:]), nil
}

var errOperation = errors.New("not an operation's term: its service, kind and name can't be told apart; the index that lists it is damaged")
