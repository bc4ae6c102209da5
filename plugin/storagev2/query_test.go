package storagev2

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/readpath"
)

func FuzzQuery(f *testing.F) {
	d := newDrawer(1)
	m := &model{known: make(map[string]bool), of: make(map[string][]*modelSpan)}
	for n := range 20 {
		for _, group := range d.trace(n) {
			m.add(group)
		}
	}
	for range 40 {
		f.Add([]byte(bytesOf(d.query(m).v2(d))))
	}
	f.Add([]byte(bytesOf(&storagepb.TraceQueryParameters{Pagination: &storagepb.Pagination{PageSize: 1 << 31, PageToken: "x"}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := new(storagepb.TraceQueryParameters)
		if proto.Unmarshal(b, p) != nil {
			return
		}
		p.Filter = nil // FuzzFilter's
		var q *readpath.Query
		var err error
		fuzztest.Bounded(t, 256*len(b), func() { q, err = queryOf(p) })
		if err != nil {
			if status.Code(err) != codes.InvalidArgument || q != nil {
				t.Fatalf("%v, %v", q, err)
			}
			return
		}
		if !q.StartMin.IsZero() && !q.StartMax.IsZero() && q.StartMin.After(q.StartMax) || q.DurationMin != 0 && q.DurationMax != 0 && q.DurationMin > q.DurationMax || // zero bounds nothing
			(q.Limit > 0) == (q.PageSize > 0) || q.PageSize > maxPage || len(q.Tags)+len(q.Doubles) > len(p.Attributes) {
			t.Fatalf("%+v", q)
		}
	})
}
