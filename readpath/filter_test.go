package readpath_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter/filtertest"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/writepath"
)

// filtered is a store of random spans, some in blocks and some in the log, with a list of them.
func filtered(t *testing.T) (*readpath.Reader, []*tracepb.ResourceSpans) {
	store := openStore(t, t.TempDir())
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	w := writepath.NewWriter(store)
	var all []*tracepb.ResourceSpans
	for i := range 150 {
		r := rapid.Custom(func(t *rapid.T) *tracepb.ResourceSpans { return filtertest.DrawSpan(t, byte(1+i*7%40), byte(1+i)) }).Example(i)
		data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{r}})
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + i%2 { // half of them twice
			if rejected, err := w.Write(t.Context(), tenant, data); err != nil || rejected.Spans != 0 {
				t.Fatal(err, rejected)
			}
			if i == 50 || i == 100 {
				if err := store.Cut(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		all = append(all, r)
	}
	return readpath.NewReader(store), all
}

func spanOf(r *tracepb.ResourceSpans) *tracepb.Span { return r.ScopeSpans[0].Spans[0] }

// window draws a time that begins and ends among the spans, or is not bounded.
func window(rng *rand.Rand) (begin, end time.Time) {
	if rng.IntN(3) == 0 {
		begin = filtertest.Begin.Add(time.Duration(rng.IntN(3)) * time.Microsecond)
	}
	if rng.IntN(3) == 0 {
		end = filtertest.Begin.Add(time.Duration(2+rng.IntN(4)) * time.Microsecond)
	}
	return begin, end
}

func inside(r *tracepb.ResourceSpans, begin, end time.Time) bool {
	start := time.Unix(0, int64(spanOf(r).StartTimeUnixNano))
	return (begin.IsZero() || !start.Before(begin)) && (end.IsZero() || !start.After(end))
}

func filters(t *testing.T, n int, check func(rng *rand.Rand, form *spanfilter.Call, filter *spanfilter.Filter)) {
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range n {
		form := rapid.Custom(filtertest.DrawForm).Example(i)
		filter, err := spanfilter.New(form)
		if err != nil {
			t.Fatal(err)
		}
		check(rng, form, filter)
	}
}

func TestFiltersFindTheTracesThatANaiveSearchFindsPageByPage(t *testing.T) {
	r, all := filtered(t)
	filters(t, 150, func(rng *rand.Rand, form *spanfilter.Call, filter *spanfilter.Filter) {
		q := readpath.Query{Filter: filter}
		q.StartMin, q.StartMax = window(rng)
		latest := map[trace.ID]uint64{}
		for _, s := range all {
			if inside(s, q.StartMin, q.StartMax) && filtertest.Holds(form, s) {
				id := trace.ID(spanOf(s).TraceId)
				latest[id] = max(latest[id], spanOf(s).StartTimeUnixNano)
			}
		}
		var want []trace.ID
		for id := range latest {
			want = append(want, id)
		}
		slices.SortFunc(want, func(a, b trace.ID) int { return cmp.Or(cmp.Compare(latest[b], latest[a]), bytes.Compare(a[:], b[:])) })
		q.Limit = 1 + rng.IntN(8)
		got, next, err := r.FindTraceIDs(t.Context(), tenant, &q)
		if err != nil || next != "" || !slices.Equal(got, want[:min(q.Limit, len(want))]) {
			t.Fatalf("%+v: the first %d are %v, %q, %v; want those of %v", form, q.Limit, got, next, err, want)
		}
		q.Limit = 0
		for rest := want; ; {
			q.PageSize = 1 + rng.IntN(8)
			got, next, err := r.FindTraceIDs(t.Context(), tenant, &q)
			if size := min(q.PageSize, len(rest)); err != nil || !slices.Equal(got, rest[:size]) || (next == "") != (size == len(rest)) {
				t.Fatalf("%+v: a page is %v, next %q, %v; want the first %d of %v", form, got, next, err, size, rest)
			}
			if rest = rest[len(got):]; len(rest) == 0 {
				break
			}
			q.PageToken = next
		}
	})
}

func TestFiltersFindTheSpansThatANaiveSearchFindsPageByPage(t *testing.T) {
	r, all := filtered(t)
	filters(t, 120, func(rng *rand.Rand, form *spanfilter.Call, filter *spanfilter.Filter) {
		q := readpath.SpanQuery{Filter: filter}
		if rng.IntN(10) == 0 {
			q.Filter = nil
		}
		q.StartMin, q.StartMax = window(rng)
		var want []*tracepb.ResourceSpans
		for _, s := range all {
			if inside(s, q.StartMin, q.StartMax) && (q.Filter == nil || filtertest.Holds(form, s)) {
				want = append(want, s)
			}
		}
		if rng.IntN(2) == 0 {
			for _, f := range rng.Perm(4)[:1+rng.IntN(4)] {
				q.OrderBy = append(q.OrderBy, readpath.SpanOrder{Field: readpath.SpanField(f), Descending: rng.IntN(2) == 0})
			}
		}
		order := append(slices.Clone(q.OrderBy), readpath.SpanOrder{Field: readpath.ByStart, Descending: true}, readpath.SpanOrder{Field: readpath.ByTraceID}, readpath.SpanOrder{Field: readpath.BySpanID})
		slices.SortFunc(want, func(x, y *tracepb.ResourceSpans) int {
			a, b := spanOf(x), spanOf(y)
			for _, o := range order {
				c := 0
				switch o.Field {
				case readpath.ByStart:
					c = cmp.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano)
				case readpath.ByDuration:
					c = cmp.Compare(a.EndTimeUnixNano-a.StartTimeUnixNano, b.EndTimeUnixNano-b.StartTimeUnixNano)
				case readpath.ByTraceID:
					c = bytes.Compare(a.TraceId, b.TraceId)
				case readpath.BySpanID:
					c = bytes.Compare(a.SpanId, b.SpanId)
				}
				if o.Descending {
					c = -c
				}
				if c != 0 {
					return c
				}
			}
			return 0
		})
		for n := 0; ; n++ {
			q.PageSize = 1 + rng.IntN(40)
			size := min(q.PageSize, len(want))
			at := 0
			next, err := r.FindSpans(t.Context(), tenant, &q, func(id trace.ID, data []byte) error {
				var got tracepb.TracesData
				if err := proto.Unmarshal(data, &got); err != nil {
					return err
				}
				for _, resource := range got.ResourceSpans {
					for _, span := range resource.ScopeSpans[0].Spans {
						one := proto.CloneOf(resource)
						one.ScopeSpans[0].Spans = []*tracepb.Span{span}
						if at == size || !proto.Equal(one, want[at]) || id != trace.ID(span.TraceId) {
							return fmt.Errorf("span %d of page %d is %v, want %v", at, n, one, want[:size])
						}
						at++
					}
				}
				return nil
			})
			if err != nil || at != size || (next == "") != (size == len(want)) {
				t.Fatalf("%+v by %v: page %d has %d spans, next %q, %v; want %d of %d", form, q.OrderBy, n, at, next, err, size, len(want))
			}
			if want = want[size:]; len(want) == 0 {
				break
			}
			q.PageToken = next
		}
	})
}

