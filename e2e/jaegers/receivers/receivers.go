// Package receivers sends spans to a Jaeger over every protocol that one takes.
package receivers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	zipkinmodel "github.com/openzipkin/zipkin-go/model"
	"github.com/openzipkin/zipkin-go/proto/zipkin_proto3"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/jaegertracing/jaeger/cmd/agent/app/testutils"
	"github.com/jaegertracing/jaeger/model"
	tojaeger "github.com/jaegertracing/jaeger/model/converter/thrift/jaeger"
	"github.com/jaegertracing/jaeger/proto-gen/api_v2"
	"github.com/jaegertracing/jaeger/thrift-gen/jaeger"
	"github.com/jaegertracing/jaeger/thrift-gen/zipkincore"
)

// Receivers are the addresses, host:port, at which a Jaeger takes spans. Where it has not all of them, some are empty.
type Receivers struct {
	OTLPGRPC, OTLPHTTP          string
	JaegerGRPC                  string // api_v2
	ThriftHTTP                  string
	ThriftCompact, ThriftBinary string // UDP
	Zipkin                      string // HTTP

	// Tenant, if not empty, is told in the header x-tenant where there are headers.
	Tenant string
}

const patience = 30 * time.Second

// SendOTLPgRPC exports a request. Spans that are refused are an error.
func (r *Receivers) SendOTLPgRPC(request *coltrace.ExportTraceServiceRequest) error {
	return r.call(r.OTLPGRPC, func(ctx context.Context, conn *grpc.ClientConn) error {
		answer, err := coltrace.NewTraceServiceClient(conn).Export(ctx, request)
		if refused := answer.GetPartialSuccess(); err == nil && refused.GetRejectedSpans() != 0 {
			err = fmt.Errorf("%d spans refused: %s", refused.RejectedSpans, refused.ErrorMessage)
		}
		return err
	})
}

// SendOTLPHTTP posts a request as protobuf.
func (r *Receivers) SendOTLPHTTP(request *coltrace.ExportTraceServiceRequest) error {
	body, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	return r.post("http://"+r.OTLPHTTP+"/v1/traces", "application/x-protobuf", body)
}

// SendJaegerGRPC posts batches of at most 500 spans; a span's own process overrides the batch's.
func (r *Receivers) SendJaegerGRPC(spans []*model.Span) error {
	return r.call(r.JaegerGRPC, func(ctx context.Context, conn *grpc.ClientConn) error {
		for len(spans) > 0 {
			n := min(500, len(spans))
			batch := model.Batch{Spans: spans[:n], Process: spans[0].Process}
			if _, err := api_v2.NewCollectorServiceClient(conn).PostSpans(ctx, &api_v2.PostSpansRequest{Batch: batch}); err != nil {
				return err
			}
			spans = spans[n:]
		}
		return nil
	})
}

// SendThriftHTTP posts spans of one process.
func (r *Receivers) SendThriftHTTP(spans []*model.Span) error {
	body, err := thrift.NewTSerializer().Write(context.Background(), thriftBatch(spans))
	if err != nil {
		return err
	}
	return r.post("http://"+r.ThriftHTTP+"/api/traces?format=jaeger.thrift", "application/vnd.apache.thrift.binary", body)
}

// SendThriftCompact and SendThriftBinary send spans of one process as a datagram, which holds about 64 KiB.
func (r *Receivers) SendThriftCompact(spans []*model.Span) error {
	return emit(r.ThriftCompact, thrift.NewTCompactProtocolFactoryConf(&thrift.TConfiguration{}), spans)
}

func (r *Receivers) SendThriftBinary(spans []*model.Span) error {
	return emit(r.ThriftBinary, thrift.NewTBinaryProtocolFactoryConf(&thrift.TConfiguration{}), spans)
}

func emit(address string, protocol thrift.TProtocolFactory, spans []*model.Span) error {
	client, closer, err := testutils.NewJaegerThriftUDPClient(address, protocol)
	if err != nil {
		return err
	}
	return errors.Join(client.EmitBatch(context.Background(), thriftBatch(spans)), closer.Close())
}

// thriftBatch is the batch of Jaeger's thrift model that holds the spans of one process.
func thriftBatch(spans []*model.Span) *jaeger.Batch {
	batch := &jaeger.Batch{Spans: tojaeger.FromDomain(spans), Process: &jaeger.Process{ServiceName: spans[0].Process.ServiceName}}
	// The converter knows no processes; their tags take the same way as a span's.
	carrier := tojaeger.FromDomainSpan(&model.Span{Tags: spans[0].Process.Tags})
	batch.Process.Tags = carrier.Tags
	return batch
}

// SendZipkinJSON posts spans of Zipkin's version 1 or 2.
func (r *Receivers) SendZipkinJSON(version int, spans []map[string]any) error {
	body, err := json.Marshal(spans)
	if err != nil {
		return err
	}
	return r.post(fmt.Sprintf("http://%s/api/v%d/spans", r.Zipkin, version), "application/json", body)
}

// SendZipkin posts spans of Zipkin's version 2 as JSON, SendZipkinProto as protobuf.
func (r *Receivers) SendZipkin(spans []*zipkinmodel.SpanModel) error {
	body, err := json.Marshal(spans)
	if err != nil {
		return err
	}
	return r.post("http://"+r.Zipkin+"/api/v2/spans", "application/json", body)
}

func (r *Receivers) SendZipkinProto(spans []*zipkinmodel.SpanModel) error {
	body, err := zipkin_proto3.SpanSerializer{}.Serialize(spans)
	if err != nil {
		return err
	}
	return r.post("http://"+r.Zipkin+"/api/v2/spans", "application/x-protobuf", body)
}

// SendZipkinThrift posts spans of Zipkin's version 1 as a list of thrift's.
func (r *Receivers) SendZipkinThrift(spans []*zipkincore.Span) error {
	ctx := context.Background()
	buffer := thrift.NewTMemoryBuffer()
	list := thrift.NewTBinaryProtocolConf(buffer, &thrift.TConfiguration{})
	err := list.WriteListBegin(ctx, thrift.STRUCT, len(spans))
	for _, s := range spans {
		err = errors.Join(err, s.Write(ctx, list))
	}
	if err := errors.Join(err, list.WriteListEnd(ctx)); err != nil {
		return err
	}
	return r.post("http://"+r.Zipkin+"/api/v1/spans", "application/x-thrift", buffer.Bytes())
}

// call connects for one exchange.
func (r *Receivers) call(address string, f func(context.Context, *grpc.ClientConn) error) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if r.Tenant != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-tenant", r.Tenant)
	}
	return f(ctx, conn)
}

var client = &http.Client{Timeout: patience}

func (r *Receivers) post(url, contentType string, body []byte) error {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	if r.Tenant != "" {
		request.Header.Set("x-tenant", r.Tenant)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s", url, response.Status, answer)
	}
	return nil
}
