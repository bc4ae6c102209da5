package trace

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// The models here say with the generated types, and without regard to speed, what the package does on the
// wire. Data for them is drawn field by field, so that it has what protobuf allows and libraries never
// write: fields in any order, singular fields twice, messages in parts, unknown fields, groups.

func drawOneOf[T any](t *rapid.T, label string, of ...T) T {
	return rapid.SampledFrom(of).Draw(t, label)
}

func drawText(t *rapid.T) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "true", "OK", "checkout", "<a href=\"x\">&\u2028\x00\x1f\b\f\n\r\t\\é日本"}),
		rapid.StringN(0, 20, 60),
		rapid.Map(rapid.IntRange(200, 600), func(n int) string { return strings.Repeat("x", n) }),
	).Draw(t, "text")
}

func drawKey(t *rapid.T) string {
	return drawOneOf(t, "key", "service.name", "span.kind", "error", "otel.status_code", "otel.status_description",
		"w3c.tracestate", "event", "@jaeger@", "@jaeger@flags", "@jaeger", "a", "b", "", "http.request.header.é")
}

func drawDouble(t *rapid.T) float64 {
	return rapid.OneOf(
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 123, 1234567, 1 << 53, 1e21, 1e-7, 0.1, 1.0 / 3, 1700000000.123,
			math.NaN(), math.Inf(1), math.Inf(-1), -5e-324, math.MaxFloat64}),
		rapid.Float64(),
	).Draw(t, "double")
}

func drawValue(t *rapid.T, depth int) *commonv1.AnyValue {
	kind := rapid.IntRange(0, 8).Draw(t, "type of value")
	if depth == 0 {
		kind %= 6
	}
	switch kind {
	case 0:
		return &commonv1.AnyValue{}
	case 1:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: drawText(t)}}
	case 2:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: rapid.Bool().Draw(t, "bool")}}
	case 3:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: rapid.Int64().Draw(t, "int")}}
	case 4:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_DoubleValue{DoubleValue: drawDouble(t)}}
	case 5:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BytesValue{BytesValue: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes")}}
	case 6:
		array := &commonv1.ArrayValue{}
		for range rapid.IntRange(0, 3).Draw(t, "values") {
			array.Values = append(array.Values, drawValue(t, depth-1))
		}
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: array}}
	case 7:
		list := &commonv1.KeyValueList{}
		for range rapid.IntRange(0, 3).Draw(t, "entries") {
			list.Values = append(list.Values, &commonv1.KeyValue{Key: drawKey(t), Value: drawValue(t, depth-1)})
		}
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_KvlistValue{KvlistValue: list}}
	default:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValueStrindex{StringValueStrindex: 1}}
	}
}

// drawUnknown draws fields that no message of OTLP knows.
func drawUnknown(t *rapid.T) []byte {
	number := protowire.Number(drawOneOf(t, "unknown field", 17, 99, 1<<29-1))
	switch rapid.IntRange(0, 4).Draw(t, "unknown type") {
	case 0:
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), rapid.Uint64().Draw(t, "v"))
	case 1:
		return protowire.AppendFixed32(protowire.AppendTag(nil, number, protowire.Fixed32Type), 7)
	case 2:
		return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), 7)
	case 3:
		return field(number, rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "b"))
	default:
		b := protowire.AppendTag(nil, number, protowire.StartGroupType)
		b = append(b, field(1, nil)...)
		return protowire.AppendTag(b, number, protowire.EndGroupType)
	}
}

