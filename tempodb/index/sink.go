package index

// MaxTerm is the greatest length of a term that is indexed: of field and value together, in bytes.
const MaxTerm = 256 << 10

// Sink receives what a codec lists of one value, for search: groups of terms that rows share and,
// after each group, the rows that belong to it with the terms of their own.
//
// All byte slices are valid only during the call. A term of an empty field, or longer than MaxTerm, is left out.
type Sink interface {
	// Group begins the group whose terms every row holds that follows, until the next Group.
	// identity are the bytes that make the group what it is: equal identities are one group.
	// It reports whether the group's terms are known already; the caller then leaves out GroupTerm.
	Group(identity []byte) (known bool)
	// GroupTerm adds a term to the current group, which should have a row: whether the terms of one without are listed is open.
	GroupTerm(field, value []byte)
	// Row begins a row of the current group: start in Unix nanoseconds, duration in nanoseconds.
	Row(start, duration int64)
	// Term adds a term to the current row. Repeating one is harmless.
	Term(field, value []byte)
}

var _ Sink = (*Memory)(nil)
