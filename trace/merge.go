package trace

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
)

// Merge is Merger.Merge with a Merger of a pool.
func Merge(dst []byte, values ...[]byte) ([]byte, error) {
	m := mergers.Get().(*Merger)
	dst, err := m.Merge(dst, values...)
	mergers.Put(m)
	return dst, err
}

var mergers = sync.Pool{New: func() any { return new(Merger) }}

// Merger merges values of a trace. The zero Merger is ready for use; it is for one goroutine at a time and
// keeps its buffers from one merge to the next.
type Merger struct {
	scanner   scanner
	resources []mergeResource
	scopes    []mergeScope
	spans     []mergeSpan
	// Resources and scopes by their fields, spans by their bytes.
	resourceTable, scopeTable, spanTable table
	copies                               []byte // fields that do not stand together in a value
	resource, scope                      int    // of the spans that are shown
}

type mergeResource struct {
	rest        []byte
	first, last int32 // scope, counted from one
	size        int
}

type mergeScope struct {
	rest        []byte
	resource    int32
	next        int32 // scope of the resource, counted from one
	first, last int32 // span, counted from one
	size        int
}

type mergeSpan struct {
	data  []byte
	scope int32
	next  int32 // span of the scope, counted from one
}

// Merge appends to dst one value that holds every span of the given values once, and returns the extended
// buffer. Spans are the same if they, all that their ResourceSpans holds besides scopes, and all that their
// ScopeSpans holds besides spans are equal byte for byte; spans that share an ID but differ are all kept.
//
// Resources, the scopes of each and the spans of each stand in the order of their first appearance. What
// has no span is left out, and so are fields of TracesData that OTLP does not define. Merging a merge
// changes nothing; which spans there are does not depend on the order of the values.
//
// Values are not parsed below ScopeSpans. If one can't be read to there, dst is returned as it was, with
// a *WireError. dst must not overlap the values. Memory is proportional to the values.
func (m *Merger) Merge(dst []byte, values ...[]byte) ([]byte, error) {
	defer m.forget()
	m.resourceTable.reset(0)
	m.scopeTable.reset(0)
	for n, value := range values {
		if err := wireError(m.scanner.scan(value, m)); err != nil {
			return dst, fmt.Errorf("value %d of %d to be merged: %w", n+1, len(values), err)
		}
	}
	m.link()
	size := m.size()
	// Leaving out or joining anything makes the whole shorter, so a value of this size is merged already.
	if len(values) == 1 && len(values[0]) == size {
		return append(dst, values[0]...), nil
	}
	return m.write(slices.Grow(dst, size)), nil
}

// forget drops what points into the values, and the buffers after a merge of many spans.
func (m *Merger) forget() {
	if cap(m.spans) > 1<<17 || cap(m.copies) > 1<<20 {
		*m = Merger{}
		return
	}
	m.scanner.forget()
	clear(m.resources)
	clear(m.scopes)
	clear(m.spans)
	m.resources, m.scopes, m.spans, m.copies = m.resources[:0], m.scopes[:0], m.spans[:0], m.copies[:0]
}

// group finds or notes a resource and a scope.
func (m *Merger) group(resource, scope *shell, sameResource bool) (next int) {
	if !sameResource {
		m.resource = m.resourceTable.intern(hashBytes(resource.rest, 0), len(m.resources), func(n int) bool {
			return bytes.Equal(m.resources[n].rest, resource.rest)
		})
		if m.resource == len(m.resources) {
			m.resources = append(m.resources, mergeResource{rest: m.keep(resource)})
		}
	}
	m.scope = m.scopeTable.intern(hashBytes(scope.rest, m.resource), len(m.scopes), func(n int) bool {
		s := &m.scopes[n]
		return int(s.resource) == m.resource && bytes.Equal(s.rest, scope.rest)
	})
	if m.scope == len(m.scopes) {
		m.scopes = append(m.scopes, mergeScope{rest: m.keep(scope), resource: int32(m.resource)})
		number, r := int32(len(m.scopes)), &m.resources[m.resource]
		if r.last > 0 {
			m.scopes[r.last-1].next = number
		} else {
			r.first = number
		}
		r.last = number
	}
	return 0
}

// keep returns the fields of s, which stay as they are until the merge is written.
func (m *Merger) keep(s *shell) []byte {
	if !s.copied {
		return s.rest
	}
	// If the buffer moves, what was kept before stays in the old one.
	start := len(m.copies)
	m.copies = append(m.copies, s.rest...)
	return m.copies[start:len(m.copies):len(m.copies)]
}

func (m *Merger) span(b []byte, i int) (next int) {
	m.spans = append(m.spans, mergeSpan{data: b[i:], scope: int32(m.scope)})
	return len(b)
}

// link chains the spans of each scope, all but those that were seen before.
func (m *Merger) link() {
	m.spanTable.reset(len(m.spans))
	for n := range m.spans {
		span := &m.spans[n]
		found := m.spanTable.intern(hashBytes(span.data, int(span.scope)), n, func(n int) bool {
			other := &m.spans[n]
			return other.scope == span.scope && bytes.Equal(other.data, span.data)
		})
		if found != n {
			continue
		}
		number, scope := int32(n)+1, &m.scopes[span.scope]
		if scope.last > 0 {
			m.spans[scope.last-1].next = number
		} else {
			scope.first = number
		}
		scope.last = number
		scope.size += sizeField(len(span.data))
	}
}

// size returns the length of the merge, and notes that of each resource's part.
func (m *Merger) size() (total int) {
	for n := range m.scopes {
		s := &m.scopes[n]
		s.size += len(s.rest)
		m.resources[s.resource].size += sizeField(s.size)
	}
	for n := range m.resources {
		r := &m.resources[n]
		r.size += len(r.rest)
		total += sizeField(r.size)
	}
	return total
}

func (m *Merger) write(dst []byte) []byte {
	for n := range m.resources {
		r := &m.resources[n]
		dst = append(appendHeader(dst, 1, r.size), r.rest...)
		for n := r.first; n > 0; n = m.scopes[n-1].next {
			s := &m.scopes[n-1]
			dst = append(appendHeader(dst, 2, s.size), s.rest...)
			for n := s.first; n > 0; n = m.spans[n-1].next {
				span := &m.spans[n-1]
				dst = append(appendHeader(dst, 2, len(span.data)), span.data...)
			}
		}
	}
	return dst
}
