package plugin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/writepath"
)

// naiveStore is the least that the services can stand on: values by tenant and trace, in memory.
type naiveStore struct {
	mu      sync.Mutex
	tenants map[string]map[trace.ID][]byte

	fail     error           // answer of every call, if set
	missing  error           // comes with every trace
	rejected *trace.Rejected // answer of Write, if set
	query    *readpath.Query // the last one asked
	start    time.Time       // of the last question for dependencies
	end      time.Time
}

var (
	_ Writer = (*naiveStore)(nil)
	_ Reader = (*naiveStore)(nil)

	// What it stands in for.
	_ Writer = (*writepath.Writer)(nil)
	_ Reader = (*readpath.Reader)(nil)
)

func (s *naiveStore) Write(_ context.Context, tenant string, otlp []byte) (trace.Rejected, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return trace.Rejected{}, s.fail
	}
	if s.rejected != nil {
		return *s.rejected, nil
	}
	spans, err := jaegerv1.Spans(otlp)
	if err != nil {
		return trace.Rejected{}, err
	}
	s.put(tenant, traceID(spans[0].TraceID), bytes.Clone(otlp))
	return trace.Rejected{}, nil
}

func (s *naiveStore) put(tenant string, id trace.ID, otlp []byte) {
	if s.tenants == nil {
		s.tenants = map[string]map[trace.ID][]byte{}
	}
	if s.tenants[tenant] == nil {
		s.tenants[tenant] = map[trace.ID][]byte{}
	}
	s.tenants[tenant][id] = append(s.tenants[tenant][id], otlp...)
}

func (s *naiveStore) Trace(_ context.Context, tenant string, id trace.ID) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	data, ok := s.tenants[tenant][id]
	if !ok {
		return nil, cmp.Or(s.missing, readpath.ErrTraceNotFound)
	}
	return data, s.missing
}

func (s *naiveStore) FindTraceIDs(_ context.Context, tenant string, q *readpath.Query) ([]trace.ID, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.query = q
	if s.fail != nil {
		return nil, "", s.fail
	}
	ids := slices.SortedFunc(maps.Keys(s.tenants[tenant]), func(a, b trace.ID) int { return bytes.Compare(a[:], b[:]) })
	return ids[:min(len(ids), q.Limit)], "", nil
}

func (s *naiveStore) FindTraces(ctx context.Context, tenant string, q *readpath.Query, yield func(trace.ID, []byte, error) error) error {
	ids, _, err := s.FindTraceIDs(ctx, tenant, q)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := yield(id, s.tenants[tenant][id], s.missing); err != nil {
			return err
		}
	}
	return nil
}

// Traces, FindSummaries and FindSpans are not what these services ask.
func (s *naiveStore) Traces(context.Context, string, []trace.ID, func(trace.ID, []byte, error) error) error {
	return errors.ErrUnsupported
}

func (s *naiveStore) FindSummaries(context.Context, string, *readpath.Query, func(trace.ID, *trace.Summary) error) (string, error) {
	return "", errors.ErrUnsupported
}

func (s *naiveStore) FindSpans(context.Context, string, *readpath.SpanQuery, func(trace.ID, []byte) error) (string, error) {
	return "", errors.ErrUnsupported
}

func (s *naiveStore) each(tenant string, fn func(*model.Span)) {
	for _, data := range s.tenants[tenant] {
		spans, _ := jaegerv1.Spans(data)
		for _, span := range spans {
			fn(span)
		}
	}
}

func (s *naiveStore) Services(_ context.Context, tenant string) ([]string, error) {
	names := map[string]bool{}
	s.each(tenant, func(span *model.Span) { names[span.Process.ServiceName] = true })
	return slices.Sorted(maps.Keys(names)), s.fail
}

func (s *naiveStore) Operations(_ context.Context, tenant, service string, kind *trace.Kind) ([]readpath.Operation, error) {
	found := map[readpath.Operation]bool{}
	s.each(tenant, func(span *model.Span) {
		k, _ := span.GetSpanKind()
		o := readpath.Operation{Name: span.OperationName, Kind: trace.Kind(k)}
		if span.Process.ServiceName == service && (kind == nil || *kind == o.Kind) {
			found[o] = true
		}
	})
	return slices.SortedFunc(maps.Keys(found), func(a, b readpath.Operation) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	}), s.fail
}

func (s *naiveStore) Dependencies(_ context.Context, _ string, start, end time.Time) ([]readpath.Dependency, error) {
	s.start, s.end = start, end
	return []readpath.Dependency{{Parent: "a", Child: "b", Calls: 3}}, s.fail
}

// dial serves the services of a store over gRPC and connects to them, with gRPC's default limits.
func dial(t testing.TB, o Options) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(MaxReceive), grpc.ForceServerCodecV2(Codec{}))
	New(o).Register(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:store",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(Codec{})),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func serve(t testing.TB, store *naiveStore) *grpc.ClientConn {
	t.Helper()
	return dial(t, Options{Writer: store, Reader: store})
}

// jaeger is Jaeger's own client.
func jaeger(t testing.TB, store *naiveStore) *shared.GRPCClient {
	t.Helper()
	return shared.NewGRPCClient(serve(t, store))
}

var someStart = time.Unix(1_700_000_000, 123_456_000).UTC()

func someSpan(trace, span uint64) *model.Span {
	return &model.Span{
		TraceID:       model.NewTraceID(1, trace),
		SpanID:        model.NewSpanID(span),
		OperationName: "GET /",
		References:    []model.SpanRef{model.NewChildOfRef(model.NewTraceID(1, trace), 99)},
		Flags:         1,
		StartTime:     someStart,
		Duration:      time.Millisecond,
		Tags:          []model.KeyValue{model.String("span.kind", "server"), model.Binary("b", []byte{0xff})},
		Logs:          []model.Log{{Timestamp: someStart, Fields: []model.KeyValue{model.Int64("n", 1)}}},
		Process:       model.NewProcess("shop", []model.KeyValue{model.String("host", "a")}),
		Warnings:      []string{"late"},
	}
}

// bigTrace is a value of count spans under one resource, each of about so many bytes.
func bigTrace(t testing.TB, id uint64, count, bytesEach int) []byte {
	t.Helper()
	filler := string(bytes.Repeat([]byte("x"), bytesEach-150))
	var data []byte
	var err error
	for i := range count {
		span := &model.Span{
			TraceID: model.NewTraceID(1, id), SpanID: model.NewSpanID(uint64(i + 1)), OperationName: "op",
			StartTime: someStart, Process: &model.Process{ServiceName: "big"},
			Tags: []model.KeyValue{model.String("filler", filler)},
		}
		if data, err = jaegerv1.AppendOTLP(data, span); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

func idOf(low uint64) (id trace.ID) {
	binary.BigEndian.PutUint64(id[:8], 1)
	binary.BigEndian.PutUint64(id[8:], low)
	return id
}
