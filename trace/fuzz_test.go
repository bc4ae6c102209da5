package trace

import (
	"bytes"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

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
		fragments, rejected, err := s.Split(request)
		if !bytes.Equal(before, request) {
			t.Fatal("the request was modified")
		}
		if err != nil {
			if fragments != nil || rejected.Spans != 0 {
				t.Fatal("an answer besides the error")
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
			if err := Index(fragment.Data, &recordingSink{}); err != nil {
				t.Fatalf("Index: %v", err)
			}
			if _, err := Summarize(fragment.Data); err != nil {
				t.Fatalf("Summarize: %v", err)
			}
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

func FuzzMerge(f *testing.F) {
	f.Add([]byte(nil), []byte(nil))
	for n := range 20 {
		f.Add(rapid.Custom(drawData).Example(n), rapid.Custom(drawData).Example(n+1))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		merged, err := Merge(nil, a, b)
		if err != nil {
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
		var sink recordingSink
		if Index(data, &sink) != nil {
			return
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
		b, err := AppendSummary(nil, data)
		if err != nil {
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
		s, err := ParseSummary(b)
		if err == nil && len(s.Services)+len(s.Edges)+len(s.OpenParents) > len(b) {
			t.Fatal("more entries than bytes")
		}
	})
}
