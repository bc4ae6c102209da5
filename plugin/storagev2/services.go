package storagev2

import (
	"context"

	"google.golang.org/grpc"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
)

// Options are what Services are made of. Writer and Reader must be set.
type Options struct {
	Writer plugin.Writer
	Reader plugin.Reader
	// TenantOf says whose data a call is about; plugin.DefaultTenant's if nil. Its errors are gRPC statuses.
	TenantOf func(context.Context) (string, error)
	// MarkPartial gives a trace that may lack spans, because a part of the store could not be asked, with a warning on its first span. Without it
	// the call fails. Lists, on which no mark can be put, fail in any case.
	MarkPartial bool
}

// Services are the gRPC services of jaeger.storage.v2 and OpenTelemetry's trace service.
type Services struct {
	writer   plugin.Writer
	reader   plugin.Reader
	tenantOf func(context.Context) (string, error)
	marks    bool
}

// New makes services of a store.
func New(o Options) *Services {
	s := &Services{writer: o.Writer, reader: o.Reader, tenantOf: o.TenantOf, marks: o.MarkPartial}
	if s.tenantOf == nil {
		s.tenantOf = func(context.Context) (string, error) { return plugin.DefaultTenant, nil }
	}
	return s
}

// Register registers the services. The server must use plugin.Codec.
func (s *Services) Register(server grpc.ServiceRegistrar) {
	storagepb.RegisterTraceReaderServer(server, traceReader{Services: s})
	storagepb.RegisterDependencyReaderServer(server, dependencyReader{Services: s})
	storagepb.RegisterCapabilitiesServer(server, capabilities{})
	server.RegisterService(&traceService, s)
}