func TestFiltersThatCannotBeAreRefused(t *testing.T) {
	filter, err := spanfilter.New(&spanfilter.Call{Op: "exists", Args: []spanfilter.Expr{&spanfilter.Attribute{Key: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := filtered(t)
	for _, q := range []readpath.Query{
		{Filter: filter, Service: "a"}, {Filter: filter, Operation: "a"}, {Filter: filter, Tags: map[string]string{"a": "b"}}, {Filter: filter, DurationMin: 1}, {Filter: filter, DurationMax: 1},
	} {
		_, _, err := r.FindTraceIDs(t.Context(), tenant, &q)
		refusedQuery(t, err)
	}
	q := readpath.SpanQuery{PageSize: 1}
	next, err := r.FindSpans(t.Context(), tenant, &q, func(trace.ID, []byte) error { return nil })
	if err != nil || next == "" {
		t.Fatal(next, err)
	}
	for _, q := range []readpath.SpanQuery{
		{}, {PageSize: -1}, {PageSize: 1, PageToken: "a"}, {PageSize: 1, StartMin: time.Unix(2, 0), StartMax: time.Unix(1, 0)},
		{PageSize: 1, OrderBy: []readpath.SpanOrder{{Field: readpath.ByStart}, {Field: readpath.ByStart}}}, {PageSize: 1, OrderBy: []readpath.SpanOrder{{Field: 9}}},
		{PageSize: 1, PageToken: next, Filter: filter}, {PageSize: 1, PageToken: next, OrderBy: []readpath.SpanOrder{{Field: readpath.ByStart}}}, {PageSize: 1, PageToken: next, StartMin: time.Unix(1, 0)},
	} {
		_, err := r.FindSpans(t.Context(), tenant, &q, nil)
		refusedQuery(t, err)
	}
}