// field returns a field that holds bytes.
func field(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

func drawAttribute(t *rapid.T) []byte {
	kv := &commonv1.KeyValue{Key: drawKey(t), Value: drawValue(t, 2)}
	switch rapid.IntRange(0, 9).Draw(t, "form of attribute") {
	case 0: // in two parts
		return append(marshal(kv), marshal(&commonv1.KeyValue{Key: drawKey(t), Value: drawValue(t, 2)})...)
	case 1: // a value in three parts
		value := slices.Concat(marshal(kv.Value), marshal(drawValue(t, 2)), marshal(drawValue(t, 2)))
		return append(field(2, value), field(1, []byte(kv.Key))...)
	case 2:
		return append(drawUnknown(t), marshal(kv)...)
	default:
		return marshal(kv)
	}
}

// drawFields draws a message: fields in any order.
func drawFields(t *rapid.T, label string, fields ...[]byte) []byte {
	if rapid.IntRange(0, 4).Draw(t, "unknown in "+label) == 0 {
		fields = append(fields, drawUnknown(t))
	}
	if rapid.Bool().Draw(t, "shuffle "+label) {
		fields = rapid.Permutation(fields).Draw(t, label)
	}
	return slices.Concat(fields...)
}

func drawAttributes(t *rapid.T, number protowire.Number) (fields [][]byte) {
	for range rapid.IntRange(0, 4).Draw(t, "attributes") {
		fields = append(fields, field(number, drawAttribute(t)))
	}
	return fields
}

func drawResource(t *rapid.T) []byte {
	fields := drawAttributes(t, 1)
	if rapid.Bool().Draw(t, "has service") {
		name := &commonv1.KeyValue{Key: "service.name", Value: drawValue(t, 1)}
		if rapid.Bool().Draw(t, "plain service") {
			name = text("service.name", drawOneOf(t, "service", "cart", "checkout", "frontend", "x"))
		}
		fields = append([][]byte{field(1, marshal(name))}, fields...)
	}
	return drawFields(t, "resource", append(fields, field(3, field(1, []byte("schema"))))...)
}

func drawScope(t *rapid.T) []byte {
	return drawFields(t, "scope", append(drawAttributes(t, 3),
		field(1, []byte(drawOneOf(t, "name", "", "lib"))), field(2, []byte(drawOneOf(t, "version", "", "1"))))...)
}

var drawnIDs = [][]byte{[]byte("\x00\x00\x00\x00\x00\x00\x00\x01"), []byte("\x00\x00\x00\x00\x00\x00\x00\x02"), []byte("spanid-3"), []byte("spanid-4")}

func drawSpan(t *rapid.T) []byte {
	span := &tracev1.Span{
		TraceId: []byte(drawOneOf(t, "trace", "trace-id-number1", "trace-id-number2", "trace-id-number3")),
		SpanId:  rapid.SampledFrom(drawnIDs).Draw(t, "span ID"),
		Name:    drawText(t), TraceState: drawOneOf(t, "state", "", "a=b"),
		Kind:              tracev1.Span_SpanKind(rapid.Int32Range(-1, 6).Draw(t, "kind")),
		StartTimeUnixNano: drawOneOf[uint64](t, "start", 0, 1, 5, 1_700_000_000_000_000_000, math.MaxUint64),
		EndTimeUnixNano:   drawOneOf[uint64](t, "end", 0, 7, 1_700_000_000_000_000_001), Flags: 0x101,
	}
	switch rapid.IntRange(0, 3).Draw(t, "parent") {
	case 0:
		span.ParentSpanId = rapid.SampledFrom(drawnIDs).Draw(t, "parent ID")
	case 1:
		span.ParentSpanId = []byte(drawOneOf(t, "other parent", "parent-1", "parent-2", strings.Repeat("\x00", 8)))
	}
	fields := [][]byte{marshal(span)}
	if rapid.Bool().Draw(t, "twice") {
		fields = append(fields, marshal(&tracev1.Span{Name: drawText(t), Kind: tracev1.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: 3}))
	}
	if rapid.IntRange(0, 5).Draw(t, "enums of 64 bits") == 0 { // of which protobuf takes 32
		wide := protowire.AppendTag(nil, 6, protowire.VarintType)
		wide = protowire.AppendVarint(wide, 7<<32|uint64(rapid.IntRange(0, 6).Draw(t, "wide kind")))
		status := protowire.AppendTag(nil, 3, protowire.VarintType)
		status = protowire.AppendVarint(status, 7<<32|uint64(rapid.IntRange(0, 3).Draw(t, "wide code")))
		fields = append(fields, wide, field(15, status))
	}
	fields = append(fields, drawAttributes(t, 9)...)
	for range rapid.IntRange(0, 2).Draw(t, "statuses") {
		fields = append(fields, field(15, marshal(&tracev1.Status{
			Code: tracev1.Status_StatusCode(rapid.Int32Range(0, 3).Draw(t, "code")), Message: drawOneOf(t, "message", "", "no"),
		})))
	}
	for range rapid.IntRange(0, 2).Draw(t, "events") {
		event := append(drawAttributes(t, 3), field(2, []byte(drawText(t))))
		fields = append(fields, field(11, drawFields(t, "event", event...)))
	}
	if rapid.Bool().Draw(t, "link") {
		fields = append(fields, field(13, drawFields(t, "link", append(drawAttributes(t, 4), field(3, []byte("a=b")))...)))
	}
	return drawFields(t, "span", fields...)
}

// drawData draws a request without anything to refuse.
func drawData(t *rapid.T) []byte {
	resources := rapid.SliceOfN(rapid.Custom(drawResource), 1, 3).Draw(t, "resources")
	scopes := rapid.SliceOfN(rapid.Custom(drawScope), 1, 2).Draw(t, "scopes")
	spans := rapid.SliceOfN(rapid.Custom(drawSpan), 1, 12).Draw(t, "spans")
	schema := func() []byte { return field(3, []byte(drawOneOf(t, "schema", "", "v1", "v2"))) }
	var data [][]byte
	for range rapid.IntRange(0, 4).Draw(t, "ResourceSpans") {
		below := [][]byte{schema()}
		for range rapid.IntRange(0, 2).Draw(t, "parts of resource") {
			below = append(below, field(1, rapid.SampledFrom(resources).Draw(t, "resource")))
		}
		for range rapid.IntRange(0, 3).Draw(t, "ScopeSpans") {
			inner := [][]byte{schema()}
			for range rapid.IntRange(0, 2).Draw(t, "parts of scope") {
				inner = append(inner, field(1, rapid.SampledFrom(scopes).Draw(t, "scope")))
			}
			for range rapid.IntRange(0, 5).Draw(t, "Spans") {
				inner = append(inner, field(2, rapid.SampledFrom(spans).Draw(t, "span")))
			}
			below = append(below, field(2, drawFields(t, "ScopeSpans", inner...)))
		}
		data = append(data, field(1, drawFields(t, "ResourceSpans", below...)))
	}
	return slices.Concat(data...)
}

func unmarshal(t interface{ Fatalf(string, ...any) }, b []byte) *tracev1.TracesData {
	var data tracev1.TracesData
	if err := proto.Unmarshal(b, &data); err != nil {
		t.Fatalf("proto.Unmarshal: %v\n%x", err, b)
	}
	return &data
}

// modelSpan is a span with what it stands below.
type modelSpan struct{ trace, resource, scope, span string }

// modelSpans lists the spans of data, each with all that its ResourceSpans and its ScopeSpans hold besides.
func modelSpans(data *tracev1.TracesData) (spans []modelSpan) {
	for _, rs := range data.ResourceSpans {
		resource := proto.CloneOf(rs)
		resource.ScopeSpans = nil
		for _, ss := range rs.ScopeSpans {
			scope := proto.CloneOf(ss)
			scope.Spans = nil
			for _, span := range ss.Spans {
				spans = append(spans, modelSpan{string(span.TraceId), string(marshal(resource)), string(marshal(scope)), string(marshal(span))})
			}
		}
	}
	return spans
}

// sorted returns spans as a multiset, in an order of its own; distinct, as a set.
func sorted(spans []modelSpan) []modelSpan {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b modelSpan) int { return strings.Compare(fmt.Sprintf("%q", a), fmt.Sprintf("%q", b)) })
	return spans
}

