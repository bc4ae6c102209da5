package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// recordingSink keeps all that Index shows it.
type recordingSink struct {
	groups map[string]modelTerms // by identity
	rows   []recordedRow
	group  string
}

type recordedRow struct {
	Group           modelTerms
	Start, Duration int64
	Terms           modelTerms
}

func (s *recordingSink) Group(identity []byte) bool {
	s.group = string(identity)
	if s.groups[s.group] != nil {
		return true
	}
	if s.groups == nil {
		s.groups = map[string]modelTerms{}
	}
	s.groups[s.group] = modelTerms{}
	return false
}

func (s *recordingSink) GroupTerm(field, value []byte) {
	s.groups[s.group][[2]string{string(field), string(value)}] = true
}

func (s *recordingSink) Row(start, duration int64) {
	s.rows = append(s.rows, recordedRow{s.groups[s.group], start, duration, modelTerms{}})
}

func (s *recordingSink) Term(field, value []byte) {
	s.rows[len(s.rows)-1].Terms[[2]string{string(field), string(value)}] = true
}

func TestIndexListsWhatTheModelLists(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawData(t)
		var got recordingSink
		if err := Index(b, &got); err != nil {
			t.Fatal(err)
		}
		var want []recordedRow
		for _, rs := range unmarshal(t, b).ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, span := range ss.Spans {
					want = append(want, recordedRow{
						modelGroupTerms(rs, ss), int64(span.StartTimeUnixNano), int64(span.EndTimeUnixNano - span.StartTimeUnixNano),
						modelRowTerms(modelService(rs), span),
					})
				}
			}
		}
		if diff := cmp.Diff(want, got.rows); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// identities lists the identities of the groups that are shown.
type identities struct {
	countingSink
	list []string
}

func (s *identities) Group(identity []byte) bool {
	s.list = append(s.list, string(identity))
	return true
}

func TestAGroupIsWhatResourceAndScopeHoldBesidesSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawData(t)
		var got identities
		if err := Index(b, &got); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, rs := range rawFields(b) {
			resource, scopes := rawRest(rs.content)
			for _, ss := range scopes {
				if scope, spans := rawRest(ss.content); len(spans) > 0 {
					prefix := binary.AppendUvarint(nil, uint64(len(resource)))
					want = append(want, string(slices.Concat(prefix, resource, scope)))
				}
			}
		}
		if diff := cmp.Diff(want, got.list); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

type rawField struct {
	number       protowire.Number
	content, raw []byte
}

func rawFields(b []byte) (fields []rawField) {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(number, wire, b[n:])
		f := rawField{number: number, raw: b[:n+size]}
		if wire == protowire.BytesType {
			f.content, _ = protowire.ConsumeBytes(b[n:])
		}
		fields = append(fields, f)
		b = b[n+size:]
	}
	return fields
}

func rawRest(b []byte) (rest []byte, children []rawField) {
	for _, f := range rawFields(b) {
		if f.number == 2 {
			children = append(children, f)
		} else {
			rest = append(rest, f.raw...)
		}
	}
	return rest, children
}

func TestKnownGroupsAreNotListedAgain(t *testing.T) {
	data, spans := shopTrace(newRand(1))
	sink := &countingSink{known: true}
	if err := Index(marshal(data), sink); err != nil || sink.rows != spans {
		t.Fatal(sink.rows, err)
	}
	withGroups := &countingSink{}
	if err := Index(marshal(data), withGroups); err != nil || withGroups.terms <= sink.terms+12*len(data.ResourceSpans) {
		t.Fatalf("%d terms with groups, %d without, error %v", withGroups.terms, sink.terms, err)
	}
}

// indexed returns the terms of a span with the given attributes.
func indexed(t *testing.T, span *tracev1.Span) modelTerms {
	t.Helper()
	var sink recordingSink
	if err := Index(requestOf(marshal(span)), &sink); err != nil {
		t.Fatal(err)
	}
	return sink.rows[0].Terms
}

func TestAttributesAreFoundByWhatJaegerComparesThemWith(t *testing.T) {
	any := func(v *commonv1.AnyValue) *commonv1.KeyValue { return &commonv1.KeyValue{Key: "k", Value: v} }
	for _, test := range []struct {
		attribute *commonv1.KeyValue
		want      []string
	}{
		{text("k", "as is"), []string{"as is"}},
		{boolean("k", true), []string{"true"}},
		{boolean("k", false), []string{"false"}},
		{integer("k", -123), []string{"-123"}},
		{double("k", 123), []string{"123"}},
		{double("k", 0.25), []string{"0.25"}},
		{double("k", 1234567), []string{"1.234567e+06", "1234567"}},
		{double("k", 1700000000.123), []string{"1.700000000123e+09", "1700000000", "1700000000.123"}},
		{double("k", 1e300), []string{"1e+300"}},
		{any(&commonv1.AnyValue{Value: &commonv1.AnyValue_BytesValue{BytesValue: []byte{0xAB, 1}}}), []string{"ab01"}},
		{any(&commonv1.AnyValue{}), []string{""}},
		{any(nil), []string{""}},
		{any(&commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: &commonv1.ArrayValue{Values: []*commonv1.AnyValue{
			text("", "a").Value, integer("", 1).Value, double("", 2.5).Value, {},
		}}}}), []string{`["a",1,2.5,null]`}},
	} {
		var got []string
		for term := range indexed(t, &tracev1.Span{Attributes: []*commonv1.KeyValue{test.attribute}}) {
			if term[0] == string(AppendField(nil, "k", SpaceSpan)) {
				got = append(got, term[1])
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.attribute, diff)
		}
	}
}

