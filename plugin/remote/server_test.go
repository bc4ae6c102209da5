package remote

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"github.com/jaegertracing/jaeger/storage/spanstore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// openStore opens a store in a directory of the test.
func openStore(t testing.TB) plugin.Options {
	t.Helper()
	bucket, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	db, err := tracedb.Open(t.Context(), tracedb.Options{Dir: t.TempDir(), Bucket: bucket, Sync: wal.SyncAlways, CutBytes: 64 << 20, CutAge: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return plugin.Options{Writer: writepath.NewWriter(db), Reader: readpath.NewReader(db), TenantOf: func(context.Context) (string, error) { return "t", nil }}
}

// serve serves a store on free ports.
func serve(t testing.TB, store plugin.Options, o Options) *Server {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if err := s.Serve(store); err != nil {
		t.Fatal(err)
	}
	return s
}

// dial connects until the test ends; without a TLS configuration in the clear.
func dial(t testing.TB, address string, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	conn := connect(t, address, config)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// connect is dial for who closes the connection.
func connect(t testing.TB, address string, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if config != nil {
		creds = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(plugin.Codec{})))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func spanOf(id, span uint64) *model.Span {
	return &model.Span{
		TraceID: model.NewTraceID(id, id), SpanID: model.NewSpanID(span), OperationName: "get", Process: model.NewProcess("shop", nil),
		StartTime: time.Now().UTC().Truncate(time.Microsecond), Duration: time.Millisecond,
	}
}

func TestJaegerWritesAndReads(t *testing.T) {
	s := serve(t, openStore(t), Options{ArchiveAddress: "127.0.0.1:0", UnspecifiedKind: plugin.EmptyKind})
	jaeger, archive := shared.NewGRPCClient(dial(t, s.Address(), nil)), shared.NewGRPCClient(dial(t, s.ArchiveAddress(), nil))
	for _, c := range []*shared.GRPCClient{jaeger, archive} {
		if got, err := c.Capabilities(); err != nil || *got != (shared.Capabilities{ArchiveSpanReader: true, ArchiveSpanWriter: true}) {
			t.Errorf("capabilities: %v, %v", got, err)
		}
	}
	ctx := t.Context()
	one, two, three := spanOf(1, 1), spanOf(2, 2), spanOf(3, 3)
	for _, w := range []struct {
		to   spanstore.Writer
		span *model.Span
	}{{jaeger.SpanWriter(), one}, {jaeger.ArchiveSpanWriter(), two}, {archive.SpanWriter(), three}} {
		if err := w.to.WriteSpan(ctx, w.span); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(what string, r spanstore.Reader, want ...*model.Span) {
		t.Helper()
		for _, span := range []*model.Span{one, two, three} {
			got, err := r.GetTrace(ctx, span.TraceID)
			is := false
			for _, w := range want {
				is = is || w == span
			}
			switch {
			case is && (err != nil || !cmp.Equal(got.Spans, []*model.Span{span})):
				t.Errorf("%s: trace %s: %v, %v", what, span.TraceID, got, err)
			case !is && !errors.Is(err, spanstore.ErrTraceNotFound):
				t.Errorf("%s: trace %s: %v, %v: it is not here", what, span.TraceID, got, err)
			}
		}
	}
	holds("traces", jaeger.SpanReader(), one)
	holds("archive", jaeger.ArchiveSpanReader(), two, three)
	holds("the archive's server", archive.SpanReader(), two, three)
	holds("archive of the archive's server", archive.ArchiveSpanReader(), two, three)
	operations, err := jaeger.SpanReader().GetOperations(ctx, spanstore.OperationQueryParameters{ServiceName: "shop"})
	if err != nil || !cmp.Equal(operations, []spanstore.Operation{{Name: "get"}}) {
		t.Errorf("operations: %v, %v", operations, err)
	}
}

func TestWhatV1WritesV2Reads(t *testing.T) {
	s := serve(t, openStore(t), Options{ArchiveAddress: "127.0.0.1:0"})
	jaeger := shared.NewGRPCClient(dial(t, s.Address(), nil))
	one, two := spanOf(1, 1), spanOf(2, 2)
	if err := errors.Join(jaeger.SpanWriter().WriteSpan(t.Context(), one), jaeger.ArchiveSpanWriter().WriteSpan(t.Context(), two)); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{s.Address(): "1", s.ArchiveAddress(): "2"} {
		stream, err := storagepb.NewTraceReaderClient(dial(t, address, nil)).GetTraces(t.Context(), &storagepb.GetTracesRequest{Query: []*storagepb.GetTraceParams{
			{TraceId: binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 1), 1)}, {TraceId: binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 2), 2)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for {
			data, err := stream.Recv()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got += fmt.Sprint(data.ResourceSpans[0].ScopeSpans[0].Spans[0].SpanId[7])
		}
		if got != want {
			t.Errorf("%s has spans %q, want %q", address, got, want)
		}
	}
}

func TestHealthIsToldOfEveryService(t *testing.T) {
	s := serve(t, openStore(t), Options{})
	client := grpc_health_v1.NewHealthClient(dial(t, s.Address(), nil))
	for _, service := range []string{"", "jaeger.storage.v1.SpanReaderPlugin", "jaeger.storage.v1.SpanWriterPlugin"} {
		r, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil || r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, r, err)
		}
	}
	if _, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("a service that is not there: %v", err)
	}
}

// A client that knows nothing but reflection learns enough to make a call.
func TestReflectionTellsOfEveryMethod(t *testing.T) {
	s := serve(t, openStore(t), Options{StreamingWriter: true})
	stream, err := reflectionv1.NewServerReflectionClient(dial(t, s.Address(), nil)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	files := map[string]*descriptorpb.FileDescriptorProto{}
	keep := func(answer *reflectionv1.ServerReflectionResponse) {
		t.Helper()
		if answer.GetFileDescriptorResponse() == nil {
			t.Fatalf("no files: %v", answer)
		}
		for _, b := range answer.GetFileDescriptorResponse().FileDescriptorProto {
			file := new(descriptorpb.FileDescriptorProto)
			if err := proto.Unmarshal(b, file); err != nil {
				t.Fatal(err)
			}
			files[file.GetName()] = file
		}
	}
	listed := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService()
	names := map[string]bool{}
	for _, service := range listed {
		names[service.Name] = true
		keep(ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service.Name}}))
	}
	for _, want := range []string{
		"jaeger.storage.v1.SpanReaderPlugin", "jaeger.storage.v1.SpanWriterPlugin", "jaeger.storage.v1.StreamingSpanWriterPlugin", "jaeger.storage.v1.PluginCapabilities",
		"jaeger.storage.v1.DependenciesReaderPlugin", "jaeger.storage.v1.ArchiveSpanReaderPlugin", "jaeger.storage.v1.ArchiveSpanWriterPlugin", "grpc.health.v1.Health",
		"jaeger.storage.v2.TraceReader", "jaeger.storage.v2.DependencyReader", "jaeger.storage.v2.Capabilities", "opentelemetry.proto.collector.trace.v1.TraceService",
	} {
		if !names[want] {
			t.Errorf("%s is not listed", want)
		}
	}
	set := new(descriptorpb.FileDescriptorSet)
	for _, file := range files {
		set.File = append(set.File, file)
	}
	registry, err := protodesc.NewFiles(set) // fails if anything that is imported was not sent
	if err != nil {
		t.Fatal(err)
	}
	service, err := registry.FindDescriptorByName("jaeger.storage.v1.SpanReaderPlugin")
	if err != nil {
		t.Fatal(err)
	}
	method := service.(protoreflect.ServiceDescriptor).Methods().ByName("FindTraces")
	if got := method.Input().Fields().ByName("query").Message().Fields().ByName("start_time_min").Message().FullName(); got != "google.protobuf.Timestamp" {
		t.Errorf("start_time_min is a %s", got)
	}
	if got := method.Output().Fields().ByName("spans").Message().FullName(); got != "jaeger.api_v2.Span" {
		t.Errorf("FindTraces answers with %s", got)
	}
	for name, field := range map[protoreflect.FullName]protoreflect.Name{
		"opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest": "resource_spans", "opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse": "partial_success",
	} {
		d, err := registry.FindDescriptorByName(name)
		if err != nil || d.(protoreflect.MessageDescriptor).Fields().ByName(field) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name := range names {
		d, err := registry.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil || d.(protoreflect.ServiceDescriptor).Methods().Len() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// From Jaeger v1.66 on a request for a trace has hints of its time, which v1.62's message does not know.
func TestHintsOfTimeDoNoHarm(t *testing.T) {
	s := serve(t, openStore(t), Options{})
	conn := dial(t, s.Address(), nil)
	want := spanOf(1, 1)
	if err := shared.NewGRPCClient(conn).SpanWriter().WriteSpan(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	for name, hints := range map[string][]byte{
		"of the trace":    {0x12, 2, 8, 1, 0x1a, 6, 8, 0xff, 0xff, 0xff, 0xff, 0x0f}, // 1970 to 2106
		"of another time": {0x12, 2, 8, 1, 0x1a, 2, 8, 2},
		"of year 1":       {0x12, 11, 8, 0x80, 0x92, 0xb8, 0xc3, 0x98, 0xfe, 0xff, 0xff, 0xff, 0x01},
		"unreadable":      {0x12, 2, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := storage_v1.NewSpanReaderPluginClient(conn).GetTrace(t.Context(), &storage_v1.GetTraceRequest{TraceID: want.TraceID, XXX_unrecognized: hints})
			if err != nil {
				t.Fatal(err)
			}
			chunk, err := stream.Recv()
			if err != nil || len(chunk.Spans) != 1 || !cmp.Equal(chunk.Spans[0], *want) {
				t.Errorf("%v, %v", chunk, err)
			}
		})
	}
}

func TestStopLetsCallsEnd(t *testing.T) {
	store := openStore(t)
	held := &heldWriter{Writer: store.Writer, writing: make(chan struct{}), goOn: make(chan struct{})}
	store.Writer = held
	s := serve(t, store, Options{})
	conn := dial(t, s.Address(), nil)
	wrote := make(chan error, 1)
	go func() { wrote <- shared.NewGRPCClient(conn).SpanWriter().WriteSpan(context.Background(), spanOf(1, 1)) }()
	<-held.writing
	stopped := make(chan struct{})
	go func() {
		s.Stop()
		close(stopped)
	}()
	for { // until it takes no connections any more
		c, err := net.Dial("tcp", s.Address())
		if err != nil {
			break
		}
		c.Close()
	}
	close(held.goOn)
	if err := <-wrote; err != nil {
		t.Errorf("the call that was being served: %v", err)
	}
	<-stopped
}

// heldWriter writes when it is told to.
type heldWriter struct {
	plugin.Writer
	writing, goOn chan struct{}
}

func (w *heldWriter) Write(ctx context.Context, tenant string, otlp []byte) (trace.Rejected, error) {
	w.writing <- struct{}{}
	<-w.goOn
	return w.Writer.Write(ctx, tenant, otlp)
}

func TestAnOpenAddressIsWarnedOf(t *testing.T) {
	files := tlsFiles(t, newAuthority(t, "ca"), nil)
	for _, c := range []struct {
		options Options
		warned  bool
	}{
		{Options{Address: "127.0.0.1:0"}, false},
		{Options{Address: "[::1]:0"}, false},
		{Options{Address: "0.0.0.0:0"}, true},
		{Options{Address: ":0"}, true},
		{Options{Address: "127.0.0.1:0", ArchiveAddress: ":0"}, true},
		{Options{Address: ":0", TLS: files}, false},
		{Options{Address: ":0", Tokens: true}, false},
	} {
		var log lines
		c.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
		s, err := Listen(c.options)
		if err != nil {
			t.Fatal(err)
		}
		s.Stop()
		if got := strings.Contains(log.String(), "whoever reaches this address reads and writes all traces"); got != c.warned {
			t.Errorf("%+v: %s", c.options, log.String())
		}
	}
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
