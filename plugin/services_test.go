package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"github.com/jaegertracing/jaeger/storage/spanstore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
)

func TestWhatJaegerWritesItReads(t *testing.T) {
	client := jaeger(t, &naiveStore{})
	ctx := t.Context()
	want := []*model.Span{someSpan(1, 1), someSpan(1, 2)}
	for _, span := range want {
		if err := client.SpanWriter().WriteSpan(ctx, span); err != nil {
			t.Fatal(err)
		}
	}
	got, err := client.SpanReader().GetTrace(ctx, model.NewTraceID(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Spans); diff != "" {
		t.Errorf("GetTrace (-want +got)\n%s", diff)
	}
	found, err := client.SpanReader().FindTraces(ctx, &spanstore.TraceQueryParameters{ServiceName: "shop"})
	if err != nil || len(found) != 1 {
		t.Fatal(len(found), err)
	}
	if diff := cmp.Diff(want, found[0].Spans); diff != "" {
		t.Errorf("FindTraces (-want +got)\n%s", diff)
	}
	ids, err := client.SpanReader().FindTraceIDs(ctx, &spanstore.TraceQueryParameters{ServiceName: "shop"})
	if diff := cmp.Diff([]model.TraceID{model.NewTraceID(1, 1)}, ids); diff != "" || err != nil {
		t.Errorf("FindTraceIDs: %v (-want +got)\n%s", err, diff)
	}
	services, err := client.SpanReader().GetServices(ctx)
	if diff := cmp.Diff([]string{"shop"}, services); diff != "" || err != nil {
		t.Errorf("GetServices: %v (-want +got)\n%s", err, diff)
	}
	if err := client.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestUnknownTraceIsNotFound(t *testing.T) {
	conn := serve(t, &naiveStore{})
	for name, call := range map[string]func(*storage_v1.GetTraceRequest) (grpc.ClientStream, error){
		"GetTrace": func(r *storage_v1.GetTraceRequest) (grpc.ClientStream, error) {
			return storage_v1.NewSpanReaderPluginClient(conn).GetTrace(t.Context(), r)
		},
		"GetArchiveTrace": func(r *storage_v1.GetTraceRequest) (grpc.ClientStream, error) {
			return storage_v1.NewArchiveSpanReaderPluginClient(conn).GetArchiveTrace(t.Context(), r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := call(&storage_v1.GetTraceRequest{TraceID: model.NewTraceID(0, 5)})
			if err != nil {
				t.Fatal(err)
			}
			s, _ := status.FromError(stream.RecvMsg(&storage_v1.SpansResponseChunk{}))
			if s.Code() != codes.NotFound || s.Message() != "trace not found" {
				t.Errorf("%v %q", s.Code(), s.Message())
			}
		})
	}
}

func TestArchiveIsApart(t *testing.T) {
	store := &naiveStore{}
	client := jaeger(t, store)
	ctx := t.Context()
	plain, archived := someSpan(1, 1), someSpan(2, 1)
	if err := client.SpanWriter().WriteSpan(ctx, plain); err != nil {
		t.Fatal(err)
	}
	if err := client.ArchiveSpanWriter().WriteSpan(ctx, archived); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ArchiveSpanReader().GetTrace(ctx, plain.TraceID); !errors.Is(err, spanstore.ErrTraceNotFound) {
		t.Errorf("a trace that was not archived: %v", err)
	}
	if _, err := client.SpanReader().GetTrace(ctx, archived.TraceID); !errors.Is(err, spanstore.ErrTraceNotFound) {
		t.Errorf("an archived trace among the others: %v", err)
	}
	got, err := client.ArchiveSpanReader().GetTrace(ctx, archived.TraceID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*model.Span{archived}, got.Spans); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, ok := store.tenants["single-tenant~archive"][idOf(2)]; !ok {
		t.Errorf("tenants: %v", store.tenants)
	}
}

func TestCapabilities(t *testing.T) {
	conn := serve(t, &naiveStore{})
	got, err := storage_v1.NewPluginCapabilitiesClient(conn).Capabilities(t.Context(), &storage_v1.CapabilitiesRequest{})
	want := &storage_v1.CapabilitiesResponse{ArchiveSpanReader: true, ArchiveSpanWriter: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	stream, err := storage_v1.NewStreamingSpanWriterPluginClient(conn).WriteSpanStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("the streaming writer answers %v", err)
	}
}

func TestOperations(t *testing.T) {
	operation := func(name, kind string) *storage_v1.Operation {
		return &storage_v1.Operation{Name: name, SpanKind: kind}
	}
	both := []*storage_v1.Operation{operation("GET /", "server"), operation("job", "unspecified")}
	for _, test := range []struct {
		name          string
		kindless      string
		service, kind string
		want          []*storage_v1.Operation
	}{
		{name: "all kinds", service: "shop", want: both},
		{name: "one kind", service: "shop", kind: "server", want: both[:1]},
		{name: "no kind", service: "shop", kind: "unspecified", want: both[1:]},
		{name: "a kind without spans", service: "shop", kind: "client"},
		{name: "a kind that is none", service: "shop", kind: "SERVER"},
		{name: "unknown service", service: "nobody"},
		{name: "newer clients", kindless: EmptyKind, service: "shop", want: []*storage_v1.Operation{both[0], operation("job", "")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := &naiveStore{}
			conn := dial(t, Options{Writer: store, Reader: store, UnspecifiedKind: test.kindless})
			job := someSpan(1, 2)
			job.OperationName, job.Tags = "job", nil
			for _, span := range []*model.Span{someSpan(1, 1), job} {
				if _, err := storage_v1.NewSpanWriterPluginClient(conn).WriteSpan(t.Context(), &storage_v1.WriteSpanRequest{Span: span}); err != nil {
					t.Fatal(err)
				}
			}
			got, err := storage_v1.NewSpanReaderPluginClient(conn).GetOperations(t.Context(),
				&storage_v1.GetOperationsRequest{Service: test.service, SpanKind: test.kind})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Operations); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDependencies(t *testing.T) {
	store := &naiveStore{}
	got, err := jaeger(t, store).DependencyReader().GetDependencies(t.Context(), someStart, time.Hour)
	want := []model.DependencyLink{{Parent: "a", Child: "b", CallCount: 3}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if !store.end.Equal(someStart) || store.end.Sub(store.start) != time.Hour {
		t.Errorf("asked for %v to %v", store.start, store.end)
	}
}

func TestQueriesReachTheStoreAsJaegerMeansThem(t *testing.T) {
	for _, test := range []struct {
		name string
		in   spanstore.TraceQueryParameters
		want readpath.Query
	}{
		{name: "nothing set", want: readpath.Query{Limit: 100}},
		{name: "negative limit", in: spanstore.TraceQueryParameters{NumTraces: -1}, want: readpath.Query{Limit: 100}},
		{
			name: "all set",
			in: spanstore.TraceQueryParameters{
				ServiceName: "s", OperationName: "o", Tags: map[string]string{"k": "v"},
				StartTimeMin: someStart, StartTimeMax: someStart,
				DurationMin: time.Second, DurationMax: time.Second, NumTraces: 7,
			},
			want: readpath.Query{
				Service: "s", Operation: "o", Tags: map[string]string{"k": "v"},
				StartMin: someStart, StartMax: someStart,
				DurationMin: time.Second, DurationMax: time.Second, Limit: 7,
			},
		},
		{
			name: "the year 1 is unset",
			in:   spanstore.TraceQueryParameters{StartTimeMin: someStart, StartTimeMax: time.Time{}.Add(time.Hour)},
			want: readpath.Query{StartMin: someStart, Limit: 100},
		},
		{
			name: "a minimum duration alone",
			in:   spanstore.TraceQueryParameters{DurationMin: time.Hour},
			want: readpath.Query{DurationMin: time.Hour, Limit: 100},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := &naiveStore{}
			client := jaeger(t, store)
			if _, err := client.FindTraces(t.Context(), &test.in); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, store.query); diff != "" {
				t.Errorf("FindTraces (-want +got)\n%s", diff)
			}
			if _, err := client.FindTraceIDs(t.Context(), &test.in); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, store.query); diff != "" {
				t.Errorf("FindTraceIDs (-want +got)\n%s", diff)
			}
		})
	}
}

func TestContradictoryQueriesAreRefused(t *testing.T) {
	conn := serve(t, &naiveStore{})
	reader := storage_v1.NewSpanReaderPluginClient(conn)
	for _, test := range []struct {
		want  string
		query *storage_v1.TraceQueryParameters
	}{
		{"the query is missing", nil},
		{"a query for tags needs a service name", &storage_v1.TraceQueryParameters{Tags: map[string]string{"k": "v"}}},
		{
			"the start time 2023-11-14T22:13:20.123456Z is after the end time 2023-11-14T22:13:20.123455999Z",
			&storage_v1.TraceQueryParameters{StartTimeMin: someStart, StartTimeMax: someStart.Add(-1)},
		},
		{"the minimum duration 2s is above the maximum 1s", &storage_v1.TraceQueryParameters{DurationMin: 2 * time.Second, DurationMax: time.Second}},
	} {
		t.Run(test.want, func(t *testing.T) {
			_, err := reader.FindTraceIDs(t.Context(), &storage_v1.FindTraceIDsRequest{Query: test.query})
			if s, _ := status.FromError(err); s.Code() != codes.InvalidArgument || s.Message() != test.want {
				t.Errorf("FindTraceIDs: %v", err)
			}
			stream, err := reader.FindTraces(t.Context(), &storage_v1.FindTracesRequest{Query: test.query})
			if err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			if s, _ := status.FromError(err); s.Code() != codes.InvalidArgument || s.Message() != test.want {
				t.Errorf("FindTraces: %v", err)
			}
		})
	}
	_, err := storage_v1.NewDependenciesReaderPluginClient(conn).GetDependencies(t.Context(),
		&storage_v1.GetDependenciesRequest{StartTime: someStart, EndTime: someStart.Add(-1)})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("GetDependencies: %v", err)
	}
}

func TestSpansThatCannotBeStoredAreRefused(t *testing.T) {
	store := &naiveStore{}
	conn := serve(t, store)
	write := func(ctx context.Context, span *model.Span) error {
		_, err := storage_v1.NewSpanWriterPluginClient(conn).WriteSpan(ctx, &storage_v1.WriteSpanRequest{Span: span})
		return err
	}
	for want, span := range map[string]*model.Span{
		"no span":          nil,
		"trace_id is zero": {SpanID: 1},
		"span_id is zero":  {TraceID: model.NewTraceID(0, 1)},
		`tags[0].v_str (key "k") is not valid UTF-8`: {
			TraceID: model.NewTraceID(0, 1), SpanID: 1, Tags: []model.KeyValue{model.String("k", "\xff")},
		},
	} {
		if err := write(t.Context(), span); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	store.rejected = &trace.Rejected{Spans: 1, Reason: "span 5: too many attributes"}
	if err := write(t.Context(), someSpan(1, 1)); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), store.rejected.Reason) {
		t.Errorf("a span that the store refused: %v", err)
	}
	store.rejected = &trace.Rejected{Spans: 1, Reason: "it is too much", Limit: status.Error(codes.ResourceExhausted, "it is too much")}
	if err := write(t.Context(), someSpan(1, 1)); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "too much") {
		t.Errorf("a span that a limit refused: %v", err)
	}
}

