package plugin

import (
	"context"
	"time"

	_ "github.com/jaegertracing/jaeger/pkg/gogocodec" // messages of storage_v1 need it on both sides
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"google.golang.org/grpc"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// Writer makes spans durable. writepath.Writer is one.
type Writer interface {
	// Write returns when the spans of an OTLP TracesData message are durable and readable. It keeps
	// nothing of otlp. Spans that it refuses are counted and explained.
	Write(ctx context.Context, tenant string, otlp []byte) (trace.Rejected, error)
}

// Reader answers questions about a tenant's traces. readpath.Reader is one.
type Reader interface {
	// Trace returns all spans of a trace as TracesData, or readpath.ErrTraceNotFound; what there is of it with a *tempodb.PartialError.
	Trace(ctx context.Context, tenant string, id trace.ID) ([]byte, error)
	// Traces calls yield as FindTraces does with each of the traces of ids that is there, in their order.
	Traces(ctx context.Context, tenant string, ids []trace.ID, yield func(id trace.ID, data []byte, missing error) error) error
	FindTraceIDs(ctx context.Context, tenant string, q *readpath.Query) (ids []trace.ID, next string, err error)
	// FindTraces calls yield with each trace found, whole, or with what wraps a *tempodb.PartialError; yield may keep data. It stops at yield's first error
	// and returns it.
	FindTraces(ctx context.Context, tenant string, q *readpath.Query, yield func(id trace.ID, data []byte, missing error) error) error
	// FindSummaries calls yield with the summaries of the traces found, and returns the token of the next page. It stops at yield's first error and returns it.
	FindSummaries(ctx context.Context, tenant string, q *readpath.Query, yield func(id trace.ID, s *trace.Summary) error) (next string, err error)
	// FindSpans calls yield with spans of one trace, in the order of the query, and returns the token of the next page; data is valid until yield returns. It stops at yield's
	// first error and returns it.
	FindSpans(ctx context.Context, tenant string, q *readpath.SpanQuery, yield func(id trace.ID, data []byte) error) (next string, err error)
	// Services returns the names of all services, sorted.
	Services(ctx context.Context, tenant string) ([]string, error)
	// Operations returns those of a service, sorted; of all kinds where kind is nil.
	Operations(ctx context.Context, tenant, service string, kind *trace.Kind) ([]readpath.Operation, error)
	Dependencies(ctx context.Context, tenant string, start, end time.Time) ([]readpath.Dependency, error)
}

// DefaultTenant owns all traces where nothing says otherwise.
const DefaultTenant = "single-tenant"

// What GetOperations calls spans without a kind.
const (
	// UnspecifiedKind is what Jaeger's clients up to v1.64 expect, and so every one that loads plugins.
	UnspecifiedKind = "unspecified"
	// EmptyKind makes it the empty string, which clients from v1.65 on expect.
	EmptyKind = "empty"
)

// Options are what Services are made of. Writer and Reader must be set.
type Options struct {
	Writer Writer
	Reader Reader
	// TenantOf says whose data a call is about; nil is DefaultTenant. Its errors are gRPC statuses. It is asked for every call that reads or
	// writes traces, and for no other: Capabilities and Close bear no tenant.
	TenantOf func(context.Context) (string, error)
	// UnspecifiedKind is what GetOperations calls spans without a kind: UnspecifiedKind if empty, and
	// the empty string for EmptyKind.
	UnspecifiedKind string
	// MarkPartial gives a trace that may lack spans, because a part of the store could not be asked, with a warning on its first span. Without it
	// the call fails. Lists, on which no mark can be put, fail in any case.
	MarkPartial bool
	// StreamingWriter offers the writer that acknowledges nothing. Jaeger prefers it to the other.
	StreamingWriter bool
}

// Services are the gRPC services of jaeger.storage.v1.
type Services struct {
	writer   Writer
	reader   Reader
	tenantOf func(context.Context) (string, error) // the one place that says whose data a call is about
	kindless string                                // span_kind of operations without a kind
	marks    bool
	streams  bool
}

// New makes services of a store.
func New(o Options) *Services {
	s := &Services{writer: o.Writer, reader: o.Reader, tenantOf: o.TenantOf, kindless: o.UnspecifiedKind, marks: o.MarkPartial, streams: o.StreamingWriter}
	if s.tenantOf == nil {
		s.tenantOf = func(context.Context) (string, error) { return DefaultTenant, nil }
	}
	switch s.kindless {
	case "":
		s.kindless = UnspecifiedKind
	case EmptyKind:
		s.kindless = ""
	}
	return s
}

// Register registers the services one by one. It leaves out gRPC's health service, which go-plugin registers itself, and the streaming
// writer unless it was asked for, as Capabilities says.
func (s *Services) Register(server *grpc.Server) {
	storage_v1.RegisterSpanWriterPluginServer(server, spanWriter{s})
	storage_v1.RegisterSpanReaderPluginServer(server, spanReader{s})
	storage_v1.RegisterDependenciesReaderPluginServer(server, spanReader{s})
	storage_v1.RegisterArchiveSpanWriterPluginServer(server, spanWriter{s})
	storage_v1.RegisterArchiveSpanReaderPluginServer(server, spanReader{s})
	storage_v1.RegisterPluginCapabilitiesServer(server, capabilities{s.streams})
	if s.streams {
		storage_v1.RegisterStreamingSpanWriterPluginServer(server, spanWriter{s})
	}
}

// archiveOf is tenantOf for calls that are about archived traces.
func (s *Services) archiveOf(ctx context.Context) (string, error) {
	tenant, err := s.tenantOf(ctx)
	if err != nil {
		return "", err
	}
	return tracedb.ArchiveTenant(tenant), nil
}

// capabilities answers calls that bear no tenant.
type capabilities struct{ streams bool }

func (c capabilities) Capabilities(context.Context, *storage_v1.CapabilitiesRequest) (*storage_v1.CapabilitiesResponse, error) {
	return &storage_v1.CapabilitiesResponse{ArchiveSpanReader: true, ArchiveSpanWriter: true, StreamingSpanWriter: c.streams}, nil
}
