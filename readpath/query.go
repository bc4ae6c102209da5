package readpath

import (
	"errors"
	"time"

	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/trace"
)

// ErrTraceNotFound is returned for a trace of which no span is stored.
var ErrTraceNotFound = errors.New("trace not found")

// Query asks for traces with at least one span on which all conditions hold. A zero field is no condition.
type Query struct {
	Service   string
	Operation string
	// Tags must each be found, by key and by the value's string form, among the span's attributes,
	// its resource's, its scope's or its events'.
	Tags map[string]string
	// Doubles must be found as Tags must, as numbers: 123 is found as integer, as double and as text.
	Doubles map[string]float64
	// Bounds are inclusive.
	StartMin, StartMax       time.Time
	DurationMin, DurationMax time.Duration
	// Filter is what must hold on the span, instead of the fields above but for the times.
	Filter *spanfilter.Filter
	// Limit is the greatest number of traces; those whose matching span started last win. ≤ 0 means 100.
	Limit int
	// PageSize, instead of a limit, asks for a page of at most so many traces, and for the token of the next one. With that as PageToken, and all else as it was, the
	// query goes on behind the page: who follows the tokens sees each trace once. The last page has no token.
	PageSize  int
	PageToken string
}

// Operation is a span name with the kind of the spans that bear it.
type Operation struct {
	Name string
	Kind trace.Kind
}

// Dependency counts the calls of one service by another: spans of Child whose parent span is of Parent.
type Dependency struct {
	Parent, Child string
	Calls         uint64
}
