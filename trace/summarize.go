package trace

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// summarizer is the visitor of AppendSummary.
type summarizer struct {
	scanner  scanner
	services []summaryService
	names    []byte // of the services
	spans    []summarySpan
	byName   table
	byID     table
	service  int    // of the spans that are shown
	shells   uint64 // hash of their resource and scope
	head     summaryHead

	order []int32 // services in order of name
	edges []summaryEdge
	open  []summaryEdge
	ends  []summaryEnd
	stack []int32
}

// summaryHead is what a summary says of all spans together.
type summaryHead struct {
	start, end  int64
	flags       byte
	rootService int // its rank; -1 if there are no spans
	rootName    []byte
	content     uint32 // sum of the hashes of spans
}

type summaryService struct {
	name          extent // in names
	rank          int    // in order of name
	spans, errors int
}

type summarySpan struct {
	id, parent uint64 // big endian, so that they sort as their bytes; zero if there is none
	start, end int64
	name       []byte
	service    int32
	kind       Kind
	database   bool  // it calls one
	above      int32 // the span that is the parent, -1 if it is not in the data
	children   int32
}

// summaryEdge counts calls: from is the rank of a service or, of an open parent, the parent's ID.
type summaryEdge struct {
	from  uint64
	child int
	calls uint64
}

func (s *summarizer) forget() {
	if cap(s.spans) > 1<<16 || cap(s.names) > 1<<20 {
		*s = summarizer{}
		return
	}
	s.scanner.forget()
	clear(s.spans)
	s.services, s.names, s.spans = s.services[:0], s.names[:0], s.spans[:0]
	s.order, s.edges, s.open, s.ends = s.order[:0], s.edges[:0], s.open[:0], s.ends[:0]
	s.head = summaryHead{}
}

func (s *summarizer) group(resource, scope *shell, sameResource bool) (next int) {
	s.shells = xxhash.Sum64(resource.rest) + 3*xxhash.Sum64(scope.rest)
	if sameResource {
		return 0
	}
	start := len(s.names)
	value, found, next := findService(resource.head)
	switch {
	case next < 0:
		return next
	case !found:
		s.names = append(s.names, ServiceUnknown...)
	default:
		if s.names, next = value.appendText(s.names); next < 0 {
			return next
		}
	}
	s.service = s.numberService(start)
	return 0
}

// numberService returns the number of the service whose name has been appended to names from start on.
func (s *summarizer) numberService(start int) int {
	if len(s.services) == 0 {
		s.byName.reset(0)
	}
	name := extent{start, len(s.names)}
	number := s.byName.intern(hashBytes(name.of(s.names), 0), len(s.services), func(n int) bool {
		return bytes.Equal(s.services[n].name.of(s.names), name.of(s.names))
	})
	if number == len(s.services) {
		s.services = append(s.services, summaryService{name: name})
	} else {
		s.names = s.names[:start]
	}
	return number
}

func (s *summarizer) span(b []byte, i int) (next int) {
	span := summarySpan{service: int32(s.service)}
	s.head.content += contentOf(s.shells, b[i:])
	var start, end, code, kind uint64
	var message extent
	failed := false
	for uint(i) < uint(len(b)) {
		var tag uint32
		var from int
		tag, i = readTag(b, i)
		switch tag {
		case 2<<3 | typeLen:
			span.id, i = readID(b, i)
		case 4<<3 | typeLen:
			span.parent, i = readID(b, i)
		case 5<<3 | typeLen:
			if from, i = readLen(b, i); i >= 0 {
				span.name = b[from:i]
			}
		case 6<<3 | typeVarint:
			kind, i = readVarint(b, i)
		case 7<<3 | typeFixed64:
			start, i = readFixed64(b, i)
		case 8<<3 | typeFixed64:
			end, i = readFixed64(b, i)
		case 9<<3 | typeLen:
			if from, i = readLen(b, i); i >= 0 {
				tells, next := tellingAttribute(b[:i], from)
				if next < 0 {
					return next
				}
				failed = failed || tells == tellsError
				span.database = span.database || tells == tellsDatabase
			}
		case 15<<3 | typeLen:
			if from, i = readLen(b, i); i >= 0 {
				if code, message, from = readStatus(b[:i], from, code, message); from < 0 {
					return from
				}
			}
		default:
			i = skipOther(b, i, tag, 1<<2|1<<4|1<<5|1<<6|1<<7|1<<8|1<<9|1<<15)
		}
	}
	if i < 0 {
		return i
	}
	span.start, span.end, span.kind = int64(start), int64(end), Kind(kind)
	s.spans = append(s.spans, span)
	service := &s.services[s.service]
	service.spans++
	if failed || code == statusError {
		service.errors++
	}
	return i
}

