package jaegers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/jaegertracing/jaeger/model"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/receivers"
	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// protocol is a way in.
type protocol struct {
	name string
	at   func(r *receivers.Receivers) string // where; empty if this Jaeger does not take it
	send func(r *receivers.Receivers, trace model.TraceID) error
	// spans is how many each Jaeger makes of it, sent what they are; nil if only Jaeger's translation says.
	spans int
	sent  func(trace model.TraceID) []*model.Span
}

func protocols() []protocol {
	type r = *receivers.Receivers
	trip := func(id model.TraceID) []*model.Span { return samples.Trip(id, "trip") }
	many := func(id model.TraceID) []*model.Span { return samples.Many(id, "trip", 10_000) }
	big := func(id model.TraceID) []*model.Span { return samples.BigValue(id, "trip") }
	n := len(trip(model.NewTraceID(1, 1)))
	zipkin := func(r r) string { return r.Zipkin }
	return []protocol{
		{"OTLP gRPC", func(r r) string { return r.OTLPGRPC }, func(r r, id model.TraceID) error {
			request, err := samples.AsOTLP(trip(id))
			return errors.Join(err, r.SendOTLPgRPC(request))
		}, n, trip},
		{"OTLP HTTP", func(r r) string { return r.OTLPHTTP }, func(r r, id model.TraceID) error {
			request, err := samples.AsOTLP(trip(id))
			return errors.Join(err, r.SendOTLPHTTP(request))
		}, n, trip},
		{"Jaeger gRPC", func(r r) string { return r.JaegerGRPC }, func(r r, id model.TraceID) error { return r.SendJaegerGRPC(trip(id)) }, n, trip},
		{"Jaeger gRPC, 10,000 spans", func(r r) string { return r.JaegerGRPC }, func(r r, id model.TraceID) error { return r.SendJaegerGRPC(many(id)) }, 10_000, many},
		{"Jaeger gRPC, a value of 1 MiB", func(r r) string { return r.JaegerGRPC }, func(r r, id model.TraceID) error { return r.SendJaegerGRPC(big(id)) }, 1, big},
		{"Thrift over HTTP", func(r r) string { return r.ThriftHTTP }, func(r r, id model.TraceID) error { return r.SendThriftHTTP(trip(id)) }, n, trip},
		{"Thrift over UDP, compact", func(r r) string { return r.ThriftCompact }, func(r r, id model.TraceID) error { return r.SendThriftCompact(trip(id)) }, n, trip},
		{"Thrift over UDP, binary", func(r r) string { return r.ThriftBinary }, func(r r, id model.TraceID) error { return r.SendThriftBinary(trip(id)) }, n, trip},
		{"Zipkin v2 JSON", zipkin, func(r r, id model.TraceID) error { return r.SendZipkin(samples.ZipkinTrip(id, "zipkin")) }, 3, nil},
		{"Zipkin v2 protobuf", zipkin, func(r r, id model.TraceID) error { return r.SendZipkinProto(samples.ZipkinTrip(id, "zipkin")) }, 3, nil},
		{"Zipkin v1 JSON", zipkin, func(r r, id model.TraceID) error { return r.SendZipkinJSON(1, samples.ZipkinV1(id, "zipkin")) }, 2, nil},
		{"Zipkin v1 Thrift", zipkin, func(r r, id model.TraceID) error { return r.SendZipkinThrift(samples.ZipkinThrift(id, "zipkin")) }, 2, nil},
	}
}

