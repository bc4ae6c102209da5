package readpath

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
)

// SpanQuery asks for spans.
type SpanQuery struct {
	// Filter holds on each of them; nil holds on all.
	Filter *spanfilter.Filter
	// Bounds of the start are inclusive; a zero one bounds nothing.
	StartMin, StartMax time.Time
	// OrderBy is the order of the spans, the most significant first. What is not in it follows: start, the newest first, trace ID and span ID.
	// By other than the start, newest first, all spans on which the filter holds are looked at for each page.
	OrderBy []SpanOrder
	// PageSize is the greatest number of spans; a page of large ones has less. With the token of the page before as PageToken, and all else as it was, the query goes
	// on behind it. The last page has no token.
	PageSize  int
	PageToken string
}

// SpanOrder orders spans by a field.
type SpanOrder struct {
	Field      SpanField
	Descending bool
}

// SpanField is what spans are ordered by.
type SpanField byte

// The fields.
const (
	ByStart SpanField = iota
	ByDuration
	ByTraceID
	BySpanID
)

var spanFieldNames = [...]string{"startTime", "duration", "traceID", "spanID"}

func (f SpanField) String() string { return spanFieldNames[f] }

// maxPageBytes bounds a page of spans.
const maxPageBytes = 32 << 20

// maxRun is the size of what is yielded at once, in bytes, unless a span is larger.
const maxRun = 1 << 20

// FindSpans calls yield with the spans that q asks for, in their order: each time with spans of one trace, as TracesData that is valid during the call. It returns the
// token of the next page. Spans that are the same in all they say are one. A query that can't be answered is a *QueryError.
func (r *Reader) FindSpans(ctx context.Context, tenant string, q *SpanQuery, yield func(id trace.ID, data []byte) error) (next string, err error) {
	s, err := newSpanSearch(tenant, q)
	if err != nil {
		return "", err
	}
	if s.db, err = r.store.Database(ctx, tenant); err != nil || s.db == nil {
		return "", err
	}
	if err := s.run(ctx); err != nil {
		return "", fmt.Errorf("find spans: %w", err)
	}
	if err := s.yield(yield); err != nil {
		return "", err
	}
	if s.bar == nil {
		return "", nil
	}
	return s.found[len(s.found)-1].token(s.fingerprint), nil
}

// spanPlace is a span's place in any order: whatever it may be ordered by, and what tells it from all others.
type spanPlace struct {
	start, duration int64
	traceID         [16]byte
	spanID          [8]byte
	sum             uint64 // of all that it says
}

const (
	spanTokenVersion = 2
	spanTokenBytes   = 1 + 8 + 8 + 16 + 8 + 8
)

func (p *spanPlace) token(fingerprint uint64) string {
	b := append(make([]byte, 0, spanTokenBytes+8), spanTokenVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(p.start))
	b = binary.BigEndian.AppendUint64(b, uint64(p.duration))
	b = append(append(b, p.traceID[:]...), p.spanID[:]...)
	return sealToken(binary.BigEndian.AppendUint64(b, p.sum), fingerprint)
}

func parseSpanPlace(token string, fingerprint uint64) (*spanPlace, error) {
	b, err := openToken(token, spanTokenVersion, spanTokenBytes, fingerprint)
	if err != nil {
		return nil, err
	}
	p := &spanPlace{start: int64(binary.BigEndian.Uint64(b[1:])), duration: int64(binary.BigEndian.Uint64(b[9:])), sum: binary.BigEndian.Uint64(b[41:])}
	copy(p.traceID[:], b[17:])
	copy(p.spanID[:], b[33:])
	return p, nil
}

// foundSpan is a span that is on the page.
type foundSpan struct {
	spanPlace
	shell *trace.Shell // of its own memory
	span  []byte
}

func (f *foundSpan) size() int {
	return len(f.span) + len(f.shell.ResourceSpans) + len(f.shell.ScopeSpans)
}

// spanSearch is a search for one page of spans. It keeps the first of those that it meets, in their order, up to the page's size; of those that it does not keep it
// knows the first, the bar: no span behind it is on the page.
type spanSearch struct {
	db          Database
	query       *index.Query
	filter      *spanfilter.Filter
	named       []index.Hit // the only candidates, if not nil
	order       []SpanOrder
	after       *spanPlace // the page begins behind it
	size        int
	fingerprint uint64

	found   []foundSpan
	bytes   int
	bar     *spanPlace
	decided map[tempodb.Key]struct{}
}

