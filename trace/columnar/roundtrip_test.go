package columnar

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
)

// failer is what roundTrip needs of a test.
type failer interface{ Fatalf(string, ...any) }

// roundTrip encodes values and compares what comes back, in order and backwards; then once more with the
// page for a primer. It returns the page.
func roundTrip(t failer, keys [][16]byte, values [][]byte) []byte {
	var e Encoder
	encoded, err := e.Append(nil, keys, values)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	compare(t, encoded, nil, keys, values)
	primer, err := NewPrimer(encoded)
	if err != nil {
		t.Fatalf("NewPrimer: %v", err)
	}
	e.Primer = primer
	prefix := []byte("prefix")
	primed, err := e.Append(prefix, keys, values)
	if err != nil || !bytes.HasPrefix(primed, prefix) {
		t.Fatalf("Append to %q with a primer is %.20q: %v", prefix, primed, err)
	}
	compare(t, primed[len(prefix):], primer, keys, values)
	e.Primer = nil
	if _, _, err := Keys(primed[len(prefix):]); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("Keys of a page that was made with a primer: %v", err)
	}
	told, size, err := Keys(encoded)
	if err != nil || !bytes.Equal(told, slices.Concat(flat(keys)...)) || size != len(slices.Concat(values...)) {
		t.Fatalf("Keys: %x, values of %d bytes, %v", told, size, err)
	}
	if again, _ := e.Append(nil, keys, values); !bytes.Equal(again, encoded) {
		t.Fatalf("a used Encoder makes another page")
	}
	return encoded
}

func flat(keys [][16]byte) (parts [][]byte) {
	for i := range keys {
		parts = append(parts, keys[i][:])
	}
	return parts
}

func compare(t failer, encoded []byte, primer *Primer, keys [][16]byte, values [][]byte) {
	var p Page
	if err := p.Parse(encoded, primer); err != nil {
		t.Fatalf("Parse: %v", err)
	}
	if p.Len() != len(values) {
		t.Fatalf("Len is %d, want %d", p.Len(), len(values))
	}
	check := func(i int) {
		got, err := p.Value([]byte("prefix"), i)
		if err != nil {
			t.Fatalf("Value(%d): %v", i, err)
		}
		if string(got) != "prefix"+string(values[i]) {
			t.Fatalf("value %d\n got %x\nwant %x", i, got[len("prefix"):], values[i])
		}
		if p.Key(i) != keys[i] {
			t.Fatalf("key %d is %x, want %x", i, p.Key(i), keys[i])
		}
	}
	for i := range values {
		check(i)
	}
	for i := len(values) - 1; i >= max(0, len(values)-3); i-- {
		check(i)
	}
}

func TestWorkloadRoundTrip(t *testing.T) {
	for _, page := range shop(t, 400).pages(256 << 10) {
		roundTrip(t, page.keys, page.values)
	}
}

// A world is a small set of bytes to draw from, so that things repeat.
type world struct{ t *rapid.T }

func (w world) n(limit int) int { return rapid.IntRange(0, limit-1).Draw(w.t, "n") }

func (w world) often() bool { return w.n(4) > 0 }

func (w world) text() string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "GET /", "user-1", "user-2", "user-0002", "\x01", "x\x03y", "10.0.0.1", "é",
			"6b1f3c1e-8a0e-4d0a-9d3f-6f1de1a0c2b7", "6b1f3c1e-8a0e-4d0a-9d3f-6f1de1a0c2b", "deadbeef01", "99999999999999999999999",
			"18446744073709551615", "9999999999999999999", "pod-5c9b6d7f8-x2x9p"}),
		rapid.String(),
		rapid.StringMatching(`[a-f0-9]{1,40}(-[0-9]{1,25})?`),
	).Draw(w.t, "text")
}

func (w world) bytes(n int) []byte {
	switch w.n(5) {
	case 0:
		return nil
	case 1:
		return rapid.SliceOf(rapid.Byte()).Draw(w.t, "bytes")
	}
	b := make([]byte, n)
	b[0], b[n-1] = byte(w.n(3)), byte(w.n(4))
	return b
}

func (w world) time() uint64 {
	if w.often() {
		return 1_700_000_000_000_000_000 + uint64(rapid.IntRange(0, 1e9).Draw(w.t, "time"))
	}
	return rapid.Uint64().Draw(w.t, "any time")
}

func (w world) value(depth int) *commonv1.AnyValue {
	switch w.n(8) {
	case 0:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: rapid.Int64().Draw(w.t, "int")}}
	case 1:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: w.n(2) == 0}}
	case 2:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_DoubleValue{DoubleValue: rapid.Float64().Draw(w.t, "double")}}
	case 3:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BytesValue{BytesValue: w.bytes(9)}}
	case 4:
		if depth > 0 {
			return &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: &commonv1.ArrayValue{Values: []*commonv1.AnyValue{w.value(depth - 1)}}}}
		}
		return &commonv1.AnyValue{}
	case 5:
		if depth > 0 {
			return &commonv1.AnyValue{Value: &commonv1.AnyValue_KvlistValue{KvlistValue: &commonv1.KeyValueList{Values: w.attributes(depth - 1)}}}
		}
		return nil
	}
	return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: w.text()}}
}

