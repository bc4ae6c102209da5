package storagev2

import (
	"context"
	"fmt"
	"math"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/trace"
)

// traceReader is TraceReader.
type traceReader struct {
	storagepb.UnimplementedTraceReaderServer
	*Services
}

// GetTraces sends the traces with the given IDs, each once; what is not there is left out. Times are hints: they are checked, and no span is left out for them.
func (r traceReader) GetTraces(req *storagepb.GetTracesRequest, to grpc.ServerStreamingServer[tracepb.TracesData]) error {
	ctx := to.Context()
	tenant, err := r.tenantOf(ctx)
	if err != nil {
		return plugin.StatusOf(err)
	}
	ids := make([]trace.ID, 0, len(req.Query))
	seen := make(map[trace.ID]bool, len(req.Query))
	for _, p := range req.Query {
		if len(p.GetTraceId()) != len(trace.ID{}) {
			return invalid("trace ID %.64x has %d bytes, want %d", p.GetTraceId(), len(p.GetTraceId()), len(trace.ID{}))
		}
		if _, _, err := timesOf(p.StartTime, p.EndTime); err != nil {
			return err
		}
		if id := trace.ID(p.TraceId); !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return plugin.StatusOf(r.reader.Traces(ctx, tenant, ids, r.sender(to, tenant)))
}

// sender sends traces of tenant as they are read.
func (r traceReader) sender(to stream, tenant string) func(trace.ID, []byte, error) error {
	return func(id trace.ID, data []byte, missing error) error {
		if err := r.sendTrace(to, data, missing); err != nil {
			return fmt.Errorf("trace %s of tenant %s: %w", id, tenant, err)
		}
		return nil
	}
}

// FindTraces sends the traces that are found, whole.
func (r traceReader) FindTraces(req *storagepb.FindTracesRequest, to grpc.ServerStreamingServer[tracepb.TracesData]) error {
	ctx := to.Context()
	tenant, q, err := r.question(ctx, req.Query)
	if err != nil {
		return err
	}
	if q.PageSize != 0 {
		return invalid("whole traces do not come by pages: set search_depth, or find IDs or summaries by pages")
	}
	return plugin.StatusOf(r.reader.FindTraces(ctx, tenant, q, r.sender(to, tenant)))
}

// question is whose data a query is about, and what it asks. Its errors are statuses.
func (r traceReader) question(ctx context.Context, p *storagepb.TraceQueryParameters) (tenant string, q *readpath.Query, err error) {
	if tenant, err = r.tenantOf(ctx); err != nil {
		return "", nil, plugin.StatusOf(err)
	}
	q, err = queryOf(p)
	return tenant, q, err
}

// FindTraceIDs answers with the IDs of the traces that are found, and when they were: from their summaries.
func (r traceReader) FindTraceIDs(ctx context.Context, req *storagepb.FindTraceIDsRequest) (*storagepb.FindTraceIDsResponse, error) {
	tenant, q, err := r.question(ctx, req.Query)
	if err != nil {
		return nil, err
	}
	res := new(storagepb.FindTraceIDsResponse)
	res.NextPageToken, err = r.reader.FindSummaries(ctx, tenant, q, func(id trace.ID, s *trace.Summary) error {
		res.TraceIds = append(res.TraceIds, &storagepb.FoundTraceID{TraceId: id[:], Start: timestamp(s.Start), End: timestamp(s.End)})
		return nil
	})
	if err != nil {
		return nil, plugin.StatusOf(err)
	}
	return res, nil
}

// timestamp is a time that OTLP tells, in 64 bits without a sign.
func timestamp(nanos int64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: int64(uint64(nanos) / uint64(time.Second)), Nanos: int32(uint64(nanos) % uint64(time.Second))}
}

// summariesAtOnce is how many summaries a message has at most.
const summariesAtOnce = 100

