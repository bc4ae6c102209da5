package index

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Queries on their way to another process:
//
//	query   version (1) | start min, max | duration min, max | limit (5 varints) | 0 or 1 | expression, after a 1
//	leaf    op | field length (uvarint) | field | value length (uvarint) | value        equal, prefix, match: of a match the value is the pattern
//	branch  op | number (uvarint) | expressions                                         and, or; not has one
const queryVersion = 1

// maxExprDepth bounds how deep an expression from another process may nest.
const maxExprDepth = 64

// AppendQuery appends q, to be read by ParseQuery. A match without a pattern can't be told to another process and is an error.
func AppendQuery(dst []byte, q *Query) ([]byte, error) {
	dst = append(dst, queryVersion)
	for _, v := range [5]int64{q.Start.Min, q.Start.Max, q.Duration.Min, q.Duration.Max, int64(q.Limit)} {
		dst = binary.AppendVarint(dst, v)
	}
	if q.Where == nil {
		return append(dst, 0), nil
	}
	return appendExpr(append(dst, 1), q.Where, maxExprDepth)
}

func appendExpr(dst []byte, e *Expr, depth int) ([]byte, error) {
	if depth == 0 {
		return dst, fmt.Errorf("a condition nests more than %d deep", maxExprDepth)
	}
	dst = append(dst, byte(e.Op))
	switch e.Op {
	case OpMatch, OpEqual, OpPrefix:
		if e.Op == OpMatch && len(e.Value) == 0 {
			return dst, fmt.Errorf("a match of field %q has no pattern that says what it accepts", e.Field)
		}
		dst = binary.AppendUvarint(dst, uint64(len(e.Field)))
		dst = append(dst, e.Field...)
		dst = binary.AppendUvarint(dst, uint64(len(e.Value)))
		return append(dst, e.Value...), nil
	case OpNot:
		if len(e.Of) != 1 {
			return dst, fmt.Errorf("a negation of %d conditions", len(e.Of))
		}
	case OpAnd, OpOr:
	default:
		return dst, fmt.Errorf("unknown operator %d of a condition", e.Op)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.Of)))
	for _, of := range e.Of {
		var err error
		if dst, err = appendExpr(dst, of, depth-1); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// ParseQuery reads what AppendQuery wrote. compile makes of a pattern what it accepts. The query keeps nothing of b, and has at most one expression for each two bytes of b.
func ParseQuery(b []byte, compile func(pattern []byte) (func(value []byte) bool, error)) (*Query, error) {
	p := queryParser{rest: append([]byte(nil), b...), compile: compile}
	if version := p.byte(); p.err == nil && version != queryVersion {
		return nil, fmt.Errorf("query of version %d, and this program reads %d", version, queryVersion)
	}
	q := &Query{Start: Range{p.varint(), p.varint()}, Duration: Range{p.varint(), p.varint()}, Limit: int(p.varint())}
	switch condition := p.byte(); {
	case p.err != nil:
	case condition == 1:
		q.Where = p.expr(maxExprDepth)
	case condition != 0: // not to be taken for none
		return nil, fmt.Errorf("query has %d where it says whether there is a condition", condition)
	}
	switch {
	case p.err != nil:
		return nil, p.err
	case len(p.rest) > 0:
		return nil, fmt.Errorf("query is followed by %d bytes", len(p.rest))
	default:
		return q, nil
	}
}

type queryParser struct {
	rest    []byte
	err     error
	compile func([]byte) (func([]byte) bool, error)
}

var errQueryEnds = errors.New("query ends early")

func (p *queryParser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.rest = nil
}

func (p *queryParser) byte() byte {
	if len(p.rest) == 0 {
		p.fail(errQueryEnds)
		return 0
	}
	b := p.rest[0]
	p.rest = p.rest[1:]
	return b
}

func (p *queryParser) varint() int64 {
	v, n := binary.Varint(p.rest)
	if n <= 0 {
		p.fail(errQueryEnds)
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *queryParser) bytes() []byte {
	size, n := binary.Uvarint(p.rest)
	if n <= 0 || size > uint64(len(p.rest)-n) {
		p.fail(errQueryEnds)
		return nil
	}
	b := p.rest[n : n+int(size) : n+int(size)]
	p.rest = p.rest[n+int(size):]
	return b
}

func (p *queryParser) expr(depth int) *Expr {
	if depth == 0 {
		p.fail(fmt.Errorf("a condition nests more than %d deep", maxExprDepth))
		return nil
	}
	e := &Expr{Op: Op(p.byte())}
	switch e.Op {
	case OpMatch, OpEqual, OpPrefix:
		e.Field, e.Value = p.bytes(), p.bytes()
		if e.Op == OpMatch && p.err == nil {
			accepts, err := p.compile(e.Value)
			if err != nil {
				p.fail(fmt.Errorf("a match of field %q: %w", e.Field, err))
			}
			e.Match = accepts
		}
		return e
	case OpAnd, OpOr, OpNot:
	default:
		p.fail(fmt.Errorf("unknown operator %d of a condition", e.Op))
		return nil
	}
	number, n := binary.Uvarint(p.rest)
	// Each takes two bytes at least.
	if n <= 0 || number > uint64(len(p.rest)-n)/2 {
		p.fail(errQueryEnds)
		return nil
	}
	p.rest = p.rest[n:]
	if e.Op == OpNot && number != 1 {
		p.fail(fmt.Errorf("a negation of %d conditions", number))
		return nil
	}
	for range number {
		if p.err != nil {
			return nil
		}
		e.Of = append(e.Of, p.expr(depth-1))
	}
	return e
}
