package readpath_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// Filters over blocks of 2,000 traces of 10 spans, in the operating system's cache.
func BenchmarkFilter(b *testing.B) {
	const blocks, traces, spans = 5, 2000, 10
	dir := b.TempDir()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		b.Fatal(err)
	}
	store, err := tracedb.Open(b.Context(), tracedb.Options{Dir: filepath.Join(dir, "recent"), Bucket: bucket, Sync: wal.SyncNever, NoCompaction: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	}()
	w, rng := writepath.NewWriter(store), rand.New(rand.NewPCG(1, 2))
	text := func(key, value string) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
	}
	number := func(key string, value int64) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}}
	}
	for n := range blocks * traces {
		id := trace.ID{0: byte(n >> 16), 1: byte(n >> 8), 2: byte(n), 15: 1}
		r := &tracepb.ResourceSpans{Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", fmt.Sprint("service-", n%20))}}, ScopeSpans: []*tracepb.ScopeSpans{{}}}
		for i := range spans {
			status := []int64{200, 200, 200, 200, 404, 503}[rng.IntN(6)]
			start := uint64(1e18 + n*1e6 + i*1e3)
			s := &tracepb.Span{
				TraceId: id[:], SpanId: []byte{byte(i + 1), 7: 1}, Name: fmt.Sprint("op-", rng.IntN(50)), StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(rng.IntN(1e6)),
				Attributes: []*commonpb.KeyValue{number("http.status_code", status), number("size", int64(rng.IntN(100_000))), text("user", fmt.Sprint("user-", rng.IntN(1000)))},
			}
			if rng.IntN(1000) == 0 {
				s.Links = []*tracepb.Span_Link{{TraceId: id[:], SpanId: s.SpanId, Attributes: []*commonpb.KeyValue{text("why", "retry")}}}
			}
			r.ScopeSpans[0].Spans = append(r.ScopeSpans[0].Spans, s)
		}
		data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{r}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(b.Context(), tenant, data); err != nil {
			b.Fatal(err)
		}
		if n%traces == traces-1 {
			if err := store.Cut(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	r := readpath.NewReader(store)
	call := func(op string, args ...spanfilter.Expr) *spanfilter.Call {
		return &spanfilter.Call{Op: op, Args: args}
	}
	of := func(key string) *spanfilter.Attribute { return &spanfilter.Attribute{Key: key, Level: "span"} }
	value := func(s string) *spanfilter.Scalar { return &spanfilter.Scalar{Value: s} }
	for _, c := range []struct {
		name string
		form *spanfilter.Call
	}{
		{"exact", call("eq", of("user"), value("user-7"))},                                                                                      // the index's answer
		{"surely", call("gt", of("http.status_code"), value("499"))},                                                                            // from two questions to the index
		{"read-some", call("gt", of("size"), value("99000"))},                                                                                   // candidates that are text above and numbers below
		{"read-many", call("exists", &spanfilter.Attribute{Key: "why", Level: "link"})},                                                         // the index knows no links: one trace in 100
		{"nothing", call("and", call("eq", of("user"), value("user-7")), call("eq", of("size"), &spanfilter.Scalar{Value: "-1", Type: "int"}))}, // a value that is nowhere
	} {
		filter, err := spanfilter.New(c.form)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"/ids", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := r.FindTraceIDs(b.Context(), tenant, &readpath.Query{Filter: filter, PageSize: 20}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/spans", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.FindSpans(b.Context(), tenant, &readpath.SpanQuery{Filter: filter, PageSize: 100}, func(trace.ID, []byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("walk/ids", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			q := &readpath.Query{Filter: nil, PageSize: 500}
			for {
				_, next, err := r.FindTraceIDs(b.Context(), tenant, q)
				if err != nil {
					b.Fatal(err)
				}
				if q.PageToken = next; next == "" {
					break
				}
			}
		}
	})
}
