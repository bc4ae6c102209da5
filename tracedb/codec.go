package tracedb

import (
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
)

// Codec tells TempoDB what a trace is: a value is OTLP TracesData of one trace, a row is a span.
type Codec struct{}

var (
	_ tempodb.Codec      = Codec{}
	_ tempodb.RowCounter = Codec{}
)

// Merge merges pieces of a trace; see trace.Merge.
func (Codec) Merge(dst []byte, values ...[]byte) ([]byte, error) { return trace.Merge(dst, values...) }

// Index lists the spans with what they can be found by; see trace.Index.
func (Codec) Index(value []byte, s index.Sink) error { return trace.Index(value, s) }

// Rows returns the number of spans. A merge keeps all of a span by which Index lists it: the span itself, its resource and its scope.
func (Codec) Rows(value []byte) (int, error) { return trace.Spans(value) }

// Summarize appends a trace.Summary.
func (Codec) Summarize(dst, value []byte) ([]byte, error) { return trace.AppendSummary(dst, value) }
