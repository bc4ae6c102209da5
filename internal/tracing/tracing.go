// Package tracing lets the processes of the store trace themselves: queries, uploads, merges, and what the ring does, also from process to process.
// It never traces the way of spans in: their tracing would be spans too, without end.
//
//	stop, err := tracing.Start("tempo-ingester", os.LookupEnv, log)      // by the JAEGER_* variables of the environment; without them nothing is traced
//	defer stop()
//	span, ctx := tracing.Span(ctx, "search", "tenant", tenant)
//	defer func() { tracing.End(span, err) }()
//
// The tracer is OpenTracing's global one, since Cortex's ring uses that. A span without a tracer costs next to nothing.
//
// All functions may be called concurrently, Start once.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	otgrpc "github.com/opentracing-contrib/go-grpc"
	"github.com/opentracing/opentracing-go"
	"github.com/opentracing/opentracing-go/ext"
	"github.com/opentracing/opentracing-go/log"
	"github.com/uber/jaeger-client-go"
	jaegerconfig "github.com/uber/jaeger-client-go/config"
	"google.golang.org/grpc"
)

// switches are the variables of which one turns tracing on: where spans are sent to.
var switches = []string{"JAEGER_AGENT_HOST", "JAEGER_ENDPOINT"}

// Start begins to trace as a service, JAEGER_SERVICE_NAME if that is set, if JAEGER_AGENT_HOST or JAEGER_ENDPOINT is set. Everything is traced unless
// JAEGER_SAMPLER_TYPE and JAEGER_SAMPLER_PARAM say otherwise. stop sends what is left.
func Start(service string, env func(name string) (string, bool), logger *slog.Logger) (stop func(), err error) {
	on := false
	for _, name := range switches {
		v, _ := env(name)
		on = on || v != ""
	}
	if !on {
		return func() {}, nil
	}
	c := &jaegerconfig.Configuration{ServiceName: service, Sampler: &jaegerconfig.SamplerConfig{Type: jaeger.SamplerTypeConst, Param: 1}}
	if c, err = c.FromEnv(); err != nil {
		return nil, fmt.Errorf("own tracing, by the JAEGER_* variables of the environment: %w", err)
	}
	tracer, closer, err := c.NewTracer(jaegerconfig.Logger(errorLogger{logger}))
	if err != nil {
		return nil, fmt.Errorf("own tracing, by the JAEGER_* variables of the environment: %w", err)
	}
	opentracing.SetGlobalTracer(tracer)
	return func() { _ = closer.Close() }, nil // nobody waits for the last spans
}

// errorLogger tells of errors alone.
type errorLogger struct{ to *slog.Logger }

func (l errorLogger) Error(msg string)      { l.to.Warn("own tracing fails", "error", msg) }
func (l errorLogger) Infof(string, ...any)  {}
func (l errorLogger) Debugf(string, ...any) {}

// Span begins a span below that of ctx, if it has one. tags are names and values in turn. Who has called it ends it, with End.
func Span(ctx context.Context, operation string, tags ...any) (opentracing.Span, context.Context) {
	span, ctx := opentracing.StartSpanFromContext(ctx, operation)
	Tag(span, tags...)
	return span, ctx
}

// Tag adds names and values to a span, in turn.
func Tag(span opentracing.Span, tags ...any) {
	for i := 0; i+1 < len(tags); i += 2 {
		span.SetTag(tags[i].(string), tags[i+1])
	}
}

// End ends a span. err, if there is one, is what went wrong.
func End(span opentracing.Span, err error) {
	if err != nil {
		ext.Error.Set(span, true)
		span.LogFields(log.Error(err))
	}
	span.Finish()
}

// ClientOptions trace the calls of a client that belong to what is traced.
func ClientOptions() []grpc.DialOption {
	t := opentracing.GlobalTracer()
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(otgrpc.OpenTracingClientInterceptor(t, belonging)),
		grpc.WithChainStreamInterceptor(otgrpc.OpenTracingStreamClientInterceptor(t, belonging)),
	}
}

// ServerOptions trace the calls at a server that belong to what a client traces.
func ServerOptions() []grpc.ServerOption {
	t := opentracing.GlobalTracer()
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(otgrpc.OpenTracingServerInterceptor(t, belonging)),
		grpc.ChainStreamInterceptor(otgrpc.OpenTracingStreamServerInterceptor(t, belonging)),
	}
}

// RootOptions trace all calls at a server that are questions, also those that belong to nothing: of Jaeger.
func RootOptions() []grpc.ServerOption {
	t := opentracing.GlobalTracer()
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(otgrpc.OpenTracingServerInterceptor(t, questions)),
		grpc.ChainStreamInterceptor(otgrpc.OpenTracingStreamServerInterceptor(t, questions)),
	}
}

var questions = otgrpc.IncludingSpans(func(_ opentracing.SpanContext, method string, _, _ any) bool { return isQuestion(method) })

// isQuestion reports whether a call is no write of spans, and nothing that is asked all the time.
func isQuestion(method string) bool {
	for _, part := range []string{"Write", "Export", "/Push", "grpc.health.", "/Capabilities"} {
		if strings.Contains(method, part) {
			return false
		}
	}
	return true
}

// belonging are the calls that are traced: none that has no parent, and never a push.
var belonging = otgrpc.IncludingSpans(func(parent opentracing.SpanContext, method string, _, _ any) bool {
	return parent != nil && !strings.HasSuffix(method, "/Push")
})
