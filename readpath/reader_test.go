package readpath_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

const tenant = "acme"

func openStore(t testing.TB, dir string) *tracedb.Store {
	t.Helper()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := tracedb.Open(t.Context(), tracedb.Options{Dir: filepath.Join(dir, "recent"), Bucket: bucket, Sync: wal.SyncNever})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// span is a span as the tests think of it.
type span struct {
	trace, id, parent byte
	service, name     string
	kind              trace.Kind
	start, duration   int64
	tags, resource    map[string]string
}

func attributes(of map[string]string) []*commonpb.KeyValue {
	var all []*commonpb.KeyValue
	for k, v := range of {
		all = append(all, &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}})
	}
	slices.SortFunc(all, func(a, b *commonpb.KeyValue) int { return strings.Compare(a.Key, b.Key) })
	return all
}

func traceID(b byte) trace.ID { return trace.ID{0: b, 15: 1} }

func request(t testing.TB, spans ...span) []byte {
	t.Helper()
	data := &tracepb.TracesData{}
	for _, s := range spans {
		id := traceID(s.trace)
		otlp := &tracepb.Span{
			TraceId: id[:], SpanId: []byte{s.id, 0, 0, 0, 0, 0, 0, 1}, Name: s.name, Kind: tracepb.Span_SpanKind(s.kind),
			StartTimeUnixNano: uint64(s.start), EndTimeUnixNano: uint64(s.start + s.duration), Attributes: attributes(s.tags),
		}
		if s.parent != 0 {
			otlp.ParentSpanId = []byte{s.parent, 0, 0, 0, 0, 0, 0, 1}
		}
		service := &commonpb.KeyValue{Key: "service.name", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s.service}}}
		data.ResourceSpans = append(data.ResourceSpans, &tracepb.ResourceSpans{
			Resource:   &resourcepb.Resource{Attributes: append([]*commonpb.KeyValue{service}, attributes(s.resource)...)},
			ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{otlp}}},
		})
	}
	encoded, err := proto.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func write(t testing.TB, w *writepath.Writer, spans ...span) {
	t.Helper()
	rejected, err := w.Write(t.Context(), tenant, request(t, spans...))
	if err != nil || rejected.Spans != 0 {
		t.Fatalf("write: %v, %+v", err, rejected)
	}
}

// matches is the meaning of a query, span by span.
func matches(q *readpath.Query, s *span) bool {
	for k, v := range q.Tags {
		if s.tags[k] != v && s.resource[k] != v {
			return false
		}
	}
	return (q.Service == "" || q.Service == s.service) &&
		(q.Operation == "" || q.Operation == s.name) &&
		(q.DurationMin == 0 || s.duration >= int64(q.DurationMin)) &&
		(q.DurationMax == 0 || s.duration <= int64(q.DurationMax)) &&
		(q.StartMin.IsZero() || s.start >= q.StartMin.UnixNano()) &&
		(q.StartMax.IsZero() || s.start <= q.StartMax.UnixNano())
}

func expected(q *readpath.Query, spans []span) []trace.ID {
	latest := map[byte]int64{}
	for i := range spans {
		if s := &spans[i]; matches(q, s) {
			latest[s.trace] = max(latest[s.trace], s.start)
		}
	}
	var ids []byte
	for id := range latest {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b byte) int {
		if latest[a] != latest[b] {
			return int(latest[b] - latest[a])
		}
		return int(a) - int(b)
	})
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	var all []trace.ID
	for _, id := range ids[:min(limit, len(ids))] {
		all = append(all, traceID(id))
	}
	return all
}

