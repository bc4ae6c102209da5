package spanfilter

import (
	"fmt"

	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/trace/valuetest"
)

// node is a part of a filter that holds on a span or does not.
type node interface {
	// holds looks at the span, and the event and link that are picked, of m. Of bytes that can't be read m keeps the error.
	holds(m *Matcher) bool
	// bounds asks the index. Of the levels in picked, references are to the one event or link that some has picked.
	bounds(picked picked) bounds
	traces() (ids identities, named bool)
}

type (
	and    []node
	or     []node
	not    struct{ of node }
	always bool
	exists struct{ ref *ref }
	some   struct {
		level level
		of    node
	}
	// tested is a test of a reference's values: that it holds of one of them; negated, that there are some and it holds of none.
	tested struct {
		ref     *ref
		test    *valuetest.Test
		negated bool
		// of a comparison:
		op       valuetest.Op
		constant valuetest.Constant
	}
	// pair compares the values of two references, as tested does.
	pair struct {
		a, b    *ref
		op      valuetest.Op
		negated bool
	}
)

// ref is a reference to an attribute or a field.
type ref struct {
	isAttribute bool
	level       level
	name        string
	holds       holding // of a field
}

func (r *ref) String() string {
	if r.isAttribute {
		return fmt.Sprintf("attribute %q", r.name)
	}
	return fmt.Sprintf("%v.%s", r.level, r.name)
}

func (n and) holds(m *Matcher) bool {
	for _, of := range n {
		if !of.holds(m) {
			return false
		}
	}
	return true
}

func (n or) holds(m *Matcher) bool {
	for _, of := range n {
		if of.holds(m) {
			return true
		}
	}
	return false
}

func (n not) holds(m *Matcher) bool { return !n.of.holds(m) }

func (n always) holds(*Matcher) bool { return bool(n) }

func (n exists) holds(m *Matcher) bool {
	found := false
	m.each(n.ref, func(trace.Value) bool {
		found = true
		return false
	})
	return found
}

func (n some) holds(m *Matcher) bool {
	at, number := &m.event, m.span.Events()
	if n.level == ofLink {
		at, number = &m.link, m.span.Links()
	}
	defer func() { *at = nonePicked }()
	for *at = range number {
		if n.of.holds(m) {
			return true
		}
	}
	return false
}

func (n *tested) holds(m *Matcher) bool {
	there, found := false, false
	m.each(n.ref, func(v trace.Value) bool {
		there = true
		found = n.test.Holds(v)
		return !found
	})
	if n.negated {
		return there && !found
	}
	return found
}

func (n *pair) holds(m *Matcher) bool {
	var there, found, right bool
	m.each(n.a, func(a trace.Value) bool {
		there = true
		m.each(n.b, func(b trace.Value) bool {
			right = true
			order, ordered, ok := valuetest.Compare(a, b)
			found = ok && (ordered || n.op == valuetest.Equal) && valuetest.Accepts(n.op, order)
			return !found
		})
		return !found && right
	})
	if n.negated {
		return there && right && !found
	}
	return found
}