// FindTraceSummaries sends what a list of traces shows of those that are found: from their summaries.
func (r traceReader) FindTraceSummaries(req *storagepb.FindTraceSummariesRequest, to grpc.ServerStreamingServer[storagepb.FindTraceSummariesResponse]) error {
	ctx := to.Context()
	tenant, q, err := r.question(ctx, req.Query)
	if err != nil {
		return err
	}
	// The last message, which alone has the token, is sent when it is known to be the last.
	res := new(storagepb.FindTraceSummariesResponse)
	next, err := r.reader.FindSummaries(ctx, tenant, q, func(id trace.ID, s *trace.Summary) error {
		if len(res.Summaries) == summariesAtOnce {
			if err := to.Send(res); err != nil {
				return err
			}
			res = new(storagepb.FindTraceSummariesResponse) // gRPC may still look at the other
		}
		res.Summaries = append(res.Summaries, summaryOf(id, s))
		return nil
	})
	if err != nil {
		return plugin.StatusOf(err)
	}
	if res.NextPageToken = next; len(res.Summaries) == 0 {
		return nil
	}
	return to.Send(res)
}

func summaryOf(id trace.ID, s *trace.Summary) *storagepb.TraceSummary {
	orphans := uint64(0)
	for _, parent := range s.OpenParents {
		orphans += parent.Calls
	}
	summary := &storagepb.TraceSummary{
		TraceId: id[:], RootServiceName: s.RootService, RootOperationName: s.RootName,
		MinStartTimeUnixNano: uint64(s.Start), MaxEndTimeUnixNano: uint64(s.End),
		SpanCount: count(uint64(s.Spans)), ErrorSpanCount: count(uint64(s.Errors)), OrphanSpanCount: count(orphans),
	}
	for _, of := range s.Services {
		summary.Services = append(summary.Services, &storagepb.ServiceSummary{Name: of.Service, SpanCount: count(uint64(of.Spans)), ErrorSpanCount: count(uint64(of.Errors))})
	}
	return summary
}

func count(n uint64) int32 { return int32(min(n, math.MaxInt32)) }

func (r traceReader) GetServices(ctx context.Context, _ *storagepb.GetServicesRequest) (*storagepb.GetServicesResponse, error) {
	tenant, err := r.tenantOf(ctx)
	if err != nil {
		return nil, plugin.StatusOf(err)
	}
	services, err := r.reader.Services(ctx, tenant)
	if err != nil {
		return nil, plugin.StatusOf(err)
	}
	return &storagepb.GetServicesResponse{Services: services}, nil
}

// GetOperations answers with the operations of a service; of all kinds if none is asked for. A span without a kind has an empty one.
func (r traceReader) GetOperations(ctx context.Context, req *storagepb.GetOperationsRequest) (*storagepb.GetOperationsResponse, error) {
	tenant, err := r.tenantOf(ctx)
	if err != nil {
		return nil, plugin.StatusOf(err)
	}
	var kind *trace.Kind
	if req.SpanKind != "" {
		k, err := trace.ParseKind(req.SpanKind)
		if err != nil {
			return &storagepb.GetOperationsResponse{}, nil //nolint:nilerr // no span has this kind
		}
		kind = &k
	}
	operations, err := r.reader.Operations(ctx, tenant, req.Service, kind)
	if err != nil {
		return nil, plugin.StatusOf(err)
	}
	res := &storagepb.GetOperationsResponse{Operations: make([]*storagepb.Operation, len(operations))}
	for i, operation := range operations {
		res.Operations[i] = &storagepb.Operation{Name: operation.Name}
		if operation.Kind != trace.KindUnspecified {
			res.Operations[i].SpanKind = operation.Kind.String()
		}
	}
	return res, nil
}

// dependencyReader is DependencyReader.
type dependencyReader struct {
	storagepb.UnimplementedDependencyReaderServer
	*Services
}

func (r dependencyReader) GetDependencies(ctx context.Context, req *storagepb.GetDependenciesRequest) (*storagepb.GetDependenciesResponse, error) {
	tenant, err := r.tenantOf(ctx)
	if err != nil {
		return nil, plugin.StatusOf(err)
	}
	start, end, err := timesOf(req.StartTime, req.EndTime)
	if err != nil {
		return nil, err
	}
	dependencies, err := r.reader.Dependencies(ctx, tenant, start, end)
	if err != nil {
		return nil, plugin.StatusOf(err)
	}
	res := &storagepb.GetDependenciesResponse{Dependencies: make([]*storagepb.Dependency, len(dependencies))}
	for i, d := range dependencies {
		res.Dependencies[i] = &storagepb.Dependency{Parent: d.Parent, Child: d.Child, CallCount: d.Calls}
	}
	return res, nil
}