// readID reads a span ID; zero if it has not eight bytes.
func readID(b []byte, i int) (id uint64, next int) {
	start, end := readLen(b, i)
	if end < 0 || end-start != 8 {
		return 0, end
	}
	return binary.BigEndian.Uint64(b[start:end]), end
}

// What an attribute tells.
const (
	tellsNothing  = iota
	tellsError    // that the span failed, as Jaeger's tag does
	tellsDatabase // that what the span calls is a database
)

// tellingAttribute tells what the attribute b[i:] tells.
func tellingAttribute(b []byte, i int) (tells, next int) {
	if key, value, ok := plainString(b, i); ok {
		switch {
		case string(key) == "error" && string(value) == "true":
			return tellsError, len(b)
		case len(key) >= len(keyDatabase) && string(key[:len(keyDatabase)]) == keyDatabase:
			return tellsDatabase, len(b)
		}
		return tellsNothing, len(b)
	}
	key, r, next := readKeyValue(b, i)
	if next < 0 || string(key) != "error" {
		return tellsNothing, next
	}
	if v, next := readAnyValue(r.b, r.i); next < 0 || v.isTrue() {
		return tellsError, next
	}
	return tellsNothing, next
}

// keyDatabase begins the keys db.system and, later, db.system.name.
const keyDatabase = "db.system"

// contentOf hashes a span, with what its resource and scope are.
func contentOf(shells uint64, span []byte) uint32 {
	h := (xxhash.Sum64(span) ^ shells) * 0x9e3779b97f4a7c15
	return uint32(h >> 32)
}

// append appends the summary of what was shown.
func (s *summarizer) append(dst []byte) []byte {
	s.rank()
	h := &s.head
	root, hasRoot := s.connect()
	h.rootService = -1
	if root != nil {
		h.start, h.end = s.spans[0].start, s.spans[0].end
		h.rootService, h.rootName = s.services[root.service].rank, root.name
	}
	for n := range s.spans {
		h.start, h.end = min(h.start, s.spans[n].start), max(h.end, s.spans[n].end)
	}
	if hasRoot {
		h.flags |= flagRoot
	}
	if s.knotted() {
		h.flags |= flagKnotted
	} else {
		s.findEnds()
	}
	return s.write(dst)
}

// write appends what was found.
func (s *summarizer) write(dst []byte) []byte {
	h := &s.head
	dst = append(dst, summaryVersion, h.flags)
	dst = binary.AppendVarint(dst, h.start)
	dst = binary.AppendVarint(dst, h.end-h.start)
	dst = binary.AppendUvarint(dst, uint64(len(s.order)))
	for _, n := range s.order {
		service := &s.services[n]
		dst = appendString(dst, service.name.of(s.names))
		dst = binary.AppendUvarint(dst, uint64(service.spans))
		dst = binary.AppendUvarint(dst, uint64(service.errors))
	}
	if h.rootService >= 0 {
		dst = binary.AppendUvarint(dst, uint64(h.rootService))
		dst = appendString(dst, h.rootName)
	}
	s.edges = addUp(s.edges)
	dst = binary.AppendUvarint(dst, uint64(len(s.edges)))
	for _, e := range s.edges {
		dst = binary.AppendUvarint(dst, e.from)
		dst = binary.AppendUvarint(dst, uint64(e.child))
		dst = binary.AppendUvarint(dst, e.calls)
	}
	s.open = addUp(s.open)
	dst = binary.AppendUvarint(dst, uint64(len(s.open)))
	for _, e := range s.open {
		dst = binary.BigEndian.AppendUint64(dst, e.from)
		dst = binary.AppendUvarint(dst, uint64(e.child))
		dst = binary.AppendUvarint(dst, e.calls)
	}
	dst = binary.LittleEndian.AppendUint32(dst, h.content)
	slices.SortFunc(s.ends, compareEnds)
	ends := s.ends
	for rank := range s.order {
		n := 0
		for n < len(ends) && int(ends[n].service) == rank {
			n++
		}
		dst = binary.AppendUvarint(dst, uint64(n))
		for _, e := range ends[:n] {
			dst = binary.LittleEndian.AppendUint32(dst, e.tag)
		}
		ends = ends[n:]
	}
	return dst
}

