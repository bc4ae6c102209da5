package plugin

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"

	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
)

// spanReader is SpanReaderPlugin, ArchiveSpanReaderPlugin and DependenciesReaderPlugin.
type spanReader struct{ *Services }

func (r spanReader) GetTrace(req *storage_v1.GetTraceRequest, stream storage_v1.SpanReaderPlugin_GetTraceServer) error {
	tenant, err := r.tenantOf(stream.Context())
	if err != nil {
		return statusOf(err)
	}
	return r.sendTrace(stream, tenant, req.TraceID)
}

func (r spanReader) GetArchiveTrace(req *storage_v1.GetTraceRequest, stream storage_v1.ArchiveSpanReaderPlugin_GetArchiveTraceServer) error {
	tenant, err := r.archiveOf(stream.Context())
	if err != nil {
		return statusOf(err)
	}
	return r.sendTrace(stream, tenant, req.TraceID)
}

func (r spanReader) sendTrace(stream chunkStream, tenant string, id model.TraceID) error {
	data, missing := r.reader.Trace(stream.Context(), tenant, traceID(id))
	chunks := chunker{send: stream.Send}
	if err := r.add(&chunks, data, missing); err != nil {
		return statusOf(fmt.Errorf("trace %s of tenant %s: %w", id, tenant, err))
	}
	return statusOf(chunks.flush())
}

// add adds the spans of a trace. One that may lack some is marked, or is the error that says so.
func (r spanReader) add(to *chunker, data []byte, missing error) error {
	if missing == nil {
		return jaegerv1.Each(data, to.add)
	}
	var partial *tempodb.PartialError
	if !r.marks || len(data) == 0 || !errors.As(missing, &partial) {
		return missing
	}
	marked := false
	return jaegerv1.Each(data, func(span *model.Span) error {
		if !marked {
			span.Warnings = append(span.Warnings, "this trace may lack spans: "+partial.Error())
			marked = true
		}
		return to.add(span)
	})
}

func (r spanReader) FindTraces(req *storage_v1.FindTracesRequest, stream storage_v1.SpanReaderPlugin_FindTracesServer) error {
	ctx := stream.Context()
	tenant, err := r.tenantOf(ctx)
	if err != nil {
		return statusOf(err)
	}
	query, err := queryOf(req.Query)
	if err != nil {
		return err
	}
	// Small traces share a chunk: clients see where one ends by the trace ID.
	chunks := chunker{send: stream.Send}
	err = r.reader.FindTraces(ctx, tenant, query, func(id trace.ID, data []byte, missing error) error {
		if err := r.add(&chunks, data, missing); err != nil {
			return fmt.Errorf("trace %s of tenant %s: %w", id, tenant, err)
		}
		return nil
	})
	if err != nil {
		return statusOf(err)
	}
	return statusOf(chunks.flush())
}

func (r spanReader) FindTraceIDs(ctx context.Context, req *storage_v1.FindTraceIDsRequest) (*storage_v1.FindTraceIDsResponse, error) {
	tenant, err := r.tenantOf(ctx)
	if err != nil {
		return nil, statusOf(err)
	}
	query, err := queryOf(req.Query)
	if err != nil {
		return nil, err
	}
	ids, _, err := r.reader.FindTraceIDs(ctx, tenant, query)
	if err != nil {
		return nil, statusOf(err)
	}
	res := &storage_v1.FindTraceIDsResponse{TraceIDs: make([]model.TraceID, len(ids))}
	for i, id := range ids {
		res.TraceIDs[i] = model.NewTraceID(binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:]))
	}
	return res, nil
}

func (r spanReader) GetServices(ctx context.Context, _ *storage_v1.GetServicesRequest) (*storage_v1.GetServicesResponse, error) {
	tenant, err := r.tenantOf(ctx)
	if err != nil {
		return nil, statusOf(err)
	}
	services, err := r.reader.Services(ctx, tenant)
	if err != nil {
		return nil, statusOf(err)
	}
	return &storage_v1.GetServicesResponse{Services: services}, nil
}

func (r spanReader) GetOperations(ctx context.Context, req *storage_v1.GetOperationsRequest) (*storage_v1.GetOperationsResponse, error) {
	tenant, err := r.tenantOf(ctx)
	if err != nil {
		return nil, statusOf(err)
	}
	kind, ok := kindOf(req.SpanKind)
	if !ok {
		return &storage_v1.GetOperationsResponse{}, nil
	}
	operations, err := r.reader.Operations(ctx, tenant, req.Service, kind)
	if err != nil {
		return nil, statusOf(err)
	}
	res := &storage_v1.GetOperationsResponse{Operations: make([]*storage_v1.Operation, len(operations))}
	for i, operation := range operations {
		res.Operations[i] = &storage_v1.Operation{Name: operation.Name, SpanKind: r.kindName(operation.Kind)}
	}
	return res, nil
}

func (r spanReader) GetDependencies(ctx context.Context, req *storage_v1.GetDependenciesRequest) (*storage_v1.GetDependenciesResponse, error) {
	tenant, err := r.tenantOf(ctx)
	if err != nil {
		return nil, statusOf(err)
	}
	start, end := setTime(req.StartTime), setTime(req.EndTime)
	if err := checkTimes(start, end); err != nil {
		return nil, err
	}
	dependencies, err := r.reader.Dependencies(ctx, tenant, start, end)
	if err != nil {
		return nil, statusOf(err)
	}
	res := &storage_v1.GetDependenciesResponse{Dependencies: make([]model.DependencyLink, len(dependencies))}
	for i, d := range dependencies {
		res.Dependencies[i] = model.DependencyLink{Parent: d.Parent, Child: d.Child, CallCount: d.Calls}
	}
	return res, nil
}

func traceID(id model.TraceID) (t trace.ID) {
	binary.BigEndian.PutUint64(t[:8], id.High)
	binary.BigEndian.PutUint64(t[8:], id.Low)
	return t
}
