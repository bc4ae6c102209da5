package trace

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

func TestSplitKeepsEverySpanWithItsResourceAndScope(t *testing.T) {
	var s Splitter
	rapid.Check(t, func(t *rapid.T) {
		request := drawData(t)
		if rapid.IntRange(0, 5).Draw(t, "unknown at the top") == 0 {
			request = append(request, drawUnknown(t)...)
		}
		before := bytes.Clone(request)
		fragments, rejected, err := s.Split(request)
		if err != nil || rejected != (Rejected{}) {
			t.Fatalf("refused %+v, error %v\n%x", rejected, err, request)
		}
		if !bytes.Equal(request, before) {
			t.Fatal("the request was modified")
		}
		all := modelSpans(unmarshal(t, request))
		var order []string
		for _, span := range all {
			if !slices.Contains(order, span.trace) {
				order = append(order, span.trace)
			}
		}
		if len(fragments) != len(order) {
			t.Fatalf("%d fragments, want %d", len(fragments), len(order))
		}
		for n, f := range fragments {
			if string(f.TraceID[:]) != order[n] {
				t.Fatalf("fragment %d is of trace %s, want %x: first appearance gives the order", n, f.TraceID, order[n])
			}
			var want []modelSpan
			for _, span := range all {
				if span.trace == order[n] {
					want = append(want, span)
				}
			}
			data := unmarshal(t, f.Data)
			if diff := cmp.Diff(want, modelSpans(data), cmp.AllowUnexported(modelSpan{})); diff != "" {
				t.Fatalf("fragment %d (-want +got):\n%s", n, diff)
			}
			if len(want) != f.Spans {
				t.Fatalf("fragment %d says %d spans, has %d", n, f.Spans, len(want))
			}
			if len(data.ProtoReflect().GetUnknown()) > 0 {
				t.Fatal("unknown field of the request in a fragment")
			}
			for _, rs := range data.ResourceSpans {
				for _, ss := range rs.ScopeSpans {
					if len(ss.Spans) == 0 {
						t.Fatal("scope without spans in a fragment")
					}
				}
				if len(rs.ScopeSpans) == 0 {
					t.Fatal("resource without spans in a fragment")
				}
			}
		}
	})
}

func TestSplitThenMergeGivesTheSpansBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Splitter
		var pieces [][]byte
		request := drawData(t)
		fragments, _, err := s.Split(request)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fragments {
			pieces = append(pieces, bytes.Clone(f.Data))
		}
		merged, err := Merge(nil, pieces...)
		if err != nil {
			t.Fatal(err)
		}
		// Merge tells spans apart by their bytes, the model by what they say; so the model merges first.
		direct, err := Merge(nil, request)
		if err != nil {
			t.Fatal(err)
		}
		want, got := sorted(modelSpans(unmarshal(t, direct))), sorted(modelSpans(unmarshal(t, merged)))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(modelSpan{})); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestSplitDoesNotCopyARequestOfOneTrace(t *testing.T) {
	request := marshal(shopBatch(newRand(1), 1, 5))
	var s Splitter
	fragments, _, err := s.Split(request)
	if err != nil || len(fragments) != 1 || &fragments[0].Data[0] != &request[0] || fragments[0].Spans != 5 {
		t.Fatalf("%v, error %v", fragments, err)
	}
}

func TestSplitDropsWhatHoldsNoSpan(t *testing.T) {
	good := requestOf(marshal(goodSpan("good----")))
	for name, extra := range map[string][]byte{
		"unknown field of the request": field(99, []byte("x")),
		"resource without scopes":      field(1, field(3, []byte("schema"))),
		"scope without spans":          field(1, field(2, field(3, []byte("schema")))),
	} {
		var s Splitter
		fragments, rejected, err := s.Split(append(bytes.Clone(extra), good...))
		if err != nil || rejected.Spans != 0 || len(fragments) != 1 || !bytes.Equal(fragments[0].Data, good) {
			t.Errorf("%s: %x, rejected %+v, error %v", name, fragments, rejected, err)
		}
	}
}

