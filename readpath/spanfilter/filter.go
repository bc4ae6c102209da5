package spanfilter

import (
	"cmp"
	"fmt"

	"github.com/jaeger-tempo/tempo/trace/valuetest"
)

// Bounds of a filter.
const (
	maxDepth = 20        // calls in calls, as Jaeger bounds it
	maxParts = 2_000     // calls, references and constants, those of lists too
	maxText  = 128 << 10 // bytes of keys and constants
)

// Filter is a condition on one span.
type Filter struct {
	form Expr
	root node
}

// Error says what is wrong with the form of a filter, and where: "and[1].gt[0]" is the first operand of the operator gt that is the second of and.
type Error struct{ Where, Reason string }

func (e *Error) Error() string { return fmt.Sprintf("filter: %s: %s", e.Where, e.Reason) }

// New makes a filter of its form. Its errors are *Error.
func New(form *Call) (*Filter, error) {
	if form == nil {
		return nil, &Error{"filter", "it is empty"}
	}
	p := parser{}
	root := p.call(form, "", 1)
	if p.err != nil {
		return nil, p.err
	}
	return &Filter{form: form, root: root}, nil
}

// AppendTo appends what tells the filter from others.
func (f *Filter) AppendTo(dst []byte) []byte { return f.form.appendTo(dst) }

// parser makes nodes of a form. After an error, which is the first, its methods return what is not to be used.
type parser struct {
	err         *Error
	parts, text int
	bound       [ofLink + 1]bool // levels of which an operator some has picked one
}

func (p *parser) fail(where, format string, a ...any) {
	if p.err == nil {
		p.err = &Error{where, fmt.Sprintf(format, a...)}
	}
}

// count counts a part of the form.
func (p *parser) count(where string, texts ...string) {
	p.parts++
	for _, s := range texts {
		p.text += len(s)
	}
	if p.parts > maxParts || p.text > maxText {
		p.fail(where, "the filter is too large: it may have %d parts, with %d bytes of text", maxParts, maxText)
	}
}

func (p *parser) call(c *Call, within string, depth int) node {
	where := c.Op
	if within != "" {
		where = within + "." + c.Op
	}
	if depth > maxDepth {
		p.fail(where, "calls nest more than %d deep", maxDepth)
		return nil
	}
	if !contains(operators, c.Op) {
		p.fail(cmp.Or(within, "filter"), "unknown operator %.40q", c.Op)
		return nil
	}
	p.count(where)
	want := 2
	switch c.Op {
	case "not", "exists":
		want = 1
	}
	if variadic := c.Op == "and" || c.Op == "or"; !variadic && len(c.Args) != want || variadic && len(c.Args) < want {
		p.fail(where, "it has %d operands, and takes %d", len(c.Args), want)
	}
	if p.err != nil {
		return nil
	}
	at := func(i int) string { return fmt.Sprintf("%s[%d]", where, i) }
	switch c.Op {
	case "and", "or":
		var of []node
		for i, arg := range c.Args {
			of = append(of, p.predicate(arg, at(i), depth))
			if p.err != nil {
				return nil
			}
		}
		if c.Op == "and" {
			return and(of)
		}
		return or(of)
	case "not":
		return not{p.predicate(c.Args[0], at(0), depth)}
	case "some":
		return p.some(c, where, depth)
	case "exists":
		return exists{p.reference(c.Args[0], at(0))}
	case "in", "not_in":
		r := p.reference(c.Args[0], at(0))
		list, ok := c.Args[1].(*List)
		if !ok || list == nil || len(list.Values) == 0 {
			p.fail(at(1), "it must be a list with an element at least")
		}
		if p.err != nil {
			return nil
		}
		constants := make([]valuetest.Constant, len(list.Values))
		for i, s := range list.Values {
			if constants[i] = p.constant(r, s, list.Type, at(1)); p.err != nil {
				return nil
			}
		}
		return &tested{ref: r, test: valuetest.OneOf(constants), negated: c.Op == "not_in"}
	case "regex":
		r := p.reference(c.Args[0], at(0))
		s, ok := c.Args[1].(*Scalar)
		if p.err == nil && (!ok || s == nil || s.Type != "" && s.Type != "string") {
			p.fail(at(1), "it must be a pattern, a string")
		}
		if p.err == nil && !r.isAttribute && (r.holds == duration || r.holds == instant) {
			p.fail(at(0), "a pattern matches text, and %v holds %v", r, r.holds)
		}
		if p.err != nil {
			return nil
		}
		p.count(at(1), s.Value)
		test, err := valuetest.NewRegexp(s.Value)
		if err != nil {
			p.fail(at(1), "%v", err)
		}
		return &tested{ref: r, test: test}
	case "phrase", "fulltext":
		r := p.reference(c.Args[0], at(0))
		list, ok := c.Args[1].(*List)
		switch {
		case p.err != nil:
			return nil
		case !r.isAttribute:
			p.fail(at(0), "words are looked for in attributes, and %v is a field", r)
		case !ok || list == nil || list.Type != "" && list.Type != "string":
			p.fail(at(1), "it must be a list of words, of strings")
		}
		if p.err != nil {
			return nil
		}
		for _, w := range list.Values {
			p.count(at(1), w)
		}
		op := valuetest.Phrase
		if c.Op == "fulltext" {
			op = valuetest.Fulltext
		}
		test, err := valuetest.NewWords(op, list.Values)
		if err != nil {
			p.fail(at(1), "%v", err)
		}
		return &tested{ref: r, test: test}
	default:
		return p.comparison(c, at)
	}
}

