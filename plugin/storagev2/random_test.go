package storagev2

import (
	"cmp"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	jaeger "github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/expressionpb"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter/filtertest"
	"github.com/jaeger-tempo/tempo/tempodb"
)

var (
	modelTraces  = flag.Int("model-traces", 300, "random traces of the model test")
	modelQueries = flag.Int("model-queries", 160, "random queries of the model test")
	modelSeed    = flag.Uint64("model-seed", 1, "what the model test's random numbers begin with")
)

// drawer makes random spans and queries.
type drawer struct {
	*rand.Rand
	resources []*resourcepb.Resource
	scopes    []*commonpb.InstrumentationScope
}

func newDrawer(seed uint64) *drawer {
	d := &drawer{Rand: rand.New(rand.NewPCG(seed, 2))}
	plain := func(list []*commonpb.KeyValue) []*commonpb.KeyValue { // the naive filter does not know the names of services that are lists
		return slices.DeleteFunc(list, func(a *commonpb.KeyValue) bool {
			return a.Key == "service.name" && (a.Value.GetArrayValue() != nil || a.Value.GetKvlistValue() != nil)
		})
	}
	for _, service := range []any{"cart", "shop", "mail", "search", "5", "", 5, nil} {
		r := &resourcepb.Resource{}
		if service != nil {
			r.Attributes = append(r.Attributes, attribute("service.name", service))
		}
		d.resources = append(d.resources, r, &resourcepb.Resource{Attributes: append(slices.Clone(r.Attributes), plain(d.attributes(3))...)})
	}
	d.resources = append(d.resources, nil)
	d.scopes = []*commonpb.InstrumentationScope{nil, {}, {Name: "lib", Version: "2"}, {Name: "lib", Attributes: d.attributes(2)}}
	return d
}

func pick[T any](d *drawer, of ...T) T { return of[d.IntN(len(of))] }

func (d *drawer) key() string {
	return pick(d, "k", "k", "k", "n", "n", "http.url", "http.status_code", "", "ключ", "error", "event", "span.kind", "service.name", "otel.scope.name", "otel.status_code", "@jaeger@x")
}

func (d *drawer) value(depth int) *commonpb.AnyValue {
	switch n := d.IntN(16); {
	case n < 5:
		return value(pick(d, "", "a", "b", "GET", "123", "true", "<&>", "日本", "1e+16", "server", strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("x", 300), strings.Repeat("x", 299)+"y"))
	case n < 8:
		return value(pick(d, 0, 1, 2, 3, 123, 200, 404, -1, math.MinInt, math.MaxInt, 10_000_000_000_000_000))
	case n < 11:
		return value(pick(d, 0.0, 1.0, 123.0, 0.1, 2.5, 1e16, 1e-9, 1.0/3, 1234567, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.MaxFloat64))
	case n == 11:
		return value(d.IntN(2) == 0)
	case n == 12:
		return value(pick(d, []byte{}, []byte{0xca, 0xfe}, []byte("\x00")))
	case n == 13:
		return pick(d, nil, &commonpb.AnyValue{})
	case depth > 2:
		return value("deep")
	case n == 14:
		list := new(commonpb.ArrayValue)
		for range d.IntN(3) {
			if v := d.value(depth + 1); v != nil {
				list.Values = append(list.Values, v)
			}
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}
	default:
		return value(d.attributes(2))
	}
}

func (d *drawer) attributes(most int) (all []*commonpb.KeyValue) {
	for range d.IntN(most + 1) {
		all = append(all, &commonpb.KeyValue{Key: d.key(), Value: d.value(0)})
	}
	return all
}

// begin is when the traces begin; within a minute, so that some begin together.
const begin = 1_700_000_000_000_000_000

func (d *drawer) time() int64 { return begin + int64(d.IntN(60_000))*int64(time.Millisecond) }

func (d *drawer) duration() int64 {
	return pick(d, 0, 1, 1000, int64(d.IntN(1e9)), int64(time.Second), int64(time.Hour))
}

func (d *drawer) operation() string { return pick(d, "GET /", "POST /", "query", "", "a") }

