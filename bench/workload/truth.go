package workload

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// Truth is what a store that holds the whole workload must answer.
type Truth struct {
	Spans  int
	Errors int // spans with status ERROR
	// Traces are in the order of their start.
	Traces []Part
	// Operations of each service, by span name, with the number of spans.
	Operations map[string]map[string]int
	// Answers to Queries, by the same index: all matching traces, those whose matching span started
	// last first, and of two that started at the same time the smaller ID.
	Answers [][]Hit
}

// Hit is a matching trace.
type Hit struct {
	TraceID [16]byte
	Start   int64 // of its newest matching span, in Unix nanoseconds
}

// Query asks for traces with a span on which all conditions hold; an empty field is none.
type Query struct {
	// Kind groups queries for reports.
	Kind        string
	Service     string
	Operation   string
	Key, Value  string // a tag
	DurationMin time.Duration
}

// Queries returns the queries whose answers Truth knows.
func Queries() []Query { return slices.Clone(queries) }

var queries = []Query{
	{Kind: "service", Service: "frontend"},
	{Kind: "service", Service: "cart"},
	{Kind: "service", Service: "payment"},
	{Kind: "service", Service: "currency"},
	{Kind: "operation", Service: "frontend", Operation: "GET /product/{id}"},
	{Kind: "operation", Service: "checkout", Operation: "shop.CheckoutService/PlaceOrder"},
	{Kind: "operation", Service: "shipping", Operation: "shop.ShippingService/GetQuote"},
	{Kind: "operation", Service: "productcatalog", Operation: "SELECT shop.products"},
	{Kind: "tag", Service: "frontend", Key: "http.status_code", Value: "500"},
	{Kind: "tag", Service: "frontend", Key: "http.method", Value: "POST"},
	{Kind: "tag", Service: "cart", Key: "db.system", Value: "redis"},
	{Kind: "tag", Service: "currency", Key: "app.currency.to", Value: "JPY"},
	{Kind: "tag of one user", Service: "frontend", Key: "user.id", Value: "user-12"},
	{Kind: "tag of one user", Service: "frontend", Key: "user.id", Value: "user-77"},
	{Kind: "rare tag", Key: rareKey, Value: rareValue},
	{Kind: "rare tag", Service: "frontend", Key: rareKey, Value: rareValue},
	{Kind: "duration", Service: "frontend", DurationMin: 100 * time.Millisecond},
	{Kind: "duration", Service: "checkout", DurationMin: 120 * time.Millisecond},
	{Kind: "duration", Service: "payment", DurationMin: 60 * time.Millisecond},
}

// One trace in rareEvery bears the tag.
const (
	rareKey   = "app.experiment"
	rareValue = "one-click-checkout"
	rareEvery = 5000
)

// tagged returns the set of queries whose tag is (key, value), as bits by index.
func tagged(key, value string) (set uint64) {
	for i, q := range queries {
		if q.Key == key && q.Value == value {
			set |= 1 << i
		}
	}
	return set
}

// matches returns the set of queries that the span satisfies.
func (s *span) matches() (set uint64) {
	for i, q := range queries {
		if (q.Service == "" || q.Service == s.at.service.name) &&
			(q.Operation == "" || q.Operation == s.name) &&
			(q.Key == "" || s.tags&(1<<i) != 0) &&
			s.end-s.start >= int64(q.DurationMin) {
			set |= 1 << i
		}
	}
	return set
}

// account adds an ended span to the truth.
func (g *generator) account(s *span) {
	t := g.truth
	t.Spans++
	t.Traces[len(t.Traces)-1].Spans++
	if s.failed {
		t.Errors++
	}
	ops := t.Operations[s.at.service.name]
	if ops == nil {
		ops = map[string]int{}
		t.Operations[s.at.service.name] = ops
	}
	ops[s.name]++
	set := s.matches()
	for i := range queries {
		if set&(1<<i) == 0 {
			continue
		}
		a := t.Answers[i]
		if n := len(a); n > 0 && a[n-1].TraceID == g.traceID { // a trace's spans come together
			a[n-1].Start = max(a[n-1].Start, s.start)
			continue
		}
		t.Answers[i] = append(a, Hit{g.traceID, s.start})
	}
}

func (g *generator) finish() *Truth {
	for _, a := range g.truth.Answers {
		slices.SortFunc(a, func(x, y Hit) int {
			return cmp.Or(cmp.Compare(y.Start, x.Start), bytes.Compare(x.TraceID[:], y.TraceID[:]))
		})
	}
	return g.truth
}
