package ingester_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/ingester"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

func TestWhatIsAcknowledgedIsAnsweredInEveryWay(t *testing.T) {
	o := options(t)
	n := start(t, o)
	n.store(group("a", 2, spans(2, 3, "ann")), group("b", 3, spans(3, 1, "ann")), group("a", 1, spans(1, 1, "bob")))

	check := func(n *node) {
		t.Helper()
		for id, want := range map[uint64]int{1: 1, 2: 3, 3: 0} {
			if got := n.spansOf("a", id); got != want {
				t.Errorf("trace %d of a has %d spans, want %d", id, got, want)
			}
		}
		if got, source := n.find("a", "ann", 10); !slices.Equal(got, []uint64{2}) || !source.GetComplete() || source.GetInstance() != "one" || source.GetKeptForMs() != 3_600_000 {
			t.Errorf("search finds %v, from %v", got, source)
		}
		if got, source := n.summaries("a"); !slices.Equal(got, []uint64{1, 2}) || !source.GetComplete() {
			t.Errorf("summaries of %v, from %v", got, source)
		}
		if got, source := n.terms("a", trace.FieldService); !slices.Equal(got, []string{"shop"}) || !source.GetComplete() {
			t.Errorf("services %q, from %v", got, source)
		}
		if got := n.spansOf("b", 3); got != 1 {
			t.Errorf("trace 3 of b has %d spans, want 1", got)
		}
	}
	check(n)
	n.stop()
	again := start(t, o)
	check(again)
	if err := again.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(again)
}

func TestOfAnUnknownTenantNothingIsAnsweredAndNothingMade(t *testing.T) {
	o := options(t)
	n := start(t, o)
	if values, source, err := n.values("nobody", 1); err != nil || len(values) > 0 || !source.GetComplete() || source.GetInstance() != "one" {
		t.Errorf("values: %v from %v: %v", values, source, err)
	}
	if ids, source := n.find("nobody", "ann", 10); len(ids) > 0 || !source.GetComplete() {
		t.Errorf("search: %v from %v", ids, source)
	}
	if ids, source := n.summaries("nobody"); len(ids) > 0 || !source.GetComplete() {
		t.Errorf("summaries: %v from %v", ids, source)
	}
	if terms, source := n.terms("nobody", trace.FieldService); len(terms) > 0 || !source.GetComplete() {
		t.Errorf("terms: %v from %v", terms, source)
	}
	n.Each(func(tenant string, _ *tempodb.DB) { t.Errorf("there is a database of %s", tenant) })
}

func TestEachGroupHasItsOwnOutcome(t *testing.T) {
	n := start(t, options(t))
	outcomes := n.push(
		group("a", 1, spans(1, 1, "ann")),
		group("a", 2, []byte("no OTLP")),
		group("a", 3, spans(3, 1, "ann")),
		group("../a", 4, spans(4, 1, "ann")),
		&ingesterpb.Group{Tenant: "a", Keys: []byte("short"), Values: [][]byte{spans(5, 1, "ann")}},
		group("a", 6, nil),
		group("b", 7, spans(7, 1, "ann")),
	)
	want := []codes.Code{codes.OK, codes.InvalidArgument, codes.OK, codes.InvalidArgument, codes.InvalidArgument, codes.InvalidArgument, codes.OK}
	for i, o := range outcomes {
		if codes.Code(o.GetCode()) != want[i] {
			t.Errorf("group %d: %v, want %v", i, o, want[i])
		}
	}
	for _, id := range []uint64{1, 3} {
		if got := n.spansOf("a", id); got != 1 {
			t.Errorf("trace %d has %d spans beside a group that is refused", id, got)
		}
	}
	if got := n.Stats().Refused[limits.Refused{Tenant: "a", Reason: "invalid"}]; got != 3 {
		t.Errorf("%d values are counted as refused, want 3", got)
	}
}