func TestADoubleIsFoundByEachFormAQueryAsksFor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := drawDouble(rt)
		terms := indexed(t, &tracev1.Span{Attributes: []*commonv1.KeyValue{double("k", v)}})
		for _, form := range DoubleForms(v) {
			if !terms[[2]string{"ks", form}] {
				rt.Fatalf("%v is not indexed as %q", v, form)
			}
		}
		if n := int64(v); float64(n) == v && n < 1<<53 && n > -1<<53 && !slices.Contains(DoubleForms(v), fmt.Sprint(n)) {
			rt.Fatalf("a query for %v does not find the integer", v)
		}
	})
}

func TestAttributesStandAboveTheTagsThatFieldsMake(t *testing.T) {
	span := &tracev1.Span{
		Kind: tracev1.Span_SPAN_KIND_SERVER, TraceState: "a=b",
		Status: &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR, Message: "no"},
	}
	want := modelTerms{
		{"span.kinds", "server"}: true, {"errors", "true"}: true, {"otel.status_codes", "ERROR"}: true,
		{"otel.status_descriptions", "no"}: true, {"w3c.tracestates", "a=b"}: true,
		{"operationi", string(AppendOperation(nil, "cart", KindServer, ""))}: true,
	}
	if diff := cmp.Diff(want, indexed(t, span)); diff != "" {
		t.Errorf("without attributes (-want +got):\n%s", diff)
	}
	for term := range want {
		key, space, ok := ParseField([]byte(term[0]))
		if !ok {
			continue
		}
		span.Attributes = append(span.Attributes, text(string(key), "other"))
		delete(want, term)
		want[[2]string{string(key) + string(space), "other"}] = true
	}
	want[[2]string{"otel.status_descriptionh", "no"}], want[[2]string{"w3c.tracestateh", "a=b"}] = true, true
	if diff := cmp.Diff(want, indexed(t, span)); diff != "" {
		t.Errorf("with attributes (-want +got):\n%s", diff)
	}
}

func TestLongValuesAreCutAlikeInIndexAndQuery(t *testing.T) {
	long := strings.Repeat("y", 300)
	terms := indexed(t, &tracev1.Span{Attributes: []*commonv1.KeyValue{text("k", long)}, Name: long})
	if !terms[[2]string{"ks", string(AppendValueTerm(nil, long))}] {
		t.Error("the value's term is missing")
	}
	if !terms[[2]string{string(FieldOperation), string(AppendOperation(nil, "cart", 0, long))}] {
		t.Error("the operation is not whole")
	}
	for n := range 600 {
		value := strings.Repeat("x", n)
		term := AppendValueTerm([]byte("pre"), value)[3:]
		if !bytes.Equal(term, AppendValueTerm(nil, []byte(value))) {
			t.Fatalf("length %d: a string and its bytes have different terms", n)
		}
		if whole := n < MaxValueTerm; whole != (string(term) == value) || whole != (len(term) < MaxValueTerm) || len(term) > MaxValueTerm {
			t.Fatalf("length %d: term of %d bytes", n, len(term))
		}
	}
	if a, b := AppendValueTerm(nil, long+"a"), AppendValueTerm(nil, long+"b"); bytes.Equal(a, b) || !bytes.Equal(a[:240], b[:240]) {
		t.Error("long values that differ at the end must differ in their hash alone")
	}
}

func TestOperationsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		service, name := rapid.String().Draw(t, "service"), rapid.String().Draw(t, "name")
		kind := Kind(rapid.Int32Range(0, 5).Draw(t, "kind"))
		value := AppendOperation(nil, service, kind, name)
		s, k, n, err := ParseOperation(value)
		if err != nil || s != service || k != kind || n != name {
			t.Fatal(s, k, n, err)
		}
		if !bytes.HasPrefix(value, AppendOperationPrefix(nil, service)) || !bytes.HasPrefix(value, AppendOperationPrefix(nil, service, kind)) {
			t.Fatal("prefix")
		}
		if other := rapid.String().Draw(t, "other"); other != service && bytes.HasPrefix(value, AppendOperationPrefix(nil, other)) {
			t.Fatalf("an operation of %q has the prefix of %q", service, other)
		}
	})
	for _, bad := range []string{"", "\x01", "\x01a", "\x01a\x06", "\x05a\x01", "\x80", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if _, _, _, err := ParseOperation([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestIntrinsicFieldsAreNoAttributes(t *testing.T) {
	for _, f := range [][]byte{FieldService, FieldOperation} {
		if _, _, ok := ParseField(f); ok {
			t.Errorf("%q reads as the field of an attribute", f)
		}
	}
	for _, space := range Spaces {
		if key, got, ok := ParseField(AppendField(nil, "servicei", space)); !ok || got != space || string(key) != "servicei" {
			t.Errorf("space %c: %q %c %v", space, key, got, ok)
		}
	}
	if _, _, ok := ParseField(nil); ok {
		t.Error("nothing reads as a field")
	}
}

func TestAValueInManyPartsIsReadInLinearTime(t *testing.T) {
	part := field(5, field(1, field(1, nil)))
	span := field(9, append(field(1, []byte("k")), field(2, bytes.Repeat(part, 200_000))...))
	var sink recordingSink
	if err := Index(requestOf(span), &sink); err != nil || len(sink.rows) != 1 {
		t.Fatal(err)
	}
}