func distinct(spans []modelSpan) []modelSpan { return slices.Compact(sorted(spans)) }

// modelRaw is a value as OpenTelemetry's AsRaw gives it.
func modelRaw(v *commonv1.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonv1.AnyValue_StringValue:
		return v.StringValue
	case *commonv1.AnyValue_BoolValue:
		return v.BoolValue
	case *commonv1.AnyValue_IntValue:
		return v.IntValue
	case *commonv1.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonv1.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(v.BytesValue)
	case *commonv1.AnyValue_ArrayValue:
		array := []any{}
		for _, v := range v.ArrayValue.GetValues() {
			array = append(array, modelRaw(v))
		}
		return array
	case *commonv1.AnyValue_KvlistValue:
		object := map[string]any{}
		for _, kv := range v.KvlistValue.GetValues() {
			object[kv.Key] = modelRaw(kv.Value)
		}
		return object
	default:
		return nil
	}
}

// modelForms lists the strings as which a value is indexed, the main one first.
func modelForms(v *commonv1.AnyValue) []string {
	switch raw := modelRaw(v).(type) {
	case nil:
		return []string{""}
	case string:
		if b, ok := v.Value.(*commonv1.AnyValue_BytesValue); ok {
			return []string{hex.EncodeToString(b.BytesValue)}
		}
		return []string{raw}
	case bool, int64:
		return []string{fmt.Sprint(raw)}
	case float64:
		forms := []string{strconv.FormatFloat(raw, 'g', -1, 64), strconv.FormatFloat(raw, 'g', 10, 64)}
		switch abs := math.Abs(raw); {
		case abs == 0:
			forms = append(forms, "0")
		case abs >= 1e-6 && abs < 1<<53:
			forms = append(forms, strconv.FormatFloat(raw, 'f', -1, 64))
		}
		return forms
	default:
		b, err := json.Marshal(raw)
		if err != nil {
			return []string{""}
		}
		return []string{string(b)}
	}
}

