package tracing

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/opentracing/opentracing-go"
	"github.com/opentracing/opentracing-go/mocktracer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
)

func TestWithoutAnAddressNothingIsTraced(t *testing.T) {
	before := opentracing.GlobalTracer()
	stop, err := Start("test", func(string) (string, bool) { return "", false }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if opentracing.GlobalTracer() != before {
		t.Error("a tracer was set")
	}
}

func TestBadVariablesAreAnError(t *testing.T) {
	t.Setenv("JAEGER_SAMPLER_PARAM", "much")
	_, err := Start("test", func(name string) (string, bool) { return "localhost", name == "JAEGER_AGENT_HOST" }, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "JAEGER_SAMPLER_PARAM") {
		t.Errorf("%v", err)
	}
}

// What a client traces goes on at the server; a push, and what has no parent, is not traced at all.
func TestCallsAreTracedWithTheirParent(t *testing.T) {
	tracer := mocktracer.New()
	opentracing.SetGlobalTracer(tracer)
	defer opentracing.SetGlobalTracer(opentracing.NoopTracer{})
	server := grpc.NewServer(ServerOptions()...)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "x", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Push",
		Handler: func(_ any, ctx context.Context, dec func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			in := new(emptypb.Empty)
			if err := dec(in); err != nil {
				return nil, err
			}
			return intercept(ctx, in, &grpc.UnaryServerInfo{FullMethod: "/x/Push"}, func(context.Context, any) (any, error) { return in, nil })
		}}}}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l) // ends with Stop
	defer server.Stop()
	conn, err := grpc.NewClient(l.Addr().String(), append(ClientOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	check := func(ctx context.Context) {
		t.Helper()
		if _, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		if err := conn.Invoke(ctx, "/x/Push", &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
			t.Fatal(err)
		}
	}
	check(t.Context())
	if spans := tracer.FinishedSpans(); len(spans) != 0 {
		t.Errorf("without a parent: %v", spans)
	}
	span, ctx := Span(t.Context(), "search", "tenant", "acme", "blocks", 7)
	check(ctx)
	End(span, errors.New("lost"))
	var names []string
	trace := tracer.FinishedSpans()
	for _, s := range trace {
		names = append(names, s.OperationName)
		if s.SpanContext.TraceID != trace[0].SpanContext.TraceID {
			t.Errorf("%s is a trace of its own", s.OperationName)
		}
		if s.OperationName == "search" && (s.Tag("tenant") != "acme" || s.Tag("blocks") != 7 || s.Tag("error") != true) {
			t.Errorf("tags %v", s.Tags())
		}
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "/grpc.health.v1.Health/Check /grpc.health.v1.Health/Check search" {
		t.Errorf("traced: %s", got)
	}
}

func TestOfAServersCallsQuestionsAreTraced(t *testing.T) {
	for method, want := range map[string]bool{
		"/jaeger.storage.v1.SpanReaderPlugin/GetTrace": true, "/jaeger.storage.v1.DependenciesReaderPlugin/GetDependencies": true,
		"/jaeger.storage.v1.SpanWriterPlugin/WriteSpan": false, "/jaeger.storage.v1.StreamingSpanWriterPlugin/WriteSpanStream": false,
		"/jaeger.storage.v1.PluginCapabilities/Capabilities": false, "/grpc.health.v1.Health/Check": false, "/x.Ingester/Push": false,
		"/opentelemetry.proto.collector.trace.v1.TraceService/Export": false,
	} {
		if isQuestion(method) != want {
			t.Errorf("%s: %v", method, !want)
		}
	}
}

func TestRequestsToAStoreAreTracedBelowAQuestion(t *testing.T) {
	tracer := mocktracer.New()
	opentracing.SetGlobalTracer(tracer)
	defer opentracing.SetGlobalTracer(opentracing.NoopTracer{})
	memory := backendtest.NewMemory()
	w, err := memory.Create(t.Context(), "a/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	b := Bucket(memory)
	ask := func(ctx context.Context) {
		p := make([]byte, 10)
		if n, err := b.ReadAt(ctx, "a/x", p, 1); n != 4 || !errors.Is(err, io.EOF) {
			t.Errorf("read %d, %v", n, err)
		}
		if n, err := b.Size(ctx, "a/x"); n != 5 || err != nil {
			t.Errorf("size %d, %v", n, err)
		}
		if err := b.List(ctx, "", func(string) error { return nil }); err != nil {
			t.Error(err)
		}
		if _, err := b.(backend.Claimer).CreateIfAbsent(ctx, "a/y", nil); err != nil {
			t.Error(err)
		}
	}
	ask(t.Context())
	if spans := tracer.FinishedSpans(); len(spans) != 0 {
		t.Errorf("without a question: %v", spans)
	}
	span, ctx := Span(t.Context(), "search")
	ask(ctx)
	End(span, nil)
	spans := tracer.FinishedSpans()
	if len(spans) != 4 || spans[0].OperationName != "object store: read" || spans[0].Tag("bytes") != 4 || spans[0].Tag("offset") != int64(1) ||
		spans[0].Tag("object") != "a/x" || spans[0].Tag("error") != nil {
		t.Errorf("%v", spans)
	}
}