// trace draws the spans of trace n, each alone in its group.
func (d *drawer) trace(n int) (groups []*tracepb.ResourceSpans) {
	id := binary.BigEndian.AppendUint64(nil, uint64(d.IntN(3)))
	id = binary.BigEndian.AppendUint64(id, uint64(n+1))
	if d.IntN(3) == 0 { // spans that the filters know
		for i := range 1 + d.IntN(3) {
			seed := int(d.Uint32())
			group := rapid.Custom(func(t *rapid.T) *tracepb.ResourceSpans { return filtertest.DrawSpan(t, 1, byte(i+1)) }).Example(seed)
			group.ScopeSpans[0].Spans[0].TraceId = id
			groups = append(groups, group)
		}
		return groups
	}
	at := d.time()
	count := 1 + d.IntN(6)
	if d.IntN(100) == 0 {
		count = 60
	}
	for i := range count {
		s := &tracepb.Span{
			TraceId: id, SpanId: []byte{0, 0, 0, 0, 0, 0, 1, byte(i + 1)}, Name: d.operation(), Kind: tracepb.Span_SpanKind(d.IntN(7)), Attributes: d.attributes(3),
			TraceState: pick(d, "", "", "", "a=b"), Flags: pick[uint32](d, 0, 1, 257),
		}
		if parent := d.IntN(i + 2); parent > 0 || d.IntN(5) == 0 && i > 0 {
			s.ParentSpanId = []byte{0, 0, 0, 0, 0, 0, 1, byte(parent)} // 0 and i+1 are not there, or it is itself's
			if parent == i+1 {
				s.ParentSpanId[0] = 9
			}
		}
		start := at + int64(d.IntN(1000))*int64(time.Millisecond)
		switch d.IntN(50) {
		case 0:
			start = 0
		case 1:
			start += int64(20 * time.Minute) // late
		}
		s.StartTimeUnixNano, s.EndTimeUnixNano = uint64(start), uint64(start+d.duration())
		if d.IntN(3) == 0 {
			s.Status = &tracepb.Status{Code: tracepb.Status_StatusCode(d.IntN(3)), Message: pick(d, "", "boom")}
		}
		for range d.IntN(3) {
			s.Events = append(s.Events, &tracepb.Span_Event{TimeUnixNano: uint64(start), Name: pick(d, "", "retry", "a"), Attributes: d.attributes(2)})
		}
		if d.IntN(8) == 0 {
			s.Links = append(s.Links, &tracepb.Span_Link{TraceId: id, SpanId: []byte{0, 0, 0, 0, 0, 0, 1, 1}, Attributes: d.attributes(1)})
		}
		group := &tracepb.ResourceSpans{Resource: pick(d, d.resources...), ScopeSpans: []*tracepb.ScopeSpans{{Scope: pick(d, d.scopes...), Spans: []*tracepb.Span{s}}}}
		groups = append(groups, group)
		if d.IntN(20) == 0 { // another of the same ID
			other := proto.CloneOf(group)
			other.ScopeSpans[0].Spans[0].Name += "'"
			groups = append(groups, other)
		}
	}
	return groups
}

// jaegerSpan draws a span of Jaeger's model, and returns it as the store has it too.
func (d *drawer) jaegerSpan(n int) (*jaeger.Span, *tracepb.ResourceSpans) {
	span := &jaeger.Span{
		TraceID: jaeger.NewTraceID(7, uint64(n+1)), SpanID: jaeger.NewSpanID(uint64(1 + d.IntN(3))), OperationName: d.operation(),
		StartTime: time.Unix(0, d.time()).UTC(), Duration: time.Duration(d.duration()), Flags: pick[jaeger.Flags](d, 0, 1, 2, 512),
		Process: &jaeger.Process{ServiceName: pick(d, "cart", "shop", "old"), Tags: []jaeger.KeyValue{jaeger.String("hostname", pick(d, "a", "b"))}},
		Tags: []jaeger.KeyValue{
			jaeger.String("span.kind", pick(d, "client", "server", "no kind")), jaeger.Bool("error", d.IntN(2) == 0), jaeger.Int64("n", int64(d.IntN(3))),
			jaeger.Float64("k", pick(d, 1, 0.1, 123)), jaeger.Binary("http.url", []byte{0xca, 0xfe}),
		},
		Logs: []jaeger.Log{{Timestamp: time.Unix(0, begin).UTC(), Fields: []jaeger.KeyValue{jaeger.String("event", pick(d, "retry", "a")), jaeger.Int64("n", 7)}}},
	}
	if d.IntN(2) == 0 {
		span.Warnings = []string{"late"}
		span.References = []jaeger.SpanRef{jaeger.NewFollowsFromRef(span.TraceID, 2), jaeger.NewChildOfRef(span.TraceID, 9)}
	}
	b, err := jaegerv1.AppendOTLP(nil, span)
	if err != nil {
		panic(err)
	}
	return span, groupsOf(b)[0]
}

