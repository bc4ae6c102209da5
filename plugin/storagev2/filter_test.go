package storagev2

import (
	"bytes"
	"cmp"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/expressionpb"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter/filtertest"
)

// expression is what filterOf reads.
func expression(e spanfilter.Expr) *expressionpb.Expression {
	switch e := e.(type) {
	case *spanfilter.Call:
		return &expressionpb.Expression{Term: &expressionpb.Expression_Call{Call: callOf(e)}}
	case *spanfilter.Attribute:
		return &expressionpb.Expression{Term: &expressionpb.Expression_Attr{Attr: &expressionpb.AttributeReference{Key: e.Key, Level: e.Level}}}
	case *spanfilter.Field:
		return &expressionpb.Expression{Term: &expressionpb.Expression_Field{Field: &expressionpb.FieldReference{Name: e.Name, Level: e.Level}}}
	case *spanfilter.Collection:
		return &expressionpb.Expression{Term: &expressionpb.Expression_Nested{Nested: &expressionpb.NestedReference{Level: e.Level}}}
	case *spanfilter.Scalar:
		return &expressionpb.Expression{Term: &expressionpb.Expression_Scalar{Scalar: &expressionpb.Scalar{Value: e.Value, Type: e.Type}}}
	case *spanfilter.List:
		return &expressionpb.Expression{Term: &expressionpb.Expression_List{List: &expressionpb.List{Values: e.Values, Type: e.Type}}}
	}
	return nil
}

func callOf(form *spanfilter.Call) *expressionpb.Call {
	c := &expressionpb.Call{Op: form.Op}
	for _, arg := range form.Args {
		c.Args = append(c.Args, expression(arg))
	}
	return c
}

// drawn exports random spans, of which some are in blocks, and returns them.
func (w *world) drawn(n int) (all []*tracepb.ResourceSpans) {
	for i := range n {
		r := rapid.Custom(func(t *rapid.T) *tracepb.ResourceSpans { return filtertest.DrawSpan(t, byte(1+i*7%30), byte(1+i)) }).Example(i)
		w.mustExport(r)
		all = append(all, r)
		if i%40 == 30 {
			if err := w.store.Cut(w.Context()); err != nil {
				w.Fatal(err)
			}
		}
	}
	return all
}

// foundIDs follows the pages of a query.
func (w *world) foundIDs(q *storagepb.TraceQueryParameters) (ids []string) {
	w.Helper()
	for {
		res, err := w.traces.FindTraceIDs(w.Context(), &storagepb.FindTraceIDsRequest{Query: q})
		if err != nil {
			w.Fatal(err)
		}
		for _, id := range res.TraceIds {
			ids = append(ids, string(id.TraceId))
		}
		if q.GetPagination() == nil || res.NextPageToken == "" {
			return ids
		}
		q.Pagination.PageToken = res.NextPageToken
	}
}

// foundSpans follows the pages of a query for spans.
func (w *world) foundSpans(q *storagepb.SpanQueryParameters) (all []*tracepb.ResourceSpans) {
	w.Helper()
	for {
		stream, err := w.traces.FindSpans(w.Context(), &storagepb.FindSpansRequest{Query: q})
		if err != nil {
			w.Fatal(err)
		}
		next, n := "", 0
		for {
			res, err := stream.Recv()
			if err == io.EOF {
				break
			}
			if err != nil {
				w.Fatal(err)
			}
			if next != "" {
				w.Fatal("a token before the last message")
			}
			next = res.NextPageToken
			for _, r := range res.Spans.ResourceSpans {
				for _, s := range r.ScopeSpans {
					for _, span := range s.Spans {
						all = append(all, &tracepb.ResourceSpans{Resource: r.Resource, SchemaUrl: r.SchemaUrl, ScopeSpans: []*tracepb.ScopeSpans{{Scope: s.Scope, SchemaUrl: s.SchemaUrl, Spans: []*tracepb.Span{span}}}})
						n++
					}
				}
			}
		}
		if n > int(q.Pagination.PageSize) {
			w.Fatalf("a page of %d spans, asked for %d", n, q.Pagination.PageSize)
		}
		if next == "" {
			return all
		}
		q.Pagination.PageToken = next
	}
}

