package export

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// AppendOTLP appends data, OTLP TracesData, to dst as a line of OTLP JSON without its end. What this
// program's OTLP does not define is left out.
func AppendOTLP(dst, data []byte) ([]byte, error) {
	dst, _, err := appendOTLP(dst, data)
	return dst, err
}

func appendOTLP(dst, data []byte) ([]byte, int, error) {
	var m otlp.TracesData
	if err := proto.Unmarshal(data, &m); err != nil {
		return dst, 0, fmt.Errorf("a trace is no OTLP: %w", err)
	}
	return appendMessage(dst, m.ProtoReflect()), countSpans(&m), nil
}

func countSpans(m *otlp.TracesData) (n int) {
	for _, r := range m.ResourceSpans {
		for _, s := range r.ScopeSpans {
			n += len(s.Spans)
		}
	}
	return n
}

// isID are the fields whose bytes OTLP's JSON has in hexadecimal, while protobuf's has them in base64.
var isID = map[protoreflect.Name]bool{"trace_id": true, "span_id": true, "parent_span_id": true}

// appendMessage appends m, its fields in the order of their definition.
func appendMessage(dst []byte, m protoreflect.Message) []byte {
	dst = append(dst, '{')
	begin := len(dst)
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, field.JSONName()...)
		dst = append(dst, `":`...)
		value := m.Get(field)
		if !field.IsList() {
			dst = appendValue(dst, field, value)
			continue
		}
		list := value.List()
		for i := range list.Len() {
			dst = append(dst, ",["[b2i(i == 0)])
			dst = appendValue(dst, field, list.Get(i))
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func appendValue(dst []byte, field protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return appendMessage(dst, v.Message())
	case protoreflect.StringKind:
		return appendString(dst, v.String())
	case protoreflect.BytesKind:
		dst = append(dst, '"')
		if isID[field.Name()] {
			dst = hex.AppendEncode(dst, v.Bytes())
		} else {
			dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
		}
		return append(dst, '"')
	case protoreflect.EnumKind:
		return strconv.AppendInt(dst, int64(v.Enum()), 10)
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, v.Bool())
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return appendFloat(dst, v.Float())
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return append(strconv.AppendInt(append(dst, '"'), v.Int(), 10), '"')
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return append(strconv.AppendUint(append(dst, '"'), v.Uint(), 10), '"')
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return strconv.AppendUint(dst, v.Uint(), 10)
	default:
		return strconv.AppendInt(dst, v.Int(), 10)
	}
}

// appendFloat appends f as JSON's form of protobuf has it: what JSON has no number for is text.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

func appendString(dst []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return append(append(append(dst, '"'), s...), '"')
	}
	text, err := json.Marshal(s)
	if err != nil { // a string always has a form
		return append(dst, `""`...)
	}
	return append(dst, text...)
}