// groupsOf returns the spans of TracesData, each alone in its group.
func groupsOf(data []byte) (groups []*tracepb.ResourceSpans) {
	var all tracepb.TracesData
	if err := proto.Unmarshal(data, &all); err != nil {
		panic(err)
	}
	return apart(all.ResourceSpans)
}

func apart(of []*tracepb.ResourceSpans) (groups []*tracepb.ResourceSpans) {
	for _, rs := range of {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				groups = append(groups, &tracepb.ResourceSpans{Resource: rs.Resource, SchemaUrl: rs.SchemaUrl, ScopeSpans: []*tracepb.ScopeSpans{
					{Scope: ss.Scope, SchemaUrl: ss.SchemaUrl, Spans: []*tracepb.Span{s}},
				}})
			}
		}
	}
	return groups
}

// filtered draws a query with a filter.
func (d *drawer) filtered() (q *modelQuery, filter *expressionpb.Call) {
	form := rapid.Custom(filtertest.DrawForm).Example(int(d.Uint32()))
	q = &modelQuery{holds: func(s *modelSpan) bool { return filtertest.Holds(form, s.group) }}
	if d.IntN(4) == 0 {
		q.startMin = pick(d, begin+int64(20*time.Second), filtertest.Begin.UnixNano()+1000)
	}
	if d.IntN(4) == 0 {
		q.startMax = pick(d, begin+int64(30*time.Second), filtertest.Begin.UnixNano()+3000)
	}
	if q.startMin != 0 && q.startMax != 0 && q.startMin > q.startMax {
		q.startMin, q.startMax = q.startMax, q.startMin
	}
	return q, callOf(form)
}

// query draws a query for what there may be.
func (d *drawer) query(m *model) *modelQuery {
	q := new(modelQuery)
	like := m.spans[d.IntN(len(m.spans))] // it, at least, may be found
	if d.IntN(3) > 0 {
		q.service = pick(d, like.service, like.service, "cart", "shop", "nobody")
	}
	if d.IntN(4) == 0 {
		q.operation = pick(d, like.Name, "GET /")
	}
	if d.IntN(3) == 0 {
		q.startMin = pick(d, like.start, d.time())
	}
	if d.IntN(3) == 0 {
		q.startMax = pick(d, like.start, d.time())
	}
	if q.startMin != 0 && q.startMax != 0 && q.startMin > q.startMax {
		q.startMin, q.startMax = q.startMax, q.startMin
	}
	if d.IntN(4) == 0 {
		q.durationMin = pick(d, like.duration, d.duration())
	}
	if d.IntN(4) == 0 {
		q.durationMax = pick(d, like.duration, d.duration())
	}
	if q.durationMin != 0 && q.durationMax != 0 && q.durationMin > q.durationMax {
		q.durationMin, q.durationMax = q.durationMax, q.durationMin
	}
	q.attributes, q.values = make(map[string][]string), make(map[string]*commonpb.AnyValue)
	for range pick(d, 0, 0, 1, 1, 1, 2) {
		a := &commonpb.KeyValue{Key: d.key(), Value: d.value(0)}
		places := [][]*commonpb.KeyValue{like.Attributes, like.group.Resource.GetAttributes(), like.group.ScopeSpans[0].Scope.GetAttributes()}
		for _, e := range like.Events {
			places = append(places, e.Attributes)
		}
		if of := slices.Concat(places...); len(of) > 0 && d.IntN(4) > 0 {
			a = pick(d, of...)
		}
		q.values[a.Key], q.attributes[a.Key] = a.Value, []string{textOf(a.Value)}
		if double, ok := a.Value.GetValue().(*commonpb.AnyValue_DoubleValue); ok {
			q.attributes[a.Key] = formsOf(double.DoubleValue)
			if v := double.DoubleValue; v == math.Trunc(v) && math.Abs(v) < 1<<63 && v != 0 {
				q.attributes[a.Key] = append(q.attributes[a.Key], fmt.Sprint(int64(v)))
			}
		}
	}
	return q
}

