package trace

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

// mustPlace looks at what an error says of data: where it can't be read.
func mustPlace(t *testing.T, data []byte, err error) {
	t.Helper()
	var wire *WireError
	if !errors.As(err, &wire) || wire.Offset < 0 || wire.Offset > len(data) || wire.What == "" {
		t.Fatalf("%v does not say where %d bytes can't be read", err, len(data))
	}
}

// seed gives a fuzzer values of the shop, odd but valid ones, and broken ones.
func seed(f *testing.F) {
	trace, _ := shopTrace(newRand(1))
	trace.ResourceSpans = trace.ResourceSpans[:2]
	good := requestOf(marshal(goodSpan("good----")), with(5, "\xff"), with(9, "\x0a\x01k\x12\x02\x0a\x00"))
	for _, b := range [][]byte{nil, marshal(trace), marshal(shopBatch(newRand(2), 3, 1)), good, good[:len(good)-1], {0x0a, 0}, {0x0b, 0x0c}} {
		f.Add(b)
	}
	for n := range 20 {
		f.Add(rapid.Custom(drawData).Example(n))
	}
}

// parses reports whether protobuf takes b for trace data.
func parses(b []byte) bool { return proto.Unmarshal(b, new(tracev1.TracesData)) == nil }

func FuzzSplit(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, request []byte) {
		var s Splitter
		s.MaxExpansion = 1 << 20
		before := bytes.Clone(request)
		var fragments []Fragment
		var rejected Rejected
		var err error
		fuzztest.Bounded(t, 128*len(request)+2*s.MaxExpansion, func() { fragments, rejected, err = s.Split(request) })
		if !bytes.Equal(before, request) {
			t.Fatal("the request was modified")
		}
		if err != nil {
			if fragments != nil || rejected.Spans != 0 {
				t.Fatal("an answer besides the error")
			}
			if e := new(ExpansionError); !errors.As(err, &e) || e.Expanded <= s.MaxExpansion {
				mustPlace(t, request, err)
			}
			return
		}
		all, err := Spans(request)
		if err != nil {
			t.Fatalf("Split accepts what Spans refuses: %v", err)
		}
		kept := 0
		for _, fragment := range fragments {
			kept += fragment.Spans
			if !parses(fragment.Data) {
				t.Fatalf("not OTLP: %x", fragment.Data)
			}
			for _, rs := range unmarshal(t, fragment.Data).ResourceSpans {
				for _, ss := range rs.ScopeSpans {
					for _, span := range ss.Spans {
						if ID(span.TraceId) != fragment.TraceID || fragment.TraceID.IsZero() || len(span.SpanId) != 8 {
							t.Fatalf("span %x of trace %x in the fragment of %s", span.SpanId, span.TraceId, fragment.TraceID)
						}
					}
				}
			}
			if n, err := Spans(fragment.Data); n != fragment.Spans || err != nil {
				t.Fatalf("%d spans, error %v, want %d", n, err, fragment.Spans)
			}
			checkModels(t, fragment.Data)
			again, rejected, err := new(Splitter).Split(fragment.Data)
			if err != nil || rejected.Spans != 0 || len(again) != 1 || !bytes.Equal(again[0].Data, fragment.Data) {
				t.Fatalf("a fragment is not its own fragment: %x, %+v, %v", again, rejected, err)
			}
		}
		if kept+rejected.Spans != all || (rejected.Spans > 0) != (rejected.Reason != "") {
			t.Fatalf("%d spans kept, rejected %+v, of %d", kept, rejected, all)
		}
	})
}

