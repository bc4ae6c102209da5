package trace

import (
	"strings"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

// longestOf is LongestAttribute of decoded messages.
func longestOf(data *tracev1.TracesData) (size int) {
	look := func(attributes []*commonv1.KeyValue) {
		for _, a := range attributes {
			size = max(size, len(a.GetKey())+proto.Size(a.GetValue()))
		}
	}
	for _, r := range data.GetResourceSpans() {
		look(r.GetResource().GetAttributes())
		for _, s := range r.GetScopeSpans() {
			look(s.GetScope().GetAttributes())
			for _, span := range s.GetSpans() {
				look(span.GetAttributes())
				for _, e := range span.GetEvents() {
					look(e.GetAttributes())
				}
				for _, l := range span.GetLinks() {
					look(l.GetAttributes())
				}
			}
		}
	}
	return size
}

func TestTheLongestAttributeIsFoundWhereverItIs(t *testing.T) {
	long := []*commonv1.KeyValue{{Key: "long", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: strings.Repeat("x", 500)}}}}
	short := []*commonv1.KeyValue{{Key: "short", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: 1}}}}
	for place, set := range map[string]func(*tracev1.ResourceSpans){
		"resource": func(r *tracev1.ResourceSpans) { r.Resource.Attributes = long },
		"scope":    func(r *tracev1.ResourceSpans) { r.ScopeSpans[0].Scope.Attributes = long },
		"span":     func(r *tracev1.ResourceSpans) { r.ScopeSpans[0].Spans[0].Attributes = long },
		"event":    func(r *tracev1.ResourceSpans) { r.ScopeSpans[0].Spans[0].Events[0].Attributes = long },
		"link":     func(r *tracev1.ResourceSpans) { r.ScopeSpans[0].Spans[0].Links[0].Attributes = long },
	} {
		data := &tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{
			Resource: &resourcev1.Resource{Attributes: short},
			ScopeSpans: []*tracev1.ScopeSpans{{
				Scope: &commonv1.InstrumentationScope{Attributes: short},
				Spans: []*tracev1.Span{{Attributes: short, Events: []*tracev1.Span_Event{{Attributes: short}}, Links: []*tracev1.Span_Link{{Attributes: short}}}},
			}},
		}}}
		set(data.ResourceSpans[0])
		key, size, err := LongestAttribute(marshal(data))
		if want := longestOf(data); err != nil || string(key) != "long" || size != want || want < 500 {
			t.Errorf("%s: %q of %d bytes, %v; want %d", place, key, size, err, want)
		}
	}
	if key, size, err := LongestAttribute(nil); err != nil || size != 0 || key != nil {
		t.Errorf("of nothing: %q, %d, %v", key, size, err)
	}
}

func FuzzLongestAttribute(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var err error
		fuzztest.Bounded(t, 64*len(data), func() { _, _, err = LongestAttribute(data) })
		if err != nil {
			mustPlace(t, data, err)
		}
		decoded := new(tracev1.TracesData)
		if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, decoded) != nil {
			return
		}
		// As protobuf writes it, no field stands twice.
		key, size, err := LongestAttribute(marshal(decoded))
		if want := longestOf(decoded); err != nil || size != want {
			t.Fatalf("%q of %d bytes, %v; want %d", key, size, err, want)
		}
	})
}