func timestampOf(nanos int64, d *drawer) *timestamppb.Timestamp {
	switch {
	case nanos != 0:
		return timestamppb.New(time.Unix(0, nanos))
	case d.IntN(2) == 0:
		return timestamppb.New(time.Time{}) // as Jaeger says unset
	}
	return nil
}

func (q *modelQuery) v2(d *drawer) *storagepb.TraceQueryParameters {
	p := &storagepb.TraceQueryParameters{
		ServiceName: q.service, OperationName: q.operation, StartTimeMin: timestampOf(q.startMin, d), StartTimeMax: timestampOf(q.startMax, d),
		DurationMin: durationpb.New(time.Duration(q.durationMin)), DurationMax: durationpb.New(time.Duration(q.durationMax)),
	}
	for key, v := range q.values {
		a := new(storagepb.KeyValue)
		if err := proto.Unmarshal([]byte(bytesOf(&commonpb.KeyValue{Key: key, Value: v})), a); err != nil {
			panic(err)
		}
		p.Attributes = append(p.Attributes, a)
	}
	return p
}

// v1 is the query in the older protocol, in which values are text, and changes q to what it means there; nil if it can't be asked.
func (q *modelQuery) v1() *storage_v1.TraceQueryParameters {
	if q.service == "" && len(q.attributes) > 0 || q.holds != nil {
		return nil
	}
	p := &storage_v1.TraceQueryParameters{
		ServiceName: q.service, OperationName: q.operation, Tags: make(map[string]string),
		DurationMin: time.Duration(q.durationMin), DurationMax: time.Duration(q.durationMax),
	}
	if q.startMin != 0 {
		p.StartTimeMin = time.Unix(0, q.startMin)
	}
	if q.startMax != 0 {
		p.StartTimeMax = time.Unix(0, q.startMax)
	}
	for key, forms := range q.attributes {
		p.Tags[key] = forms[0]
		q.attributes[key] = forms[:1]
	}
	return p
}

// fill stores random traces: in several blocks, some merged, and in the log, with spans of a trace in several of them, and some sent again.
func (w *world) fill(d *drawer, traces int) *model {
	w.Helper()
	m := &model{known: make(map[string]bool), of: make(map[string][]*modelSpan)}
	var groups []*tracepb.ResourceSpans
	for n := range traces {
		groups = append(groups, d.trace(n)...)
	}
	// Most spans of a trace come together, some much later.
	for range len(groups) / 10 {
		i, j := d.IntN(len(groups)), d.IntN(len(groups))
		groups[i], groups[j] = groups[j], groups[i]
	}
	for range len(groups) / 20 {
		groups = append(groups, groups[d.IntN(len(groups))])
	}
	// Most stays in the log: a filter may read every trace, and a block takes a millisecond for each.
	const phases = 10
	older := storage_v1.NewSpanWriterPluginClient(w.conn)
	for phase := range phases {
		part := groups
		if phase < phases-1 {
			part = groups[:min(len(groups)/20, 60)]
		}
		groups = groups[len(part):]
		for batch := range slices.Chunk(part, 50) {
			w.mustExport(batch...)
			for _, group := range batch {
				m.add(group)
			}
		}
		for n := range traces / 50 {
			span, group := d.jaegerSpan(n)
			if _, err := older.WriteSpan(w.Context(), &storage_v1.WriteSpanRequest{Span: span}); err != nil {
				w.Fatal(err)
			}
			m.add(group)
		}
		if phase < phases-1 {
			w.cut()
		}
		if phase == phases/2 {
			w.store.Each(func(_ string, db *tempodb.DB) {
				if err := db.Compact(w.Context()); err != nil {
					w.Fatal(err)
				}
			})
		}
	}
	return m
}

