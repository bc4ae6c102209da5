// Package trace is the one place that knows OTLP. It works on the wire form of trace data and builds no
// span objects: an export request is cut into traces, fragments of a trace are merged, and search terms
// and summaries are listed, all by walking the bytes once.
//
// # The data
//
// A value is an OTLP TracesData message (an ExportTraceServiceRequest has the same wire form) that holds
// spans of one trace:
//
//	TracesData    1: ResourceSpans ...
//	ResourceSpans 1: Resource   2: ScopeSpans ...   3: schema_url   other fields
//	ScopeSpans    1: Scope      2: Span ...         3: schema_url   other fields
//
// Two values of one trace put one after the other are a value again. What a ResourceSpans and a ScopeSpans
// hold besides field 2 is copied as it is, fields that this package does not know included; so is every
// span, byte for byte.
//
// # The path of a span
//
//	request --Splitter.Split--> Fragments --(log)--> values --Merge--> value of the whole trace
//	                                          |
//	                                          +--Index--> terms and columns, through a Sink
//	                                          +--AppendSummary--> what a list of traces shows
//
// Split is the gate: what passes it is valid OTLP (proto.Unmarshal accepts it) with valid IDs. The other
// functions read what was stored; they check what they read and return a *WireError for bytes that are not
// OTLP, but do not repeat Split's judgement of single spans.
//
// # Terms
//
// Search knows a span by terms, pairs of a field and a value; AppendField, AppendValueTerm and
// AppendOperation build those that Index emits, so that a query asks for the same bytes. See field.go.
//
// # Who calls it
//
// writepath splits; tracedb gives Merge, Index and AppendSummary to the database; readpath builds fields
// and values for queries and reads summaries; plugin walks values to translate them. The package imports
// nothing of the project.
//
// Functions may be called concurrently. A Splitter or a Merger is for one goroutine at a time. No function
// keeps its input; what aliases the input says so.
package trace