func newSpanSearch(tenant string, q *SpanQuery) (*spanSearch, error) {
	switch {
	case q.PageSize <= 0:
		return nil, &QueryError{fmt.Sprintf("a page of %d spans", q.PageSize)}
	case !q.StartMin.IsZero() && !q.StartMax.IsZero() && q.StartMin.After(q.StartMax):
		return nil, &QueryError{"the start of the time is after its end"}
	}
	s := &spanSearch{filter: q.Filter, size: min(q.PageSize, maxPage), decided: make(map[tempodb.Key]struct{})}
	s.query = &index.Query{Start: timeRange(q.StartMin, q.StartMax), Duration: index.Everything}
	asked := appendText(nil, tenant)
	asked = binary.AppendVarint(binary.AppendVarint(asked, s.query.Start.Min), s.query.Start.Max)
	var ordered [len(spanFieldNames)]bool
	for _, o := range q.OrderBy {
		if int(o.Field) >= len(ordered) || ordered[o.Field] {
			return nil, &QueryError{fmt.Sprintf("spans are ordered by a field twice, or by none that they may be ordered by: %d", o.Field)}
		}
		ordered[o.Field] = true
	}
	s.order = slices.Clone(q.OrderBy)
	for _, o := range [...]SpanOrder{{ByStart, true}, {ByTraceID, false}, {BySpanID, false}} {
		if !ordered[o.Field] {
			s.order = append(s.order, o)
		}
	}
	for _, o := range s.order {
		asked = append(asked, byte(o.Field), map[bool]byte{false: 'a', true: 'd'}[o.Descending])
	}
	if q.Filter != nil {
		asked = q.Filter.AppendTo(asked)
		plan := q.Filter.Plan()
		if plan.Named {
			s.named = namedHits(plan)
		}
		s.query.Where, s.query.Duration = plan.Over, plan.Duration
		s.query.Start.Min, s.query.Start.Max = max(s.query.Start.Min, plan.Start.Min), min(s.query.Start.Max, plan.Start.Max)
	}
	s.fingerprint = xxhash.Sum64(asked)
	if q.PageToken != "" {
		var err error
		if s.after, err = parseSpanPlace(q.PageToken, s.fingerprint); err != nil {
			return nil, err
		}
		if first := s.order[0]; first.Field == ByStart && first.Descending {
			s.query.Start.Max = min(s.query.Start.Max, s.after.start)
		} else if first.Field == ByStart {
			s.query.Start.Min = max(s.query.Start.Min, s.after.start)
		}
	}
	return s, nil
}

// compare orders two places.
func (s *spanSearch) compare(a, b *spanPlace) int {
	for _, o := range s.order {
		var c int
		switch o.Field {
		case ByStart:
			c = cmp.Compare(a.start, b.start)
		case ByDuration:
			c = cmp.Compare(a.duration, b.duration)
		case ByTraceID:
			c = bytes.Compare(a.traceID[:], b.traceID[:])
		case BySpanID:
			c = bytes.Compare(a.spanID[:], b.spanID[:])
		}
		if c != 0 {
			if o.Descending {
				return -c
			}
			return c
		}
	}
	return cmp.Or(cmp.Compare(a.duration, b.duration), cmp.Compare(a.sum, b.sum))
}

// run fills the page. Traces come by their newest span on which the filter may hold; from a trace on whose spans are all behind the bar, so are those of the rest.
func (s *spanSearch) run(ctx context.Context) error {
	if s.query.Duration.Min > s.query.Duration.Max {
		return nil
	}
	matcher := (*spanfilter.Matcher)(nil)
	if s.filter != nil {
		matcher = s.filter.Matcher()
	}
	if s.named != nil {
		return s.read(ctx, matcher, s.named)
	}
	upper, limit := s.query.Start.Max, max(s.size, round)
	for upper >= s.query.Start.Min {
		q := *s.query
		q.Start.Max, q.Limit = upper, limit
		hits, err := s.db.Search(ctx, &q)
		if err != nil {
			return err
		}
		all := hits
		for len(hits) > 0 {
			n := min(len(hits), 2*tracesAhead)
			if s.behindBar(hits[0]) {
				return nil
			}
			if err := s.read(ctx, matcher, hits[:n]); err != nil {
				return err
			}
			hits = hits[n:]
		}
		if len(all) < limit {
			return nil
		}
		if last := all[len(all)-1].Start; last < upper {
			upper = last
		} else if limit *= 2; limit > deepest {
			return &QueryError{fmt.Sprintf("more than %d traces have a span that started at the same time", deepest)}
		}
	}
	return nil
}

