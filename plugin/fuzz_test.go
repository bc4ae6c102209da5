package plugin

import (
	"testing"

	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/readpath"
)

// Requests as they come from the wire. What is refused is the caller's fault and says so.
func mustBlameCaller(t *testing.T, err error) {
	t.Helper()
	if s := status.Convert(err); s.Code() != codes.InvalidArgument || s.Message() == "" {
		t.Fatalf("%v is not InvalidArgument with a reason", err)
	}
}

func FuzzQuery(f *testing.F) {
	for _, q := range []*storage_v1.TraceQueryParameters{
		{}, {ServiceName: "shop", OperationName: "GET /", NumTraces: 20, DurationMin: 5, Tags: map[string]string{"error": "true", "": ""}},
	} {
		b, err := q.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "server")
	}
	f.Fuzz(func(t *testing.T, b []byte, kind string) {
		if k, ok := kindOf(kind); ok && kind != "" && New(Options{}).kindName(*k) != kind {
			t.Fatalf("kind %q is answered as %q", kind, New(Options{}).kindName(*k))
		}
		p := new(storage_v1.TraceQueryParameters)
		if p.Unmarshal(b) != nil {
			return
		}
		var q *readpath.Query
		var err error
		fuzztest.Bounded(t, 64*len(b), func() { q, err = queryOf(p) })
		if err != nil {
			mustBlameCaller(t, err)
			return
		}
		if q.Limit <= 0 || q.Service != p.ServiceName || q.Operation != p.OperationName || len(q.Tags) != len(p.Tags) ||
			!q.StartMin.IsZero() && !q.StartMax.IsZero() && q.StartMin.After(q.StartMax) {
			t.Fatalf("%v became %+v", p, q)
		}
	})
}

func FuzzWriteSpan(f *testing.F) {
	for _, r := range []*storage_v1.WriteSpanRequest{{}, {Span: someSpan(1, 2)}} {
		b, err := r.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := new(storage_v1.WriteSpanRequest)
		if r.Unmarshal(b) != nil {
			return
		}
		store := new(naiveStore)
		w := spanWriter{New(Options{Writer: store, Reader: store})}
		if _, err := w.WriteSpan(t.Context(), r); err != nil {
			mustBlameCaller(t, err)
			return
		}
		data, err := store.Trace(t.Context(), DefaultTenant, traceID(r.Span.TraceID))
		if err != nil || len(data) == 0 {
			t.Fatalf("the span was taken and is not there: %v", err)
		}
	})
}
