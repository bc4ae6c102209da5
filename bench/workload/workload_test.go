package workload

import (
	"bytes"
	"crypto/sha256"
	"math"
	"slices"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

func digest(w *Workload) [32]byte {
	h := sha256.New()
	for r := range w.Requests() {
		h.Write(r.Data)
	}
	return [32]byte(h.Sum(nil))
}

func TestSameSeedSameBytes(t *testing.T) {
	w := New(1, 500)
	first := digest(w)
	if digest(w) != first || digest(New(1, 500)) != first {
		t.Error("the same seed made different bytes")
	}
	if digest(New(2, 500)) == first {
		t.Error("different seeds made the same bytes")
	}
}

func TestStoppingEarlyIsFine(t *testing.T) {
	w := New(1, 500)
	for range w.Requests() {
		break
	}
	if n := len(w.Truth().Traces); n != 500 {
		t.Errorf("%d traces", n)
	}
}

// parsed is what an independent reader finds in the requests.
type parsed struct {
	spans, errors, attrs int
	resources            map[string]bool
	truth                *Truth
	seen                 map[string]*otlp.Span      // by span ID
	starts               map[[16]byte]map[int]int64 // of matching spans, by query
}

func parse(t *testing.T, w *Workload) *parsed {
	t.Helper()
	p := &parsed{
		resources: map[string]bool{}, seen: map[string]*otlp.Span{}, starts: map[[16]byte]map[int]int64{},
		truth: &Truth{Operations: map[string]map[string]int{}},
	}
	perTrace := map[[16]byte]int{}
	for r := range w.Requests() {
		var m otlp.TracesData // has the wire form of an ExportTraceServiceRequest
		if err := proto.Unmarshal(r.Data, &m); err != nil {
			t.Fatal(err)
		}
		if again, err := (proto.MarshalOptions{Deterministic: true}).Marshal(&m); err != nil || !bytes.Equal(again, r.Data) {
			t.Fatalf("not in canonical form: %v", err)
		}
		inRequest := map[[16]byte]int{}
		spans := 0
		for _, rs := range m.ResourceSpans {
			if n := len(rs.Resource.Attributes); n != 12 {
				t.Fatalf("%d resource attributes", n)
			}
			p.resources[rs.Resource.String()] = true
			service := rs.Resource.Attributes[0].Value.GetStringValue()
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans++
					id := [16]byte(s.TraceId)
					inRequest[id]++
					perTrace[id]++
					p.span(t, service, id, s)
				}
			}
		}
		if spans != r.Spans {
			t.Fatalf("request says %d spans, holds %d", r.Spans, spans)
		}
		for _, part := range r.Parts {
			if inRequest[part.TraceID] != part.Spans {
				t.Fatalf("part says %d spans, request holds %d", part.Spans, inRequest[part.TraceID])
			}
			delete(inRequest, part.TraceID)
		}
		if len(inRequest) > 0 {
			t.Fatalf("%d traces of the request are not among its parts", len(inRequest))
		}
	}
	for _, tr := range w.Truth().Traces {
		if perTrace[tr.TraceID] != tr.Spans {
			t.Fatalf("trace %x: truth says %d spans, requests hold %d", tr.TraceID, tr.Spans, perTrace[tr.TraceID])
		}
		delete(perTrace, tr.TraceID)
	}
	if len(perTrace) > 0 {
		t.Fatalf("%d traces that the truth does not know", len(perTrace))
	}
	return p
}

func (p *parsed) span(t *testing.T, service string, id [16]byte, s *otlp.Span) {
	p.spans++
	p.attrs += len(s.Attributes)
	if n := len(s.Attributes); n < 4 || n > 11 {
		t.Fatalf("%s %s has %d attributes", service, s.Name, n)
	}
	keys := map[string]bool{}
	for _, a := range s.Attributes {
		if keys[a.Key] {
			t.Fatalf("%s %s has %s twice", service, s.Name, a.Key)
		}
		keys[a.Key] = true
	}
	if s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
		p.errors++
	}
	if s.EndTimeUnixNano <= s.StartTimeUnixNano {
		t.Fatalf("%s %s ends before it starts", service, s.Name)
	}
	if p.seen[string(s.SpanId)] != nil {
		t.Fatalf("span ID %x twice", s.SpanId)
	}
	p.seen[string(s.SpanId)] = s
	ops := p.truth.Operations[service]
	if ops == nil {
		ops = map[string]int{}
		p.truth.Operations[service] = ops
	}
	ops[s.Name]++
	for i, q := range Queries() {
		if !holds(q, service, s) {
			continue
		}
		if p.starts[id] == nil {
			p.starts[id] = map[int]int64{}
		}
		p.starts[id][i] = max(p.starts[id][i], int64(s.StartTimeUnixNano))
	}
}

