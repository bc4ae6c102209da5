package readpath

import (
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
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
		all = append(all, tracedb.Attribute{Key: key}.Is(q.Tags[key]))
	}
	for _, key := range slices.Sorted(maps.Keys(q.Doubles)) {
		all = append(all, isDouble(tracedb.Attribute{Key: key}, q.Doubles[key]))
	}
	switch {
	case q.Operation != "":
		all = append(all, tracedb.OperationIs(q.Service, q.Operation))
	case q.Service != "":
		all = append(all, tracedb.ServiceIs(q.Service))
	}
	if len(all) > 0 {
		translated.Where = index.And(all...)
	}
	return translated
}

// isDouble holds where the attribute is the number, stored as double, as integer or as text.
func isDouble(a tracedb.Attribute, number float64) *index.Expr {
	forms := trace.DoubleForms(number)
	if abs := math.Abs(number); abs >= 1<<53 && abs <= 1<<63 {
		forms = append(forms, strconv.FormatFloat(number, 'f', 0, 64)) // as an integer has it
	}
	var either []*index.Expr
	for _, form := range forms {
		either = append(either, a.Is(form))
	}
	return index.Or(either...)
}
