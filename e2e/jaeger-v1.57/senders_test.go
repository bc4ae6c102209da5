package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaegertracing/jaeger/cmd/agent/app/testutils"
	"github.com/jaegertracing/jaeger/model"
	tojaeger "github.com/jaegertracing/jaeger/model/converter/thrift/jaeger"
	"github.com/jaegertracing/jaeger/proto-gen/api_v2"
	"github.com/jaegertracing/jaeger/thrift-gen/jaeger"
)

// A way in is one of the protocols that all-in-one takes spans over.

func (j *allInOne) sendOTLPgRPC(t testing.TB, request *coltrace.ExportTraceServiceRequest) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := coltrace.NewTraceServiceClient(dial(t, j.otlpGRPC)).Export(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if refused := answer.GetPartialSuccess(); refused.GetRejectedSpans() != 0 {
		t.Fatalf("%d spans refused: %s", refused.RejectedSpans, refused.ErrorMessage)
	}
}

func (j *allInOne) sendOTLPHTTP(t testing.TB, request *coltrace.ExportTraceServiceRequest) {
	t.Helper()
	body, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	post(t, "http://"+j.otlpHTTP+"/v1/traces", "application/x-protobuf", body)
}

// sendJaegerGRPC posts batches of at most 500 spans; a span's own process overrides the batch's.
func (j *allInOne) sendJaegerGRPC(t testing.TB, spans []*model.Span) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for len(spans) > 0 {
		n := min(500, len(spans))
		_, err := j.posts.PostSpans(ctx, &api_v2.PostSpansRequest{Batch: model.Batch{Spans: spans[:n], Process: spans[0].Process}})
		if err != nil {
			t.Fatal(err)
		}
		spans = spans[n:]
	}
}

func (j *allInOne) sendThriftHTTP(t testing.TB, batch *jaeger.Batch) {
	t.Helper()
	body, err := thrift.NewTSerializer().Write(context.Background(), batch)
	if err != nil {
		t.Fatal(err)
	}
	post(t, "http://"+j.spansHTTP+"/api/traces?format=jaeger.thrift", "application/vnd.apache.thrift.binary", body)
}

func (j *allInOne) sendThriftUDP(t testing.TB, batch *jaeger.Batch) {
	t.Helper()
	client, closer, err := testutils.NewJaegerThriftUDPClient(j.agentCompact, thrift.NewTCompactProtocolFactoryConf(&thrift.TConfiguration{}))
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if err := client.EmitBatch(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
}

func (j *allInOne) sendZipkin(t testing.TB, spans []map[string]any) {
	t.Helper()
	body, err := json.Marshal(spans)
	if err != nil {
		t.Fatal(err)
	}
	post(t, "http://"+j.zipkin+"/api/v2/spans", "application/json", body)
}

// thriftBatch is the batch of Jaeger's thrift model that holds the spans of one process.
func thriftBatch(spans []*model.Span) *jaeger.Batch {
	batch := &jaeger.Batch{Spans: tojaeger.FromDomain(spans), Process: &jaeger.Process{ServiceName: spans[0].Process.ServiceName}}
	// The converter knows no processes; their tags take the same way as a span's.
	carrier := tojaeger.FromDomainSpan(&model.Span{Tags: spans[0].Process.Tags})
	batch.Process.Tags = carrier.Tags
	return batch
}

func post(t testing.TB, url, contentType string, body []byte) {
	t.Helper()
	response, err := http.Post(url, contentType, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode/100 != 2 {
		t.Fatal(fmt.Errorf("%s: %s: %s", url, response.Status, answer))
	}
}