// checkModels looks at a fragment as the rest of the store does.
func checkModels(t *testing.T, data []byte) {
	var sink recordingSink
	if err := Index(data, &sink); err != nil {
		t.Fatalf("Index: %v", err)
	}
	summary, err := Summarize(data)
	if err != nil {
		t.Fatalf("Summarize: %v", err)
	}
	if len(sink.rows) > 50 {
		return // the models look at everything several times
	}
	all := unmarshal(t, data)
	if diff := gocmp.Diff(modelSummary(all), summary); diff != "" {
		t.Fatalf("summary (-want +got):\n%s", diff)
	}
	var want []recordedRow
	for _, rs := range all.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, span := range ss.Spans {
				want = append(want, recordedRow{
					modelGroupTerms(rs, ss), int64(span.StartTimeUnixNano), int64(span.EndTimeUnixNano - span.StartTimeUnixNano),
					modelRowTerms(modelService(rs), span),
				})
			}
		}
	}
	if diff := gocmp.Diff(want, sink.rows); diff != "" {
		t.Fatalf("rows (-want +got):\n%s", diff)
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(nil), []byte(nil))
	for n := range 20 {
		f.Add(rapid.Custom(drawData).Example(n), rapid.Custom(drawData).Example(n+1))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var merged []byte
		var err error
		fuzztest.Bounded(t, 128*(len(a)+len(b)), func() { merged, err = Merge(nil, a, b) })
		if err != nil {
			mustPlace(t, slices.MaxFunc([][]byte{a, b}, func(a, b []byte) int { return len(a) - len(b) }), err)
			return
		}
		if len(merged) > len(a)+len(b) {
			t.Fatalf("%d bytes out of %d", len(merged), len(a)+len(b))
		}
		if parses(a) && parses(b) && !parses(merged) {
			t.Fatalf("not OTLP: %x", merged)
		}
		again, err := Merge(nil, merged)
		if err != nil || !bytes.Equal(again, merged) {
			t.Fatalf("merged again: %x, error %v, want %x", again, err, merged)
		}
		again, err = Merge(nil, merged, b, a)
		if err != nil || !bytes.Equal(again, merged) {
			t.Fatalf("merged with its parts: %x, error %v, want %x", again, err, merged)
		}
		if got, want := len(rawSpans(merged)), len(distinct(rawSpans(append(bytes.Clone(a), b...)))); got != want {
			t.Fatalf("%d spans, want %d", got, want)
		}
	})
}

func FuzzIndex(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var err error
		fuzztest.Bounded(t, 64*len(data), func() { err = Index(data, &countingSink{}) })
		if err != nil {
			mustPlace(t, data, err)
			return
		}
		var sink recordingSink
		if err := Index(data, &sink); err != nil {
			t.Fatal(err)
		}
		if n, err := Spans(data); n != len(sink.rows) || err != nil {
			t.Fatalf("%d rows of %d spans, error %v", len(sink.rows), n, err)
		}
		for _, row := range sink.rows {
			for _, terms := range []modelTerms{row.Group, row.Terms} {
				for term := range terms {
					_, _, attribute := ParseField([]byte(term[0]))
					if attribute && len(term[1]) > MaxValueTerm {
						t.Fatalf("term of %d bytes", len(term[1]))
					}
					if term[0] == string(FieldOperation) {
						if _, _, _, err := ParseOperation([]byte(term[1])); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
	})
}

func FuzzSummary(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var b []byte
		var err error
		fuzztest.Bounded(t, 128*len(data), func() { b, err = AppendSummary(nil, data) })
		if err != nil {
			mustPlace(t, data, err)
			return
		}
		s, err := ParseSummary(b)
		if err != nil {
			t.Fatalf("%v: %x", err, b)
		}
		if n, err := Spans(data); n != s.Spans || err != nil {
			t.Fatalf("%d spans of %d, error %v", s.Spans, n, err)
		}
		if len(b) > 8*len(data)+64 {
			t.Fatalf("%d bytes of %d", len(b), len(data))
		}
	})
}

func FuzzParseSummary(f *testing.F) {
	data, _ := shopTrace(newRand(1))
	for n := range data.ResourceSpans {
		part := &tracev1.TracesData{ResourceSpans: data.ResourceSpans[n:]}
		b, err := AppendSummary(nil, marshal(part))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Summary
		var err error
		fuzztest.Bounded(t, 32*len(b), func() { s, err = ParseSummary(b) })
		if err != nil && !errors.Is(err, ErrSummary) {
			t.Fatal(err)
		}
		if err == nil && len(s.Services)+len(s.Edges)+len(s.OpenParents) > len(b) {
			t.Fatal("more entries than bytes")
		}
	})
}