func TestRequestsThatMakeNoSenseAreRefused(t *testing.T) {
	n := start(t, options(t))
	n.store(group("a", 1, spans(1, 1, "ann")))
	query := func(where *index.Expr) []byte {
		b, err := index.AppendQuery(nil, &index.Query{Where: where, Start: index.Everything, Duration: index.Everything})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	match := func(pattern string) *index.Expr {
		return index.Match([]byte("f"), []byte(pattern), func([]byte) bool { return true })
	}
	var many []*index.Expr
	for i := range 65 {
		many = append(many, match("x"+strings.Repeat("a", i+1)))
	}
	for name, q := range map[string][]byte{
		"no query":                 {},
		"another version":          {9},
		"a pattern of no kind":     query(match("?")),
		"a pattern that is broken": query(match("x(")),
		"a pattern too long":       query(match("x" + strings.Repeat("a", 16<<10))),
		"too many patterns":        query(index.Or(many...)),
		"a query too long":         append(query(nil), make([]byte, 1<<20)...),
	} {
		if _, err := n.Search(t.Context(), &ingesterpb.SearchRequest{Tenant: "a", Query: q}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	stream, err := n.Values(t.Context(), &ingesterpb.ValuesRequest{Tenant: "a", Keys: []byte("short")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("keys that are none: %v", err)
	}
	if _, _, err := n.values(".a", 1); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a tenant that is none: %v", err)
	}
	re, err := tracedb.Attribute{Key: "user"}.Matches("a.*")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := n.Search(t.Context(), &ingesterpb.SearchRequest{Tenant: "a", Query: query(re)})
	if err != nil || len(resp.GetKeys()) != 16 {
		t.Errorf("a pattern that is one: %v, %v", resp, err)
	}
}

func TestALargeTraceComesInPieces(t *testing.T) {
	n := start(t, options(t))
	large := strings.Repeat("x", 3<<20)
	n.store(group("a", 1, spans(1, 1, large)), group("a", 2, spans(2, 1, "ann")))
	n.store(group("a", 1, spans(1<<30, 1, large))) // another span under the same key
	values, _, err := n.values("a", 1, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(values[1], []byte(large)); got != 2 {
		t.Errorf("%d of 2 spans in %d bytes", got, len(values[1]))
	}
	if count, err := trace.Spans(values[2]); err != nil || count != 1 || len(values) != 2 {
		t.Errorf("behind the large one: %d spans, %v, of %d traces", count, err, len(values))
	}
}

func TestUntilTheLogIsReplayedNothingIsTakenOrAnswered(t *testing.T) {
	o := options(t)
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	n.stop()
	if _, err := n.Push(t.Context(), &ingesterpb.PushRequest{Groups: []*ingesterpb.Group{group("a", 2, spans(2, 1, "ann"))}}); status.Code(err) != codes.Unavailable {
		t.Errorf("push to an ingester that is closed: %v", err)
	}
	i, err := ingester.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	again := serve(t, i)
	for {
		_, err := again.Search(t.Context(), &ingesterpb.SearchRequest{Tenant: "a", Query: mustQuery(t)})
		if err == nil {
			break
		}
		if status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
	}
	if err := i.Ready(); err != nil {
		t.Error(err)
	}
	if got := again.spansOf("a", 1); got != 1 {
		t.Errorf("%d spans", got)
	}
}

func mustQuery(t *testing.T) []byte {
	t.Helper()
	b, err := index.AppendQuery(nil, &index.Query{Start: index.Everything, Duration: index.Everything, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestManyPushAtOnce(t *testing.T) {
	n := start(t, options(t))
	const pushers, each = 16, 20
	errs := make(chan error, pushers)
	for p := range pushers {
		go func() {
			var err error
			for i := range each {
				id := uint64(p*each + i + 1)
				tenant := string(rune('a' + i%3))
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				var resp *ingesterpb.PushResponse
				if resp, err = n.Push(ctx, &ingesterpb.PushRequest{Groups: []*ingesterpb.Group{group(tenant, id, spans(id, 1, "ann"))}}); err == nil && len(resp.GetOutcomes()) > 0 {
					err = status.Error(codes.Unknown, resp.GetOutcomes()[0].GetMessage())
				}
				cancel()
				if err != nil {
					break
				}
			}
			errs <- err
		}()
	}
	for range pushers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for _, tenant := range []string{"a", "b", "c"} {
		ids, _ := n.find(tenant, "ann", 0)
		total += len(ids)
	}
	if total != pushers*each {
		t.Errorf("%d of %d traces are found", total, pushers*each)
	}
}