func (w world) attributes(depth int) (all []*commonv1.KeyValue) {
	for range w.n(5) {
		all = append(all, &commonv1.KeyValue{Key: w.text(), Value: w.value(depth)})
	}
	return all
}

func (w world) span(key []byte) *tracev1.Span {
	s := &tracev1.Span{
		TraceId: key, SpanId: w.bytes(8), ParentSpanId: w.bytes(8), Name: w.text(), TraceState: w.text(),
		Kind: tracev1.Span_SpanKind(w.n(6)), StartTimeUnixNano: w.time(), EndTimeUnixNano: w.time(), Flags: uint32(w.n(3)),
		Attributes: w.attributes(2), DroppedAttributesCount: uint32(w.n(2)), DroppedEventsCount: uint32(w.n(300)), DroppedLinksCount: uint32(w.n(2)),
	}
	if !w.often() {
		s.TraceId = w.bytes(16)
	}
	for range w.n(3) {
		s.Events = append(s.Events, &tracev1.Span_Event{TimeUnixNano: w.time(), Name: w.text(), Attributes: w.attributes(1), DroppedAttributesCount: uint32(w.n(2))})
	}
	for range w.n(3) {
		s.Links = append(s.Links, &tracev1.Span_Link{TraceId: w.bytes(16), SpanId: w.bytes(8), TraceState: w.text(), Attributes: w.attributes(1), Flags: uint32(w.n(3))})
	}
	if w.often() {
		s.Status = &tracev1.Status{Code: tracev1.Status_StatusCode(w.n(3)), Message: w.text()}
	}
	return s
}

func (w world) resource(key []byte) *tracev1.ResourceSpans {
	r := &tracev1.ResourceSpans{SchemaUrl: w.text()}
	if w.often() {
		r.Resource = &resourcev1.Resource{Attributes: w.attributes(1), DroppedAttributesCount: uint32(w.n(2))}
	}
	for range w.n(3) {
		s := &tracev1.ScopeSpans{SchemaUrl: w.text()}
		if w.often() {
			s.Scope = &commonv1.InstrumentationScope{Name: w.text(), Version: w.text(), Attributes: w.attributes(1)}
		}
		for range w.n(4) {
			s.Spans = append(s.Spans, w.span(key))
		}
		r.ScopeSpans = append(r.ScopeSpans, s)
	}
	return r
}

func (w world) trace(key []byte) []byte {
	data := &tracev1.TracesData{}
	for range w.n(4) {
		data.ResourceSpans = append(data.ResourceSpans, w.resource(key))
	}
	b, err := proto.Marshal(data)
	if err != nil {
		w.t.Skip(err)
	}
	return b
}

// mangle returns another encoding of a message: fields moved, doubled, cut, unknown or not minimal.
func (w world) mangle(b []byte, depth int) []byte {
	var fields [][]byte
	for len(b) > 0 {
		_, _, n := protowire.ConsumeField(b)
		if n <= 0 {
			return b
		}
		field := b[:n]
		b = b[n:]
		if num, typ, k := protowire.ConsumeTag(field); typ == protowire.BytesType && depth > 0 && w.n(2) == 0 {
			inner, _ := protowire.ConsumeBytes(field[k:])
			field = protowire.AppendBytes(protowire.AppendTag(nil, num, typ), w.mangle(inner, depth-1))
		}
		fields = append(fields, field)
	}
	for range w.n(3) {
		if len(fields) == 0 {
			break
		}
		i, j := w.n(len(fields)), w.n(len(fields))
		switch w.n(7) {
		case 0:
			fields[i], fields[j] = fields[j], fields[i]
		case 1:
			fields = append(fields, fields[i])
		case 2:
			fields = append(fields, protowire.AppendVarint(protowire.AppendTag(nil, 1234, protowire.VarintType), 77))
		case 3:
			fields = append(fields, protowire.AppendTag(protowire.AppendTag(nil, 99, protowire.StartGroupType), 99, protowire.EndGroupType))
		case 4: // length or number longer than it needs be
			if _, typ, k := protowire.ConsumeTag(fields[i]); k > 0 && (typ == protowire.BytesType || typ == protowire.VarintType) {
				v, n := protowire.ConsumeVarint(fields[i][k:])
				if n < 0 {
					continue
				}
				long := protowire.AppendVarint(bytes.Clone(fields[i][:k]), v)
				long[len(long)-1] |= 0x80
				fields[i] = append(append(long, 0), fields[i][k+n:]...)
			}
		case 5:
			fields[i] = fields[i][:w.n(len(fields[i])+1)]
		case 6:
			fields = append(fields, protowire.AppendFixed64(protowire.AppendTag(nil, protowire.Number(1+w.n(20)), protowire.Fixed64Type), 7))
		}
	}
	return bytes.Join(fields, nil)
}

func TestAnyTracesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{t}
		var keys [][16]byte
		var values [][]byte
		for i := range w.n(5) {
			key := [16]byte{byte(i), 15: 1}
			v := w.trace(key[:])
			if w.n(2) == 0 {
				v = w.mangle(v, 5)
			}
			keys, values = append(keys, key), append(values, v)
		}
		roundTrip(t, keys, values)
	})
}
