package jaegerv1

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jaegertracing/jaeger/model"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/trace"
)

// Bytes from the store.
func FuzzSpans(f *testing.F) {
	data, err := AppendOTLP(nil, shopSpan())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(bytes.Replace(data, []byte(attrModel), []byte("@nobody@model"), 1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var spans []*model.Span
		var err error
		fuzztest.Bounded(t, 256*len(data), func() { spans, err = Spans(data) })
		if n, counted := trace.Spans(data); err == nil && counted == nil && n != len(spans) {
			t.Fatalf("%d spans, package trace counts %d", len(spans), n)
		}
		if err != nil && (err.Error() == "" || spans != nil) {
			t.Fatalf("%d spans and error %q", len(spans), err)
		}
		checkReadable(t, data)
	})
}

// unknownFields are what gogo keeps of a message besides the model; they are not stored.
var unknownFields = cmp.FilterPath(func(p cmp.Path) bool {
	field, ok := p.Last().(cmp.StructField)
	return ok && field.Name() == "XXX_unrecognized"
}, cmp.Ignore())

// Bytes from Jaeger: a span that can be stored comes back as it was.
func FuzzJaegerSpan(f *testing.F) {
	for _, span := range []*model.Span{shopSpan(), {TraceID: model.NewTraceID(1, 2), SpanID: 3}} {
		b, err := span.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		span := new(model.Span)
		if span.Unmarshal(b) != nil {
			return
		}
		var data []byte
		var err error
		fuzztest.Bounded(t, 64*len(b), func() { data, err = AppendOTLP(nil, span) })
		if err != nil {
			return
		}
		spans, err := Spans(data)
		if err != nil || len(spans) != 1 {
			t.Fatalf("%d spans, %v", len(spans), err)
		}
		if diff := cmp.Diff(span, spans[0], sameSpan, unknownFields); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		fragments, rejected, err := new(trace.Splitter).Split(data)
		if err != nil || rejected.Spans != 0 || len(fragments) != 1 {
			t.Fatalf("the store takes %d fragments, %+v, %v", len(fragments), rejected, err)
		}
	})
}
