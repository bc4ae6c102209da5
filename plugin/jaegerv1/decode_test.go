package jaegerv1

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jaegertracing/jaeger/model"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

func TestEachStopsAtTheErrorOfItsCaller(t *testing.T) {
	data, err := AppendOTLP(nil, shopSpan())
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("enough")
	calls := 0
	got := Each(append(data, data...), func(*model.Span) error {
		calls++
		return stop
	})
	if got != stop || calls != 1 {
		t.Errorf("%d calls, error %v", calls, got)
	}
}

// No prefix of a value passes for the whole, unless nothing but whole groups is left of it.
func TestCutValuesAreErrors(t *testing.T) {
	data, err := AppendOTLP(nil, shopSpan())
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(data); n++ {
		if spans, err := Spans(data[:n]); err == nil {
			t.Fatalf("%d of %d bytes gave %d spans", n, len(data), len(spans))
		}
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	var unknown []byte
	unknown = protowire.AppendTag(unknown, 100, protowire.VarintType)
	unknown = protowire.AppendVarint(unknown, 1<<63)
	unknown = protowire.AppendTag(unknown, 101, protowire.StartGroupType)
	unknown = protowire.AppendTag(unknown, 1, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "in a group")
	unknown = protowire.AppendTag(unknown, 1, protowire.StartGroupType)
	unknown = protowire.AppendTag(unknown, 1, protowire.EndGroupType)
	unknown = protowire.AppendTag(unknown, 101, protowire.EndGroupType)
	unknown = protowire.AppendTag(unknown, 1, protowire.Fixed32Type) // a known number of another type
	unknown = protowire.AppendFixed32(unknown, 5)

	span := shopSpan()
	inner, err := appendSpan(bytes.Clone(unknown), span)
	if err != nil {
		t.Fatal(err)
	}
	process, err := appendProcess(bytes.Clone(unknown), span.Process)
	if err != nil {
		t.Fatal(err)
	}
	field := func(dst []byte, num protowire.Number, body []byte) []byte {
		return append(protowire.AppendBytes(protowire.AppendTag(dst, num, protowire.BytesType), body), unknown...)
	}
	scopes := field(append(bytes.Clone(unknown), markedScope...), scopeSpansSpans, append(inner, unknown...))
	// The resource may stand behind its spans.
	group := field(field(nil, resourceSpansScopes, scopes), resourceSpansResource, append(process, unknown...))
	got, err := Spans(field(bytes.Clone(unknown), tracesResourceSpans, group))
	if err != nil || len(got) != 1 {
		t.Fatal(len(got), err)
	}
	if diff := cmp.Diff(span, got[0], sameSpan); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDeepValuesAreShownToABoundedDepth(t *testing.T) {
	value := []byte{}
	for range 2000 {
		list := protowire.AppendBytes(protowire.AppendTag(nil, listValues, protowire.BytesType), value)
		value = protowire.AppendBytes(protowire.AppendTag(nil, valueArray, protowire.BytesType), list)
	}
	attribute := protowire.AppendBytes(protowire.AppendTag(nil, keyValueValue, protowire.BytesType), value)
	_, v, err := readAttribute(string(attribute))
	if err != nil {
		t.Fatal(err)
	}
	tag, err := v.tag("deep")
	want := strings.Repeat("[", maxDepth) + `"…"` + strings.Repeat("]", maxDepth)
	if err != nil || tag.VStr != want {
		t.Errorf("%q, %v", tag.VStr, err)
	}
}

// The dearest inputs: messages of two bytes that become structs of a hundred.
func TestMemoryIsAMultipleOfTheInput(t *testing.T) {
	const size = 1 << 16
	ids := append([]byte{spanTraceID<<3 | 2, 16}, testTraceBytes()...)
	ids = append(ids, spanID<<3|2, 8, 0, 0, 0, 0, 0, 0, 0, 1)
	inSpan := func(body []byte) []byte {
		body = append(bytes.Clone(ids), body...)
		body = appendString(nil, scopeSpansSpans, string(body))
		body = appendString(nil, resourceSpansScopes, string(body))
		return appendString(nil, tracesResourceSpans, string(body))
	}
	for name, data := range map[string][]byte{
		"attributes":     inSpan(bytes.Repeat([]byte{spanAttributes<<3 | 2, 0}, size)),
		"events":         inSpan(bytes.Repeat([]byte{spanEvents<<3 | 2, 0}, size)),
		"links":          inSpan(bytes.Repeat([]byte{spanLinks<<3 | 2, 0}, size)),
		"event fields":   inSpan(appendString(nil, spanEvents, strings.Repeat(string([]byte{eventAttributes<<3 | 2, 0}), size))),
		"values":         inSpan(appendString(nil, spanAttributes, string(appendString(nil, keyValueValue, string(appendString(nil, valueArray, strings.Repeat(string([]byte{listValues<<3 | 2, 0}), size))))))),
		"resource spans": bytes.Repeat([]byte{tracesResourceSpans<<3 | 2, 2, resourceSpansScopes<<3 | 2, 0}, size),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := Spans(data); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > uint64(100*len(data)) {
				t.Errorf("%d bytes took %d bytes of memory", len(data), used)
			}
		})
	}
}

func testTraceBytes() []byte { return appendTraceID(nil, testTrace) }

// Damaged values are read or refused, and what is read can be written again and reads the same.
func TestDamagedValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data, err := AppendOTLP(nil, spans.Draw(t, "span"))
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "from OTLP") {
			data = bytes.Replace(data, []byte(attrModel), []byte("@nobody@model"), 1)
		}
		for range rapid.IntRange(0, 4).Draw(t, "flips") {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		checkReadable(t, data)
	})
}

func checkReadable(t interface {
	Helper()
	Fatal(...any)
}, data []byte) {
	t.Helper()
	spans, err := Spans(data)
	if err != nil {
		return
	}
	for _, span := range spans {
		again, err := AppendOTLP(nil, span)
		if err != nil {
			continue // zero IDs and invalid UTF-8 are not refused on the way out
		}
		got, err := Spans(again)
		if err != nil || len(got) != 1 {
			t.Fatal(len(got), err)
		}
		if diff := cmp.Diff(span, got[0], sameSpan); diff != "" {
			t.Fatal("(-want +got)\n" + diff)
		}
	}
}
