package storagev2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	jaeger "github.com/jaegertracing/jaeger/model"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/writepath"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

func (w *world) get(ids ...[]byte) (order []string, spans map[string][]*tracepb.ResourceSpans, sizes []int) {
	w.Helper()
	req := new(storagepb.GetTracesRequest)
	for _, id := range ids {
		req.Query = append(req.Query, &storagepb.GetTraceParams{TraceId: id})
	}
	order, spans, sizes, err := receive(w.traces.GetTraces(w.Context(), req))
	if err != nil {
		w.Fatal(err)
	}
	return order, spans, sizes
}

func TestWhatIsExportedIsRead(t *testing.T) {
	w := newWorld(t)
	first := from("shop", someSpan(1, 1, attribute("n", 1), attribute("b", []byte{0xff}), attribute("list", []any{"a", 1, 2.5, true})), childOf(1, someSpan(1, 2)))
	second := from("cart", someSpan(2, 1))
	w.mustExport(first, second)
	w.cut()
	late := from("shop", childOf(1, someSpan(1, 3)))
	w.mustExport(late)
	// Unknown ones are left out, the same one comes once, and hints hide nothing.
	far := timestamppb.New(someTime.Add(-time.Hour))
	order, got, _, err := receive(w.traces.GetTraces(t.Context(), &storagepb.GetTracesRequest{Query: []*storagepb.GetTraceParams{
		{TraceId: traceIDOf(9)}, {TraceId: traceIDOf(2), StartTime: far, EndTime: far}, {TraceId: traceIDOf(1), StartTime: timestamppb.New(time.Time{})}, {TraceId: traceIDOf(2)},
	}}))
	if err != nil || !slices.Equal(order, []string{string(traceIDOf(2)), string(traceIDOf(1))}) {
		t.Fatalf("%x, %v", order, err)
	}
	if diff := cmp.Diff([]*tracepb.ResourceSpans{second}, got[order[0]], protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]*tracepb.Span{first.ScopeSpans[0].Spans[0], first.ScopeSpans[0].Spans[1], late.ScopeSpans[0].Spans[0]}, spansOf(got[order[1]]),
		protocmp.Transform(), sortedSpans); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if order, _, _ := w.get(traceIDOf(7)); order != nil {
		t.Errorf("an unknown trace is %x", order)
	}
	if order, _, _ := w.get(); order != nil {
		t.Errorf("no trace is %x", order)
	}
}

func TestManyTracesComeInTheOrderTheyWereAskedFor(t *testing.T) {
	w := newWorld(t)
	const n = 50
	var ids [][]byte
	var want []string
	for i := range byte(n) {
		w.mustExport(from("shop", someSpan(i+1, 1)))
		if i == n/2 {
			w.cut()
		}
		id := traceIDOf(n - i)
		ids, want = append(ids, id, traceIDOf(100+i)), append(want, string(id))
	}
	if order, _, _ := w.get(ids...); !slices.Equal(order, want) {
		t.Errorf("%x\nwant %x", order, want)
	}
}

var sortedSpans = protocmp.SortRepeated(func(a, b *tracepb.Span) bool { return bytes.Compare(a.SpanId, b.SpanId) < 0 })

func TestALargeTraceComesInChunksAndALargeSpanAlone(t *testing.T) {
	w := newWorld(t)
	var spans []*tracepb.Span
	for n := range 8_000 {
		s := someSpan(1, 1, attribute("filler", strings.Repeat("x", 500)))
		s.SpanId = []byte{1, byte(n >> 8), byte(n), 0, 0, 0, 0, 1}
		spans = append(spans, s)
	}
	spans[3000].Attributes[0] = attribute("filler", strings.Repeat("y", 3<<20))
	want := from("big", spans...)
	w.mustExport(want)
	for _, place := range []string{"recent", "in a block"} {
		_, got, sizes := w.get(traceIDOf(1))
		var joined []*tracepb.Span
		for _, rs := range got[string(traceIDOf(1))] {
			if !proto.Equal(rs.Resource, want.Resource) || !proto.Equal(rs.ScopeSpans[0].Scope, want.ScopeSpans[0].Scope) {
				t.Fatal("a chunk lacks its resource or scope")
			}
			joined = append(joined, spansOf([]*tracepb.ResourceSpans{rs})...)
		}
		if len(joined) != len(spans) || !slices.EqualFunc(joined, spans, func(a, b *tracepb.Span) bool { return proto.Equal(a, b) }) {
			t.Fatalf("%s: %d spans, want %d", place, len(joined), len(spans))
		}
		large := slices.DeleteFunc(slices.Clone(sizes), func(n int) bool { return n <= maxChunk })
		if len(sizes) < 5 || len(large) != 1 || large[0] > 3<<20+1000 {
			t.Errorf("%s: chunks of %d bytes", place, sizes)
		}
		w.cut()
	}
}