// Walk shows what protobuf would make of the data.
func FuzzWalk(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		var err error
		var parts [3][]byte // the resources, scopes and spans, each in a message that protobuf could read
		fuzztest.Bounded(t, 64*len(data), func() {
			err = Walk(data, func(_, _, _ []byte) error { n++; return nil })
		})
		if err != nil {
			mustPlace(t, data, err)
			return
		}
		if spans, err := Spans(data); spans != n || err != nil {
			t.Fatalf("%d spans, and Spans says %d, %v", n, spans, err)
		}
		if !parses(data) || n > 1000 {
			return
		}
		all := unmarshal(t, data)
		at := [3]int{}
		skip := func() *tracev1.Span {
			for ; at[0] < len(all.ResourceSpans); at[0], at[1] = at[0]+1, 0 {
				for rs := all.ResourceSpans[at[0]]; at[1] < len(rs.ScopeSpans); at[1], at[2] = at[1]+1, 0 {
					if ss := rs.ScopeSpans[at[1]]; at[2] < len(ss.Spans) {
						at[2]++
						return ss.Spans[at[2]-1]
					}
				}
			}
			return nil
		}
		err = Walk(data, func(resource, scope, span []byte) error {
			want := skip()
			if want == nil {
				t.Fatal("more spans than there are")
			}
			parts = [3][]byte{resource, scope, span}
			rs, ss := all.ResourceSpans[at[0]], all.ResourceSpans[at[0]].ScopeSpans[at[1]]
			group := appendHeader(nil, 1, len(parts[0]))
			group = append(group, parts[0]...)
			inner := append(appendHeader(nil, 1, len(parts[1])), parts[1]...)
			inner = append(append(inner, appendHeader(nil, 2, len(parts[2]))...), parts[2]...)
			group = append(append(group, appendHeader(nil, 2, len(inner))...), inner...)
			got := unmarshal(t, append(appendHeader(nil, 1, len(group)), group...)).ResourceSpans[0]
			if rs.Resource != nil && !proto.Equal(got.Resource, rs.Resource) || ss.Scope != nil && !proto.Equal(got.ScopeSpans[0].Scope, ss.Scope) ||
				!proto.Equal(got.ScopeSpans[0].Spans[0], want) {
				t.Fatalf("shown %x, %x, %x of %v", parts[0], parts[1], parts[2], want)
			}
			return nil
		})
		if err != nil || skip() != nil {
			t.Fatalf("fewer spans than there are: %v", err)
		}
	})
}

// The names of things: what is parsed is what is printed.
func FuzzNames(f *testing.F) {
	f.Add([]byte("0123456789abcdefABCDEF0123456789"))
	f.Add([]byte("f"))
	f.Add([]byte("server"))
	f.Add(AppendField(nil, "http.method", SpaceSpan))
	f.Add(AppendOperation(nil, "shop", KindServer, "GET /"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := ParseID(string(b)); err == nil {
			if again, err := ParseID(id.String()); err != nil || again != id {
				t.Fatalf("ID %q: %s comes back as %s, %v", b, id, again, err)
			}
		}
		if kind, err := ParseKind(string(b)); err == nil && kind.String() != string(b) {
			t.Fatalf("kind %q is printed as %q", b, kind)
		}
		if key, space, ok := ParseField(b); ok && !bytes.Equal(AppendField(nil, key, space), b) {
			t.Fatalf("field %q is %q in %c", b, key, space)
		}
		if service, kind, name, err := ParseOperation(b); err == nil {
			s, k, n, err := ParseOperation(AppendOperation(nil, service, kind, name))
			if err != nil || s != service || k != kind || n != name {
				t.Fatalf("operation %q of %q comes back as %q of %q, %v", name, service, n, s, err)
			}
		}
	})
}
