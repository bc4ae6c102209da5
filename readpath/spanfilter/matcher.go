package spanfilter

import (
	"encoding/hex"

	"github.com/jaeger-tempo/tempo/trace"
)

// Matcher looks at spans, one after another.
type Matcher struct {
	filter      *Filter
	shell       *trace.Shell
	span        trace.SpanView
	event, link int // those that are picked; nonePicked
	err         error
}

const nonePicked = -1

// Matcher returns a new Matcher of the filter.
func (f *Filter) Matcher() *Matcher { return &Matcher{filter: f} }

// Holds reports whether the filter holds on a span. Its error is a *trace.WireError.
func (m *Matcher) Holds(shell *trace.Shell, span []byte) (bool, error) {
	m.shell, m.event, m.link, m.err = shell, nonePicked, nonePicked, nil
	if err := m.span.Read(span); err != nil {
		return false, err
	}
	holds := m.filter.root.holds(m)
	m.shell = nil
	return holds && m.err == nil, m.err
}

// Span is the span that Holds was asked about last.
func (m *Matcher) Span() *trace.SpanView { return &m.span }

// note keeps the first error.
func (m *Matcher) note(err error) bool {
	if err != nil && m.err == nil {
		m.err = err
	}
	return err == nil
}

// each calls fn with each value of r, until it returns false.
func (m *Matcher) each(r *ref, fn func(trace.Value) bool) {
	if r.isAttribute {
		m.eachAttribute(r, fn)
		return
	}
	switch r.level {
	case ofSpan:
		m.spanField(r.name, fn)
	case ofResource:
		m.resourceField(r.name, fn)
	case ofScope:
		m.scopeField(r.name, fn)
	case ofEvent:
		m.eachEvent(func(e *trace.EventView) bool {
			switch r.name {
			case "name":
				return fn(ofText(e.Name))
			case "time":
				return fn(ofInt(int64(e.Time)))
			default:
				return fn(ofInt(int64(e.Time - m.span.Start)))
			}
		})
	case ofLink:
		m.eachLink(func(l *trace.LinkView) bool {
			switch r.name {
			case "traceID":
				return fn(m.id(l.TraceID))
			case "spanID":
				return fn(m.id(l.SpanID))
			default:
				return len(l.TraceState) == 0 || fn(ofText(l.TraceState))
			}
		})
	}
}

func ofText(b []byte) trace.Value { return trace.Value{Type: trace.ValueString, Text: b} }
func ofInt(n int64) trace.Value   { return trace.Value{Type: trace.ValueInt, Int: n} }

// id is an ID in hexadecimal, or empty if it is all zeros.
func (m *Matcher) id(id []byte) trace.Value {
	if isZero(id) {
		return ofText(nil)
	}
	// In a buffer of its own: it may be compared with another.
	return ofText(hex.AppendEncode(nil, id))
}

func isZero(id []byte) bool {
	for _, b := range id {
		if b != 0 {
			return false
		}
	}
	return true
}

// optional calls fn with a text that is there unless it is empty.
func optional(b []byte, fn func(trace.Value) bool) {
	if len(b) > 0 {
		fn(ofText(b))
	}
}

func (m *Matcher) spanField(name string, fn func(trace.Value) bool) {
	s := &m.span
	switch name {
	case "traceID":
		fn(m.id(s.TraceID))
	case "spanID":
		fn(m.id(s.SpanID))
	case "parentSpanID":
		if !isZero(s.ParentID) {
			fn(m.id(s.ParentID))
		}
	case "traceState":
		optional(s.TraceState, fn)
	case "name":
		fn(ofText(s.Name))
	case "kind":
		fn(ofText([]byte(s.Kind.String())))
	case "startTime":
		fn(ofInt(int64(s.Start)))
	case "endTime":
		fn(ofInt(int64(s.End)))
	case "duration":
		fn(ofInt(s.Duration()))
	case "status":
		fn(ofText([]byte(m.status())))
	case "statusMessage":
		optional(s.StatusMessage, fn)
	}
}

func (m *Matcher) status() string {
	switch {
	case m.span.Error:
		return "error"
	case m.span.OK:
		return "ok"
	}
	return "unset"
}

func (m *Matcher) resourceField(name string, fn func(trace.Value) bool) {
	if name == "service" {
		service, err := m.shell.AppendService(nil)
		if m.note(err) {
			fn(ofText(service))
		}
		return
	}
	url, _, err := m.shell.SchemaURLs()
	if m.note(err) {
		optional(url, fn)
	}
}

func (m *Matcher) scopeField(name string, fn func(trace.Value) bool) {
	if name == "schemaURL" {
		_, url, err := m.shell.SchemaURLs()
		if m.note(err) {
			optional(url, fn)
		}
		return
	}
	scope, version, err := m.shell.ScopeName()
	if name == "version" {
		scope = version
	}
	if m.note(err) {
		optional(scope, fn)
	}
}

// eachEvent calls fn with the event that is picked or, if none is, with all of them, until it returns false.
func (m *Matcher) eachEvent(fn func(*trace.EventView) bool) {
	first, behind := 0, m.span.Events()
	if m.event != nonePicked {
		first, behind = m.event, m.event+1
	}
	for i := first; i < behind; i++ {
		e, err := m.span.Event(i)
		if !m.note(err) || !fn(&e) {
			return
		}
	}
}

// eachLink is eachEvent of links.
func (m *Matcher) eachLink(fn func(*trace.LinkView) bool) {
	first, behind := 0, m.span.Links()
	if m.link != nonePicked {
		first, behind = m.link, m.link+1
	}
	for i := first; i < behind; i++ {
		l, err := m.span.Link(i)
		if !m.note(err) || !fn(&l) {
			return
		}
	}
}

// keyError is the attribute that a status stands for.
const keyError = "error"

func (m *Matcher) eachAttribute(r *ref, fn func(trace.Value) bool) {
	ended := false
	among := func(a trace.Attributes) bool {
		if !ended {
			m.note(a.Each(r.name, func(v trace.Value) bool {
				ended = !fn(v)
				return !ended
			}))
		}
		return !ended
	}
	resource, scope := m.shell.Attributes()
	switch r.level {
	case ofSpan, unqualified:
		found := false
		m.note(m.span.Attributes.Each(r.name, func(v trace.Value) bool {
			found = true
			ended = !fn(v)
			return !ended
		}))
		if !found && r.name == keyError {
			ended = !fn(trace.Value{Type: trace.ValueBool, Bool: m.span.Error})
		}
		if r.level == unqualified {
			among(resource)
		}
	case ofResource:
		among(resource)
	case ofScope:
		among(scope)
	case ofEvent:
		m.eachEvent(func(e *trace.EventView) bool { return among(e.Attributes) })
	case ofLink:
		m.eachLink(func(l *trace.LinkView) bool { return among(l.Attributes) })
	}
}