func TestListsAreOfServicesAndOperations(t *testing.T) {
	w := newWorld(t)
	plain := someSpan(2, 1)
	plain.Kind, plain.Name = tracepb.Span_SPAN_KIND_UNSPECIFIED, "plain"
	w.mustExport(from("shop", someSpan(1, 1), plain), from("cart", someSpan(3, 1)))
	services, err := w.traces.GetServices(t.Context(), &storagepb.GetServicesRequest{})
	if err != nil || !slices.Equal(services.Services, []string{"cart", "shop"}) {
		t.Errorf("%v, %v", services.GetServices(), err)
	}
	for _, c := range []struct {
		service, kind, want string
	}{
		{"shop", "", "op/server plain/"}, {"shop", "server", "op/server"}, {"shop", "client", ""}, {"shop", "no such kind", ""}, {"nobody", "", ""},
	} {
		res, err := w.traces.GetOperations(t.Context(), &storagepb.GetOperationsRequest{Service: c.service, SpanKind: c.kind})
		var got []string
		for _, o := range res.GetOperations() {
			got = append(got, o.Name+"/"+o.SpanKind)
		}
		if strings.Join(got, " ") != c.want || err != nil {
			t.Errorf("%s, %s: %q, %v", c.service, c.kind, got, err)
		}
	}
}

// shopTrace is a trace of two services, of which a span failed and one's parent is missing.
func shopTrace(id byte) []*tracepb.ResourceSpans {
	failed := childOf(2, someSpan(id, 3))
	failed.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
	return []*tracepb.ResourceSpans{
		from("shop", someSpan(id, 1), childOf(1, someSpan(id, 2))), from("cart", failed, childOf(200, someSpan(id, 4))),
	}
}

func shopSummary(id byte) *storagepb.TraceSummary {
	return &storagepb.TraceSummary{
		TraceId: traceIDOf(id), RootServiceName: "shop", RootOperationName: "op",
		MinStartTimeUnixNano: uint64(someTime.UnixNano()) + 1e6, MaxEndTimeUnixNano: uint64(someTime.UnixNano()) + 8e6,
		SpanCount: 4, ErrorSpanCount: 1, OrphanSpanCount: 1,
		Services: []*storagepb.ServiceSummary{{Name: "cart", SpanCount: 2, ErrorSpanCount: 1}, {Name: "shop", SpanCount: 2}},
	}
}

func (w *world) summaries(q *storagepb.TraceQueryParameters) (all []*storagepb.TraceSummary, token string) {
	w.Helper()
	stream, err := w.traces.FindTraceSummaries(w.Context(), &storagepb.FindTraceSummariesRequest{Query: q})
	if err != nil {
		w.Fatal(err)
	}
	for {
		chunk, err := stream.Recv()
		if err != nil {
			if st := status.Code(err); st != codes.Unknown { // io.EOF
				w.Fatal(err)
			}
			return all, token
		}
		if token != "" || len(chunk.Summaries) == 0 || len(chunk.Summaries) > summariesAtOnce {
			w.Fatalf("a chunk of %d summaries, token %q behind token %q", len(chunk.Summaries), chunk.NextPageToken, token)
		}
		all, token = append(all, chunk.Summaries...), chunk.NextPageToken
	}
}

