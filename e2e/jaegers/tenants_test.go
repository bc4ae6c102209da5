package jaegers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/jaegertracing/jaeger/model"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// TestTenantsSeeTheirOwn: two tenants of one Jaeger, with collector and query service apart where it has them, write traces with the same ID. Each
// gets its own to every question, and nobody without a name gets any.
func TestTenantsSeeTheirOwn(t *testing.T) {
	both := model.NewTraceID(7, 7) // a trace of either
	of := func(tenant string) [][]*model.Span {
		caller, called := samples.Plain(both, 1, tenant+"-front"), samples.Plain(both, 2, tenant+"-back")
		called.References = []model.SpanRef{model.NewChildOfRef(both, 1)}
		own := samples.Plain(model.NewTraceID(8, uint64(len(tenant))), 1, tenant+"-front")
		own.OperationName = "only of " + tenant
		return [][]*model.Span{{caller, called}, {own}}
	}
	for _, j := range startAll(t, options{tenancy: true, split: true}, four...) {
		t.Run(j.name, func(t *testing.T) {
			for _, tenant := range tenants {
				traces := of(tenant)
				request, err := samples.AsOTLP(traces[0])
				if err := errors.Join(err, j.as(tenant).SendOTLPgRPC(request), j.as(tenant).SendJaegerGRPC(traces[1])); err != nil {
					t.Fatal(err)
				}
			}
			for _, tenant := range tenants {
				for _, spans := range of(tenant) {
					j.await(t, spans[0].TraceID, tenant, len(spans))
				}
			}
			for i, tenant := range tenants {
				other := tenants[1-i]
				traces, secret := of(tenant), of(other)[1][0].TraceID

				got, err := j.trace(both, tenant)
				if err != nil {
					t.Fatal(err)
				}
				requireSame(t, "a trace with an ID that the other has too", sent(traces[0]), got)
				if got, err := j.trace(secret, tenant); !isNotFound(err) {
					t.Errorf("%s gets a trace of %s by its ID: %v, %v", tenant, other, got, err)
				}
				if got, err := j.v3("traces/"+samples.Hex(secret), nil, tenant); err != nil || len(got) > 0 {
					t.Errorf("%s gets a trace of %s by its ID from /api/v3: %v, %v", tenant, other, got, err)
				}
				if _, err := j.call(http.MethodPost, "/api/archive/"+secret.String(), tenant); !isNotFound(err) {
					t.Errorf("%s archives a trace of %s: %v", tenant, other, err)
				}

				if _, err := j.call(http.MethodPost, "/api/archive/"+traces[1][0].TraceID.String(), tenant); err != nil {
					t.Errorf("%s archives a trace of its own: %v", tenant, err)
				}

				start := samples.Now.Add(-3600e9).UnixMicro()
				own, err := j.traces(fmt.Sprintf("/api/traces?raw=true&service=%s-front&start=%d", tenant, start), tenant)
				if err != nil {
					t.Fatal(err)
				}
				requireSame(t, "a search", sorted(append(sent(traces[0]), sent(traces[1])...)), own)
				others, err := j.traces(fmt.Sprintf("/api/traces?service=%s-front&start=%d", other, start), tenant)
				if err != nil || len(others) > 0 {
					t.Errorf("%s finds traces of %s: %v, %v", tenant, other, others, err)
				}

				services, err := j.list("/api/services", tenant)
				if err != nil {
					t.Fatal(err)
				}
				requireSame(t, "services", []string{tenant + "-back", tenant + "-front"}, services)
				operations, err := j.operations(tenant+"-front", "", tenant)
				if err != nil {
					t.Fatal(err)
				}
				requireSame(t, "operations", []operation{{"only of " + tenant, ""}, {"op", ""}}, operations)
				if operations, err := j.operations(other+"-front", "", tenant); err != nil || len(operations) > 0 {
					t.Errorf("%s gets operations of %s: %v, %v", tenant, other, operations, err)
				}

				var links []any
				if err := j.get(fmt.Sprintf("/api/dependencies?endTs=%d&lookback=3600000", samples.Now.UnixMilli()), tenant, &links); err != nil {
					t.Fatal(err)
				}
				requireSame(t, "dependencies", []map[string]any{{"parent": tenant + "-front", "child": tenant + "-back", "callCount": 1}}, links)
			}
			for _, path := range []string{"/api/services", "/api/traces/" + both.String(), "/api/operations?service=acme-front",
				"/api/traces?" + url.Values{"service": {"acme-front"}}.Encode()} {
				var e *apiError
				if body, err := j.call(http.MethodGet, path, ""); !errors.As(err, &e) {
					t.Errorf("%s without a tenant: %s, %v; want that it is refused", path, body, err)
				}
			}
		})
	}
}

func isNotFound(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.status == http.StatusNotFound
}