func always() (start, end *timestamppb.Timestamp) {
	return timestamppb.New(filtertest.Begin.Add(-time.Hour)), timestamppb.New(filtertest.Begin.Add(time.Hour))
}

// check compares what a filter finds with a naive reading, and returns of how many spans it holds.
func (w *world) check(form *spanfilter.Call, all []*tracepb.ResourceSpans, pageSize uint32) (holds int) {
	w.Helper()
	latest := map[string]uint64{}
	var want []*tracepb.ResourceSpans
	for _, r := range all {
		if filtertest.Holds(form, r) {
			span := r.ScopeSpans[0].Spans[0]
			want = append(want, r)
			latest[string(span.TraceId)] = max(latest[string(span.TraceId)], span.StartTimeUnixNano)
		}
	}
	var ids []string
	for id := range latest {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(latest[b], latest[a]), cmp.Compare(a, b)) })
	filter := callOf(form)
	if got := w.foundIDs(&storagepb.TraceQueryParameters{Filter: filter, Pagination: &storagepb.Pagination{PageSize: pageSize}}); !slices.Equal(got, ids) {
		w.Fatalf("%v finds the traces %x, want %x", filter, got, ids)
	}
	slices.SortFunc(want, func(x, y *tracepb.ResourceSpans) int {
		a, b := x.ScopeSpans[0].Spans[0], y.ScopeSpans[0].Spans[0]
		return cmp.Or(cmp.Compare(b.StartTimeUnixNano, a.StartTimeUnixNano), bytes.Compare(a.TraceId, b.TraceId), bytes.Compare(a.SpanId, b.SpanId))
	})
	start, end := always()
	got := w.foundSpans(&storagepb.SpanQueryParameters{StartTimeMin: start, StartTimeMax: end, Filter: filter, Pagination: &storagepb.Pagination{PageSize: pageSize}})
	if !slices.EqualFunc(got, want, func(a, b *tracepb.ResourceSpans) bool { return proto.Equal(a, b) }) {
		w.Fatalf("%v finds the spans %v, want %v", filter, got, want)
	}
	return len(want)
}

func TestFiltersFindWhatANaiveReadingFinds(t *testing.T) {
	w := newWorld(t)
	all := w.drawn(100)
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range 150 {
		w.check(rapid.Custom(filtertest.DrawForm).Example(i), all, 1+rng.Uint32N(30))
	}
}