func TestSummariesAndIDsReadNoSpan(t *testing.T) {
	w := newWorld(t)
	const blocks, each = 10, 25
	for n := range blocks * each {
		w.mustExport(shopTrace(byte(n + 1))...)
		if n%each == each-1 {
			w.cut()
		}
	}
	w.bucket.dataReads.Store(0)
	query := &storagepb.TraceQueryParameters{ServiceName: "cart", SearchDepth: 1000}
	found, _ := w.summaries(query)
	var want []*storagepb.TraceSummary
	for n := range blocks * each {
		want = append(want, shopSummary(byte(n+1)))
	}
	byID := protocmp.SortRepeated(func(a, b *storagepb.TraceSummary) bool { return bytes.Compare(a.TraceId, b.TraceId) < 0 })
	if diff := cmp.Diff(&storagepb.FindTraceSummariesResponse{Summaries: want}, &storagepb.FindTraceSummariesResponse{Summaries: found}, protocmp.Transform(), byID); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	ids, err := w.traces.FindTraceIDs(t.Context(), &storagepb.FindTraceIDsRequest{Query: query})
	if err != nil || len(ids.TraceIds) != blocks*each {
		t.Fatalf("%d IDs, %v", len(ids.GetTraceIds()), err)
	}
	for _, id := range ids.TraceIds {
		if !id.Start.AsTime().Equal(someTime.Add(time.Millisecond)) || !id.End.AsTime().Equal(someTime.Add(8*time.Millisecond)) {
			t.Errorf("%x was from %v to %v", id.TraceId, id.Start.AsTime(), id.End.AsTime())
		}
	}
	if n := w.bucket.dataReads.Load(); n != 0 {
		t.Errorf("%d reads of traces", n)
	}
	if w.get(traceIDOf(1)); w.bucket.dataReads.Load() == 0 {
		t.Error("reads of traces are not counted")
	}
	if none, token := w.summaries(&storagepb.TraceQueryParameters{ServiceName: "nobody"}); none != nil || token != "" {
		t.Errorf("%v, %q", none, token)
	}
}

func TestSummariesAreOfWholeTraces(t *testing.T) {
	w := newWorld(t)
	parts := shopTrace(1)
	w.mustExport(parts[0])
	w.cut()
	w.mustExport(parts[1])
	for _, service := range []string{"cart", "shop"} {
		got, _ := w.summaries(&storagepb.TraceQueryParameters{ServiceName: service})
		if len(got) != 1 || !proto.Equal(got[0], shopSummary(1)) {
			t.Errorf("%s: %v", service, got)
		}
	}
}

func TestPagesHoldEachTraceOnce(t *testing.T) {
	w := newWorld(t)
	for n := range byte(10) {
		w.mustExport(from("shop", someSpan(n+1, n+1)))
	}
	var ids, summaries [][]byte
	token := ""
	for page := range 3 {
		q := &storagepb.TraceQueryParameters{ServiceName: "shop", Pagination: &storagepb.Pagination{PageSize: 4, PageToken: token}}
		found, err := w.traces.FindTraceIDs(t.Context(), &storagepb.FindTraceIDsRequest{Query: q})
		if err != nil {
			t.Fatal(err)
		}
		all, next := w.summaries(q)
		for i, id := range found.TraceIds {
			ids, summaries = append(ids, id.TraceId), append(summaries, all[i].TraceId)
		}
		if token = found.NextPageToken; next != token || (token == "") != (page == 2) {
			t.Errorf("page %d: tokens %q and %q", page, next, token)
		}
	}
	for i := range 10 {
		if len(ids) != 10 || !bytes.Equal(ids[i], traceIDOf(byte(10-i))) || !bytes.Equal(summaries[i], ids[i]) {
			t.Fatalf("%x, %x", ids, summaries)
		}
	}
}