// The store answers every call as a model does that looks at all spans one by one, in both protocols. `go test -run Model ./plugin/storagev2 -args -model-traces 5000
// -model-queries 2000` takes larger numbers; -model-seed other ones.
func TestEveryCallAnswersAsTheModelDoes(t *testing.T) {
	w := newWorld(t)
	d := newDrawer(*modelSeed)
	m := w.fill(d, *modelTraces)
	t.Logf("seed %d: %d spans of %d traces", *modelSeed, len(m.spans), len(m.of))
	older := storage_v1.NewSpanReaderPluginClient(w.conn)

	w.compareLists(m)
	w.compareTraces(m, older)
	found := 0
	for n := range *modelQueries {
		if n > 0 && n%500 == 0 {
			t.Logf("%d queries", n)
		}
		q := d.query(m)
		p := q.v2(d)
		if n%4 == 1 {
			var filter *expressionpb.Call
			q, filter = d.filtered()
			p = q.v2(d)
			p.Filter = filter
		}
		want := m.find(q)
		found += len(want)
		fail := func(call string, got, want any) {
			t.Helper()
			t.Fatalf("seed %d, query %d, %v: %s: (-want +got)\n%s", *modelSeed, n, p, call, gocmp.Diff(want, got, protocmp.Transform()))
		}
		depth := pick(d, 0, 1, 5, 20, 300)
		p.SearchDepth = int32(depth)
		if depth == 0 {
			depth = 100
		}
		first := want[:min(len(want), depth)]
		if ids := w.ids(p); !slices.Equal(ids, first) {
			fail("FindTraceIDs", ids, first)
		}
		if n%4 == 2 || n%8 == 1 {
			summaries, _ := w.summaries(p)
			if wantSummaries := m.summaries(first); !slices.EqualFunc(summaries, wantSummaries, func(a, b *storagepb.TraceSummary) bool { return proto.Equal(a, b) }) {
				fail("FindTraceSummaries", summaries, wantSummaries)
			}
		}
		if n%8 == 4 || n%16 == 5 {
			order, groups, _, err := receive(w.traces.FindTraces(t.Context(), &storagepb.FindTracesRequest{Query: p}))
			if err != nil || !slices.Equal(order, first) {
				fail("FindTraces", order, first)
			}
			for _, id := range order {
				if got, want := spanSet(apart(groups[id])), m.spanSet(id); !slices.Equal(got, want) {
					t.Fatalf("seed %d, query %d: trace %x has %d spans, want %d, or others", *modelSeed, n, id, len(got), len(want))
				}
			}
		}
		if n%8 == 0 || n%16 == 13 {
			size := max(pick(d, 1, 3, 10, 100, 1000), len(want)/4)
			if ids, summaries := w.pages(p, size); !slices.Equal(ids, want) || !slices.Equal(summaries, want) {
				fail(fmt.Sprintf("pages of %d", size), [][]string{ids, summaries}, [][]string{want, want})
			}
		}
		if n%8 == 1 {
			w.compareSpans(m, d, q, p)
		}
		if older1 := q.v1(); older1 != nil {
			older1.NumTraces = int32(depth)
			want := m.find(q)
			want = want[:min(len(want), depth)]
			res, err := older.FindTraceIDs(t.Context(), &storage_v1.FindTraceIDsRequest{Query: older1})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, id := range res.TraceIDs {
				ids = append(ids, string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, id.High), id.Low)))
			}
			if !slices.Equal(ids, want) {
				fail("v1 FindTraceIDs", ids, want)
			}
		}
	}
	t.Logf("%d queries found %d traces", *modelQueries, found)
}

