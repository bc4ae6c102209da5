package index

import "errors"

// leaves finds the rows on which a leaf of an expression holds, and adds them to dst.
type leaves interface {
	addLeaf(leaf *Expr, dst rowSet) error
}

// errMalformed is an Expr that its constructors can't make.
var errMalformed = errors.New("search expression: unknown operator, a negation without operand, or a match without predicate")

// validate refuses what eval can't evaluate, so that eval meets only whole expressions.
func (e *Expr) validate() error {
	if e == nil {
		return nil
	}
	switch e.Op {
	case OpEqual, OpPrefix:
		return nil
	case OpMatch:
		if e.Match == nil {
			return errMalformed
		}
		return nil
	case OpNot:
		if len(e.Of) != 1 {
			return errMalformed
		}
	case OpAnd, OpOr:
	default:
		return errMalformed
	}
	for _, of := range e.Of {
		if of == nil {
			return errMalformed
		}
		if err := of.validate(); err != nil {
			return err
		}
	}
	return nil
}

// eval returns the set of those rows among 0 to rows-1 on which e holds. The set is the caller's.
func eval(e *Expr, rows int, src leaves) (rowSet, error) {
	set := newRowSet(rows)
	if e == nil {
		set.fill(rows)
		return set, nil
	}
	switch e.Op {
	case OpAnd:
		set.fill(rows)
		for _, of := range e.Of {
			operand, err := eval(of, rows, src)
			if err != nil {
				return nil, err
			}
			set.and(operand)
			if set.empty() {
				// What follows can't add a row, and need not be read.
				break
			}
		}
		return set, nil
	case OpOr:
		for _, of := range e.Of {
			operand, err := eval(of, rows, src)
			if err != nil {
				return nil, err
			}
			set.or(operand)
		}
		return set, nil
	case OpNot:
		operand, err := eval(e.Of[0], rows, src)
		if err != nil {
			return nil, err
		}
		operand.invert(rows)
		return operand, nil
	default:
		return set, src.addLeaf(e, set)
	}
}
