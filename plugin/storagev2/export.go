package storagev2

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/trace"
)

// exportMethod is the path of the one call of OpenTelemetry's trace service.
const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// traceService describes OpenTelemetry's trace service, with messages in their wire form.
var traceService = grpc.ServiceDesc{
	ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService",
	HandlerType: (*exporter)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: handleExport}},
	Metadata:    "opentelemetry/proto/collector/trace/v1/trace_service.proto",
}

// exporter is what a server of the trace service does.
type exporter interface {
	export(ctx context.Context, request *plugin.Raw) (*plugin.Raw, error)
}

func handleExport(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	request := new(plugin.Raw)
	if err := decode(request); err != nil {
		return nil, err
	}
	defer request.Free()
	handle := func(ctx context.Context, request any) (any, error) {
		response, err := srv.(exporter).export(ctx, request.(*plugin.Raw))
		if err != nil {
			return nil, err // and no typed nil
		}
		return response, nil
	}
	if interceptor == nil {
		return handle(ctx, request)
	}
	return interceptor(ctx, request, &grpc.UnaryServerInfo{Server: srv, FullMethod: exportMethod}, handle)
}

// export writes an ExportTraceServiceRequest, of which the writer keeps nothing. Spans that are refused for what they are count as rejected in the answer; an error
// is about all of them.
func (s *Services) export(ctx context.Context, request *plugin.Raw) (*plugin.Raw, error) {
	tenant, err := s.tenantOf(ctx)
	if err != nil {
		return nil, plugin.StatusOf(err)
	}
	rejected, err := s.writer.Write(ctx, tenant, request.Bytes())
	if err != nil {
		return nil, refusal(err)
	}
	return plugin.NewRaw(exportResponse(rejected)), nil
}

// retryDelay is after how long a sender should try again where the store does not say: it has too much to do, or too little room.
const retryDelay = time.Second

// refusal is the status of what could not be written. Senders of OTLP drop what is ResourceExhausted, unless they are told when to send it again: they are where the
// store has too much to do. An error that is a status by itself, as those of limits and of a cluster are, says so itself, or that it is of no use.
func refusal(err error) error {
	st := status.Convert(plugin.StatusOf(err))
	if _, itself := status.FromError(err); itself || st.Code() != codes.ResourceExhausted {
		return st.Err()
	}
	if with, detailErr := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)}); detailErr == nil {
		return with.Err()
	}
	return st.Err()
}

// exportResponse returns an ExportTraceServiceResponse.
func exportResponse(rejected trace.Rejected) []byte {
	const (
		partialSuccess = 1 // of the response
		rejectedSpans  = 1 // of the partial success
		errorMessage   = 2
	)
	if rejected.Spans == 0 {
		return nil
	}
	partial := protowire.AppendTag(nil, rejectedSpans, protowire.VarintType)
	partial = protowire.AppendVarint(partial, uint64(rejected.Spans))
	partial = protowire.AppendTag(partial, errorMessage, protowire.BytesType)
	partial = protowire.AppendString(partial, rejected.Reason)
	return protowire.AppendBytes(protowire.AppendTag(nil, partialSuccess, protowire.BytesType), partial)
}