func TestATraceThatMayLackSpansIsAnErrorOrBearsAWarning(t *testing.T) {
	for _, marks := range []bool{false, true} {
		store := &naiveStore{}
		client := storage_v1.NewSpanReaderPluginClient(dial(t, Options{Writer: store, Reader: store, MarkPartial: marks}))
		for n := range uint64(2) {
			data, err := jaegerv1.AppendOTLP(nil, someSpan(1, 1+n))
			if err != nil {
				t.Fatal(err)
			}
			store.put(DefaultTenant, traceID(model.NewTraceID(1, 1)), data)
		}
		store.missing = fmt.Errorf("trace 1: %w", &tempodb.PartialError{Parts: []error{errors.New("ingester at a: refused")}})
		get, err := client.GetTrace(t.Context(), &storage_v1.GetTraceRequest{TraceID: model.NewTraceID(1, 1)})
		if err != nil {
			t.Fatal(err)
		}
		find, err := client.FindTraces(t.Context(), &storage_v1.FindTracesRequest{Query: &storage_v1.TraceQueryParameters{}})
		if err != nil {
			t.Fatal(err)
		}
		for call, recv := range map[string]func() (*storage_v1.SpansResponseChunk, error){"GetTrace": get.Recv, "FindTraces": find.Recv} {
			chunk, err := recv()
			switch {
			case !marks:
				if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "ingester at a: refused") {
					t.Errorf("%s: %v", call, err)
				}
			case err != nil || len(chunk.Spans) != 2:
				t.Errorf("%s: %v, %v", call, chunk, err)
			case len(chunk.Spans[0].Warnings) != 2 || !strings.Contains(chunk.Spans[0].Warnings[1], "ingester at a: refused") || len(chunk.Spans[1].Warnings) != 1:
				t.Errorf("%s: warnings %q and %q", call, chunk.Spans[0].Warnings, chunk.Spans[1].Warnings)
			}
		}
		nothing, err := client.GetTrace(t.Context(), &storage_v1.GetTraceRequest{TraceID: model.NewTraceID(0, 9)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nothing.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("a trace of which nothing could be read: %v", err)
		}
	}
}