func appendString(dst, s []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// rank puts the services in order.
func (s *summarizer) rank() {
	for n := range s.services {
		s.order = append(s.order, int32(n))
	}
	slices.SortFunc(s.order, func(a, b int32) int {
		return bytes.Compare(s.services[a].name.of(s.names), s.services[b].name.of(s.names))
	})
	for rank, n := range s.order {
		s.services[n].rank = rank
	}
}

// connect finds each span's parent, notes edges and open parents, and returns the root.
func (s *summarizer) connect() (root *summarySpan, hasRoot bool) {
	s.byID.reset(len(s.spans))
	for n := range s.spans {
		id := s.spans[n].id
		first := s.byID.intern(hashWords(id, 0), n, func(n int) bool { return s.spans[n].id == id })
		if first != n || id == 0 {
			s.head.flags |= flagKnotted
		}
	}
	const (
		ordinary = iota
		orphan
		parentless
	)
	best := -1 // what the root is of these
	for n := range s.spans {
		span := &s.spans[n]
		is := ordinary
		span.above = -1
		if span.parent == 0 {
			is = parentless
		} else {
			parent := s.byID.find(hashWords(span.parent, 0), func(n int) bool { return s.spans[n].id == span.parent })
			child := s.services[span.service].rank
			if parent >= 0 {
				span.above = int32(parent)
				s.spans[parent].children++
			}
			switch {
			case parent < 0:
				is = orphan
				s.open = append(s.open, summaryEdge{span.parent, child, 1})
			case s.spans[parent].service != span.service:
				from := s.services[s.spans[parent].service].rank
				s.edges = append(s.edges, summaryEdge{uint64(from), child, 1})
			}
		}
		if is > best || is == best && s.before(span, root) {
			root, best = span, is
		}
	}
	return root, best == parentless
}

// knotted reports whether spans share an ID or are their own ancestors, after connect.
func (s *summarizer) knotted() bool {
	if s.head.flags&flagKnotted != 0 {
		return true
	}
	// Spans without children go, and then those that have none left, until only circles are.
	left := len(s.spans)
	s.stack = s.stack[:0]
	for n := range s.spans {
		if s.spans[n].children == 0 {
			s.stack = append(s.stack, int32(n))
		}
		s.spans[n].children <<= 1 // the lowest bit is to tell that there were some
		if s.spans[n].children != 0 {
			s.spans[n].children |= 1
		}
	}
	for len(s.stack) > 0 {
		n := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		left--
		if above := s.spans[n].above; above >= 0 {
			if s.spans[above].children -= 2; s.spans[above].children == 1 {
				s.stack = append(s.stack, above)
			}
		}
	}
	return left > 0
}

// findEnds notes the loose ends, after knotted.
func (s *summarizer) findEnds() {
	for n := range s.spans {
		if span := &s.spans[n]; span.children == 0 && !span.database && (span.kind == KindClient || span.kind == KindProducer) {
			s.ends = append(s.ends, summaryEnd{int32(s.services[span.service].rank), endTag(span.id)})
		}
	}
}

// summaryEnd is a loose end: a span that calls another process, but no database, which hardly ever sends spans, without children. service is the rank of its service.
type summaryEnd struct {
	service int32
	tag     uint32
}

// endTag is what a summary keeps of the ID of a loose end, as a big-endian number.
func endTag(id uint64) uint32 { return uint32(id) ^ uint32(id>>32) }

func compareEnds(a, b summaryEnd) int {
	return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.tag, b.tag))
}

// before reports whether a is to be the root rather than b: it started earlier. Ties are broken in a way
// that does not depend on the order of spans.
func (s *summarizer) before(a, b *summarySpan) bool {
	if c := cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.id, b.id)); c != 0 {
		return c < 0
	}
	return cmp.Or(cmp.Compare(s.services[a.service].rank, s.services[b.service].rank), bytes.Compare(a.name, b.name)) < 0
}

// addUp sorts edges and adds up the calls of equal ones.
func addUp(edges []summaryEdge) []summaryEdge {
	slices.SortFunc(edges, func(a, b summaryEdge) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.child, b.child))
	})
	n := 0
	for _, e := range edges {
		if n > 0 && edges[n-1].from == e.from && edges[n-1].child == e.child {
			edges[n-1].calls += e.calls
			continue
		}
		edges[n] = e
		n++
	}
	return edges[:n]
}