func TestSplitAcceptsIDsThatAreZeroInPart(t *testing.T) {
	for _, id := range []ID{{0: 1}, {7: 1}, {8: 1}, {15: 1}} {
		span := goodSpan("good----")
		span.TraceId = id[:]
		span.ParentSpanId = make([]byte, 8)
		var s Splitter
		fragments, rejected, err := s.Split(requestOf(marshal(span)))
		if err != nil || rejected.Spans != 0 || len(fragments) != 1 || fragments[0].TraceID != id {
			t.Errorf("%s: %v, rejected %+v, error %v", id, fragments, rejected, err)
		}
	}
}

// requestOf returns a request of one resource and one scope.
func requestOf(spans ...[]byte) []byte {
	var inner []byte
	for _, span := range spans {
		inner = append(inner, field(2, span)...)
	}
	return field(1, append(field(1, marshal(shopResource("cart"))), field(2, inner)...))
}

func goodSpan(id string) *tracev1.Span {
	return &tracev1.Span{TraceId: []byte("trace-id-number1"), SpanId: []byte(id), Name: "good"}
}

// with returns a span with a field appended.
func with(number protowire.Number, content string) []byte {
	return append(marshal(goodSpan("bad-span")), field(number, []byte(content))...)
}

// nested returns an AnyValue that holds arrays or maps, n deep in all.
func nested(n int, maps bool) *commonv1.AnyValue {
	v := &commonv1.AnyValue{}
	for range n - 1 {
		if maps {
			v = &commonv1.AnyValue{Value: &commonv1.AnyValue_KvlistValue{KvlistValue: &commonv1.KeyValueList{
				Values: []*commonv1.KeyValue{{Key: "k", Value: v}},
			}}}
			continue
		}
		v = &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: &commonv1.ArrayValue{Values: []*commonv1.AnyValue{v}}}}
	}
	return v
}

func TestSplitRefusesABadSpanAlone(t *testing.T) {
	const bad = "\xff"
	attribute := func(value *commonv1.AnyValue) string {
		return string(marshal(&commonv1.KeyValue{Key: "k", Value: value}))
	}
	raw := func(number protowire.Number, content string) string { return string(field(number, []byte(content))) }
	array := func(value string) string { return raw(2, raw(5, raw(1, value))) }
	for _, test := range []struct {
		name string
		span []byte
		want string
	}{
		{"no trace ID", marshal(&tracev1.Span{SpanId: []byte("bad-span")}), "trace ID is not 16 bytes long"},
		{"short trace ID", with(1, "short"), "trace ID is not 16 bytes long"},
		{"zero trace ID", with(1, strings.Repeat("\x00", 16)), "trace ID is zero"},
		{"no span ID", with(2, ""), "span ID is not 8 bytes long"},
		{"long span ID", with(2, "123456789"), "span ID is not 8 bytes long"},
		{"zero span ID", with(2, strings.Repeat("\x00", 8)), "span ID is zero"},
		{"short parent", with(4, "1234567"), "parent span ID is not 8 bytes long"},
		{"trace state", with(3, bad), "trace state is not valid UTF-8"},
		{"name", with(5, bad), "name is not valid UTF-8"},
		{"name that a later one replaces", append(with(5, bad), field(5, []byte("good"))...), "name is not valid UTF-8"},
		{"key", with(9, raw(1, bad)), "attribute key is not valid UTF-8"},
		{"value", with(9, raw(2, raw(1, bad))), "attribute value is not valid UTF-8"},
		{"usual attribute", with(9, raw(1, "k")+raw(2, raw(1, bad))), "attribute value is not valid UTF-8"},
		{"value in an array", with(9, array(raw(1, bad))), "attribute value is not valid UTF-8"},
		{"key in a map", with(9, raw(2, raw(6, raw(1, raw(1, bad))))), "attribute key is not valid UTF-8"},
		{"value in a map in an array", with(9, array(raw(6, raw(1, raw(2, raw(1, bad)))))), "attribute value is not valid UTF-8"},
		{"event name", with(11, raw(2, bad)), "event name is not valid UTF-8"},
		{"event attribute", with(11, raw(3, raw(1, bad))), "attribute key is not valid UTF-8"},
		{"status message", with(15, raw(2, bad)), "status message is not valid UTF-8"},
		{"link's trace state", with(13, raw(3, bad)), "trace state of a link is not valid UTF-8"},
		{"link's attribute", with(13, raw(4, raw(1, bad))), "attribute key is not valid UTF-8"},
		{"arrays 65 deep", with(9, attribute(nested(65, false))), "attribute value is nested too deeply"},
		{"maps 65 deep", with(9, attribute(nested(65, true))), "attribute value is nested too deeply"},
	} {
		t.Run(test.name, func(t *testing.T) {
			first, last := marshal(goodSpan("first---")), marshal(goodSpan("last----"))
			var s Splitter
			fragments, rejected, err := s.Split(requestOf(first, test.span, last))
			if err != nil {
				t.Fatal(err)
			}
			if rejected.Spans != 1 || !strings.Contains(rejected.Reason, test.want) {
				t.Errorf("rejected %+v, want one span for %q", rejected, test.want)
			}
			if len(fragments) != 1 || !bytes.Equal(fragments[0].Data, requestOf(first, last)) {
				t.Errorf("the good spans did not survive: %x", fragments)
			}
		})
	}
}

