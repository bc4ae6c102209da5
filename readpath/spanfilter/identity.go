package spanfilter

import (
	"maps"

	"github.com/jaeger-tempo/tempo/trace"
)

// identities are IDs of traces.
type identities map[trace.ID]struct{}

// The traces that a condition names: named tells that it holds on spans of these only. Who has IDs of spans asks for them so.

func (n and) traces() (ids identities, named bool) {
	for _, of := range n {
		more, ok := of.traces()
		switch {
		case !ok:
		case !named:
			ids, named = more, true
		default:
			maps.DeleteFunc(ids, func(id trace.ID, _ struct{}) bool { _, both := more[id]; return !both })
		}
	}
	return ids, named
}

func (n or) traces() (identities, bool) {
	ids := identities{}
	for _, of := range n {
		more, ok := of.traces()
		if !ok {
			return nil, false
		}
		maps.Copy(ids, more)
	}
	return ids, true
}

func (n *tested) traces() (identities, bool) {
	r := n.ref
	if n.negated || r.isAttribute || r.level != ofSpan || r.name != "traceID" {
		return nil, false
	}
	texts, ok := n.test.Strings()
	if !ok {
		return nil, false
	}
	ids := identities{}
	for _, text := range texts {
		// Another text is no trace's.
		if id, err := trace.ParseID(text); err == nil && id.String() == text {
			ids[id] = struct{}{}
		}
	}
	return ids, true
}

func (n always) traces() (identities, bool) { return nil, !bool(n) }
func (not) traces() (identities, bool)      { return nil, false }
func (exists) traces() (identities, bool)   { return nil, false }
func (n some) traces() (identities, bool)   { return n.of.traces() }
func (*pair) traces() (identities, bool)    { return nil, false }
