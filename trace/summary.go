package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// Summary is what a list of traces shows of one, and what the dependency graph counts of it.
type Summary struct {
	// Start is the earliest start of a span and End the latest end, in Unix nanoseconds.
	Start, End int64
	// RootService and RootName are those of the trace's root: of the spans without parent the one that
	// starts first; if there is none, of those whose parent is not in the data; if there is none, of all.
	RootService, RootName string
	// HasRoot is whether the root is a span without parent.
	HasRoot bool
	// Spans is the number of spans, and Errors that of spans with status ERROR or an attribute error=true.
	Spans, Errors int
	// Services tells of each service that the spans are of, sorted by name.
	Services []ServiceSummary
	// Edges counts calls between services, sorted by Parent and Child.
	Edges []Edge
	// OpenParents are the parents that are not in the data, sorted by SpanID and Child: another piece of
	// the trace may hold them.
	OpenParents []OpenParent
}

// ServiceSummary counts the spans of one service.
type ServiceSummary struct {
	Service       string
	Spans, Errors int
}

// Edge counts the spans of Child whose parent is a span of Parent, another service. Of several spans that
// share an ID, the first is the parent.
type Edge struct {
	Parent, Child string
	Calls         uint64
}

// OpenParent counts the spans of Child whose parent is the span SpanID, which is not in the data.
type OpenParent struct {
	SpanID [8]byte
	Child  string
	Calls  uint64
}

// Summarize returns the summary of data, a whole trace or a piece of it. It returns a *WireError for bytes
// that are not OTLP.
func Summarize(data []byte) (Summary, error) {
	b, err := AppendSummary(nil, data)
	if err != nil {
		return Summary{}, err
	}
	return ParseSummary(b)
}

// AppendSummary appends the summary of data in the form that ParseSummary reads. If data is not OTLP, it
// returns dst as it was and a *WireError. It does not depend on the order of resources, scopes and spans as long as no two spans share an ID,
// and two merged values of a trace (see Merge) with equal summaries have the same spans.
func AppendSummary(dst, data []byte) ([]byte, error) {
	s := summarizers.Get().(*summarizer)
	defer func() {
		s.forget()
		summarizers.Put(s)
	}()
	if err := wireError(s.scanner.scan(data, s)); err != nil {
		return dst, err
	}
	return s.append(dst), nil
}

var summarizers = sync.Pool{New: func() any { return new(summarizer) }}

// The form of a summary. Numbers are uvarints unless said otherwise; a string is its length and its bytes; a
// service is its number in the list of services.
//
//	version             byte, summaryVersion
//	flags               byte, flagRoot
//	start, duration     zigzag varints of Start and of End-Start
//	n, n services       string, spans, errors; in ascending order of the string
//	root service, name  service, string; absent if there are no services
//	n, n edges          parent, child, calls; in ascending order of parent and child
//	n, n open parents   8 bytes, child, calls; in ascending order of ID and child
//	content             4 bytes, little endian: the sum of a hash of each span (contentOf)
//	loose ends          for each service: n, n × 4 bytes, little endian, ascending
//
// A loose end is a span of kind client or producer that is no parent in the data and has no attribute that names a database (keyDatabase); it is told by its ID's halves, as numbers of most
// significant byte first, xored. Content and loose ends make it possible to join summaries of pieces (see JoinSummaries). A summary is knotted
// if two of its spans share an ID, one has none, or one is its own ancestor; it has no loose ends then.
const (
	summaryVersion = 1
	flagRoot       = 1
	flagKnotted    = 2
)

// ErrSummary is the error of ParseSummary for bytes that are no summary, or of a later version.
var ErrSummary = errors.New("damaged trace summary")

// ParseSummary reads what AppendSummary appends, to the last byte. Its errors are ErrSummary. It allocates
// in proportion to the length of b.
func ParseSummary(b []byte) (Summary, error) {
	r := summaryReader{b: b}
	s := r.summary()
	r.joints(len(s.Services), nil)
	if err := r.end(); err != nil {
		return Summary{}, err
	}
	return s, nil
}

// SummaryStart returns the earliest start of a span that a summary tells, of which it reads no more than that. Its error is ErrSummary.
func SummaryStart(summary []byte) (start int64, err error) {
	r := summaryReader{b: summary}
	if _, start, _ = r.header(); r.what != "" {
		return 0, r.end()
	}
	return start, nil
}

// summaryReader reads a summary; after the first fault it reads zeros.
type summaryReader struct {
	b    []byte
	i    int
	what string
}

func (r *summaryReader) fail(what string) {
	if r.what == "" {
		r.what = what
	}
}