func TestSplitAcceptsValuesNested64Deep(t *testing.T) {
	for _, maps := range []bool{false, true} {
		span := goodSpan("deep----")
		span.Attributes = []*commonv1.KeyValue{{Key: "k", Value: nested(64, maps)}}
		var s Splitter
		fragments, rejected, err := s.Split(requestOf(marshal(span)))
		if err != nil || rejected.Spans != 0 || len(fragments) != 1 {
			t.Fatalf("maps %v: rejected %+v, error %v", maps, rejected, err)
		}
		if err := Index(fragments[0].Data, &recordingSink{}); err != nil {
			t.Errorf("maps %v: what Split accepts, Index refuses: %v", maps, err)
		}
	}
}

func TestSplitRefusesTheSpansUnderABadResourceOrScope(t *testing.T) {
	good := field(2, field(2, marshal(goodSpan("good----"))))
	badKey := []byte("\x0a\x01\xff")
	for _, test := range []struct {
		name, want string
		group      []byte // the ResourceSpans
	}{
		{"resource", "span 676f6f642d2d2d2d: resource: attribute key is not valid UTF-8", append(field(1, field(1, badKey)), good...)},
		{"resource behind its spans", "resource: attribute key", append(bytes.Clone(good), field(1, field(1, badKey))...)},
		{"schema of the resource", "resource: schema URL is not valid UTF-8", append(field(3, []byte("\xff")), good...)},
		{"entity", "resource: entity reference is not valid UTF-8", append(field(1, field(3, field(4, []byte("\xff")))), good...)},
		{"scope", "scope: attribute key is not valid UTF-8", field(2, append(field(2, marshal(goodSpan("good----"))), field(1, field(3, badKey))...))},
		{"scope's name", "scope: name is not valid UTF-8", field(2, append(field(1, field(1, []byte("\xff"))), field(2, marshal(goodSpan("good----")))...))},
		{"schema of the scope", "scope: schema URL is not valid UTF-8", field(2, append(field(3, []byte("\xff")), field(2, marshal(goodSpan("good----")))...))},
	} {
		t.Run(test.name, func(t *testing.T) {
			other := requestOf(marshal(goodSpan("other---")))
			var s Splitter
			fragments, rejected, err := s.Split(append(field(1, test.group), other...))
			if err != nil {
				t.Fatal(err)
			}
			if rejected.Spans != 1 || !strings.Contains(rejected.Reason, test.want) {
				t.Errorf("rejected %+v, want one span for %q", rejected, test.want)
			}
			if len(fragments) != 1 || !bytes.Equal(fragments[0].Data, other) {
				t.Errorf("the other resource's span did not survive: %x", fragments)
			}
		})
	}
}

