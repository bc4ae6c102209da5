package plugin

import (
	"time"

	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/trace"
)

// defaultLimit is how many traces a query finds that does not say.
const defaultLimit = 100

// queryOf reads a query as Jaeger means it. Its errors are statuses: InvalidArgument and which of the
// parameters contradict each other.
func queryOf(p *storage_v1.TraceQueryParameters) (*readpath.Query, error) {
	if p == nil {
		return nil, status.Error(codes.InvalidArgument, "the query is missing")
	}
	q := &readpath.Query{
		Service:     p.ServiceName,
		Operation:   p.OperationName,
		Tags:        p.Tags,
		StartMin:    setTime(p.StartTimeMin),
		StartMax:    setTime(p.StartTimeMax),
		DurationMin: p.DurationMin,
		DurationMax: p.DurationMax,
		Limit:       int(p.NumTraces),
	}
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	if q.Service == "" && len(q.Tags) > 0 {
		return nil, status.Error(codes.InvalidArgument, "a query for tags needs a service name")
	}
	if err := checkTimes(q.StartMin, q.StartMax); err != nil {
		return nil, err
	}
	if q.DurationMin != 0 && q.DurationMax != 0 && q.DurationMin > q.DurationMax {
		return nil, status.Errorf(codes.InvalidArgument, "the minimum duration %v is above the maximum %v", q.DurationMin, q.DurationMax)
	}
	return q, nil
}

// setTime returns the zero time for one that means unset: Jaeger sends the year 1 then.
func setTime(t time.Time) time.Time {
	if t.UTC().Year() <= 1 {
		return time.Time{}
	}
	return t
}

func checkTimes(start, end time.Time) error {
	if !start.IsZero() && !end.IsZero() && start.After(end) {
		return status.Errorf(codes.InvalidArgument, "the start time %s is after the end time %s",
			start.UTC().Format(time.RFC3339Nano), end.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

// kindOf reads the kind of spans that a query for operations asks for: nil for all. It reports false
// for a kind that no span has.
func kindOf(name string) (kind *trace.Kind, ok bool) {
	if name == "" {
		return nil, true
	}
	k, err := trace.ParseKind(name)
	return &k, err == nil
}

func (s *Services) kindName(kind trace.Kind) string {
	if kind == trace.KindUnspecified {
		return s.kindless
	}
	return kind.String()
}
