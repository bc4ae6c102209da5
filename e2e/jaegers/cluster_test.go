package jaegers

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// TestClusterAsShipped: the configuration of a cluster, as its README has it.
func TestClusterAsShipped(t *testing.T) {
	j := start(t, v57cluster, options{split: true})
	spans := samples.Trip(model.NewTraceID(3, 3), "cluster")
	eventually(t, time.Minute, func() error { return j.SendJaegerGRPC(spans[:1]) })
	if err := j.SendJaegerGRPC(spans[1:]); err != nil {
		t.Fatal(err)
	}
	requireSame(t, "what was sent", sent(spans), j.await(t, spans[0].TraceID, "", len(spans)))
}

// TestV2BeforeACluster: what Jaeger v2 stores through a server that keeps nothing is whole in every answer, also after an ingester was killed.
func TestV2BeforeACluster(t *testing.T) {
	j := start(t, v2cluster, options{})
	shop := samples.Shop()
	for _, spans := range shop {
		if err := j.SendJaegerGRPC(spans); err != nil {
			t.Fatal(err)
		}
	}
	requireAll := func(t *testing.T) {
		t.Helper()
		for _, spans := range shop {
			requireSame(t, "what was sent", sent(spans), j.await(t, spans[0].TraceID, "", len(spans)))
		}
		for _, q := range samples.Questions() {
			spans, err := j.traces("/api/traces?"+q.Values().Encode(), "")
			if err != nil {
				t.Errorf("%s: %v", q.Name, err)
			} else if got := numbers(spans); !slices.Equal(got, q.Want) {
				t.Errorf("%s: found traces %v, want %v", q.Name, got, q.Want)
			}
		}
	}
	requireAll(t)
	if _, err := j.call(http.MethodPost, "/api/archive/"+shop[0][0].TraceID.String(), ""); err != nil {
		t.Errorf("archive: %v", err)
	}
	j.programs[0].Kill() // an ingester
	requireAll(t)
	if err := j.programs[0].Start(); err != nil {
		t.Fatal(err)
	}
	requireAll(t)
}
