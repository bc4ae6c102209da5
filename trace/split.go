package trace

import (
	"fmt"
	"slices"
	"strings"
)

// DefaultMaxExpansion is the Splitter's MaxExpansion if none is set: 256 MiB.
const DefaultMaxExpansion = 256 << 20

// ExpansionError refuses a request whose fragments together would be too long: each repeats its spans'
// resource and scope, so a request with a long resource and many traces is many times as long when split.
type ExpansionError struct {
	// Request, Traces and Expanded are the length of the request, how many traces it holds, and about how
	// long its fragments would be; Limit is how long they may be. Lengths are in bytes.
	Request, Traces, Expanded, Limit int
}

// Error names the sizes and the way out.
func (e *ExpansionError) Error() string {
	return fmt.Sprintf("request of %d bytes has %d traces and would take %d bytes with resources repeated for each trace, "+
		"more than %d: send smaller batches or fewer resource attributes", e.Request, e.Traces, e.Expanded, e.Limit)
}

// Splitter cuts export requests into fragments by trace. The zero Splitter is ready for use; it is for one
// goroutine at a time and keeps its buffers from one request to the next.
type Splitter struct {
	// MaxExpansion is how many bytes the fragments of a request that has several traces may take together,
	// resources and scopes repeated; DefaultMaxExpansion if it is zero.
	MaxExpansion int

	check     checker
	resources splitShells
	scopes    splitShells
	spans     []splitSpan
	traces    []splitTrace
	byID      table
	out       []byte
	fragments []Fragment
	rejected  Rejected
	reasons   []string
	// plain is whether the request, if it holds one trace, is a fragment as it stands.
	plain bool
}

// splitShells are the ResourceSpans or the ScopeSpans of a request without their field 2.
type splitShells struct {
	shells []splitShell
	pieces []extent // of all shells
}

type splitShell struct {
	parent int // the scope's resource
	first  int // its first piece; it has those up to the next shell's
	size   int
}

// begin begins a shell.
func (s *splitShells) begin(parent int) {
	s.shells = append(s.shells, splitShell{parent: parent, first: len(s.pieces)})
}

// add adds a field to the shell begun last. A failed end is passed over.
func (s *splitShells) add(start, end int) {
	if end < 0 {
		return
	}
	shell := &s.shells[len(s.shells)-1]
	shell.size += end - start
	if last := len(s.pieces) - 1; last >= shell.first && s.pieces[last].end == start {
		s.pieces[last].end = end
		return
	}
	s.pieces = append(s.pieces, extent{start, end})
}

// cut removes the shells from number n on.
func (s *splitShells) cut(n int) {
	if n < len(s.shells) {
		s.pieces = s.pieces[:s.shells[n].first]
		s.shells = s.shells[:n]
	}
}

// append appends the fields of shell n.
func (s *splitShells) append(dst, request []byte, n int) []byte {
	end := len(s.pieces)
	if n+1 < len(s.shells) {
		end = s.shells[n+1].first
	}
	for _, p := range s.pieces[s.shells[n].first:end] {
		dst = append(dst, request[p.start:p.end]...)
	}
	return dst
}

type splitSpan struct {
	extent // tag and length included
	idAt   extent
	id     ID // of the trace
	scope  int32
	next   int32 // the trace's next span, counted from one; zero behind the last
}

type splitTrace struct {
	id          ID
	first, last int32
	spans       int
}

// Split cuts request, an ExportTraceServiceRequest, into fragments: one for each trace that it has spans
// of, in order of first appearance. A fragment holds the trace's spans byte for byte and in their order,
// each below a copy of all that its ResourceSpans and its ScopeSpans hold besides spans. Fields of the
// request itself that OTLP does not define are dropped.
//
// A request with bytes that are not OTLP is refused whole with a *WireError; one whose fragments would be
// too long, with an *ExpansionError. Spans that are OTLP but can't be stored are left out, counted and
// named in Rejected: those with IDs of wrong length or zero, with strings that are not UTF-8, or with
// attribute values nested more than 64 deep, be it in the span, its resource or its scope.
//
// The fragments are valid until the next Split and until the request is modified: a request of a single
// trace is not copied if it is a fragment as it stands.
func (s *Splitter) Split(request []byte) ([]Fragment, Rejected, error) {
	s.reset(len(request))
	if err := wireError(s.read(request)); err != nil {
		return nil, Rejected{}, err
	}
	total := s.sort()
	if limit := s.limit(); len(s.traces) > 1 && total > limit {
		return nil, Rejected{}, &ExpansionError{len(request), len(s.traces), total, limit}
	}
	s.describe()
	if len(s.traces) == 1 && s.plain {
		s.fragments = append(s.fragments, Fragment{s.traces[0].id, s.traces[0].spans, request})
		return s.fragments, s.rejected, nil
	}
	s.out = slices.Grow(s.out[:0], total)
	for i := range s.traces {
		t := &s.traces[i]
		start := len(s.out)
		s.write(request, t)
		s.fragments = append(s.fragments, Fragment{t.id, t.spans, s.out[start:len(s.out):len(s.out)]})
	}
	return s.fragments, s.rejected, nil
}