func TestTypedAttributesFindWhatHasTheirText(t *testing.T) {
	w := newWorld(t)
	w.mustExport(
		from("shop", someSpan(1, 1, attribute("n", 123))), from("shop", someSpan(2, 1, attribute("n", 123.0))), from("shop", someSpan(3, 1, attribute("n", "123"))),
		from("shop", someSpan(4, 1, attribute("n", 1.5))), from("shop", someSpan(5, 1, attribute("n", 1e16))), from("shop", someSpan(6, 1, attribute("n", 10_000_000_000_000_000))),
		from("shop", someSpan(7, 1, attribute("n", true))), from("shop", someSpan(8, 1, attribute("n", []byte{0xab}))), from("shop", someSpan(9, 1, attribute("n", []any{"a", 1}))),
		from("shop", someSpan(10, 1, attribute("n", []*commonpb.KeyValue{attribute("k", 2.5)}))), from("shop", someSpan(11, 1, attribute("n", nil))),
		from("shop", someSpan(12, 1, attribute("n", 1234567))), from("shop", someSpan(13, 1, attribute("n", 1234567.0))),
	)
	for range 2 {
		for _, c := range []struct {
			value any
			want  []byte
		}{
			{123, []byte{1, 2, 3}}, {123.0, []byte{1, 2, 3}}, {"123", []byte{1, 2, 3}}, {1.5, []byte{4}}, {1e16, []byte{5, 6}}, {10_000_000_000_000_000, []byte{6}},
			{true, []byte{7}}, {"true", []byte{7}}, {[]byte{0xab}, []byte{8}}, {[]any{"a", 1}, []byte{9}}, {`["a",1]`, []byte{9}}, {[]*commonpb.KeyValue{attribute("k", 2.5)}, []byte{10}},
			{nil, []byte{11}}, {1234567.0, []byte{12, 13}}, {1234567, []byte{12, 13}}, {"no", nil}, {[]byte{0xac}, nil},
		} {
			res, err := w.traces.FindTraceIDs(t.Context(), &storagepb.FindTraceIDsRequest{Query: &storagepb.TraceQueryParameters{Attributes: []*storagepb.KeyValue{asked("n", c.value)}}})
			var got []byte
			for _, id := range res.GetTraceIds() {
				got = append(got, id.TraceId[0])
			}
			slices.Sort(got)
			if err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("%T %v finds %v, %v, want %v", c.value, c.value, got, err, c.want)
			}
		}
		w.cut()
	}
}

func TestDependencies(t *testing.T) {
	w := newWorld(t)
	w.mustExport(shopTrace(1)...)
	w.mustExport(shopTrace(2)...)
	dependencies := storagepb.NewDependencyReaderClient(w.conn)
	for _, c := range []struct {
		start, end time.Time
		want       string
	}{
		{someTime, someTime.Add(time.Hour), "shop>cart:2"}, {time.Time{}, time.Time{}, "shop>cart:2"}, {someTime.Add(time.Hour), someTime.Add(2 * time.Hour), ""},
	} {
		res, err := dependencies.GetDependencies(t.Context(), &storagepb.GetDependenciesRequest{StartTime: timestamppb.New(c.start), EndTime: timestamppb.New(c.end)})
		got := ""
		for _, d := range res.GetDependencies() {
			got += fmt.Sprintf("%s>%s:%d", d.Parent, d.Child, d.CallCount)
		}
		if got != c.want || err != nil {
			t.Errorf("%v to %v: %s, %v", c.start, c.end, got, err)
		}
	}
}

func TestRefusedSpansAreCountedAndTheOthersStored(t *testing.T) {
	w := newWorld(t)
	bad := someSpan(2, 1)
	bad.TraceId = bad.TraceId[:8]
	rejected, message, err := export(t.Context(), w.conn, &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{from("shop", someSpan(1, 1), bad)}})
	if err != nil || rejected != 1 || !strings.Contains(message, "trace ID") {
		t.Errorf("%d, %q, %v", rejected, message, err)
	}
	if order, _, _ := w.get(traceIDOf(1)); len(order) != 1 {
		t.Error("the good span is not there")
	}
	err = w.conn.Invoke(t.Context(), exportMethod, plugin.NewRaw([]byte("no OTLP")), new(plugin.Raw))
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("bytes that are no request: %v", err)
	}
}

