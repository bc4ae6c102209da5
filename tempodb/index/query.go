package index

import "math"

// Query asks for the keys that own at least one row on which every condition holds.
type Query struct {
	// Where is the condition on the row's terms; nil holds on every row.
	Where *Expr
	// Start and Duration bound the row's columns, both ends inclusive.
	Start, Duration Range
	// Limit is the greatest number of keys to return; those whose matching row started last win,
	// and of two that started at the same time the smaller key. Zero or less means no limit.
	Limit int
}

// Since returns q without what started before start.
func (q *Query) Since(start int64) *Query {
	since := *q
	since.Start.Min = max(since.Start.Min, start)
	return &since
}

// Range is an interval of int64, both ends inclusive.
type Range struct{ Min, Max int64 }

// Everything is the range that holds all values.
var Everything = Range{Min: math.MinInt64, Max: math.MaxInt64}

// Contains reports whether v lies in r.
func (r Range) Contains(v int64) bool { return r.Min <= v && v <= r.Max }

// Overlaps reports whether r and o have a value in common.
func (r Range) Overlaps(o Range) bool { return r.Min <= o.Max && o.Min <= r.Max }

// Op says what an Expr means.
type Op uint8

// The operators of an Expr.
const (
	// OpEqual holds on rows with a term of Field whose value is Value.
	OpEqual Op = iota
	// OpPrefix holds on rows with a term of Field whose value begins with Value.
	OpPrefix
	// OpMatch holds on rows with a term of Field whose value Match accepts.
	OpMatch
	// OpAnd holds where all of Of hold; of none, everywhere.
	OpAnd
	// OpOr holds where one of Of holds; of none, nowhere.
	OpOr
	// OpNot holds where Of[0] does not.
	OpNot
)

// Expr is a condition on one row's terms.
type Expr struct {
	Op    Op
	Field []byte
	Value []byte // of OpMatch the pattern
	// Match accepts a value, for OpMatch: a compiled regular expression's Match, or any predicate.
	// It must not keep the slice.
	Match func(value []byte) bool
	Of    []*Expr
}

// Equal is the condition that a row holds the term (field, value).
func Equal(field, value []byte) *Expr { return &Expr{Op: OpEqual, Field: field, Value: value} }

// Prefix is the condition that a row holds a term of field whose value begins with prefix.
func Prefix(field, prefix []byte) *Expr { return &Expr{Op: OpPrefix, Field: field, Value: prefix} }

// Match is the condition that a row holds a term of field whose value the predicate accepts. pattern says what that is to another process, by whose
// ParseQuery it is compiled; nil if the query never leaves this one.
func Match(field, pattern []byte, accepts func([]byte) bool) *Expr {
	return &Expr{Op: OpMatch, Field: field, Value: pattern, Match: accepts}
}

// And is the condition that all of exprs hold on one row.
func And(exprs ...*Expr) *Expr { return &Expr{Op: OpAnd, Of: exprs} }

// Or is the condition that one of exprs holds.
func Or(exprs ...*Expr) *Expr { return &Expr{Op: OpOr, Of: exprs} }

// Not is the condition that e does not hold.
func Not(e *Expr) *Expr { return &Expr{Op: OpNot, Of: []*Expr{e}} }

// Hit is a key with a matching row.
type Hit struct {
	// Key is the owner of the row.
	Key [16]byte
	// Start is the greatest start of the key's matching rows, in Unix nanoseconds.
	Start int64
}