func (s *spanSearch) behindBar(hit index.Hit) bool {
	first := s.order[0]
	return s.bar != nil && first.Field == ByStart && first.Descending && hit.Start < s.bar.start
}

// read looks at the spans of traces.
func (s *spanSearch) read(ctx context.Context, m *spanfilter.Matcher, hits []index.Hit) error {
	var ids []trace.ID
	for _, hit := range hits {
		if _, again := s.decided[hit.Key]; !again {
			ids = append(ids, trace.ID(hit.Key))
		}
	}
	return fetchTraces(ctx, s.db, ids, func(id trace.ID, o Outcome) error {
		if errors.Is(o.Err, tempodb.ErrNotFound) {
			return nil // its block went since
		}
		err := o.Err
		if err == nil {
			err = s.look(m, id, o.Value)
		}
		if err != nil {
			return fmt.Errorf("trace %s: %w", id, err)
		}
		if len(s.decided) < mostDecided {
			s.decided[tempodb.Key(id)] = struct{}{}
		}
		return nil
	})
}

// look keeps the spans of a trace that are on the page, as far as is known.
func (s *spanSearch) look(m *spanfilter.Matcher, id trace.ID, value []byte) error {
	var view trace.SpanView
	var kept *trace.Shell // of the last span that was
	return trace.WalkShells(value, func(shell *trace.Shell, span []byte) error {
		holds, err := true, error(nil)
		v := &view
		if m != nil {
			holds, err = m.Holds(shell, span)
			v = m.Span()
		} else {
			err = view.Read(span)
		}
		if err != nil || !holds || !s.query.Start.Contains(int64(v.Start)) {
			return err
		}
		p := spanPlace{start: int64(v.Start), duration: v.Duration(), traceID: id}
		copy(p.spanID[:], v.SpanID)
		sum := xxhash.New()
		sum.Write(appendText(nil, string(shell.ResourceSpans), string(shell.ScopeSpans)))
		sum.Write(span)
		p.sum = sum.Sum64()
		if s.after != nil && s.compare(&p, s.after) <= 0 || s.bar != nil && s.compare(&p, s.bar) >= 0 {
			return nil
		}
		if kept == nil || !bytes.Equal(kept.ScopeSpans, shell.ScopeSpans) || !bytes.Equal(kept.ResourceSpans, shell.ResourceSpans) {
			kept = &trace.Shell{ResourceSpans: bytes.Clone(shell.ResourceSpans), ScopeSpans: bytes.Clone(shell.ScopeSpans)}
		}
		s.keep(foundSpan{p, kept, bytes.Clone(span)})
		return nil
	})
}

// keep puts a span on the page, and what then is too much behind the bar.
func (s *spanSearch) keep(f foundSpan) {
	at, again := slices.BinarySearchFunc(s.found, &f.spanPlace, func(a foundSpan, b *spanPlace) int { return s.compare(&a.spanPlace, b) })
	if again {
		return
	}
	s.found = slices.Insert(s.found, at, f)
	s.bytes += f.size()
	for len(s.found) > s.size || s.bytes > maxPageBytes && len(s.found) > 1 {
		end := len(s.found) - 1
		bar := s.found[end].spanPlace
		s.bar = &bar
		s.bytes -= s.found[end].size()
		s.found[end] = foundSpan{}
		s.found = s.found[:end]
	}
}

// yield gives the spans away, in runs of one trace.
func (s *spanSearch) yield(fn func(trace.ID, []byte) error) error {
	var data []byte
	var spans [][]byte
	for i := 0; i < len(s.found); {
		first := &s.found[i]
		for data = data[:0]; i < len(s.found) && s.found[i].traceID == first.traceID && len(data) < maxRun; {
			shell := s.found[i].shell
			spans = spans[:0]
			size := len(data)
			for ; i < len(s.found) && s.found[i].shell == shell && (len(spans) == 0 || size < maxRun); i++ {
				spans = append(spans, s.found[i].span)
				size += len(s.found[i].span)
			}
			data = shell.AppendTo(data, spans...)
		}
		if err := fn(trace.ID(first.traceID), data); err != nil {
			return err
		}
	}
	return nil
}