func TestATraceOverItsLimitTakesNoOtherWithIt(t *testing.T) {
	w := newWorld(t)
	limited := limits.NewStore(w.store, func(string) limits.Limits { return limits.Limits{TraceSpans: 2} })
	conn := dial(t, Options{Writer: writepath.NewWriter(limited), Reader: w.reader})
	data := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{from("shop", someSpan(1, 1), someSpan(2, 1), someSpan(1, 2), someSpan(1, 3))}}
	rejected, message, err := export(t.Context(), conn, data)
	if err != nil || rejected != 3 || !strings.Contains(message, "limit of 2") {
		t.Errorf("%d, %q, %v", rejected, message, err)
	}
	if order, _, _ := w.get(traceIDOf(1), traceIDOf(2)); !slices.Equal(order, []string{string(traceIDOf(2))}) {
		t.Errorf("%x are there", order)
	}
}

// stub is a store of which answers are set.
type stub struct {
	plugin.Reader
	writeErr  error
	data      []byte
	missing   error
	summaries error
}

func (s *stub) Write(context.Context, string, []byte) (trace.Rejected, error) {
	return trace.Rejected{}, s.writeErr
}

func (s *stub) Traces(_ context.Context, _ string, _ []trace.ID, yield func(trace.ID, []byte, error) error) error {
	return yield(trace.ID{1}, s.data, s.missing)
}

func (s *stub) FindTraces(_ context.Context, _ string, _ *readpath.Query, yield func(trace.ID, []byte, error) error) error {
	return yield(trace.ID{1}, s.data, s.missing)
}

func (s *stub) FindSummaries(context.Context, string, *readpath.Query, func(trace.ID, *trace.Summary) error) (string, error) {
	return "", s.summaries
}

func TestSendersAreToldWhenToTryAgain(t *testing.T) {
	later, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err   error
		code  codes.Code
		delay time.Duration
	}{
		{tempodb.ErrBehind, codes.ResourceExhausted, retryDelay},
		{fmt.Errorf("write spans: %w", later.Err()), codes.ResourceExhausted, 7 * time.Second},
		{fmt.Errorf("write spans: %w", status.Error(codes.ResourceExhausted, "the trace is too large, and will be")), codes.ResourceExhausted, 0},
		{tempodb.ErrClosed, codes.Unavailable, 0},
		{&trace.ExpansionError{}, codes.InvalidArgument, 0},
		{errors.New("bad"), codes.Internal, 0},
	} {
		_, _, err := export(t.Context(), dial(t, Options{Writer: &stub{writeErr: c.err}}), &tracepb.TracesData{})
		st := status.Convert(err)
		delay := time.Duration(0)
		for _, d := range st.Details() {
			delay += d.(*errdetails.RetryInfo).RetryDelay.AsDuration()
		}
		if st.Code() != c.code || delay != c.delay {
			t.Errorf("%v: %v, in %v", c.err, st, delay)
		}
	}
}

func TestATraceThatMayLackSpansIsAnErrorOrMarked(t *testing.T) {
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{from("shop", someSpan(1, 1), someSpan(1, 2))}})
	if err != nil {
		t.Fatal(err)
	}
	store := &stub{data: data, missing: &tempodb.PartialError{Parts: []error{errors.New("block X is gone")}}}
	for _, marks := range []bool{false, true} {
		client := storagepb.NewTraceReaderClient(dial(t, Options{Reader: store, MarkPartial: marks}))
		for name, call := range map[string]func() (receiver, error){
			"GetTraces": func() (receiver, error) {
				return client.GetTraces(t.Context(), &storagepb.GetTracesRequest{Query: []*storagepb.GetTraceParams{{TraceId: traceIDOf(1)}}})
			},
			"FindTraces": func() (receiver, error) {
				return client.FindTraces(t.Context(), &storagepb.FindTracesRequest{Query: &storagepb.TraceQueryParameters{}})
			},
		} {
			_, got, _, err := receive(call())
			if !marks {
				if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "block X") {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			spans := spansOf(got[string(traceIDOf(1))])
			if err != nil || len(spans) != 2 || len(spans[1].Attributes) != 0 || len(spans[0].Attributes) != 1 || spans[0].Attributes[0].Key != "@jaeger@warnings" ||
				!strings.Contains(spans[0].Attributes[0].Value.GetArrayValue().Values[0].GetStringValue(), "block X") {
				t.Errorf("%s: %v, %v", name, spans, err)
			}
		}
	}
	store.data, store.missing = nil, errors.New("disk on fire")
	client := storagepb.NewTraceReaderClient(dial(t, Options{Reader: store, MarkPartial: true}))
	if _, _, _, err := receive(client.GetTraces(t.Context(), &storagepb.GetTracesRequest{Query: []*storagepb.GetTraceParams{{TraceId: traceIDOf(1)}}})); status.Code(err) != codes.Internal {
		t.Errorf("%v", err)
	}
}