func TestSplitNamesTheFirstRefusedSpansAndCountsAll(t *testing.T) {
	bad := func(id string) []byte {
		return marshal(&tracev1.Span{TraceId: []byte("short"), SpanId: []byte(id)})
	}
	var s Splitter
	_, rejected, err := s.Split(requestOf(bad("aaaaaaaa"), bad(""), bad(strings.Repeat("b", 20)), bad("cccccccc"), bad("dddddddd")))
	want := Rejected{Spans: 5, Reason: "span 6161616161616161: trace ID is not 16 bytes long; " +
		"span without ID: trace ID is not 16 bytes long; " +
		"span 62626262626262626262626262626262... (20 bytes): trace ID is not 16 bytes long; and 2 more"}
	if err != nil || rejected != want {
		t.Fatalf("got %+v, %v\nwant %+v", rejected, err, want)
	}
}

func TestSplitRefusesWhatIsNotOTLPWhole(t *testing.T) {
	good := requestOf(marshal(goodSpan("good----")))
	group := func(b []byte) []byte { return append(bytes.Clone(good), field(1, b)...) }
	span := func(b []byte) []byte { return append(bytes.Clone(good), field(1, field(2, field(2, b)))...) }
	n := len(good)
	deepGroup := append(bytes.Repeat([]byte{99<<3&0x7f | 0x80 | 3, 99 >> 4}, 70), bytes.Repeat([]byte{99<<3&0x7f | 0x80 | 4, 99 >> 4}, 70)...)
	for _, test := range []struct {
		name    string
		request []byte
		offset  int
		what    string
	}{
		{"cut in a tag", append(bytes.Clone(good), 0x80), n + 1, faults[faultTruncated]},
		{"cut in a length", append(bytes.Clone(good), 0x0a, 0x80), n + 2, faults[faultTruncated]},
		{"cut in a message", append(bytes.Clone(good), 0x0a, 5, 0), n + 1, faults[faultTruncated]},
		{"one byte missing", append(bytes.Clone(good), 0x0a, 1), n + 1, faults[faultTruncated]},
		{"length of 2^63", append(bytes.Clone(good), "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"...), n + 1, faults[faultTruncated]},
		{"varint of 65 bits", append(bytes.Clone(good), "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"...), n + 1, faults[faultVarint]},
		{"field 0", append(bytes.Clone(good), 0x02, 0), n, faults[faultTag]},
		{"field 2^29", append(bytes.Clone(good), "\x80\x80\x80\x80\x10\x00"...), n, faults[faultTag]},
		{"type 6", append(bytes.Clone(good), 15<<3|6), n + 1, faults[faultType]},
		{"group that nobody began", append(bytes.Clone(good), 15<<3|4), n + 1, faults[faultGroup]},
		{"group that ends as another", append(bytes.Clone(good), 15<<3|3, 14<<3|4), n + 1, faults[faultGroup]},
		{"group without end", append(bytes.Clone(good), 15<<3|3), n + 1, faults[faultTruncated]},
		{"groups too deep", append(bytes.Clone(good), deepGroup...), n + 130, faults[faultGroupDepth]},
		{"ResourceSpans as varint", append(bytes.Clone(good), 1<<3, 1), n + 1, faults[faultKnownType]},
		{"ScopeSpans as varint", group([]byte{2 << 3, 1}), n + 3, faults[faultKnownType]},
		{"start time as varint", span([]byte{7 << 3, 1}), n + 7, faults[faultKnownType]},
		{"kind as bytes", span(field(6, nil)), n + 7, faults[faultKnownType]},
		{"start time cut", span([]byte{7<<3 | 1, 1, 2}), n + 7, faults[faultTruncated]},
		{"flags cut", span([]byte{0x85, 1, 1, 2}), n + 8, faults[faultTruncated]},
		{"attribute cut", span(field(9, []byte{0x0a, 9})), n + 9, faults[faultTruncated]},
		{"value that exceeds its attribute", span(field(9, []byte{0x12, 3, 0x0a, 5, 0})), n + 11, faults[faultTruncated]},
		{"array as varint", span(field(9, field(2, []byte{5 << 3, 1}))), n + 11, faults[faultKnownType]},
		{"value cut where a short string would end", span(field(9, append([]byte("\x0a\x01k\x12\x84\x0a\x82"), make([]byte, 130)...))), n + 16, faults[faultTruncated]},
		{"event cut", span(field(11, []byte{0x12, 9})), n + 9, faults[faultTruncated]},
		{"status as OTLP 0.1 had it", span(field(15, []byte{3<<3 | 2, 0})), n + 9, faults[faultKnownType]},
		{"resource cut", group(field(1, []byte{0x0a, 9})), n + 5, faults[faultTruncated]},
		{"scope's name as varint", group(field(2, field(1, []byte{1 << 3, 1}))), n + 7, faults[faultKnownType]},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s Splitter
			fragments, _, err := s.Split(test.request)
			var bad *WireError
			if !errors.As(err, &bad) || fragments != nil {
				t.Fatalf("fragments %v, error %v", fragments, err)
			}
			if want := (WireError{test.offset, test.what}); *bad != want {
				t.Errorf("got %+v, want %+v", *bad, want)
			}
		})
	}
}

