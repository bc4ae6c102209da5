package trace

// ID is a trace ID as OTLP carries it. The zero ID is invalid.
type ID [16]byte

// Fragment is the part of one trace that one export request holds.
type Fragment struct {
	TraceID ID
	Spans   int
	// Data is an OTLP TracesData message with the fragment's spans only; resource and scope are
	// repeated in each fragment. It points into the Splitter's buffer.
	Data []byte
}

// Rejected says which spans of a request were refused, and why.
type Rejected struct {
	Spans int
	// Reason names the first few refused spans and what was wrong with each; empty if none was refused.
	Reason string
}
