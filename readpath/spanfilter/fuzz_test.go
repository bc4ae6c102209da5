package spanfilter_test

import (
	"errors"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter/filtertest"
	"github.com/jaeger-tempo/tempo/trace"
)

// FuzzMatcher gives a matcher bytes of which nothing is known. What protobuf reads too must mean the same to both.
func FuzzMatcher(f *testing.F) {
	var forms []*spanfilter.Call
	for n := range 200 {
		forms = append(forms, rapid.Custom(filtertest.DrawForm).Example(n))
	}
	for n := range 40 {
		spans := rapid.Custom(func(t *rapid.T) *tracev1.ResourceSpans { return filtertest.DrawSpan(t, 1, 1) }).Example(n)
		data, err := proto.Marshal(&tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{spans}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint8(n))
	}
	f.Add([]byte("\x0a\x06\x12\x04\x12\x02\x4a\x00"), uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, n uint8) {
		form := forms[int(n)%len(forms)]
		filter, err := spanfilter.New(form)
		if err != nil {
			t.Fatal(err)
		}
		m := filter.Matcher()
		var holds []bool
		fuzztest.Bounded(t, 256*len(data)+1<<20, func() {
			err = trace.WalkShells(data, func(shell *trace.Shell, span []byte) error {
				h, err := m.Holds(shell, span)
				holds = append(holds, h)
				if h && err != nil {
					t.Fatal("it holds besides an error")
				}
				return err
			})
		})
		if wire := new(trace.WireError); err != nil {
			if !errors.As(err, &wire) {
				t.Fatalf("%v blames no bytes", err)
			}
			return
		}
		var all tracev1.TracesData
		if proto.Unmarshal(data, &all) != nil {
			return
		}
		i := 0
		for _, r := range all.ResourceSpans {
			for _, kv := range r.Resource.GetAttributes() {
				switch kv.Value.GetValue().(type) {
				case *commonv1.AnyValue_ArrayValue, *commonv1.AnyValue_KvlistValue:
					return // how lists are written is tested elsewhere
				}
			}
			for _, s := range r.ScopeSpans {
				for _, span := range s.Spans {
					one := &tracev1.ResourceSpans{Resource: r.Resource, SchemaUrl: r.SchemaUrl, ScopeSpans: []*tracev1.ScopeSpans{{
						Scope: s.Scope, SchemaUrl: s.SchemaUrl, Spans: []*tracev1.Span{span}}}}
					if want := filtertest.Holds(form, one); i >= len(holds) || holds[i] != want {
						t.Fatalf("%s of span %d: want %v, of %v", show(form), i, want, one)
					}
					i++
				}
			}
		}
	})
}
