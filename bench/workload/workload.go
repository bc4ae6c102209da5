package workload

import (
	"iter"
	"time"
)

// Base is when the first trace starts.
var Base = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// Workload is a sequence of requests that a seed and a number of traces determine.
type Workload struct {
	seed   uint64
	traces int
	truth  *Truth
}

// Request is one export request.
type Request struct {
	// Data is an OTLP ExportTraceServiceRequest. It is valid until the next request is asked for.
	Data []byte
	// Spans is the number of spans in it.
	Spans int
	// Parts lists the traces that have spans in it, in the order in which they come first; valid as Data.
	Parts []Part
}

// Part is the part of a trace that is in one request.
type Part struct {
	TraceID [16]byte
	Spans   int
}

// New returns the workload of a seed, with so many traces.
func New(seed uint64, traces int) *Workload { return &Workload{seed: seed, traces: traces} }

// Requests generates the requests in the order in which they are sent. It can be called more than once.
func (w *Workload) Requests() iter.Seq[Request] {
	return func(yield func(Request) bool) {
		g := newGenerator(w.seed, yield)
		for i := range w.traces {
			if g.trace(i); g.stopped {
				return
			}
		}
		g.flushAll()
		if !g.stopped {
			w.truth = g.finish()
		}
	}
}

// Truth returns what a store that holds the workload must answer. Where Requests was not run to its end
// before, it is now.
func (w *Workload) Truth() *Truth {
	if w.truth == nil {
		for range w.Requests() {
		}
	}
	return w.truth
}
