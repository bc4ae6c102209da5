package plugin

import (
	"testing"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// TestTheServersCodecTakesAllMessages: messages of Jaeger's, and others, come back.
func TestTheServersCodecTakesAllMessages(t *testing.T) {
	id := model.NewTraceID(1, 2)
	data, err := Codec{}.Marshal(&storage_v1.GetTraceRequest{TraceID: id})
	var request storage_v1.GetTraceRequest
	if err == nil {
		err = Codec{}.Unmarshal(data, &request)
	}
	if err != nil || request.TraceID != id {
		t.Errorf("%v, %v came back of trace ID %v", request, err, id)
	}
	data, err = Codec{}.Marshal(&grpc_health_v1.HealthCheckRequest{Service: "plugin"})
	var check grpc_health_v1.HealthCheckRequest
	if err == nil {
		err = Codec{}.Unmarshal(data, &check)
	}
	if err != nil || check.Service != "plugin" {
		t.Errorf("%q, %v came back", check.Service, err)
	}
	if _, err := (Codec{}).Marshal(1); err == nil {
		t.Error("a number was marshalled")
	}
}