func TestEveryOperatorLevelAndFlagThatIsAnnouncedIsServed(t *testing.T) {
	w := newWorld(t)
	res, err := storagepb.NewCapabilitiesClient(w.conn).GetCapabilities(t.Context(), &storagepb.GetCapabilitiesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	can := res.Search
	all := w.drawn(100)
	call := func(op string, args ...spanfilter.Expr) *spanfilter.Call { return &spanfilter.Call{Op: op, Args: args} }
	key := func(level string) *spanfilter.Attribute { return &spanfilter.Attribute{Key: "k", Level: level} }
	constant := func(s string) *spanfilter.Scalar { return &spanfilter.Scalar{Value: s} }
	list := func(s ...string) *spanfilter.List { return &spanfilter.List{Values: s} }
	get := call("eq", key(""), constant("GET"))

	served := map[string]*spanfilter.Call{
		"and": call("and", call("exists", key("")), call("eq", &spanfilter.Field{Level: "span", Name: "name"}, constant("GET"))),
		"or":  call("or", get, call("eq", key(""), constant("500"))), "not": call("not", get), "eq": get, "ne": call("ne", key(""), constant("GET")),
		"gt": call("gt", key(""), constant("404")), "lt": call("lt", key(""), constant("404")), "gte": call("gte", key(""), constant("404")), "lte": call("lte", key(""), constant("404")),
		"regex": call("regex", key(""), constant("0")), "exists": call("exists", key("")), "in": call("in", key(""), list("GET", "500")), "not_in": call("not_in", key(""), list("GET", "500")),
		"some":   call("some", &spanfilter.Collection{Level: "event"}, call("and", call("exists", key("event")), call("eq", &spanfilter.Field{Level: "event", Name: "name"}, constant("exception")))),
		"phrase": call("phrase", key(""), list("refund", "the")), "fulltext": call("fulltext", key(""), list("policy")),
	}
	for _, op := range can.Filter.Operators {
		if n := w.check(served[op], all, 7); n == 0 || n == len(all) {
			t.Errorf("%s holds on %d of %d spans, which shows nothing", op, n, len(all))
		}
		delete(served, op)
	}
	for op := range served {
		t.Errorf("operator %s is not announced", op)
	}
	if want := []string{"span", "resource", "scope", "event", "link"}; !slices.Equal(can.Filter.Levels, want) {
		t.Errorf("levels %q, want %q", can.Filter.Levels, want)
	}
	for _, level := range append(can.Filter.Levels, "") {
		if n := w.check(call("exists", key(level)), all, 9); n == 0 || n == len(all) {
			t.Errorf("level %q: on %d of %d spans, which shows nothing", level, n, len(all))
		}
	}
	if !can.WithoutServiceName || len(w.foundIDs(&storagepb.TraceQueryParameters{SearchDepth: 1000})) != 30 {
		t.Error("without a service not all traces are found")
	}
	// Each of two conditions holds on a span of the trace, but not on the same.
	one, other := shopTrace(200), shopTrace(200)
	setName := func(r []*tracepb.ResourceSpans, id byte, name string) {
		r[0].ScopeSpans[0].Spans = r[0].ScopeSpans[0].Spans[:1]
		r[0].ScopeSpans[0].Spans[0].SpanId, r[0].ScopeSpans[0].Spans[0].Name = []byte{id, 7: 1}, name
	}
	setName(one, 1, "only one")
	setName(other, 2, "only other")
	w.mustExport(one[0], other[0])
	named := func(name string) *spanfilter.Call {
		return call("eq", &spanfilter.Field{Level: "span", Name: "name"}, constant(name))
	}
	both := &storagepb.TraceQueryParameters{Filter: callOf(call("and", named("only one"), named("only other")))}
	either := &storagepb.TraceQueryParameters{Filter: callOf(call("or", named("only one"), named("only other")))}
	if n, m := len(w.foundIDs(both)), len(w.foundIDs(either)); !can.SameSpanConjunction || n != 0 || m != 1 {
		t.Errorf("conditions on two spans of a trace: %d traces, %d of either", n, m)
	}
	if !can.Paginated || !can.SpanSearch {
		t.Error("pages and the search for spans, which are used above, are not announced")
	}
	start, end := always()
	spans := &storagepb.SpanQueryParameters{StartTimeMin: start, StartTimeMax: end, Pagination: &storagepb.Pagination{PageSize: 8}, OrderBy: []*storagepb.SpanSortOrder{
		{Expression: expression(&spanfilter.Field{Level: "span", Name: "duration"}), Direction: "desc"}, {Expression: expression(&spanfilter.Field{Level: "span", Name: "spanID"})},
	}}
	sorted := slices.IsSortedFunc(w.foundSpans(spans), func(x, y *tracepb.ResourceSpans) int {
		a, b := x.ScopeSpans[0].Spans[0], y.ScopeSpans[0].Spans[0]
		return cmp.Or(cmp.Compare(b.EndTimeUnixNano-b.StartTimeUnixNano, a.EndTimeUnixNano-a.StartTimeUnixNano), bytes.Compare(a.SpanId, b.SpanId))
	})
	if !can.SpanSorting || !sorted {
		t.Error("spans are not in the order that was asked for")
	}
}

func TestFiltersAndQueriesForSpansThatCannotBeAreRefused(t *testing.T) {
	w := newWorld(t)
	w.drawn(3)
	deep := &expressionpb.Call{Op: "not"}
	for range 100 {
		deep = &expressionpb.Call{Op: "not", Args: []*expressionpb.Expression{{Term: &expressionpb.Expression_Call{Call: deep}}}}
	}
	refused := func(err error, want string) {
		t.Helper()
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for want, filter := range map[string]*expressionpb.Call{
		"unknown operator":              {},
		"calls nest more than":          deep,
		"not[0]: it must be a call":     {Op: "not", Args: []*expressionpb.Expression{nil}},
		"eq[1]: it must be":             {Op: "eq", Args: []*expressionpb.Expression{expression(&spanfilter.Attribute{Key: "a"}), {}}},
		"it has more than 10000 parts":  {Op: "or", Args: make([]*expressionpb.Expression, 10_001)},
		"some[0]: it must be the colle": {Op: "some", Args: []*expressionpb.Expression{{Term: &expressionpb.Expression_Nested{}}, {}}},
	} {
		_, err := w.traces.FindTraceIDs(t.Context(), &storagepb.FindTraceIDsRequest{Query: &storagepb.TraceQueryParameters{Filter: filter}})
		refused(err, want)
	}
	exists := callOf(&spanfilter.Call{Op: "exists", Args: []spanfilter.Expr{&spanfilter.Attribute{Key: "k"}}})
	_, err := w.traces.FindTraceIDs(t.Context(), &storagepb.FindTraceIDsRequest{Query: &storagepb.TraceQueryParameters{Filter: exists, ServiceName: "cart"}})
	refused(err, "either a filter or")

	start, end := always()
	page := &storagepb.Pagination{PageSize: 1}
	by := func(e spanfilter.Expr, direction string) []*storagepb.SpanSortOrder {
		return []*storagepb.SpanSortOrder{{Expression: expression(e), Direction: direction}}
	}
	name, startTime := &spanfilter.Field{Level: "span", Name: "name"}, &spanfilter.Field{Level: "span", Name: "startTime"}
	for want, q := range map[string]*storagepb.SpanQueryParameters{
		"missing":                {},
		"needs start_time_min":   {StartTimeMax: end, Pagination: page},
		"is after":               {StartTimeMin: end, StartTimeMax: start, Pagination: page},
		"needs pagination":       {StartTimeMin: start, StartTimeMax: end},
		"page_size":              {StartTimeMin: start, StartTimeMax: end, Pagination: &storagepb.Pagination{}},
		"page token":             {StartTimeMin: start, StartTimeMax: end, Pagination: &storagepb.Pagination{PageSize: 1, PageToken: "x"}},
		"order_by[0]: spans":     {StartTimeMin: start, StartTimeMax: end, Pagination: page, OrderBy: by(name, "")},
		"order_by[0]: the direc": {StartTimeMin: start, StartTimeMax: end, Pagination: page, OrderBy: by(startTime, "down")},
		"a field twice":          {StartTimeMin: start, StartTimeMax: end, Pagination: page, OrderBy: append(by(startTime, ""), by(startTime, "desc")...)},
		"unknown operator":       {StartTimeMin: start, StartTimeMax: end, Pagination: page, Filter: &expressionpb.Call{}},
	} {
		if want == "missing" {
			q = nil
		}
		stream, err := w.traces.FindSpans(t.Context(), &storagepb.FindSpansRequest{Query: q})
		if err == nil {
			_, err = stream.Recv()
		}
		refused(err, want)
	}
}

func FuzzFilter(f *testing.F) {
	for n := range 60 {
		b, err := proto.Marshal(callOf(rapid.Custom(filtertest.DrawForm).Example(n)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := new(expressionpb.Call)
		if proto.Unmarshal(b, c) != nil {
			return
		}
		var filter *spanfilter.Filter
		var err error
		// A regular expression of 1 KiB may repeat 10,000 instructions.
		fuzztest.Bounded(t, 1024*len(b)+8<<20, func() { filter, err = filterOf(c) })
		if err != nil {
			if status.Code(err) != codes.InvalidArgument || filter != nil {
				t.Fatalf("%v, %v", filter, err)
			}
			return
		}
		plan := filter.Plan()
		if plan.Exact && plan.Over != plan.Under {
			t.Fatal("a plan that is exact and is not")
		}
	})
}