// predicate reads an operand that holds or does not.
func (p *parser) predicate(e Expr, where string, depth int) node {
	c, ok := e.(*Call)
	if !ok || c == nil {
		p.fail(where, "it must be a call, which holds or does not")
		return nil
	}
	return p.call(c, where, depth+1)
}

func (p *parser) some(c *Call, where string, depth int) node {
	of, ok := c.Args[0].(*Collection)
	if !ok || of == nil || of.Level != "event" && of.Level != "link" {
		p.fail(where+"[0]", "it must be the collection of events or of links")
		return nil
	}
	l, _ := levelNamed(of.Level)
	if p.bound[l] {
		p.fail(where+"[0]", "within an operator some of the same level, it is not defined which %s is meant", of.Level)
		return nil
	}
	p.bound[l] = true
	defer func() { p.bound[l] = false }()
	return some{l, p.predicate(c.Args[1], where+"[1]", depth)}
}

// reference reads an operand that is an attribute or a field.
func (p *parser) reference(e Expr, where string) *ref {
	switch e := e.(type) {
	case *Attribute:
		if e == nil {
			break
		}
		l, ok := levelNamed(e.Level)
		if !ok {
			p.fail(where, "unknown level %.40q", e.Level)
		}
		if e.Key == "" {
			p.fail(where, "an attribute without a key")
		}
		p.count(where, e.Key)
		return &ref{isAttribute: true, level: l, name: e.Key}
	case *Field:
		if e == nil {
			break
		}
		l, ok := levelNamed(e.Level)
		if !ok || l == unqualified {
			p.fail(where, "a field is of a level, one of %q, and not of %.40q", levelNames[1:], e.Level)
		}
		holds, ok := fields[field{l, e.Name}]
		if !ok {
			p.fail(where, "level %v has no field %.40q; to ask for an attribute of that key, refer to an attribute", l, e.Name)
		}
		p.count(where)
		return &ref{level: l, name: e.Name, holds: holds}
	}
	p.fail(where, "it must be an attribute or a field")
	return nil
}