func modelService(rs *tracev1.ResourceSpans) string {
	for _, kv := range rs.Resource.GetAttributes() {
		if kv.Key == "service.name" {
			return modelForms(kv.Value)[0]
		}
	}
	return ServiceUnknown
}

// modelTerms is a set of terms, each a field and a value.
type modelTerms map[[2]string]bool

func (m modelTerms) add(key string, space byte, value string) {
	m[[2]string{key + string(space), string(AppendValueTerm(nil, value))}] = true
}

func (m modelTerms) attributes(attributes []*commonv1.KeyValue, space byte) {
	for _, kv := range attributes {
		if strings.HasPrefix(kv.Key, "@jaeger@") {
			continue
		}
		for _, form := range modelForms(kv.Value) {
			m.add(kv.Key, space, form)
		}
	}
}

func hasKey(attributes []*commonv1.KeyValue, key string) bool {
	return slices.ContainsFunc(attributes, func(kv *commonv1.KeyValue) bool { return kv.Key == key })
}

func modelGroupTerms(rs *tracev1.ResourceSpans, ss *tracev1.ScopeSpans) modelTerms {
	m := modelTerms{}
	m[[2]string{"servicei", modelService(rs)}] = true
	m.attributes(rs.Resource.GetAttributes(), 'r')
	m.attributes(ss.Scope.GetAttributes(), 'c')
	for _, prefix := range []string{"otel.scope.", "otel.library."} {
		if name := ss.Scope.GetName(); name != "" {
			m.add(prefix+"name", 'c', name)
		}
		if version := ss.Scope.GetVersion(); version != "" {
			m.add(prefix+"version", 'c', version)
		}
	}
	return m
}

func modelRowTerms(service string, span *tracev1.Span) modelTerms {
	m := modelTerms{}
	m[[2]string{"operationi", string(AppendOperation(nil, service, Kind(span.Kind), span.Name))}] = true
	m.attributes(span.Attributes, 's')
	derived := func(key, value string) {
		if value != "" && !hasKey(span.Attributes, key) {
			m.add(key, 's', value)
		}
	}
	if span.Kind > 0 && span.Kind < 6 {
		derived("span.kind", strings.ToLower(strings.TrimPrefix(span.Kind.String(), "SPAN_KIND_")))
	}
	switch span.Status.GetCode() {
	case tracev1.Status_STATUS_CODE_OK:
		derived("otel.status_code", "OK")
	case tracev1.Status_STATUS_CODE_ERROR:
		derived("otel.status_code", "ERROR")
		derived("error", "true")
	}
	for key, value := range map[string]string{"otel.status_description": span.Status.GetMessage(), "w3c.tracestate": span.TraceState} {
		if value != "" && hasKey(span.Attributes, key) {
			m.add(key, 'h', value)
		}
		derived(key, value)
	}
	for _, event := range span.Events {
		m.attributes(event.Attributes, 'e')
		if event.Name == "" {
			continue
		}
		space := byte('e')
		for _, a := range event.Attributes {
			if a.Key != "event" {
				continue
			}
			if a.Value.GetStringValue() == event.Name {
				space = 0 // of the last of them, the same
			} else {
				space = 'h'
			}
		}
		if space != 0 {
			m.add("event", space, event.Name)
		}
	}
	return m
}
