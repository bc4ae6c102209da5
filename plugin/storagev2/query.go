package storagev2

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/trace"
)

const (
	// defaultLimit is how many traces a query finds that does not say.
	defaultLimit = 100
	// maxPage is how many results a page has at most; one that is asked to have more has so many.
	maxPage = 10_000
)

// queryOf reads a query as Jaeger v2 means it. Its errors are statuses: InvalidArgument, and which of the parameters can't be or contradict each other.
func queryOf(p *storagepb.TraceQueryParameters) (*readpath.Query, error) {
	if p == nil {
		return nil, invalid("the query is missing")
	}
	q := &readpath.Query{Service: p.ServiceName, Operation: p.OperationName}
	var err error
	if q.StartMin, q.StartMax, err = timesOf(p.StartTimeMin, p.StartTimeMax); err != nil {
		return nil, err
	}
	if q.DurationMin, err = durationOf(p.DurationMin); err != nil {
		return nil, invalid("duration_min: %v", err)
	}
	if q.DurationMax, err = durationOf(p.DurationMax); err != nil {
		return nil, invalid("duration_max: %v", err)
	}
	if q.DurationMin != 0 && q.DurationMax != 0 && q.DurationMin > q.DurationMax {
		return nil, invalid("the minimum duration %v is above the maximum %v", q.DurationMin, q.DurationMax)
	}
	for _, a := range p.Attributes {
		if err := addAttribute(q, a); err != nil {
			return nil, err
		}
	}
	if q.Filter, err = filterOf(p.Filter); err != nil {
		return nil, err
	}
	switch page := p.Pagination; {
	case page == nil && p.SearchDepth <= 0:
		q.Limit = defaultLimit
	case page == nil:
		q.Limit = int(p.SearchDepth)
	case p.SearchDepth != 0:
		return nil, invalid("a query has either search_depth or pagination")
	default:
		if q.PageSize, err = pageSizeOf(page); err != nil {
			return nil, err
		}
		q.PageToken = page.PageToken
	}
	return q, nil
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func pageSizeOf(page *storagepb.Pagination) (int, error) {
	if page.PageSize == 0 {
		return 0, invalid("pagination needs page_size")
	}
	return int(min(page.PageSize, maxPage)), nil
}

// addAttribute adds the condition that a span has an attribute of this value. Of several with one key the last counts: Jaeger has them in a map.
func addAttribute(q *readpath.Query, a *storagepb.KeyValue) error {
	if double, ok := a.GetValue().GetValue().(*storagepb.AnyValue_DoubleValue); ok {
		if q.Doubles == nil {
			q.Doubles = make(map[string]float64)
		}
		q.Doubles[a.GetKey()] = double.DoubleValue
		delete(q.Tags, a.GetKey())
		return nil
	}
	// In OTLP the value has the same wire form.
	value, err := proto.Marshal(a.GetValue())
	if err != nil {
		return invalid("attribute %.100q: %v", a.GetKey(), err)
	}
	text, err := trace.AppendValueText(nil, value)
	if err != nil {
		return invalid("attribute %.100q: %v", a.GetKey(), err)
	}
	if q.Tags == nil {
		q.Tags = make(map[string]string)
	}
	q.Tags[a.GetKey()] = string(text)
	delete(q.Doubles, a.GetKey())
	return nil
}

// timesOf reads an interval of time. Its bounds are zero where they are unset, which the year 1 means too.
func timesOf(start, end *timestamppb.Timestamp) (from, to time.Time, err error) {
	if from, err = timeOf(start); err != nil {
		return from, to, invalid("the start time: %v", err)
	}
	if to, err = timeOf(end); err != nil {
		return from, to, invalid("the end time: %v", err)
	}
	if !from.IsZero() && !to.IsZero() && from.After(to) {
		err = invalid("the start time %s is after the end time %s", from.Format(time.RFC3339Nano), to.Format(time.RFC3339Nano))
	}
	return from, to, err
}

func timeOf(t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, err
	}
	if set := t.AsTime(); set.Year() > 1 {
		return set, nil
	}
	return time.Time{}, nil
}

func durationOf(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	return d.AsDuration(), d.CheckValid()
}