func TestSplitRefusesEveryTruncation(t *testing.T) {
	request := marshal(shopBatch(newRand(1), 2, 2))
	var s Splitter
	for n := 1; n < len(request); n++ {
		if _, _, err := s.Split(request[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(request))
		}
	}
	if fragments, rejected, err := s.Split(nil); len(fragments) != 0 || rejected.Spans != 0 || err != nil {
		t.Fatal("an empty request is valid", fragments, rejected, err)
	}
}

func TestSplitBoundsWhatRepeatedResourcesTake(t *testing.T) {
	data := shopBatch(newRand(1), 100, 1)
	data.ResourceSpans[0].Resource.Attributes = append(data.ResourceSpans[0].Resource.Attributes, text("big", strings.Repeat("x", 1<<16)))
	request := marshal(data)
	s := Splitter{MaxExpansion: 1 << 20}
	_, _, err := s.Split(request)
	var big *ExpansionError
	if !errors.As(err, &big) || big.Traces != 100 || big.Limit != 1<<20 || big.Expanded < 100<<16 {
		t.Fatalf("error %v", err)
	}
	if want := "has 100 traces"; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	s.MaxExpansion = 0
	fragments, _, err := s.Split(request)
	if err != nil || len(fragments) != 100 {
		t.Fatalf("%d fragments, error %v", len(fragments), err)
	}
}

func TestASplitterForgetsTheRequestBefore(t *testing.T) {
	var s Splitter
	want := marshal(shopBatch(newRand(2), 3, 2))
	fresh, _, err := new(Splitter).Split(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range [][]byte{marshal(shopBatch(newRand(1), 50, 3)), {0x0a, 9}, requestOf([]byte{}), nil} {
		s.Split(before)
		got, rejected, err := s.Split(want)
		if err != nil || rejected.Spans != 0 {
			t.Fatal(rejected, err)
		}
		if diff := cmp.Diff(fresh, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestValidUTF8AgreesWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := []byte(rapid.StringN(0, 40, 60).Draw(t, "text"))
		if len(b) > 0 && rapid.Bool().Draw(t, "break it") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		if got, want := validUTF8(b), utf8.Valid(b); got != want {
			t.Fatalf("%q: %v, want %v", b, got, want)
		}
	})
	for n := range 40 {
		for at := range n {
			b := bytes.Repeat([]byte{'a'}, n)
			b[at] = 0xff
			if validUTF8(b) {
				t.Fatalf("%q is valid", b)
			}
		}
	}
}

func TestPlainStringReadsOnlyWhatTheLongWayReadsAlike(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		kv := text(rapid.StringN(0, 5, 10).Draw(t, "key"), rapid.StringN(0, 5, 130).Draw(t, "value"))
		b := marshal(kv)
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		if rapid.Bool().Draw(t, "more") {
			b = append(b, rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "tail")...)
		}
		key, value, ok := plainString(b, 0)
		if !ok {
			return
		}
		found++
		k, r, next := readKeyValue(b, 0)
		v, end := readAnyValue(r.b, r.i)
		if next != len(b) || end < 0 || v.kind != valueString || !bytes.Equal(key, k) || !bytes.Equal(value, v.data.bytes()) {
			t.Fatalf("%x: got %q=%q, the long way %q=%+v", b, key, value, k, v)
		}
	})
	if found == 0 {
		t.Error("no attribute was plain")
	}
}