// TestEveryJaegerGivesTheSameAnswers sends the same spans to all four and asks all the same.
func TestEveryJaegerGivesTheSameAnswers(t *testing.T) {
	all := startAll(t, options{}, four...)

	for i, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			id := model.NewTraceID(uint64(i+1), 1<<40)
			var takers []*jaeger
			for _, j := range all {
				if p.at(&j.Receivers) == "" {
					continue
				}
				takers = append(takers, j)
				if err := p.send(&j.Receivers, id); err != nil {
					t.Fatalf("%s: %v", j.name, err)
				}
			}
			if len(takers) == 0 {
				t.Fatal("no Jaeger takes it")
			}
			var want []span
			for i, j := range takers {
				got := j.await(t, id, "", p.spans)
				if p.sent != nil {
					requireSame(t, j.name+": what was sent", sent(p.sent(id)), got)
				}
				if i == 0 {
					want = got
				}
				requireSame(t, j.name+": what "+takers[0].name+" says", want, got)
			}
		})
	}

	shop := samples.Shop()
	for _, spans := range shop {
		for _, j := range all {
			if err := j.SendJaegerGRPC(spans); err != nil {
				t.Fatalf("%s: %v", j.name, err)
			}
			requireSame(t, j.name+": what was sent", sent(spans), j.await(t, spans[0].TraceID, "", len(spans)))
		}
	}

	for _, q := range samples.Questions() {
		t.Run(q.Name, func(t *testing.T) {
			for _, j := range all {
				spans, err := j.traces("/api/traces?"+q.Values().Encode(), "")
				if err != nil {
					t.Errorf("%s: %v", j.name, err)
				} else if got := numbers(spans); !slices.Equal(got, q.Want) {
					t.Errorf("%s: found traces %v, want %v", j.name, got, q.Want)
				}
				query, can := v3Query(q)
				if !can {
					continue
				}
				otlp, err := j.v3("traces", query, "")
				if err != nil {
					t.Errorf("%s, v3: %v", j.name, err)
				} else if got := numbersV3(otlp); !slices.Equal(got, q.Want) {
					t.Errorf("%s, v3: found traces %v, want %v", j.name, got, q.Want)
				}
			}
		})
	}

	t.Run("a found trace is whole", func(t *testing.T) {
		for _, j := range all {
			spans, err := j.traces(fmt.Sprint("/api/traces?raw=true&service=stock&start=", samples.Now.Add(-3600e9).UnixMicro()), "")
			if err != nil {
				t.Fatalf("%s: %v", j.name, err)
			}
			requireSame(t, j.name, sent(shop[0]), spans)
		}
	})

	t.Run("a trace with hints of its time", func(t *testing.T) {
		for _, spans := range shop {
			at := spans[0].StartTime
			hints := fmt.Sprintf("&start=%d&end=%d", at.Add(-time.Minute).UnixMicro(), at.Add(time.Minute).UnixMicro())
			for _, j := range all {
				got, err := j.traces("/api/traces/"+spans[0].TraceID.String()+"?raw=true"+hints, "")
				if err != nil {
					t.Fatalf("%s: %v", j.name, err)
				}
				requireSame(t, j.name, sent(spans), got)
			}
		}
	})

	t.Run("a trace as OTLP", func(t *testing.T) {
		for _, spans := range shop {
			for _, j := range all {
				got, err := j.v3("traces/"+samples.Hex(spans[0].TraceID), url.Values{"raw_traces": {"true"}}, "")
				if err != nil {
					t.Fatalf("%s: %v", j.name, err)
				}
				requireSame(t, j.name, sentV3(spans), got)
			}
		}
	})

	t.Run("services", func(t *testing.T) {
		want := []string{"front", "stock", "trip", "zipkin", "żółw/🐢 &=?"}
		for _, j := range all {
			got, err := j.list("/api/services", "")
			if err != nil {
				t.Fatalf("%s: %v", j.name, err)
			}
			requireSame(t, j.name, want, got)
		}
	})

	t.Run("operations", func(t *testing.T) {
		for _, c := range []struct {
			service, kind string
			want          []operation
		}{
			{"front", "", []operation{{"GET /", ""}, {"GET /buy", "server"}, {"GET /old", ""}, {"call stock", "client"}}},
			{"front", "server", []operation{{"GET /buy", "server"}}},
			{"front", "client", []operation{{"call stock", "client"}}},
			{"front", "consumer", nil},
			{"stock", "", []operation{{"reserve", "server"}}},
			{"trip", "", []operation{{"op", ""}, {"step 1", "server"}, {"step 2", "client"}, {"step 3", "producer"}, {"step 4", "consumer"}, {"step 5", "internal"},
				{"step 7", "client"}, {"żółw 乌龟 \"'\\", ""}}},
			{"zipkin", "", []operation{{"leg 1", "server"}, {"leg 2", "client"}, {"leg 3", ""}}},
			{"nobody", "", nil},
		} {
			for _, j := range all {
				got, err := j.operations(c.service, c.kind, "")
				if err != nil {
					t.Fatalf("%s: %v", j.name, err)
				}
				requireSame(t, fmt.Sprintf("%s: %s %q", j.name, c.service, c.kind), sortedOperations(c.want), got)
				if c.kind != "" {
					continue
				}
				names, err := j.list("/api/services/"+url.PathEscape(c.service)+"/operations", "")
				if err != nil {
					t.Fatalf("%s: %v", j.name, err)
				}
				var want []string
				for _, o := range c.want {
					want = append(want, o.Name)
				}
				slices.Sort(want)
				requireSame(t, j.name+": names of "+c.service, want, names)
			}
		}
	})

	t.Run("dependencies", func(t *testing.T) {
		for _, c := range []struct{ lookback, want string }{
			{"3600000", `{"parent":"front","child":"stock","callCount":1}`},
			{"1000", ""},
		} {
			for _, j := range all {
				var links []any
				if err := j.get(fmt.Sprintf("/api/dependencies?endTs=%d&lookback=%s", samples.Now.UnixMilli(), c.lookback), "", &links); err != nil {
					t.Fatalf("%s: %v", j.name, err)
				}
				want := []map[string]any{}
				if c.want != "" {
					want = append(want, map[string]any{"parent": "front", "child": "stock", "callCount": 1})
				}
				requireSame(t, j.name+", lookback "+c.lookback, want, links)
			}
		}
	})

	t.Run("a trace that is not there", func(t *testing.T) {
		for _, j := range all {
			_, err := j.trace(model.NewTraceID(0, 0x99), "")
			var e *apiError
			if !errors.As(err, &e) || e.status != http.StatusNotFound || !strings.Contains(e.body, "trace not found") {
				t.Errorf("%s: %v, want 404 trace not found", j.name, err)
			}
		}
	})
}

// TestV2KeepsOTLPAsSent: Jaeger v2 speaks OTLP on both sides, and so does its storage. Nothing that OTLP has is lost or changed on the way.
func TestV2KeepsOTLPAsSent(t *testing.T) {
	j := start(t, v2remote, options{})
	id := model.NewTraceID(0xabc, 0xdef)
	request := &coltrace.ExportTraceServiceRequest{ResourceSpans: samples.OTLP(id, "otlp")}
	for _, rs := range request.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			// Jaeger gives a span that has no duration, or a negative one, one of a nanosecond and a warning.
			ss.Spans = slices.DeleteFunc(ss.Spans, func(s *tracepb.Span) bool { return s.EndTimeUnixNano <= s.StartTimeUnixNano })
		}
	}
	data, err := protojson.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	want, err := otlpSpans(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if want[i].Service == "" {
			want[i].Service = "missing-service-name" // Jaeger's word for it
		}
	}
	if err := j.SendOTLPgRPC(request); err != nil {
		t.Fatal(err)
	}
	j.await(t, id, "", len(want))
	got, err := j.v3("traces/"+samples.Hex(id), url.Values{"raw_traces": {"true"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	requireSame(t, "what was sent", want, got)
}