func TestQueriesThatCannotBeAreRefused(t *testing.T) {
	w := newWorld(t)
	for want, q := range map[string]*storagepb.TraceQueryParameters{
		"missing":         nil,
		"is after":        {StartTimeMin: timestamppb.New(someTime), StartTimeMax: timestamppb.New(someTime.Add(-1))},
		"the start time:": {StartTimeMin: &timestamppb.Timestamp{Nanos: -1}},
		"the end time:":   {StartTimeMax: &timestamppb.Timestamp{Seconds: 1 << 60}},
		"is above":        {DurationMin: durationpb.New(2), DurationMax: durationpb.New(1)},
		"duration_min":    {DurationMin: &durationpb.Duration{Seconds: 1 << 60}},
		"duration_max":    {DurationMax: &durationpb.Duration{Seconds: 1, Nanos: -1}},
		"page_size":       {Pagination: &storagepb.Pagination{}},
		"either":          {Pagination: &storagepb.Pagination{PageSize: 1}, SearchDepth: 1},
	} {
		_, err := w.traces.FindTraceIDs(t.Context(), &storagepb.FindTraceIDsRequest{Query: q})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		_, _, _, err = receive(w.traces.FindTraces(t.Context(), &storagepb.FindTracesRequest{Query: q}))
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("FindTraces: %v, want %s", err, want)
		}
	}
	_, _, _, err := receive(w.traces.FindTraces(t.Context(), &storagepb.FindTracesRequest{Query: &storagepb.TraceQueryParameters{Pagination: &storagepb.Pagination{PageSize: 1}}}))
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "search_depth") {
		t.Errorf("pages of traces: %v", err)
	}
	for _, p := range []*storagepb.GetTraceParams{{TraceId: []byte{1}}, {}, {TraceId: traceIDOf(1), StartTime: &timestamppb.Timestamp{Nanos: -1}}} {
		_, _, _, err := receive(w.traces.GetTraces(t.Context(), &storagepb.GetTracesRequest{Query: []*storagepb.GetTraceParams{p}}))
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestErrorsOfTenantsAreAnswers(t *testing.T) {
	refused := status.Error(codes.PermissionDenied, "who are you?")
	conn := dial(t, Options{TenantOf: func(context.Context) (string, error) { return "", refused }})
	client := storagepb.NewTraceReaderClient(conn)
	ctx := t.Context()
	_, _, exported := export(ctx, conn, &tracepb.TracesData{})
	_, _, _, got := receive(client.GetTraces(ctx, &storagepb.GetTracesRequest{}))
	_, _, _, found := receive(client.FindTraces(ctx, &storagepb.FindTracesRequest{}))
	_, ids := client.FindTraceIDs(ctx, &storagepb.FindTraceIDsRequest{})
	_, services := client.GetServices(ctx, &storagepb.GetServicesRequest{})
	_, operations := client.GetOperations(ctx, &storagepb.GetOperationsRequest{})
	_, dependencies := storagepb.NewDependencyReaderClient(conn).GetDependencies(ctx, &storagepb.GetDependenciesRequest{})
	summaries := errors.New("no stream")
	if stream, err := client.FindTraceSummaries(ctx, &storagepb.FindTraceSummariesRequest{}); err == nil {
		_, summaries = stream.Recv()
	}
	for i, err := range []error{exported, got, found, ids, services, operations, dependencies, summaries} {
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if _, err := storagepb.NewCapabilitiesClient(conn).GetCapabilities(ctx, &storagepb.GetCapabilitiesRequest{}); err != nil {
		t.Errorf("capabilities: %v", err)
	}
}

func TestSpansOfJaegersModelComeAsPlainOTLP(t *testing.T) {
	w := newWorld(t)
	id := jaeger.NewTraceID(0x0100000000000000, 1)
	otlp, err := jaegerv1.AppendOTLP(nil, &jaeger.Span{
		TraceID: id, SpanID: 7, OperationName: "GET /", Flags: 3, StartTime: someTime, Duration: time.Millisecond, ProcessID: "p1", Warnings: []string{"late"},
		References: []jaeger.SpanRef{jaeger.NewFollowsFromRef(id, 9), jaeger.NewChildOfRef(id, 8)},
		Tags: []jaeger.KeyValue{
			jaeger.String("span.kind", "client"), jaeger.Bool("error", true), jaeger.String("otel.status_description", "boom"), jaeger.String("w3c.tracestate", "a=b"),
			jaeger.String("otel.scope.name", "lib"), jaeger.String("otel.scope.version", "2"), jaeger.Int64("n", 1), jaeger.Int64("n", 2),
		},
		Logs:    []jaeger.Log{{Timestamp: someTime, Fields: []jaeger.KeyValue{jaeger.String("event", "retry"), jaeger.Int64("try", 2)}}},
		Process: &jaeger.Process{ServiceName: "shop", Tags: []jaeger.KeyValue{jaeger.String("hostname", "a")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.writer.Write(t.Context(), plugin.DefaultTenant, otlp); err != nil {
		t.Fatal(err)
	}
	traceID := []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	want := &tracepb.ResourceSpans{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("service.name", "shop"), attribute("hostname", "a")}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "lib", Version: "2"}, Spans: []*tracepb.Span{{
			TraceId: traceID, SpanId: []byte{0, 0, 0, 0, 0, 0, 0, 7}, ParentSpanId: []byte{0, 0, 0, 0, 0, 0, 0, 8}, Name: "GET /", Kind: tracepb.Span_SPAN_KIND_CLIENT, TraceState: "a=b",
			StartTimeUnixNano: uint64(someTime.UnixNano()), EndTimeUnixNano: uint64(someTime.UnixNano()) + 1e6,
			Attributes: []*commonpb.KeyValue{attribute("n", 2), attribute("@jaeger@warnings", []any{"late"})},
			Events:     []*tracepb.Span_Event{{TimeUnixNano: uint64(someTime.UnixNano()), Name: "retry", Attributes: []*commonpb.KeyValue{attribute("try", 2)}}},
			Links:      []*tracepb.Span_Link{{TraceId: traceID, SpanId: []byte{0, 0, 0, 0, 0, 0, 0, 9}, Attributes: []*commonpb.KeyValue{attribute("opentracing.ref_type", "follows_from")}}},
			Status:     &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "boom"},
		}}}},
	}
	// A span of the same trace that came as OTLP stays as it is.
	native := someSpan(1, 1, attribute("error", true), attribute("n", 1), attribute("n", 2))
	native.Flags = 1
	w.mustExport(from("shop", native))
	_, got, _ := w.get(traceID)
	if diff := cmp.Diff([]*tracepb.ResourceSpans{want, from("shop", native)}, got[string(traceID)], protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What is sent has no owner but gRPC, what is received none but the handler: with many calls at once, each gets its own.
func TestCallsAtOnceShareNoBytes(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	for n := range byte(6) {
		all.Go(func() {
			for round := range byte(4) {
				filler := strings.Repeat(string(rune('a'+n)), 10_000*int(round+1))
				var spans []*tracepb.Span
				for i := range byte(40) {
					spans = append(spans, someSpan(n*4+round+1, i+1, attribute("filler", filler)))
				}
				want := from("shop", spans...)
				if _, _, err := export(t.Context(), w.conn, &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{want}}); err != nil {
					t.Error(err)
					return
				}
				_, got, _, err := receive(w.traces.GetTraces(t.Context(), &storagepb.GetTracesRequest{Query: []*storagepb.GetTraceParams{{TraceId: spans[0].TraceId}}}))
				if err != nil || !slices.EqualFunc(spans, spansOf(got[string(spans[0].TraceId)]), func(a, b *tracepb.Span) bool { return proto.Equal(a, b) }) {
					t.Errorf("trace %x did not come back: %v", spans[0].TraceId, err)
				}
			}
		})
	}
	all.Wait()
}