// end returns what was wrong.
func (r *summaryReader) end() error {
	if r.what == "" && r.i != len(r.b) {
		r.fail("bytes follow")
	}
	if r.what == "" {
		return nil
	}
	return fmt.Errorf("%w: at byte %d of %d: %s", ErrSummary, r.i, len(r.b), r.what)
}

// header reads flags and times.
func (r *summaryReader) header() (flags byte, start, duration int64) {
	if version := r.byte(); version != summaryVersion {
		r.fail(fmt.Sprintf("version %d, while this program knows %d", version, summaryVersion))
	}
	if flags = r.byte(); flags&^(flagRoot|flagKnotted) != 0 {
		r.fail("unknown flags")
	}
	return flags, r.zigzag(), r.zigzag()
}

func (r *summaryReader) summary() (s Summary) {
	flags, start, duration := r.header()
	s.HasRoot = flags&flagRoot != 0
	s.Start, s.End = start, start+duration
	n := r.count(3)
	s.Services = slices.Grow(s.Services, n)
	for ; n > 0 && r.what == ""; n-- {
		service := ServiceSummary{r.string(), r.number(), r.number()}
		if n := len(s.Services); n > 0 && s.Services[n-1].Service >= service.Service {
			r.fail("services out of order")
		}
		if service.Spans > math.MaxInt-s.Spans || service.Errors > service.Spans {
			r.fail("impossible number of spans")
			return s
		}
		s.Services = append(s.Services, service)
		s.Spans += service.Spans
		s.Errors += service.Errors
	}
	if len(s.Services) > 0 {
		s.RootService, s.RootName = r.service(&s), r.string()
	}
	n = r.count(3)
	s.Edges = slices.Grow(s.Edges, n)
	for ; n > 0 && r.what == ""; n-- {
		s.Edges = append(s.Edges, Edge{r.service(&s), r.service(&s), r.uvarint()})
	}
	n = r.count(10)
	s.OpenParents = slices.Grow(s.OpenParents, n)
	for ; n > 0 && r.what == ""; n-- {
		s.OpenParents = append(s.OpenParents, OpenParent{r.id(), r.service(&s), r.uvarint()})
	}
	return s
}

// joints reads what summaries are joined by, and calls fn, if it is not nil, with each loose end.
func (r *summaryReader) joints(services int, fn func(summaryEnd)) (content uint32) {
	content = r.uint32()
	for service := range services {
		n := r.count(4)
		for last := int64(-1); n > 0 && r.what == ""; n-- {
			tag := r.uint32()
			if int64(tag) < last {
				r.fail("loose ends out of order")
			}
			last = int64(tag)
			if fn != nil {
				fn(summaryEnd{int32(service), tag})
			}
		}
	}
	return content
}

func (r *summaryReader) uint32() uint32 {
	if r.what != "" || len(r.b)-r.i < 4 {
		r.fail("ends too early")
		return 0
	}
	r.i += 4
	return binary.LittleEndian.Uint32(r.b[r.i-4:])
}

func (r *summaryReader) byte() byte {
	if r.what != "" || r.i == len(r.b) {
		r.fail("ends too early")
		return 0
	}
	r.i++
	return r.b[r.i-1]
}

func (r *summaryReader) id() (id [8]byte) {
	if r.what != "" || len(r.b)-r.i < len(id) {
		r.fail("ends too early")
		return id
	}
	r.i += copy(id[:], r.b[r.i:])
	return id
}

func (r *summaryReader) uvarint() uint64 {
	if r.what != "" {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.i:])
	if n <= 0 {
		r.fail("bad number")
		return 0
	}
	r.i += n
	return v
}

func (r *summaryReader) zigzag() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// number reads a number of spans.
func (r *summaryReader) number() int {
	v := r.uvarint()
	if v > math.MaxInt {
		r.fail("impossible number of spans")
		return 0
	}
	return int(v)
}

// count reads how many entries follow, of size bytes at least.
func (r *summaryReader) count(size int) int {
	v := r.uvarint()
	if v > uint64(len(r.b)-r.i)/uint64(size) {
		r.fail("more entries than bytes")
		return 0
	}
	return int(v)
}

func (r *summaryReader) string() string { return string(r.extent().of(r.b)) }

// extent reads where a string is.
func (r *summaryReader) extent() extent {
	n := r.count(1)
	r.i += n
	return extent{r.i - n, r.i}
}

// service reads the number of a service.
func (r *summaryReader) service(s *Summary) string {
	n := r.uvarint()
	if n >= uint64(len(s.Services)) {
		r.fail("service that is not listed")
		return ""
	}
	return s.Services[n].Service
}