// holds is the meaning of a query, said again.
func holds(q Query, service string, s *otlp.Span) bool {
	tag := q.Key == ""
	look := func(attrs []*common.KeyValue) {
		for _, a := range attrs {
			v := a.Value.GetStringValue()
			if i, ok := a.Value.Value.(*common.AnyValue_IntValue); ok {
				b, _ := proto.Marshal(&common.AnyValue{Value: i})
				want, _ := proto.Marshal(&common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: atoi(q.Value)}})
				if a.Key == q.Key && bytes.Equal(b, want) {
					tag = true
				}
				continue
			}
			tag = tag || a.Key == q.Key && v == q.Value
		}
	}
	look(s.Attributes)
	for _, e := range s.Events {
		look(e.Attributes)
	}
	return tag && (q.Service == "" || q.Service == service) && (q.Operation == "" || q.Operation == s.Name) &&
		s.EndTimeUnixNano-s.StartTimeUnixNano >= uint64(q.DurationMin)
}

func atoi(s string) (n int64) {
	for _, c := range s {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

func TestShape(t *testing.T) {
	const traces = 20_000
	w := New(1, traces)
	requests, parts := 0, 0
	for r := range w.Requests() {
		requests++
		parts += len(r.Parts)
	}
	truth := w.Truth()
	near := func(what string, got, want, within float64) {
		t.Logf("%s: %.2f", what, got)
		if math.Abs(got-want) > within {
			t.Errorf("%s: %.3f, want %.2f ± %.2f", what, got, want, within)
		}
	}
	near("traces", float64(len(truth.Traces)), traces, 0)
	near("spans a trace", float64(truth.Spans)/traces, 19.5, 0.2)
	near("failed spans, %", 100*float64(truth.Errors)/float64(truth.Spans), 2, 0.5)
	near("requests that a trace is spread over", float64(parts)/traces, 3.5, 0.5)
	near("spans a request", float64(truth.Spans)/float64(requests), batchSpans, 20)
	for i, q := range Queries() {
		answers := truth.Answers[i]
		t.Logf("%+v: %d traces", q, len(answers))
		if len(answers) == 0 {
			t.Errorf("%+v finds nothing", q)
		}
		if q.Kind == "rare tag" && len(answers) != traces/rareEvery {
			t.Errorf("%+v: %d traces", q, len(answers))
		}
		if !slices.IsSortedFunc(answers, func(a, b Hit) int { return int(b.Start - a.Start) }) {
			t.Errorf("%+v: not newest first", q)
		}
	}
}

// TestTruth compares the workload's account of itself with what an independent reader finds.
func TestTruth(t *testing.T) {
	w := New(2, 700)
	p := parse(t, w)
	truth := w.Truth()
	if p.spans != truth.Spans || p.errors != truth.Errors {
		t.Errorf("%d spans, %d errors; truth: %d, %d", p.spans, p.errors, truth.Spans, truth.Errors)
	}
	if mean := float64(p.attrs) / float64(p.spans); mean < 6 || mean > 8 {
		t.Errorf("%.1f attributes a span", mean)
	}
	if len(p.resources) != 30 {
		t.Errorf("%d resources", len(p.resources))
	}
	for service, ops := range truth.Operations {
		for op, n := range ops {
			if got := p.truth.Operations[service][op]; got != n {
				t.Errorf("%s %s: truth says %d, requests hold %d", service, op, n, got)
			}
		}
	}
	if len(truth.Operations) != len(shop) || len(p.truth.Operations) != len(shop) {
		t.Errorf("%d services, of %d", len(truth.Operations), len(shop))
	}

	for i, q := range Queries() {
		answers := truth.Answers[i]
		for _, h := range answers {
			if got := p.starts[h.TraceID][i]; got != h.Start {
				t.Fatalf("%+v: trace %x: truth says %d, requests %d", q, h.TraceID, h.Start, got)
			}
			delete(p.starts[h.TraceID], i)
		}
	}
	for id, left := range p.starts {
		if len(left) > 0 {
			t.Fatalf("trace %x matches queries %v of which the truth knows nothing", id, left)
		}
	}
	for _, s := range p.seen {
		if len(s.ParentSpanId) == 0 {
			continue
		}
		parent := p.seen[string(s.ParentSpanId)]
		if parent == nil || !bytes.Equal(parent.TraceId, s.TraceId) {
			t.Fatalf("%s: its parent is not in the trace", s.Name)
		}
		if s.StartTimeUnixNano < parent.StartTimeUnixNano || s.EndTimeUnixNano > parent.EndTimeUnixNano {
			t.Fatalf("%s does not lie within its parent %s", s.Name, parent.Name)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	var spans, size int
	for b.Loop() {
		for r := range New(1, 1000).Requests() {
			spans += r.Spans
			size += len(r.Data)
		}
	}
	b.ReportMetric(float64(size)/float64(spans), "B/span")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(spans), "ns/span")
}