// constant reads a constant that is compared with r; nil if with another constant.
func (p *parser) constant(r *ref, text, typ, where string) valuetest.Constant {
	p.count(where, text)
	t, err := valuetest.ParseType(typ)
	var c valuetest.Constant
	switch {
	case err != nil:
	case r == nil || r.isAttribute:
		c, err = valuetest.NewConstant(t, text)
	default:
		if c, err = r.holds.constant(t, text); err != nil {
			err = fmt.Errorf("compared with %v: %w", r, err)
		}
	}
	if err != nil {
		p.fail(where, "%v", err)
	}
	return c
}

var compareOps = map[string]struct{ op, turned valuetest.Op }{
	"eq":  {valuetest.Equal, valuetest.Equal},
	"ne":  {valuetest.Equal, valuetest.Equal},
	"lt":  {valuetest.Less, valuetest.Greater},
	"gt":  {valuetest.Greater, valuetest.Less},
	"lte": {valuetest.AtMost, valuetest.AtLeast},
	"gte": {valuetest.AtLeast, valuetest.AtMost},
}

// comparison reads eq, ne, gt, lt, gte and lte.
func (p *parser) comparison(c *Call, at func(int) string) node {
	op, ordered, negated := compareOps[c.Op].op, c.Op != "eq" && c.Op != "ne", c.Op == "ne"
	var refs [2]*ref
	var scalars [2]*Scalar
	for i, arg := range c.Args {
		if s, ok := arg.(*Scalar); ok && s != nil {
			scalars[i] = s
			if ordered && s.Type == "bool" {
				p.fail(at(i), "a bool has no order")
			}
			continue
		}
		refs[i] = p.reference(arg, at(i))
		if p.err == nil && ordered && !refs[i].isAttribute && !refs[i].holds.ordered() {
			p.fail(at(i), "%v holds %v, which has no order", refs[i], refs[i].holds)
		}
	}
	if p.err != nil {
		return nil
	}
	switch {
	case refs[0] != nil && refs[1] != nil:
		a, b := refs[0], refs[1]
		if !a.isAttribute && !b.isAttribute && a.holds.kind() != b.holds.kind() {
			p.fail(at(1), "%v holds %v, and %v %v", a, a.holds, b, b.holds)
		}
		return &pair{a: a, b: b, op: op, negated: negated}
	case refs[0] == nil && refs[1] == nil:
		return p.constants(scalars, op, negated, at)
	}
	r, s, where := refs[0], scalars[1], at(1)
	if r == nil {
		r, s, where, op = refs[1], scalars[0], at(0), compareOps[c.Op].turned
	}
	constant := p.constant(r, s.Value, s.Type, where)
	if p.err != nil {
		return nil
	}
	return &tested{ref: r, test: constant.Test(op), negated: negated, op: op, constant: constant}
}

// kind is what a field holds in so far as it is compared with others: words are text.
func (h holding) kind() holding {
	if h == kindWord || h == statusWord {
		return text
	}
	return h
}

// constants compares two constants, of which one without a type takes that of the other.
func (p *parser) constants(s [2]*Scalar, op valuetest.Op, negated bool, at func(int) string) node {
	types := [2]string{s[0].Type, s[1].Type}
	number := map[string]bool{"int": true, "double": true}
	if types[0] != "" && types[1] != "" && types[0] != types[1] && !(number[types[0]] && number[types[1]]) {
		p.fail(at(1), "a constant of type %.20q, compared with one of type %.20q", types[1], types[0])
		return nil
	}
	if types[0] == "" {
		types[0] = types[1]
	}
	if types[1] == "" {
		types[1] = types[0]
	}
	a, b := p.constant(nil, s[0].Value, types[0], at(0)), p.constant(nil, s[1].Value, types[1], at(1))
	if p.err != nil {
		return nil
	}
	order, ordered, ok := valuetest.Compare(a.Value(), b.Value())
	if op == valuetest.Equal {
		return always((ok && order == 0) != negated)
	}
	return always(ok && ordered && valuetest.Accepts(op, order))
}
