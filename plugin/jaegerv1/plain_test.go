package jaegerv1

import (
	"bytes"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/trace"
)

// checkPlain holds what Plain makes of data to its promise.
func checkPlain(t interface {
	Helper()
	Fatalf(string, ...any)
}, data, plain []byte) {
	t.Helper()
	var before, after tracepb.TracesData
	if err := proto.Unmarshal(data, &before); err != nil {
		t.Fatalf("%v", err)
	}
	if err := proto.Unmarshal(plain, &after); err != nil {
		t.Fatalf("%v", err)
	}
	spans := func(all *tracepb.TracesData) (n int) {
		for _, rs := range all.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				n += len(ss.Spans)
				if all == &after && isMarked(ss.Scope) {
					t.Fatalf("a scope is still marked")
				}
			}
		}
		return n
	}
	if spans(&before) != spans(&after) {
		t.Fatalf("%d spans became %d", spans(&before), spans(&after))
	}
	again, err := Plain(plain)
	if err != nil || !bytes.Equal(again, plain) {
		t.Fatalf("what is plain is changed: %v", err)
	}
}

func TestEverySpanOfJaegersModelHasAPlainForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := spans.Draw(t, "span")
		data, err := AppendOTLP(nil, span)
		if err != nil {
			t.Skip(err)
		}
		plain, err := Plain(data)
		if err != nil {
			t.Fatal(err)
		}
		checkPlain(t, data, plain)
		var all tracepb.TracesData
		if err := proto.Unmarshal(plain, &all); err != nil {
			t.Fatal(err)
		}
		// Keys that begin with the store's prefix are the sender's own, but for the warnings.
		own := map[string]bool{attrWarnings: len(span.Warnings) > 0}
		for _, tag := range span.Tags {
			own[tag.Key] = true
		}
		keys := map[string]bool{}
		for _, a := range all.ResourceSpans[0].ScopeSpans[0].Spans[0].Attributes {
			if strings.HasPrefix(a.Key, reserved) && !own[a.Key] {
				t.Fatalf("attribute %q is shown", a.Key)
			}
			if keys[a.Key] {
				t.Fatalf("attribute %q stands twice", a.Key)
			}
			keys[a.Key] = true
		}
	})
}

func TestWhatIsNotOfJaegersModelIsNotTouched(t *testing.T) {
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{
		Scope: &commonpb.InstrumentationScope{Name: attrModel},
		Spans: []*tracepb.Span{{Name: attrModel, Attributes: []*commonpb.KeyValue{text(attrModel, modelVersion), text(attrFlags, "1")}}},
	}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := Plain(data); err != nil || &plain[0] != &data[0] {
		t.Errorf("%v", err)
	}
}

func FuzzPlain(f *testing.F) {
	data, err := AppendOTLP(nil, shopSpan())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add(bytes.Replace(data, []byte(attrModel), []byte("@nobody@model"), 1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var plain []byte
		var err error
		fuzztest.Bounded(t, 512*len(data), func() { plain, err = Plain(data) })
		if err != nil {
			if proto.Unmarshal(data, new(tracepb.TracesData)) == nil {
				t.Fatalf("what protobuf reads is refused: %v", err)
			}
			return
		}
		if _, err := trace.Spans(data); err != nil {
			return // passed through
		}
		if proto.Unmarshal(data, new(tracepb.TracesData)) == nil {
			checkPlain(t, data, plain)
		}
	})
}
