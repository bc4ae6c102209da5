package trace

import (
	"encoding/hex"
	"fmt"
)

// ID is a trace ID as OTLP carries it, most significant byte first. The zero ID is invalid.
type ID [16]byte

// String returns the ID as 32 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id is the invalid ID.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads an ID of 1 to 32 hexadecimal digits. Fewer than 32 stand for the digits on the right, as
// Jaeger reads them.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) < 1 || len(s) > 2*len(id) {
		return ID{}, fmt.Errorf("trace ID %.40q has %d digits, want 1 to 32 hexadecimal ones", s, len(s))
	}
	for i := range len(s) {
		var digit byte
		switch c := s[len(s)-1-i]; {
		case '0' <= c && c <= '9':
			digit = c - '0'
		case 'a' <= c && c <= 'f':
			digit = c - 'a' + 10
		case 'A' <= c && c <= 'F':
			digit = c - 'A' + 10
		default:
			return ID{}, fmt.Errorf("trace ID %q has %q where a hexadecimal digit belongs", s, c)
		}
		id[len(id)-1-i/2] |= digit << (i % 2 * 4)
	}
	return id, nil
}

// Fragment is the part of one trace that one export request holds.
type Fragment struct {
	TraceID ID
	// Spans is the number of spans in Data, at least one.
	Spans int
	// Data is an OTLP TracesData message with the fragment's spans only; resource and scope are
	// repeated in each fragment. It points into the Splitter's buffer or into the request.
	Data []byte
}

// Rejected says which spans of a request were refused, and why.
type Rejected struct {
	Spans int
	// Reason names the first few refused spans and what was wrong with each; empty if none was refused.
	Reason string
	// Limit is the gRPC status that says which limit refused some of them; nil if none did.
	Limit error
}
