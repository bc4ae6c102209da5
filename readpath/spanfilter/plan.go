package spanfilter

import (
	"bytes"
	"maps"
	"math"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/trace/valuetest"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// Plan is what a filter asks the index.
type Plan struct {
	// Over holds on every span on which the filter does, Under on no other; both in the ranges of the columns.
	Over, Under *index.Expr
	// Exact tells that Over is Under: the index alone has the answer.
	Exact bool
	// Start and Duration bound the columns.
	Start, Duration index.Range
	// Traces are the only ones that have spans on which the filter holds, if Named tells that it names them: there is no need to ask the index.
	Traces []trace.ID
	Named  bool
}

// Plan makes the filter's plan.
func (f *Filter) Plan() *Plan {
	p := &Plan{Start: index.Everything, Duration: index.Everything}
	var rest []bounds
	for _, n := range conjuncts(nil, f.root) {
		if t, ok := n.(*tested); !ok || !p.narrow(t) {
			rest = append(rest, n.bounds(picked{}))
		}
	}
	all := allOf(rest)
	p.Over, p.Under, p.Exact = all.over, all.under, all.exact
	ids, named := f.root.traces()
	p.Traces, p.Named = slices.SortedFunc(maps.Keys(ids), func(a, b trace.ID) int { return bytes.Compare(a[:], b[:]) }), named
	return p
}

// conjuncts appends what must hold so that n does.
func conjuncts(dst []node, n node) []node {
	of, ok := n.(and)
	if !ok {
		return append(dst, n)
	}
	for _, n := range of {
		dst = conjuncts(dst, n)
	}
	return dst
}

// narrow narrows the ranges of the columns, if t is about one of them.
func (p *Plan) narrow(t *tested) bool {
	if t.ref.isAttribute || t.ref.level != ofSpan || t.negated || t.op == 0 {
		return false
	}
	r := &p.Start
	switch t.ref.name {
	case "startTime":
	case "duration":
		r = &p.Duration
	default:
		return false
	}
	n := t.constant.Value().Int
	to := index.Everything
	switch t.op {
	case valuetest.Equal:
		to = index.Range{Min: n, Max: n}
	case valuetest.AtLeast:
		to.Min = n
	case valuetest.AtMost:
		to.Max = n
	case valuetest.Greater:
		if n == math.MaxInt64 {
			to = nothingInside
		} else {
			to.Min = n + 1
		}
	case valuetest.Less:
		if n == math.MinInt64 {
			to = nothingInside
		} else {
			to.Max = n - 1
		}
	}
	r.Min, r.Max = max(r.Min, to.Min), min(r.Max, to.Max)
	return true
}

var nothingInside = index.Range{Min: math.MaxInt64, Max: math.MinInt64}

// Empty reports whether no span can have such columns.
func (p *Plan) Empty() bool {
	return p.Start.Min > p.Start.Max || p.Duration.Min > p.Duration.Max
}

// picked says of which levels an operator some has picked one.
type picked struct{ event, link bool }

func (p picked) is(l level) bool { return l == ofEvent && p.event || l == ofLink && p.link }

// bounds are two conditions on the index's rows: over holds wherever what they bound does, under nowhere else.
type bounds struct {
	over, under *index.Expr
	exact       bool // they are the same
}

// Conditions that hold everywhere and nowhere. They are told by their addresses.
var (
	everywhere = index.And()
	nowhere    = index.Or()
	unknown    = bounds{over: everywhere, under: nowhere}
)

func exactly(e *index.Expr) bounds { return bounds{e, e, true} }

func join(all []bounds, by func([]*index.Expr) *index.Expr) bounds {
	b := bounds{exact: true}
	over, under := make([]*index.Expr, len(all)), make([]*index.Expr, len(all))
	for i, of := range all {
		over[i], under[i] = of.over, of.under
		b.exact = b.exact && of.exact
	}
	b.over = by(over)
	if b.under = b.over; !b.exact {
		b.under = by(under)
	}
	return b
}

func allOf(all []bounds) bounds { return join(all, andOf) }
func oneOf(all []bounds) bounds { return join(all, orOf) }

func andOf(of []*index.Expr) *index.Expr {
	if slices.Contains(of, nowhere) {
		return nowhere
	}
	of = slices.DeleteFunc(slices.Clone(of), func(e *index.Expr) bool { return e == everywhere })
	// What is found quickly comes first: where it finds nothing the others are not read.
	slices.SortStableFunc(of, func(a, b *index.Expr) int { return cost(a) - cost(b) })
	switch len(of) {
	case 0:
		return everywhere
	case 1:
		return of[0]
	}
	return index.And(of...)
}

func cost(e *index.Expr) int {
	switch e.Op {
	case index.OpEqual:
		return 0
	case index.OpPrefix, index.OpMatch:
		return 2
	}
	most := 1
	for _, of := range e.Of {
		most = max(most, cost(of))
	}
	if e.Op == index.OpNot {
		return most + 1
	}
	return most
}

func orOf(of []*index.Expr) *index.Expr {
	if slices.Contains(of, everywhere) {
		return everywhere
	}
	of = slices.DeleteFunc(slices.Clone(of), func(e *index.Expr) bool { return e == nowhere })
	switch len(of) {
	case 0:
		return nowhere
	case 1:
		return of[0]
	}
	return index.Or(of...)
}

func notOf(e *index.Expr) *index.Expr {
	switch e {
	case everywhere:
		return nowhere
	case nowhere:
		return everywhere
	}
	return index.Not(e)
}

// complement bounds what does not hold where b's does.
func (b bounds) complement() bounds {
	if b.exact {
		return exactly(notOf(b.over))
	}
	return bounds{over: notOf(b.under), under: notOf(b.over)}
}

func (n and) bounds(p picked) bounds { return allOf(each(n, p)) }
func (n or) bounds(p picked) bounds  { return oneOf(each(n, p)) }
func (n not) bounds(p picked) bounds { return n.of.bounds(p).complement() }

func each(nodes []node, p picked) (all []bounds) {
	for _, n := range nodes {
		all = append(all, n.bounds(p))
	}
	return all
}

func (n always) bounds(picked) bounds {
	if n {
		return exactly(everywhere)
	}
	return exactly(nowhere)
}

// bounds of a condition on one event or link: that a row has what is asked for says only that one of its events has.
func (n some) bounds(p picked) bounds {
	switch of := n.of.(type) {
	case exists: // of one of them is all that it asks
		if of.ref.level == n.level {
			return of.bounds(p)
		}
	case *tested:
		if of.ref.level == n.level && !of.negated {
			return of.bounds(p)
		}
	}
	if n.level == ofEvent {
		p.event = true
	} else {
		p.link = true
	}
	return bounds{over: n.of.bounds(p).over, under: nowhere}
}

func (n exists) bounds(p picked) bounds { return n.ref.exists().of(n.ref, p) }

func (n *tested) bounds(p picked) bounds {
	holds := n.ref.tested(n.test).of(n.ref, p)
	if !n.negated {
		return holds
	}
	return allOf([]bounds{n.ref.exists().of(n.ref, p), holds.complement()})
}

func (n *pair) bounds(p picked) bounds {
	return bounds{over: andOf([]*index.Expr{n.a.exists().over, n.b.exists().over}), under: nowhere}
}

// of returns the bounds for a reference that may be to one event or link only.
func (b bounds) of(r *ref, p picked) bounds {
	if p.is(r.level) {
		return bounds{over: b.over, under: nowhere}
	}
	return b
}

// spaces returns where the index has the attributes of a level, and whether it does not have them.
func (r *ref) spaces() (spaces []byte, indexed bool) {
	const longest = index.MaxTerm - trace.MaxValueTerm - 1 // of a key of which all terms are there
	if len(r.name) > longest {
		return nil, false
	}
	switch r.level {
	case unqualified:
		return []byte{trace.SpaceSpan, trace.SpaceResource}, true
	case ofSpan:
		return []byte{trace.SpaceSpan}, true
	case ofResource:
		return []byte{trace.SpaceResource}, true
	case ofScope:
		return []byte{trace.SpaceScope}, true
	case ofEvent:
		return []byte{trace.SpaceEvent}, true
	}
	return nil, false
}

// derived are keys under which the index has also what is no attribute.
var derived = map[byte][]string{
	trace.SpaceSpan:  {"span.kind", keyError, keyStatus, keyMessage, keyState},
	trace.SpaceScope: {keyScopeName, keyScopeVersion, "otel.library.name", "otel.library.version"},
	trace.SpaceEvent: {keyEvent},
}

const (
	keyStatus       = "otel.status_code"
	keyMessage      = "otel.status_description"
	keyState        = "w3c.tracestate"
	keyScopeName    = "otel.scope.name"
	keyScopeVersion = "otel.scope.version"
	keyEvent        = "event"
)

func in(space byte, key string) tracedb.Attribute { return tracedb.Attribute{Key: key, Space: space} }

// isError reports whether r is to the attribute that a status stands for.
func (r *ref) isError() bool {
	return r.isAttribute && r.name == keyError && (r.level == ofSpan || r.level == unqualified)
}

// exists bounds where r has a value.
func (r *ref) exists() bounds {
	switch {
	case r.isError():
		return exactly(everywhere) // of the status, if of nothing else
	case r.isAttribute:
		return r.ofAttribute(func(a tracedb.Attribute) bounds { return exactly(a.Exists()) })
	case r.level == ofSpan:
		switch r.name {
		case "parentSpanID":
			return unknown
		case "traceState":
			return ofHidden(keyState, tracedb.Attribute.Exists)
		case "statusMessage":
			return ofHidden(keyMessage, tracedb.Attribute.Exists)
		}
		return exactly(everywhere)
	case r.level == ofResource && r.name == "service":
		return exactly(everywhere)
	case r.level == ofScope && r.name != "schemaURL":
		return bounds{over: in(trace.SpaceScope, scopeKey(r.name)).Exists(), under: nowhere}
	}
	return unknown
}

func scopeKey(field string) string {
	if field == "name" {
		return keyScopeName
	}
	return keyScopeVersion
}

// tested bounds where the test holds of a value of r.
func (r *ref) tested(t *valuetest.Test) bounds {
	switch {
	case r.isAttribute:
		b := r.ofAttribute(func(a tracedb.Attribute) bounds {
			over, under := a.Maybe(t), a.Surely(t)
			if terms, ok := t.Terms(); ok && sureOf(t, terms) {
				return exactly(over)
			}
			return bounds{over: over, under: under}
		})
		if r.isError() && t.Holds(trace.Value{Type: trace.ValueBool}) {
			no := notOf(in(trace.SpaceSpan, keyError).Exists()) // no attribute, and no error
			b = oneOf([]bounds{b, exactly(no)})
		}
		return b
	case r.level == ofSpan:
		return r.ofSpanField(t)
	case r.level == ofResource && r.name == "service":
		return exactly(tracedb.ServiceTested(t))
	case r.level == ofScope && r.name != "schemaURL":
		return bounds{over: in(trace.SpaceScope, scopeKey(r.name)).Maybe(t), under: nowhere}
	case r.level == ofEvent && r.name == "name" && !t.HoldsOf(nil): // an empty name is not in the index
		return bounds{over: orOf([]*index.Expr{in(trace.SpaceEvent, keyEvent).Maybe(t), in(trace.SpaceHidden, keyEvent).Maybe(t)}), under: nowhere}
	}
	return unknown
}

// sureOf reports whether the test holds of all values with one of the terms.
func sureOf(t *valuetest.Test, terms []string) bool {
	return !slices.ContainsFunc(terms, func(term string) bool { return !t.Surely([]byte(term)) })
}

// ofAttribute is one of what leaf says of the spaces of r.
func (r *ref) ofAttribute(leaf func(tracedb.Attribute) bounds) bounds {
	spaces, indexed := r.spaces()
	if !indexed {
		return unknown
	}
	var all []bounds
	for _, space := range spaces {
		b := leaf(in(space, r.name))
		if slices.Contains(derived[space], r.name) && !(r.isError() && space == trace.SpaceSpan) {
			b = bounds{over: b.over, under: nowhere}
		}
		all = append(all, b)
	}
	return oneOf(all)
}

// ofHidden bounds a condition on what OTLP has a field for, and the index an attribute of the span: perhaps another's, behind which it is hidden.
func ofHidden(key string, leaf func(tracedb.Attribute) *index.Expr) bounds {
	return bounds{over: orOf([]*index.Expr{leaf(in(trace.SpaceSpan, key)), leaf(in(trace.SpaceHidden, key))}), under: nowhere}
}

func (r *ref) ofSpanField(t *valuetest.Test) bounds {
	maybe := func(a tracedb.Attribute) *index.Expr { return a.Maybe(t) }
	switch r.name {
	case "name":
		return exactly(tracedb.NameTested(t))
	case "kind":
		var kinds []trace.Kind
		for _, k := range trace.Kinds {
			if t.HoldsOf([]byte(k.String())) {
				kinds = append(kinds, k)
			}
		}
		return exactly(tracedb.KindIsOne(kinds...))
	case "statusMessage":
		return ofHidden(keyMessage, maybe)
	case "traceState":
		return ofHidden(keyState, maybe)
	case "status":
		return ofStatus(t)
	}
	return unknown
}

// ofStatus bounds a condition on the status, which attributes of the span may hide.
func ofStatus(t *valuetest.Test) bounds {
	status, failed := in(trace.SpaceSpan, keyStatus), in(trace.SpaceSpan, keyError)
	var over []*index.Expr
	under := nowhere
	if t.HoldsOf([]byte("error")) {
		// An attribute of this key hides it; if one hides the attribute error too, there is nothing left to see.
		over = append(over, status.Is("ERROR"), index.And(status.Exists(), failed.Exists()))
	}
	if t.HoldsOf([]byte("ok")) {
		over = append(over, status.Exists())
	}
	if t.HoldsOf([]byte("unset")) {
		over = append(over, everywhere)
		under = notOf(status.Exists())
	}
	return bounds{over: orOf(over), under: under}
}