func TestEveryParameterAloneAndTogetherFindsWhatANaiveSearchFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(prefix string, n int) string { return fmt.Sprint(prefix, rng.IntN(n)) }
	dir := t.TempDir()
	store := openStore(t, dir)
	w := writepath.NewWriter(store)
	var spans []span
	for i := range 400 {
		s := span{
			trace: byte(1 + rng.IntN(60)), id: byte(1 + i%250), service: pick("s", 3), name: pick("op", 3), kind: trace.Kind(rng.IntN(6)),
			start: int64(1 + rng.IntN(1000)), duration: int64(rng.IntN(10)),
			tags: map[string]string{"k": pick("v", 3)}, resource: map[string]string{"zone": pick("z", 2)},
		}
		spans = append(spans, s)
		write(t, w, s)
		if i == 100 || i == 250 {
			if err := store.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := readpath.NewReader(store)
	for i := range 3000 {
		var q readpath.Query
		if rng.IntN(2) == 0 {
			q.Service = pick("s", 4)
		}
		if rng.IntN(3) == 0 {
			q.Operation = pick("op", 4)
		}
		if rng.IntN(3) == 0 {
			q.Tags = map[string]string{"k": pick("v", 4)}
			if rng.IntN(2) == 0 {
				q.Tags["zone"] = pick("z", 3)
			}
		}
		if rng.IntN(3) == 0 {
			q.DurationMin = time.Duration(rng.IntN(10))
		}
		if rng.IntN(3) == 0 {
			q.DurationMax = time.Duration(rng.IntN(10))
		}
		if rng.IntN(3) == 0 {
			q.StartMin = time.Unix(0, int64(rng.IntN(1000)))
		}
		if rng.IntN(3) == 0 {
			q.StartMax = time.Unix(0, int64(rng.IntN(1000)))
		}
		q.Limit = rng.IntN(8)
		got, _, err := r.FindTraceIDs(t.Context(), tenant, &q)
		if err != nil {
			t.Fatal(err)
		}
		if want := expected(&q, spans); !slices.Equal(got, want) {
			t.Fatalf("query %d %+v: got %v, want %v", i, q, got, want)
		}
		if i%20 != 0 {
			continue
		}
		// The pages of the same query, put one after the other, are the answer without a limit.
		q.Limit = 1000
		want := expected(&q, spans)
		q.Limit = 0
		for n, rest := 0, want; ; n++ {
			q.PageSize = 1 + rng.IntN(12)
			got, next, err := r.FindTraceIDs(t.Context(), tenant, &q)
			if err != nil {
				t.Fatal(err)
			}
			if size := min(q.PageSize, len(rest)); !slices.Equal(got, rest[:size]) || (next == "") != (size == len(rest)) {
				t.Fatalf("query %d %+v: page %d is %v, next %q, want the first of %v", i, q, n, got, next, rest)
			}
			if rest = rest[len(got):]; len(rest) == 0 {
				break
			}
			q.PageToken = next
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestATraceComesBackWholeFromLogAndBlocksWithEverySpanOnce(t *testing.T) {
	store := openStore(t, t.TempDir())
	w, r := writepath.NewWriter(store), readpath.NewReader(store)
	parts := []span{
		{trace: 1, id: 1, service: "front", name: "root", start: 10, duration: 100},
		{trace: 1, id: 2, parent: 1, service: "back", name: "work", start: 20, duration: 10},
		{trace: 1, id: 3, parent: 2, service: "db", name: "query", start: 25, duration: 2},
	}
	for _, s := range parts {
		write(t, w, s)
		write(t, w, s)
		if err := store.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
		write(t, w, s)
	}
	check := func(data []byte) {
		t.Helper()
		if n, err := trace.Spans(data); n != len(parts) || err != nil {
			t.Errorf("%d spans, %v, want %d", n, err, len(parts))
		}
	}
	data, err := r.Trace(t.Context(), tenant, traceID(1))
	if err != nil {
		t.Fatal(err)
	}
	check(data)
	found := 0
	err = r.FindTraces(t.Context(), tenant, &readpath.Query{Operation: "query"}, func(id trace.ID, whole []byte, _ error) error {
		found++
		if !bytes.Equal(whole, data) {
			t.Error("search and lookup give different bytes")
		}
		return nil
	})
	if err != nil || found != 1 {
		t.Errorf("%d traces found, %v", found, err)
	}
	deps, err := r.Dependencies(t.Context(), tenant, time.Unix(0, 1), time.Unix(0, 1000))
	want := []readpath.Dependency{{Parent: "back", Child: "db", Calls: 1}, {Parent: "front", Child: "back", Calls: 1}}
	if err != nil || !slices.Equal(deps, want) {
		t.Errorf("dependencies: %v, %v, want %v", deps, err, want)
	}
	if deps, err := r.Dependencies(t.Context(), tenant, time.Unix(0, 11), time.Unix(0, 19)); err != nil || len(deps) != 0 {
		t.Errorf("dependencies of a window without spans: %v, %v", deps, err)
	}
	_, err = r.FindSummaries(t.Context(), tenant, &readpath.Query{Service: "db"}, func(_ trace.ID, s *trace.Summary) error {
		if s.RootName != "root" || s.RootService != "front" || s.Spans != 3 || s.Start != 10 || s.End != 110 {
			t.Errorf("summary %+v", s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListsNameServicesAndTheirOperations(t *testing.T) {
	store := openStore(t, t.TempDir())
	w, r := writepath.NewWriter(store), readpath.NewReader(store)
	write(t, w, span{trace: 1, id: 1, service: "b", name: "get", kind: trace.KindServer}, span{trace: 1, id: 2, service: "a", name: "call", kind: trace.KindClient})
	if err := store.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, w, span{trace: 2, id: 1, service: "b", name: "get"}, span{trace: 2, id: 2, service: "b", name: ""}, span{trace: 2, id: 3, service: "bb", name: "x"})
	services, err := r.Services(t.Context(), tenant)
	if want := []string{"a", "b", "bb"}; err != nil || !slices.Equal(services, want) {
		t.Errorf("services %q, %v, want %q", services, err, want)
	}
	server := trace.KindServer
	for _, c := range []struct {
		service string
		kind    *trace.Kind
		want    []readpath.Operation
	}{
		{"b", nil, []readpath.Operation{{Name: "", Kind: trace.KindUnspecified}, {Name: "get", Kind: trace.KindUnspecified}, {Name: "get", Kind: trace.KindServer}}},
		{"b", &server, []readpath.Operation{{Name: "get", Kind: trace.KindServer}}},
		{"nobody", nil, []readpath.Operation{}},
	} {
		got, err := r.Operations(t.Context(), tenant, c.service, c.kind)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("operations of %q: %v, %v, want %v", c.service, got, err, c.want)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTenantsAreApart(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	w, r := writepath.NewWriter(store), readpath.NewReader(store)
	write(t, w, span{trace: 1, id: 1, service: "a", name: "x", start: 5})
	if _, err := r.Trace(t.Context(), "other", traceID(1)); !errors.Is(err, readpath.ErrTraceNotFound) {
		t.Errorf("another tenant's trace: %v", err)
	}
	if services, err := r.Services(t.Context(), "other"); err != nil || len(services) != 0 {
		t.Errorf("another tenant's services: %q, %v", services, err)
	}
	for _, bad := range []string{"", "../acme", "a/b", ".hidden", strings.Repeat("x", 200)} {
		var refused *tracedb.TenantError
		if _, err := r.Services(t.Context(), bad); !errors.As(err, &refused) {
			t.Errorf("tenant %q: %v", bad, err)
		}
		if _, err := w.Write(t.Context(), bad, request(t, span{trace: 1, id: 1})); !errors.As(err, &refused) {
			t.Errorf("write for tenant %q: %v", bad, err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = openStore(t, dir)
	r = readpath.NewReader(store)
	if _, err := r.Trace(t.Context(), tenant, traceID(1)); err != nil {
		t.Errorf("after reopening: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBadRequestsAreRefusedWholeAndBadSpansAlone(t *testing.T) {
	store := openStore(t, t.TempDir())
	w, r := writepath.NewWriter(store), readpath.NewReader(store)
	var wire *trace.WireError
	if _, err := w.Write(t.Context(), tenant, []byte{0x0a, 0x7f}); !errors.As(err, &wire) {
		t.Errorf("cut request: %v", err)
	}
	good := span{trace: 1, id: 1, service: "a", name: "x"}
	data := &tracepb.TracesData{}
	if err := proto.Unmarshal(request(t, good, good), data); err != nil {
		t.Fatal(err)
	}
	data.ResourceSpans[1].ScopeSpans[0].Spans[0].SpanId = make([]byte, 8)
	encoded, err := proto.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	rejected, err := w.Write(t.Context(), tenant, encoded)
	if err != nil || rejected.Spans != 1 || rejected.Reason == "" {
		t.Errorf("a span without ID: %+v, %v", rejected, err)
	}
	if _, err := r.Trace(t.Context(), tenant, traceID(1)); err != nil {
		t.Errorf("the good span of the request: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNewerTracesDoNotMoveThePagesOfAWalk(t *testing.T) {
	store := openStore(t, t.TempDir())
	w := writepath.NewWriter(store)
	for i := range byte(9) {
		write(t, w, span{trace: 1 + i, id: 1, service: "shop", start: 100 * int64(1+i)})
	}
	r := readpath.NewReader(store)
	q := &readpath.Query{Service: "shop", PageSize: 2}
	var walked []trace.ID
	for came := byte(1); ; came++ {
		ids, next, err := r.FindTraceIDs(t.Context(), tenant, q)
		if err != nil {
			t.Fatal(err)
		}
		walked = append(walked, ids...)
		if q.PageToken = next; next == "" {
			break
		}
		// A new trace, and new spans of one that was seen and of one that was not.
		write(t, w,
			span{trace: 100 + came, id: 1, service: "shop", start: 10_000 + int64(came)},
			span{trace: 9, id: 1 + came, service: "shop", start: 20_000 + int64(came)},
			span{trace: 1, id: 1 + came, service: "shop", start: 30_000 + int64(came)})
		if came == 2 {
			if err := store.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	var want []trace.ID
	for i := byte(9); i > 0; i-- {
		want = append(want, traceID(i))
	}
	if !slices.Equal(walked, want) {
		t.Errorf("walked %v, want %v", walked, want)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPagesThatCannotBeAreRefused(t *testing.T) {
	store := openStore(t, t.TempDir())
	write(t, writepath.NewWriter(store), span{trace: 1, id: 1, service: "shop", start: 1})
	r := readpath.NewReader(store)
	for _, q := range []readpath.Query{{PageSize: -1}, {PageSize: 1, Limit: 1}, {PageToken: "a"}, {PageSize: 1, PageToken: "a"}} {
		_, _, err := r.FindTraceIDs(t.Context(), tenant, &q)
		refusedQuery(t, err)
	}
	err := r.FindTraces(t.Context(), tenant, &readpath.Query{PageSize: 1}, nil)
	refusedQuery(t, err)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func refusedQuery(t *testing.T, err error) {
	t.Helper()
	if refused := new(readpath.QueryError); !errors.As(err, &refused) {
		t.Errorf("%v does not blame the query", err)
	}
}
