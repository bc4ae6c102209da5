package samples

import (
	"fmt"
	"math"
	"net"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/jaeger"
	zipkin "github.com/openzipkin/zipkin-go/model"
	"go.opentelemetry.io/collector/pdata/ptrace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/thrift-gen/zipkincore"
)

// Trip is one trace of one process that every protocol of Jaeger's can carry, OTLP included, and every Jaeger translates without loss.
func Trip(trace model.TraceID, service string) []*model.Span {
	process := model.NewProcess(service, []model.KeyValue{model.String("host.name", "a"), model.Int64("pid", 4711), model.Float64("load", 0.25), model.Bool("leader", true)})
	var spans []*model.Span
	add := func(parent model.SpanID, kind string, change func(s *model.Span)) {
		s := Plain(trace, uint64(len(spans)+1), service)
		s.Process, s.OperationName = process, fmt.Sprint("step ", len(spans)+1)
		s.StartTime = s.StartTime.Add(time.Duration(len(spans)) * time.Millisecond)
		if kind != "" {
			s.Tags = append(s.Tags, model.String("span.kind", kind))
		}
		if parent != 0 {
			s.References = []model.SpanRef{model.NewChildOfRef(trace, parent)}
		}
		change(s)
		spans = append(spans, s)
	}
	add(0, "server", func(s *model.Span) {
		s.Tags = append(s.Tags, model.String("text", "żółw 🐢"), model.String("empty", ""), model.Int64("most", math.MaxInt64), model.Int64("below zero", -1),
			model.Float64("pi", math.Pi), model.Bool("yes", true), model.Bool("no", false))
	})
	add(1, "client", func(s *model.Span) {
		at := s.StartTime.Add(time.Millisecond)
		s.Logs = []model.Log{
			{Timestamp: at, Fields: []model.KeyValue{model.String("event", "one"), model.Int64("item", 42)}},
			{Timestamp: at.Add(time.Microsecond), Fields: []model.KeyValue{model.String("event", "two")}},
		}
	})
	add(2, "producer", func(s *model.Span) { s.Duration = time.Microsecond }) // v1.76 makes one nanosecond of zero, with a warning
	add(3, "consumer", func(s *model.Span) {
		s.References = append(s.References, model.NewFollowsFromRef(model.NewTraceID(0xfeed, 0xbeef), 9))
	})
	add(1, "internal", func(s *model.Span) { s.Duration = 48 * time.Hour })
	add(1, "", func(s *model.Span) { s.OperationName = "żółw 乌龟 \"'\\" })
	add(1, "client", func(s *model.Span) { s.Tags = append(s.Tags, model.Bool("error", true)) })
	return spans
}

// AsOTLP is what Jaeger's own translation makes of spans.
func AsOTLP(spans []*model.Span) (*coltrace.ExportTraceServiceRequest, error) {
	var batches []*model.Batch
	for _, s := range spans {
		batches = append(batches, &model.Batch{Process: s.Process, Spans: []*model.Span{s}})
	}
	traces, err := jaeger.ProtoToTraces(batches)
	if err != nil {
		return nil, err
	}
	data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		return nil, err
	}
	request := new(coltrace.ExportTraceServiceRequest)
	return request, proto.Unmarshal(data, request)
}

// ZipkinTrip is one trace in Zipkin's version 2, which can be written as JSON and as protobuf.
func ZipkinTrip(trace model.TraceID, service string) []*zipkin.SpanModel {
	here := &zipkin.Endpoint{ServiceName: service, IPv4: net.IPv4(10, 0, 0, 1).To4(), Port: 80}
	var spans []*zipkin.SpanModel
	add := func(change func(s *zipkin.SpanModel)) {
		s := &zipkin.SpanModel{
			SpanContext:   zipkin.SpanContext{TraceID: zipkin.TraceID{High: trace.High, Low: trace.Low}, ID: zipkin.ID(len(spans) + 1)},
			Name:          fmt.Sprint("leg ", len(spans)+1),
			Timestamp:     Now.Add(-time.Minute).Add(time.Duration(len(spans)) * time.Millisecond),
			Duration:      1500 * time.Microsecond,
			LocalEndpoint: here,
		}
		if len(spans) > 0 {
			parent := zipkin.ID(1)
			s.ParentID = &parent
		}
		change(s)
		spans = append(spans, s)
	}
	add(func(s *zipkin.SpanModel) { s.Kind, s.Tags = zipkin.Server, map[string]string{"http.path": "/żółw"} })
	add(func(s *zipkin.SpanModel) {
		s.Kind, s.Tags = zipkin.Client, map[string]string{"user": "ann"}
		s.RemoteEndpoint = &zipkin.Endpoint{ServiceName: "remote", IPv4: net.IPv4(10, 0, 0, 2).To4(), Port: 443}
	})
	add(func(s *zipkin.SpanModel) {
		s.Annotations = []zipkin.Annotation{{Timestamp: s.Timestamp.Add(time.Millisecond), Value: "half way"}}
	})
	return spans
}

// ZipkinV1 is a trace of two spans in the JSON of Zipkin's version 1.
func ZipkinV1(trace model.TraceID, service string) []map[string]any {
	at := Now.Add(-time.Minute).UnixMicro()
	here := map[string]any{"serviceName": service, "ipv4": "10.0.0.1", "port": 80}
	note := func(value string, at int64) map[string]any {
		return map[string]any{"endpoint": here, "timestamp": at, "value": value}
	}
	return []map[string]any{
		{"traceId": trace.String(), "id": "0000000000000001", "name": "leg 1", "timestamp": at, "duration": 1500,
			"annotations":       []any{note("sr", at), note("ss", at+1500)},
			"binaryAnnotations": []any{map[string]any{"endpoint": here, "key": "http.path", "value": "/żółw"}}},
		{"traceId": trace.String(), "id": "0000000000000002", "parentId": "0000000000000001", "name": "leg 2", "timestamp": at + 1000, "duration": 1500,
			"annotations": []any{note("cs", at+1000), note("half way", at+2000), note("cr", at+2500)}},
	}
}

// ZipkinThrift is the same in thrift.
func ZipkinThrift(trace model.TraceID, service string) []*zipkincore.Span {
	at := Now.Add(-time.Minute).UnixMicro()
	here := &zipkincore.Endpoint{ServiceName: service, Ipv4: 10<<24 | 1, Port: 80}
	note := func(value string, at int64) *zipkincore.Annotation {
		return &zipkincore.Annotation{Host: here, Timestamp: at, Value: value}
	}
	pointer := func(v int64) *int64 { return &v }
	high := pointer(int64(trace.High))
	return []*zipkincore.Span{
		{TraceID: int64(trace.Low), TraceIDHigh: high, ID: 1, Name: "leg 1", Timestamp: pointer(at), Duration: pointer(1500),
			Annotations:       []*zipkincore.Annotation{note("sr", at), note("ss", at+1500)},
			BinaryAnnotations: []*zipkincore.BinaryAnnotation{{Host: here, Key: "http.path", Value: []byte("/żółw"), AnnotationType: zipkincore.AnnotationType_STRING}}},
		{TraceID: int64(trace.Low), TraceIDHigh: high, ID: 2, ParentID: pointer(1), Name: "leg 2", Timestamp: pointer(at + 1000), Duration: pointer(1500),
			Annotations: []*zipkincore.Annotation{note("cs", at+1000), note("half way", at+2000), note("cr", at+2500)}},
	}
}
