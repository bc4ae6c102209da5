package trace

import (
	"slices"
	"sync"
)

// Walk calls fn for each span of data, in order, with the bytes of its Resource, its InstrumentationScope
// and its Span message (of a resource or scope given in several parts, with their concatenation, which
// protobuf takes as one message; empty if there is none). Spans below one resource are given the same
// slice of it, so a caller may decode it once: it is another resource if it begins at another address or
// has another length. An error of fn ends the walk and is returned as it is; bytes that are not OTLP end it
// with a *WireError. The insides of the three messages are not looked at.
//
// The slices are valid during the call. They must not be modified.
func Walk(data []byte, fn func(resource, scope, span []byte) error) error {
	w := walkers.Get().(*walker)
	w.fn = fn
	next := w.scanner.scan(data, w)
	err := w.err
	w.scanner.forget()
	*w = walker{scanner: w.scanner}
	walkers.Put(w)
	if err != nil {
		return err
	}
	return wireError(next)
}

var walkers = sync.Pool{New: func() any { return new(walker) }}

// walker is the visitor of Walk.
type walker struct {
	scanner         scanner
	fn              func(resource, scope, span []byte) error
	resource, scope []byte
	err             error
}

func (w *walker) group(resource, scope *shell, _ bool) (next int) {
	w.resource, w.scope = resource.head, scope.head
	return 0
}

func (w *walker) span(b []byte, i int) (next int) {
	if w.err = w.fn(w.resource, w.scope, b[i:]); w.err != nil {
		return fail(i, faultStopped)
	}
	return len(b)
}

// Spans returns the number of spans in data, or a *WireError.
func Spans(data []byte) (int, error) {
	n := 0
	next := eachOf(data, 0, 1, func(b []byte, i int) int {
		return eachOf(b, i, 2, func(b []byte, i int) int {
			return eachOf(b, i, 2, func(b []byte, _ int) int {
				n++
				return len(b)
			})
		})
	})
	if err := wireError(next); err != nil {
		return 0, err
	}
	return n, nil
}

// eachOf calls fn for each field of the message b[i:] that has the given number and is a message, until fn
// fails. Other fields are skipped.
func eachOf(b []byte, i int, number uint32, fn func(b []byte, i int) (next int)) (next int) {
	for uint(i) < uint(len(b)) {
		var tag uint32
		if tag, i = readTag(b, i); tag != number<<3|typeLen {
			i = skipOther(b, i, tag, 1<<number)
			continue
		}
		var end int
		if i, end = readLen(b, i); end < 0 {
			return end
		}
		if next := fn(b[:end], i); next < 0 {
			return next
		}
		i = end
	}
	return i
}

// visitor is shown the groups of spans of a value, those that share a resource and a scope, and after each
// its spans. What it returns is a position: a failed one ends the scan.
type visitor interface {
	// group shows a group that has spans. sameResource tells that it has the same ResourceSpans as the
	// group before.
	group(resource, scope *shell, sameResource bool) (next int)
	// span shows the span b[i:].
	span(b []byte, i int) (next int)
}

// scanner shows values to visitors.
type scanner struct{ resource, scope shell }

// scan shows data to v and returns its end or a failed position.
func (sc *scanner) scan(data []byte, v visitor) (next int) {
	return eachOf(data, 0, 1, func(b []byte, i int) int {
		if next := sc.resource.read(b, i); next < 0 {
			return next
		}
		same := false
		return eachOf(b, i, 2, func(b []byte, i int) int {
			next := sc.scope.read(b, i)
			if next < 0 || sc.scope.children == 0 {
				return next
			}
			if next := v.group(&sc.resource, &sc.scope, same); next < 0 {
				return next
			}
			same = true
			// A closure stays on the stack, where v.span would not.
			return eachOf(b, i, 2, func(b []byte, i int) int { return v.span(b, i) })
		})
	})
}

// shell is what a ResourceSpans or a ScopeSpans message holds besides its field 2. Its slices are views
// into the message where that is possible; else rest is in a buffer that the next read overwrites, and head
// in one of its own.
type shell struct {
	rest     []byte // all fields but field 2, with their tags, in their order
	head     []byte // field 1: the Resource or InstrumentationScope message
	children int    // how often field 2 occurs
	// copied tells that rest is in restCopy.
	copied   bool
	restCopy []byte
}

// read reads the message b[i:] but not what its field 2 holds.
func (s *shell) read(b []byte, i int) (next int) {
	s.rest, s.head, s.children, s.copied = nil, nil, 0, false
	var run, head extent // of the fields that stand together last; of the last field 1
	runs, heads := 0, 0
	var joined []byte // the field 1s, if there are several
	for uint(i) < uint(len(b)) {
		var tag uint32
		var start int
		at := i
		tag, i = readTag(b, i)
		switch tag {
		case 2<<3 | typeLen:
			s.children++
			_, i = readLen(b, i)
			continue
		case 1<<3 | typeLen:
			if start, i = readLen(b, i); i < 0 {
				return i
			}
			if heads++; heads == 2 { // in a new buffer, since Walk promises a new address
				joined = slices.Clone(head.of(b))
			}
			if head = (extent{start, i}); heads >= 2 {
				joined = append(joined, head.of(b)...)
			}
		case 3<<3 | typeLen:
			_, i = readLen(b, i)
		default:
			i = skipOther(b, i, tag, knownInGroup)
		}
		if i < 0 {
			return i
		}
		switch {
		case runs == 0:
			run, runs = extent{at, i}, 1
		case run.end == at:
			run.end = i
		default:
			if runs == 1 {
				s.restCopy = s.restCopy[:0]
			}
			s.restCopy = append(s.restCopy, run.of(b)...)
			run = extent{at, i}
			runs++
		}
	}
	s.rest, s.head = run.of(b), head.of(b)
	if runs > 1 {
		s.restCopy = append(s.restCopy, run.of(b)...)
		s.rest, s.copied = s.restCopy, true
	}
	if heads > 1 {
		s.head = joined
	}
	return i
}

// forget drops what points into the data, and long buffers.
func (sc *scanner) forget() {
	for _, s := range []*shell{&sc.resource, &sc.scope} {
		s.rest, s.head = nil, nil
		if cap(s.restCopy) > 1<<20 {
			*s = shell{}
		}
	}
}
