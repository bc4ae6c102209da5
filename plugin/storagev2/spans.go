package storagev2

import (
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/trace"
)

// The fields of FindSpansResponse.
const (
	fieldSpans         = 1
	fieldNextPageToken = 3
)

// FindSpans sends a page of the spans that are found, in their order, each within its resource and scope.
func (r traceReader) FindSpans(req *storagepb.FindSpansRequest, to grpc.ServerStreamingServer[storagepb.FindSpansResponse]) error {
	ctx := to.Context()
	tenant, err := r.tenantOf(ctx)
	if err != nil {
		return plugin.StatusOf(err)
	}
	q, err := spanQueryOf(req.Query)
	if err != nil {
		return err
	}
	// The last message, which alone has the token, is sent when it is known to be the last.
	var last []byte
	next, err := r.reader.FindSpans(ctx, tenant, q, func(_ trace.ID, data []byte) error {
		if last != nil {
			if err := to.SendMsg(plugin.NewRaw(last)); err != nil {
				return err
			}
		}
		plain, err := jaegerv1.Plain(data)
		if err != nil {
			return err
		}
		last = protowire.AppendTag(make([]byte, 0, len(plain)+16), fieldSpans, protowire.BytesType)
		last = protowire.AppendBytes(last, plain)
		return nil
	})
	if err != nil || last == nil {
		return plugin.StatusOf(err)
	}
	if next != "" {
		last = protowire.AppendString(protowire.AppendTag(last, fieldNextPageToken, protowire.BytesType), next)
	}
	return to.SendMsg(plugin.NewRaw(last))
}

// spanQueryOf reads a query for spans. Its errors are statuses: InvalidArgument, and what is wrong.
func spanQueryOf(p *storagepb.SpanQueryParameters) (*readpath.SpanQuery, error) {
	if p == nil {
		return nil, invalid("the query is missing")
	}
	q := new(readpath.SpanQuery)
	var err error
	if q.StartMin, q.StartMax, err = timesOf(p.StartTimeMin, p.StartTimeMax); err != nil {
		return nil, err
	}
	if q.StartMin.IsZero() || q.StartMax.IsZero() {
		return nil, invalid("a query for spans needs start_time_min and start_time_max")
	}
	if q.Filter, err = filterOf(p.Filter); err != nil {
		return nil, err
	}
	if p.Pagination == nil {
		return nil, invalid("a query for spans needs pagination")
	}
	if q.PageSize, err = pageSizeOf(p.Pagination); err != nil {
		return nil, err
	}
	q.PageToken = p.Pagination.PageToken
	for i, o := range p.OrderBy {
		name, err := fieldName(o.GetExpression())
		field := slices.IndexFunc(spanFields[:], func(f readpath.SpanField) bool { return f.String() == name })
		if err != nil || field < 0 {
			return nil, invalid("order_by[%d]: spans are ordered by the span's fields %v", i, spanFields)
		}
		if d := o.GetDirection(); d != "" && d != "asc" && d != "desc" {
			return nil, invalid("order_by[%d]: the direction %.40q is neither asc nor desc", i, d)
		}
		q.OrderBy = append(q.OrderBy, readpath.SpanOrder{Field: spanFields[field], Descending: o.GetDirection() == "desc"})
	}
	return q, nil
}

var spanFields = [...]readpath.SpanField{readpath.ByStart, readpath.ByDuration, readpath.ByTraceID, readpath.BySpanID}
