package readpath

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
)

// Reader reads from a store. It may be used concurrently.
type Reader struct{ store Store }

// NewReader returns a Reader of store.
func NewReader(store Store) *Reader { return &Reader{store: store} }

// Trace returns all spans of a trace as OTLP TracesData, each once. It returns ErrTraceNotFound if there is none, and a *tempodb.PartialError, with what
// there is, if a part of the store that may hold some could not be read.
func (r *Reader) Trace(ctx context.Context, tenant string, id trace.ID) ([]byte, error) {
	db, err := r.store.Database(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if db == nil {
		return nil, ErrTraceNotFound
	}
	data, err := db.Get(ctx, nil, tempodb.Key(id))
	if errors.Is(err, tempodb.ErrNotFound) {
		return nil, ErrTraceNotFound
	}
	if err != nil {
		return data, fmt.Errorf("trace %s: %w", id, err)
	}
	return data, nil
}

// Traces calls yield with each of the traces of ids that is there, in their order, as FindTraces does; they are read several at a time. It ends with the first error of
// yield.
func (r *Reader) Traces(ctx context.Context, tenant string, ids []trace.ID, yield func(id trace.ID, data []byte, missing error) error) error {
	db, err := r.store.Database(ctx, tenant)
	if err != nil || db == nil {
		return err
	}
	return fetchTraces(ctx, db, ids, func(id trace.ID, o Outcome) error {
		if errors.Is(o.Err, tempodb.ErrNotFound) {
			return nil
		}
		if o.Err != nil && !isPartial(o.Err) {
			return fmt.Errorf("trace %s: %w", id, o.Err)
		}
		return yield(id, o.Value, o.Err)
	})
}

// FindTraceIDs returns the IDs of the traces that q asks for, newest first, and the token of the next page; with a *tempodb.PartialError those that could be found. A query
// that can't be answered is a *QueryError.
func (r *Reader) FindTraceIDs(ctx context.Context, tenant string, q *Query) (ids []trace.ID, next string, err error) {
	db, err := r.store.Database(ctx, tenant)
	if err != nil || db == nil {
		return nil, "", err
	}
	return findIDs(ctx, db, tenant, q)
}

// findIDs returns with a *tempodb.PartialError what was found.
func findIDs(ctx context.Context, db Database, tenant string, q *Query) (ids []trace.ID, next string, err error) {
	hits, next, err := find(ctx, db, tenant, q)
	ids = make([]trace.ID, len(hits))
	for i, hit := range hits {
		ids[i] = trace.ID(hit.Key)
	}
	return ids, next, err
}

// FindTraces calls yield with the traces that q asks for, whole, newest first. data is OTLP TracesData, which yield may keep. missing is nil, or wraps a
// *tempodb.PartialError that says why the trace may lack spans, or why another should stand in its place. FindTraces ends with the first error of yield.
func (r *Reader) FindTraces(ctx context.Context, tenant string, q *Query, yield func(id trace.ID, data []byte, missing error) error) error {
	db, err := r.store.Database(ctx, tenant)
	if err != nil || db == nil {
		return err
	}
	if q.PageSize > 0 || q.PageToken != "" {
		return &QueryError{"whole traces are not found by pages: find their IDs so, or set a limit"}
	}
	ids, _, unsure := findIDs(ctx, db, tenant, q)
	if unsure != nil && (len(ids) == 0 || !isPartial(unsure)) {
		return unsure
	}
	return fetchTraces(ctx, db, ids, func(id trace.ID, o Outcome) error {
		missing := unsure
		if o.Err != nil {
			missing = fmt.Errorf("find traces: trace %s: %w", id, o.Err)
			if len(o.Value) == 0 || !isPartial(o.Err) {
				return missing
			}
		}
		return yield(id, o.Value, missing)
	})
}

func isPartial(err error) bool {
	var partial *tempodb.PartialError
	return errors.As(err, &partial)
}

// FindSummaries calls yield with the summaries of the traces that q asks for, newest first, and returns the token of the next page.
func (r *Reader) FindSummaries(ctx context.Context, tenant string, q *Query, yield func(id trace.ID, s *trace.Summary) error) (next string, err error) {
	db, err := r.store.Database(ctx, tenant)
	if err != nil || db == nil {
		return "", err
	}
	ids, next, err := findIDs(ctx, db, tenant, q)
	if err != nil {
		return "", err
	}
	get := func(ctx context.Context, id trace.ID) ([]byte, error) { return db.Summary(ctx, nil, tempodb.Key(id)) }
	var getMany manyKeys
	if b, ok := db.(Batcher); ok {
		getMany = b.SummaryMany
	}
	err = fetchKeys(ctx, ids, summariesAhead, get, getMany, func(id trace.ID, o Outcome) error {
		var s trace.Summary
		err := o.Err
		if err == nil {
			s, err = trace.ParseSummary(o.Value)
		}
		if err != nil {
			return fmt.Errorf("find summaries: trace %s: %w", id, err)
		}
		return yield(id, &s)
	})
	if err != nil {
		return "", err
	}
	return next, nil
}

// Services returns the names of all services that have spans, sorted.
func (r *Reader) Services(ctx context.Context, tenant string) ([]string, error) {
	db, err := r.store.Database(ctx, tenant)
	if err != nil || db == nil {
		return nil, err
	}
	services, err := db.Terms(ctx, trace.FieldService, nil)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	return services, nil
}

// Operations returns the names and kinds of the spans of service, sorted; only those of kind if it is not nil.
func (r *Reader) Operations(ctx context.Context, tenant, service string, kind *trace.Kind) ([]Operation, error) {
	db, err := r.store.Database(ctx, tenant)
	if err != nil || db == nil {
		return nil, err
	}
	var kinds []trace.Kind
	if kind != nil {
		kinds = append(kinds, *kind)
	}
	values, err := db.Terms(ctx, trace.FieldOperation, trace.AppendOperationPrefix(nil, service, kinds...))
	if err != nil {
		return nil, fmt.Errorf("list operations of %q: %w", service, err)
	}
	operations := make([]Operation, 0, len(values))
	for _, value := range values {
		_, kind, name, err := trace.ParseOperation([]byte(value))
		if err != nil {
			return nil, fmt.Errorf("list operations of %q: %w", service, err)
		}
		operations = append(operations, Operation{Name: name, Kind: kind})
	}
	slices.SortFunc(operations, func(a, b Operation) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return operations, nil
}

// Dependencies returns how often services called each other in the traces with a span that started from start to end, inclusive. The
// outcome is sorted. Each trace counts once and whole, however many parts of the store hold some of it.
func (r *Reader) Dependencies(ctx context.Context, tenant string, start, end time.Time) ([]Dependency, error) {
	db, err := r.store.Database(ctx, tenant)
	if err != nil || db == nil {
		return nil, err
	}
	var calls trace.EdgeCounter
	err = db.EachSummary(ctx, timeRange(start, end), func(key tempodb.Key, encoded []byte) error {
		if err := calls.Add(encoded); err != nil {
			return fmt.Errorf("trace %s: %w", trace.ID(key), err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dependencies: %w", err)
	}
	edges := calls.Edges()
	all := make([]Dependency, len(edges))
	for i, e := range edges {
		all[i] = Dependency{Parent: e.Parent, Child: e.Child, Calls: e.Calls}
	}
	return all, nil
}

// timeRange returns the nanoseconds from start to end; a zero time bounds nothing.
func timeRange(start, end time.Time) index.Range {
	r := index.Everything
	if !start.IsZero() {
		r.Min = nanoseconds(start)
	}
	if !end.IsZero() {
		r.Max = nanoseconds(end)
	}
	return r
}

// nanoseconds is t.UnixNano, or the nearest int64 if t is so far away that it has none.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, index.Everything.Min)):
		return index.Everything.Min
	case t.After(time.Unix(0, index.Everything.Max)):
		return index.Everything.Max
	default:
		return t.UnixNano()
	}
}