// keptBuffer is the length of output up to which a Splitter keeps its buffers whatever comes next.
const keptBuffer = 4 << 20

func (s *Splitter) reset(request int) {
	if cap(s.out) > keptBuffer && request < cap(s.out)/16 {
		*s = Splitter{MaxExpansion: s.MaxExpansion}
	}
	s.resources.cut(0)
	s.scopes.cut(0)
	s.spans, s.traces, s.fragments = s.spans[:0], s.traces[:0], s.fragments[:0]
	s.rejected, s.reasons = Rejected{}, s.reasons[:0]
	s.plain = true
}

func (s *Splitter) limit() int {
	if s.MaxExpansion > 0 {
		return s.MaxExpansion
	}
	return DefaultMaxExpansion
}

// read notes the request's spans, scopes and resources.
func (s *Splitter) read(b []byte) (next int) {
	i := 0
	for uint(i) < uint(len(b)) {
		var tag uint32
		tag, i = readTag(b, i)
		if tag != 1<<3|typeLen {
			i = skipOther(b, i, tag, knownInList)
			s.plain = false
			continue
		}
		i = s.readResource(b, i)
	}
	return i
}

// readResource reads a ResourceSpans, length first.
func (s *Splitter) readResource(b []byte, i int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	spans, scopes, number := len(s.spans), len(s.scopes.shells), len(s.resources.shells)
	rejection := ""
	s.resources.begin(0)
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		at := i
		tag, i = readTag(b, i)
		s.check.problem = ""
		switch tag {
		case 2<<3 | typeLen:
			i = s.readScope(b, i, number)
			continue
		case 1<<3 | typeLen:
			i = s.check.resource(b, i)
		case 3<<3 | typeLen:
			i = s.check.text(b, i, "schema URL is not valid UTF-8")
		default:
			i = skipOther(b, i, tag, knownInGroup)
		}
		s.resources.add(at, i)
		if rejection == "" && s.check.problem != "" {
			rejection = "resource: " + s.check.problem
		}
	}
	if i < 0 {
		return i
	}
	if rejection != "" {
		s.rejectFrom(b, spans, rejection)
	}
	if len(s.spans) == spans {
		s.plain = false
		s.scopes.cut(scopes)
		s.resources.cut(number)
	}
	return i
}

// readScope reads a ScopeSpans, length first.
func (s *Splitter) readScope(b []byte, i, resource int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	spans, number := len(s.spans), len(s.scopes.shells)
	rejection := ""
	s.scopes.begin(resource)
	for b = b[:end]; uint(i) < uint(len(b)); {
		var tag uint32
		at := i
		tag, i = readTag(b, i)
		s.check.problem = ""
		switch tag {
		case 2<<3 | typeLen:
			i = s.readSpan(b, i, at, number)
			continue
		case 1<<3 | typeLen:
			i = s.check.scope(b, i)
		case 3<<3 | typeLen:
			i = s.check.text(b, i, "schema URL is not valid UTF-8")
		default:
			i = skipOther(b, i, tag, knownInGroup)
		}
		s.scopes.add(at, i)
		if rejection == "" && s.check.problem != "" {
			rejection = "scope: " + s.check.problem
		}
	}
	if i < 0 {
		return i
	}
	if rejection != "" {
		s.rejectFrom(b, spans, rejection)
	}
	if len(s.spans) == spans {
		s.plain = false
		s.scopes.cut(number)
	}
	return i
}

// readSpan reads a span, length first; its field begins at field.
func (s *Splitter) readSpan(b []byte, i, field, scope int) (next int) {
	i, end := readLen(b, i)
	if end < 0 {
		return end
	}
	b = b[:end]
	if i = s.check.span(b, i); i < 0 {
		return i
	}
	span := splitSpan{extent: extent{field, end}, idAt: s.check.spanID, scope: int32(scope)}
	if s.check.problem != "" {
		s.reject(b, &span, s.check.problem)
		return i
	}
	span.id = ID(s.check.traceID.of(b))
	s.spans = append(s.spans, span)
	return i
}

// namedRejections is how many refused spans a request's answer names.
const namedRejections = 3