// compareSpans asks for the spans on which a filter holds, page by page.
func (w *world) compareSpans(m *model, d *drawer, q *modelQuery, p *storagepb.TraceQueryParameters) {
	w.Helper()
	within := *q
	within.startMin, within.startMax = max(q.startMin, 1), cmp.Or(q.startMax, math.MaxInt64) // which such a query must say
	req := &storagepb.FindSpansRequest{Query: &storagepb.SpanQueryParameters{
		StartTimeMin: timestamppb.New(time.Unix(0, within.startMin)), StartTimeMax: timestamppb.New(time.Unix(0, within.startMax)), Filter: p.Filter,
	}}
	var order []spanOrder
	for range d.IntN(3) {
		by := spanOrder{pick(d, "startTime", "duration", "traceID", "spanID"), d.IntN(2) == 0}
		if slices.ContainsFunc(order, func(o spanOrder) bool { return o.field == by.field }) {
			continue
		}
		order = append(order, by)
		req.Query.OrderBy = append(req.Query.OrderBy, &storagepb.SpanSortOrder{
			Expression: &expressionpb.Expression{Term: &expressionpb.Expression_Field{Field: &expressionpb.FieldReference{Name: by.field, Level: "span"}}},
			Direction:  map[bool]string{false: pick(d, "", "asc"), true: "desc"}[by.descending],
		})
	}
	want := m.findSpans(&within, order)
	size := max(pick(d, 1, 10, 100, 5000), len(want)/3)
	req.Query.Pagination = &storagepb.Pagination{PageSize: uint32(size)}
	var got []*tracepb.ResourceSpans
	for {
		page := 0
		stream, err := w.traces.FindSpans(w.Context(), req)
		token := ""
		for err == nil {
			var chunk *storagepb.FindSpansResponse
			if chunk, err = stream.Recv(); err == nil {
				groups := apart(chunk.GetSpans().GetResourceSpans())
				if token != "" || len(groups) == 0 {
					w.Fatalf("%v: a chunk of %d spans, behind the token %q", req, len(groups), token)
				}
				page += len(groups)
				got, token = append(got, groups...), chunk.NextPageToken
			}
		}
		if !errors.Is(err, io.EOF) || page > size {
			w.Fatalf("%v: %d spans on a page, %v", req, page, err)
		}
		if req.Query.Pagination.PageToken = token; token == "" {
			break
		}
	}
	name := func(s *tracepb.Span) string {
		return fmt.Sprintf("%d %d %x %x", s.StartTimeUnixNano, s.EndTimeUnixNano, s.TraceId, s.SpanId)
	}
	var gotNames, wantNames, all []string
	for _, group := range got {
		gotNames = append(gotNames, name(group.ScopeSpans[0].Spans[0]))
	}
	for _, s := range want {
		wantNames = append(wantNames, name(s.Span))
		all = append(all, plainGroup(s.group))
	}
	if slices.Sort(all); !slices.Equal(gotNames, wantNames) || !slices.Equal(spanSet(got), all) {
		w.Fatalf("seed %d, %v: (-want +got)\n%s", *modelSeed, req, gocmp.Diff(wantNames, gotNames))
	}
}

// spanSet lists the spans of groups, which have one each, in some order.
func spanSet(groups []*tracepb.ResourceSpans) (all []string) {
	for _, group := range groups {
		all = append(all, bytesOf(group))
	}
	slices.Sort(all)
	return all
}

// spanSet lists a trace's spans as v2 shows them.
func (m *model) spanSet(id string) []string {
	var all []string
	for _, s := range m.of[id] {
		all = append(all, plainGroup(s.group))
	}
	slices.Sort(all)
	return all
}

// plainGroup is a span as v2 shows it, alone in its group.
func plainGroup(group *tracepb.ResourceSpans) string {
	plain, err := jaegerv1.Plain([]byte(bytesOf(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{group}})))
	if err != nil {
		panic(err)
	}
	return bytesOf(groupsOf(plain)[0])
}

func (m *model) summaries(ids []string) (all []*storagepb.TraceSummary) {
	for _, id := range ids {
		all = append(all, m.summary(id))
	}
	return all
}

func (w *world) ids(p *storagepb.TraceQueryParameters) (ids []string) {
	w.Helper()
	res, err := w.traces.FindTraceIDs(w.Context(), &storagepb.FindTraceIDsRequest{Query: p})
	if err != nil {
		w.Fatalf("%v: %v", p, err)
	}
	for _, id := range res.TraceIds {
		ids = append(ids, string(id.TraceId))
	}
	return ids
}