// Whatever the store answers keeps its meaning on each service.
func TestErrorsOfTheStoreKeepTheirMeaning(t *testing.T) {
	limit := status.Error(codes.ResourceExhausted, "10 spans a second")
	for _, test := range []struct {
		name string
		err  error
		want codes.Code
		text string
	}{
		{"status", limit, codes.ResourceExhausted, "10 spans a second"},
		{"wrapped status", fmt.Errorf("tenant a: %w", limit), codes.ResourceExhausted, "tenant a"},
		{"canceled", fmt.Errorf("search: %w", context.Canceled), codes.Canceled, "search"},
		{"deadline", fmt.Errorf("search: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "search"},
		{"anything else", errors.New("block 7: bad checksum"), codes.Internal, "block 7: bad checksum"},
		{"not found", fmt.Errorf("trace 5: %w", readpath.ErrTraceNotFound), codes.NotFound, "trace not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := serve(t, &naiveStore{fail: test.err})
			ctx := t.Context()
			reader := storage_v1.NewSpanReaderPluginClient(conn)
			query := &storage_v1.TraceQueryParameters{}
			calls := map[string]func() error{
				"WriteSpan": func() error {
					_, err := storage_v1.NewSpanWriterPluginClient(conn).WriteSpan(ctx, &storage_v1.WriteSpanRequest{Span: someSpan(1, 1)})
					return err
				},
				"WriteArchiveSpan": func() error {
					_, err := storage_v1.NewArchiveSpanWriterPluginClient(conn).WriteArchiveSpan(ctx, &storage_v1.WriteSpanRequest{Span: someSpan(1, 1)})
					return err
				},
				"GetTrace": func() error {
					stream, _ := reader.GetTrace(ctx, &storage_v1.GetTraceRequest{TraceID: model.NewTraceID(0, 1)})
					_, err := stream.Recv()
					return err
				},
				"FindTraces": func() error {
					stream, _ := reader.FindTraces(ctx, &storage_v1.FindTracesRequest{Query: query})
					_, err := stream.Recv()
					return err
				},
				"FindTraceIDs": func() error {
					_, err := reader.FindTraceIDs(ctx, &storage_v1.FindTraceIDsRequest{Query: query})
					return err
				},
				"GetServices": func() error {
					_, err := reader.GetServices(ctx, &storage_v1.GetServicesRequest{})
					return err
				},
				"GetOperations": func() error {
					_, err := reader.GetOperations(ctx, &storage_v1.GetOperationsRequest{})
					return err
				},
				"GetDependencies": func() error {
					_, err := storage_v1.NewDependenciesReaderPluginClient(conn).GetDependencies(ctx, &storage_v1.GetDependenciesRequest{})
					return err
				},
			}
			for name, call := range calls {
				if err := call(); status.Code(err) != test.want || !strings.Contains(err.Error(), test.text) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func TestCorruptTracesAreNamed(t *testing.T) {
	store := &naiveStore{}
	store.put(DefaultTenant, idOf(5), []byte{0xff})
	_, err := jaeger(t, store).GetTrace(t.Context(), model.NewTraceID(1, 5))
	if err == nil || !strings.Contains(err.Error(), "trace 00000000000000010000000000000005 of tenant single-tenant") {
		t.Error(err)
	}
}

// A client with gRPC's limit of 4 MiB receives large traces.
func TestLargeTracesAreCutByBytes(t *testing.T) {
	store := &naiveStore{}
	large := []struct{ count, bytes int }{{10_000, 180}, {17_000, 380}, {3, 3 << 20}, {1, 200}}
	total := 0
	for i, l := range large {
		store.put(DefaultTenant, idOf(uint64(i+1)), bigTrace(t, uint64(i+1), l.count, l.bytes))
		total += l.count
	}
	conn := serve(t, store)
	reader := storage_v1.NewSpanReaderPluginClient(conn)
	for i, l := range large {
		stream, err := reader.GetTrace(t.Context(), &storage_v1.GetTraceRequest{TraceID: model.NewTraceID(1, uint64(i+1))})
		if err != nil {
			t.Fatal(err)
		}
		spans, chunks := receive(t, stream.Recv)
		if len(spans) != l.count {
			t.Errorf("%d spans of %d", len(spans), l.count)
		}
		if want := l.count*l.bytes/maxChunk + 1; chunks > want+1 {
			t.Errorf("%d chunks where %d would do", chunks, want)
		}
		for j, id := range spans {
			if id.SpanID != model.NewSpanID(uint64(j+1)) {
				t.Fatalf("span %v at place %d", id, j)
			}
		}
	}
	stream, err := reader.FindTraces(t.Context(), &storage_v1.FindTracesRequest{Query: &storage_v1.TraceQueryParameters{}})
	if err != nil {
		t.Fatal(err)
	}
	spans, _ := receive(t, stream.Recv)
	if len(spans) != total {
		t.Errorf("%d spans of %d", len(spans), total)
	}
	changes := 0
	for i := range spans {
		if i == 0 || spans[i].TraceID != spans[i-1].TraceID {
			changes++
		}
	}
	if changes != len(large) {
		t.Errorf("the spans of %d traces come in %d pieces", len(large), changes)
	}
}

type spanKey struct {
	TraceID model.TraceID
	SpanID  model.SpanID
}

func receive(t *testing.T, recv func() (*storage_v1.SpansResponseChunk, error)) (spans []spanKey, chunks int) {
	t.Helper()
	for {
		chunk, err := recv()
		if err == io.EOF {
			return spans, chunks
		}
		if err != nil {
			t.Fatal(err)
		}
		chunks++
		if size := chunk.Size(); size > maxChunk && len(chunk.Spans) > 1 {
			t.Errorf("a chunk of %d spans has %d bytes", len(chunk.Spans), size)
		}
		for i := range chunk.Spans {
			spans = append(spans, spanKey{chunk.Spans[i].TraceID, chunk.Spans[i].SpanID})
		}
	}
}

func TestChunksAreFullAndNeverTooLarge(t *testing.T) {
	span, err := jaegerv1.Spans(bigTrace(t, 1, 1, 1000))
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	chunks := chunker{send: func(chunk *storage_v1.SpansResponseChunk) error {
		sizes = append(sizes, chunk.Size())
		return nil
	}}
	for range 3000 {
		if err := chunks.add(span[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := chunks.flush(); err != nil {
		t.Fatal(err)
	}
	if len(sizes) == 0 || chunks.flush() != nil {
		t.Fatal(sizes)
	}
	for _, size := range sizes[:len(sizes)-1] {
		if size > maxChunk || size < maxChunk-2000 {
			t.Errorf("a chunk of %d bytes", size)
		}
	}
}