// reject counts a refused span and, if it is one of the first, names it.
func (s *Splitter) reject(b []byte, span *splitSpan, problem string) {
	s.plain = false
	if s.rejected.Spans++; s.rejected.Spans > namedRejections {
		return
	}
	id := span.idAt.of(b)
	name := "without ID"
	switch n := len(id); {
	case n > 16:
		name = fmt.Sprintf("%x... (%d bytes)", id[:16], n)
	case n > 0:
		name = fmt.Sprintf("%x", id)
	}
	s.reasons = append(s.reasons, fmt.Sprintf("span %s: %s", name, problem))
}

// rejectFrom refuses the spans read last, those from number first on, for a problem they share.
func (s *Splitter) rejectFrom(b []byte, first int, problem string) {
	for n := first; n < len(s.spans); n++ {
		s.reject(b, &s.spans[n], problem)
	}
	s.spans = s.spans[:first]
}

// describe writes the reason of the rejections.
func (s *Splitter) describe() {
	if s.rejected.Spans == 0 {
		return
	}
	if more := s.rejected.Spans - len(s.reasons); more > 0 {
		s.reasons = append(s.reasons, fmt.Sprintf("and %d more", more))
	}
	s.rejected.Reason = strings.Join(s.reasons, "; ")
}

// sort lists the traces and the spans of each, and returns how many bytes the fragments take at most.
func (s *Splitter) sort() (total int) {
	s.byID.reset(len(s.spans))
	current := -1
	for n := range s.spans {
		span := &s.spans[n]
		if current < 0 || s.traces[current].id != span.id {
			current = s.trace(span.id)
		}
		t := &s.traces[current]
		total += span.end - span.start
		before := -1 // the scope of the trace's span before this one
		if t.spans > 0 {
			last := &s.spans[t.last]
			last.next, before = int32(n)+1, int(last.scope)
		} else {
			t.first = int32(n)
		}
		t.last = int32(n)
		t.spans++
		if scope := int(span.scope); scope != before {
			shell := &s.scopes.shells[scope]
			total += shell.size + maxHeader
			if before < 0 || s.scopes.shells[before].parent != shell.parent {
				total += s.resources.shells[shell.parent].size + maxHeader
			}
		}
	}
	return total
}

// trace returns the number of the trace with the given ID, a new one if there is none yet.
func (s *Splitter) trace(id ID) int {
	hash := hashWords(load64(id[:]), load64(id[8:]))
	n := s.byID.intern(hash, len(s.traces), func(n int) bool { return s.traces[n].id == id })
	if n == len(s.traces) {
		s.traces = append(s.traces, splitTrace{id: id})
	}
	return n
}

// write appends the trace's fragment to the output.
func (s *Splitter) write(request []byte, t *splitTrace) {
	for n := t.first + 1; n > 0; {
		resource := s.scopes.shells[s.spans[n-1].scope].parent
		size, after := s.sizeBelow(n, resource)
		s.out = appendHeader(s.out, 1, s.resources.shells[resource].size+size)
		s.out = s.resources.append(s.out, request, resource)
		for n != after {
			scope := s.spans[n-1].scope
			size, behind := s.sizeOfScope(n)
			s.out = appendHeader(s.out, 2, size)
			s.out = s.scopes.append(s.out, request, int(scope))
			for n != behind {
				n = s.writeRun(request, n)
			}
		}
	}
}

// writeRun appends span n, which counts from one, and those that stand behind it in trace and request
// alike, and returns the span that comes next in the trace.
func (s *Splitter) writeRun(request []byte, n int32) (next int32) {
	span := &s.spans[n-1]
	run := span.extent
	for next = span.next; next > 0; next = span.next {
		// Spans of two scopes never adjoin: the second scope's tag is between them.
		if span = &s.spans[next-1]; span.start != run.end {
			break
		}
		run.end = span.end
	}
	s.out = append(s.out, request[run.start:run.end]...)
	return next
}

// sizeOfScope returns the length of the ScopeSpans that begins with span n of a trace, and the trace's
// first span behind it.
func (s *Splitter) sizeOfScope(n int32) (size int, next int32) {
	scope := s.spans[n-1].scope
	size = s.scopes.shells[scope].size
	for n > 0 && s.spans[n-1].scope == scope {
		span := &s.spans[n-1]
		size += span.end - span.start
		n = span.next
	}
	return size, n
}

// sizeBelow returns the length of the ScopeSpans fields of the ResourceSpans that begins with span n of a
// trace, and the trace's first span behind it.
func (s *Splitter) sizeBelow(n int32, resource int) (size int, next int32) {
	for n > 0 && s.scopes.shells[s.spans[n-1].scope].parent == resource {
		var inner int
		inner, n = s.sizeOfScope(n)
		size += sizeField(inner)
	}
	return size, n
}
