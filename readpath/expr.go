package readpath

import (
	"maps"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
)

// defaultLimit is how many traces a query returns that sets no limit.
const defaultLimit = 100

// index translates q into terms and columns.
func (q *Query) index() *index.Query {
	translated := &index.Query{Start: timeRange(q.StartMin, q.StartMax), Duration: index.Everything, Limit: q.Limit}
	if q.Limit <= 0 {
		translated.Limit = defaultLimit
	}
	if q.DurationMin != 0 {
		translated.Duration.Min = int64(q.DurationMin)
	}
	if q.DurationMax != 0 {
		translated.Duration.Max = int64(q.DurationMax)
	}
	// The rarest conditions first: where one finds nothing the others are not read.
	var all []*index.Expr
	for _, key := range slices.Sorted(maps.Keys(q.Tags)) {
		all = append(all, tagIs(key, q.Tags[key]))
	}
	switch {
	case q.Operation != "":
		all = append(all, operationIs(q.Service, q.Operation))
	case q.Service != "":
		all = append(all, index.Equal(trace.FieldService, []byte(q.Service)))
	}
	if len(all) > 0 {
		translated.Where = index.And(all...)
	}
	return translated
}

// operationIs holds on spans of that name, of service or, if it is empty, of any.
func operationIs(service, name string) *index.Expr {
	if service == "" {
		return index.Match(trace.FieldOperation, func(value []byte) bool {
			_, _, of, err := trace.ParseOperation(value)
			return err == nil && of == name
		})
	}
	var kinds []*index.Expr
	for kind := trace.KindUnspecified; kind <= trace.KindConsumer; kind++ {
		kinds = append(kinds, index.Equal(trace.FieldOperation, trace.AppendOperation(nil, service, kind, name)))
	}
	return index.Or(kinds...)
}

// tagIs holds on spans with that attribute, of their own or of their resource, scope or events.
func tagIs(key, value string) *index.Expr {
	term := trace.AppendValueTerm(nil, value)
	var spaces []*index.Expr
	for _, space := range trace.Spaces {
		spaces = append(spaces, index.Equal(trace.AppendField(nil, key, space), term))
	}
	return index.Or(spaces...)
}