// pages walks all pages of a query.
func (w *world) pages(p *storagepb.TraceQueryParameters, size int) (ids, summaries []string) {
	w.Helper()
	paged := proto.CloneOf(p)
	paged.SearchDepth, paged.Pagination = 0, &storagepb.Pagination{PageSize: uint32(size)}
	for {
		res, err := w.traces.FindTraceIDs(w.Context(), &storagepb.FindTraceIDsRequest{Query: paged})
		if err != nil {
			w.Fatalf("%v: %v", paged, err)
		}
		if len(res.TraceIds) > size || len(res.TraceIds) < size && res.NextPageToken != "" {
			w.Fatalf("%v: a page of %d, token %q", paged, len(res.TraceIds), res.NextPageToken)
		}
		for _, id := range res.TraceIds {
			ids = append(ids, string(id.TraceId))
		}
		all, token := w.summaries(paged)
		for _, s := range all {
			summaries = append(summaries, string(s.TraceId))
		}
		if token != res.NextPageToken {
			w.Fatalf("%v: tokens %q and %q", paged, res.NextPageToken, token)
		}
		if token == "" {
			return ids, summaries
		}
		paged.Pagination.PageToken = token
	}
}

// compareLists compares what lists there are, and the graph.
func (w *world) compareLists(m *model) {
	w.Helper()
	check := func(what string, got, want []string, err error) {
		w.Helper()
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			w.Fatalf("%s: %q, %v, want %q", what, got, err, want)
		}
	}
	services := make(map[string]bool)
	for _, s := range m.spans {
		services[s.service] = true
	}
	res, err := w.traces.GetServices(w.Context(), &storagepb.GetServicesRequest{})
	check("services", res.GetServices(), sortedKeys(services), err)
	for service := range services {
		for _, kind := range []string{"", "server", "client", "internal"} {
			res, err := w.traces.GetOperations(w.Context(), &storagepb.GetOperationsRequest{Service: service, SpanKind: kind})
			var got []string
			for _, o := range res.GetOperations() {
				got = append(got, o.Name+"/"+o.SpanKind)
			}
			check(fmt.Sprintf("operations of %q and kind %q", service, kind), got, m.operations(service, kind), err)
		}
	}
	for _, window := range [][2]int64{{begin, begin + int64(time.Hour)}, {begin + int64(time.Second), begin + int64(2*time.Second)}, {1, 2}} {
		res, err := storagepb.NewDependencyReaderClient(w.conn).GetDependencies(w.Context(), &storagepb.GetDependenciesRequest{
			StartTime: timestamppb.New(time.Unix(0, window[0])), EndTime: timestamppb.New(time.Unix(0, window[1])),
		})
		var got []string
		for _, e := range res.GetDependencies() {
			got = append(got, fmt.Sprintf("%s>%s:%d", e.Parent, e.Child, e.CallCount))
		}
		check(fmt.Sprint("dependencies in ", window), got, m.dependencies(window[0], window[1]), err)
	}
}

// compareTraces gets all traces by both protocols.
func (w *world) compareTraces(m *model, older storage_v1.SpanReaderPluginClient) {
	w.Helper()
	for batch := range slices.Chunk(sortedIDs(m), 100) {
		var ids [][]byte
		for _, id := range batch {
			ids = append(ids, []byte(id))
		}
		order, groups, _ := w.get(ids...)
		if !slices.Equal(order, batch) {
			w.Fatalf("%d traces, want %d", len(order), len(batch))
		}
		for _, id := range order {
			if got, want := spanSet(apart(groups[id])), m.spanSet(id); !slices.Equal(got, want) {
				w.Fatalf("trace %x has %d spans, want %d, or others", id, len(got), len(want))
			}
		}
	}
	for _, id := range sortedIDs(m)[:min(len(m.of), 300)] {
		var got, want []string
		for _, s := range m.of[id] {
			spans, err := jaegerv1.Spans([]byte(bytesOf(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{s.group}})))
			if err != nil {
				w.Fatal(err)
			}
			want = append(want, spans[0].String())
		}
		stream, err := older.GetTrace(w.Context(), &storage_v1.GetTraceRequest{TraceID: jaeger.NewTraceID(binary.BigEndian.Uint64([]byte(id[:8])), binary.BigEndian.Uint64([]byte(id[8:])))})
		for err == nil {
			var chunk *storage_v1.SpansResponseChunk
			if chunk, err = stream.Recv(); err == nil {
				for i := range chunk.Spans {
					got = append(got, chunk.Spans[i].String())
				}
			}
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			w.Fatalf("v1, trace %x: (-want +got)\n%s", id, gocmp.Diff(want, got))
		}
	}
}

func sortedIDs(m *model) []string {
	all := make(map[string]bool)
	for id := range m.of {
		all[id] = true
	}
	return sortedKeys(all)
}
