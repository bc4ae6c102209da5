package readpath

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
)

// Bounds of the memory of a search.
const (
	// deepest is how many traces may stand before a page. They are found anew for each page, to know which were seen.
	deepest = 1 << 20
	// mostDecided is of how many candidates a search remembers that they were looked at. Of more it looks at some again.
	mostDecided = 1 << 17
	// round is how many candidates the index is asked for at least, where they must be looked at.
	round = 64
)

// find returns the traces that q asks for, newest first, and the token of the next page if there are pages and there is one. With a *tempodb.PartialError it returns what
// was found; then there is no next page.
func find(ctx context.Context, db Database, tenant string, q *Query) (hits []index.Hit, next string, err error) {
	if err := q.check(); err != nil {
		return nil, "", err
	}
	s := newSearch(db, q)
	if q.PageSize == 0 {
		limit := q.Limit
		if limit <= 0 {
			limit = defaultLimit
		}
		hits, _, err = s.page(ctx, limit)
		return hits, "", wrapFind(err)
	}
	fingerprint := q.fingerprint(tenant)
	if q.PageToken != "" {
		p, err := parsePlace(q.PageToken, fingerprint)
		if err != nil {
			return nil, "", err
		}
		s.after, s.upper = &p.after, p.upper
	}
	hits, more, err := s.page(ctx, min(q.PageSize, maxPage))
	if err != nil || !more {
		return hits, "", wrapFind(err)
	}
	if s.after == nil {
		s.upper = hits[0].Start
	}
	return hits, place{after: hits[len(hits)-1], upper: s.upper}.token(fingerprint), nil
}

func wrapFind(err error) error {
	if err != nil {
		return fmt.Errorf("find traces: %w", err)
	}
	return nil
}

// search is a search for one page. The index says of a trace when the newest row began on which the condition may hold, and when one on which it surely does. If that is the
// same row, or the index alone knows, the trace is found; else it is a candidate, and its spans are looked at. Candidates come newest first, and since none is found at
// a later place than it came at, the search ends when it has enough.
type search struct {
	db    Database
	query *index.Query // where the condition may hold
	after *index.Hit   // the page begins behind it; nil: with the newest
	upper int64        // no row counts that started later

	filter *spanfilter.Filter // nil: the index knows
	under  *index.Expr        // where it surely holds
	named  []index.Hit        // the only candidates, if not nil

	size    int
	ahead   map[tempodb.Key]index.Hit // the newest rows that come before the page, or in the time in which it begins
	decided map[tempodb.Key]struct{}
	found   []index.Hit // in order, at most size+1
	missing error       // a *tempodb.PartialError of what could not be asked
}

func newSearch(db Database, q *Query) *search {
	s := &search{db: db, query: q.index(), upper: math.MaxInt64}
	if q.Filter == nil {
		return s
	}
	plan := q.Filter.Plan()
	s.query.Where, s.query.Duration = plan.Over, plan.Duration
	s.query.Start.Min, s.query.Start.Max = max(s.query.Start.Min, plan.Start.Min), min(s.query.Start.Max, plan.Start.Max)
	if !plan.Exact || plan.Named {
		s.filter, s.under = q.Filter, plan.Under
	}
	if plan.Named {
		s.named = namedHits(plan)
	}
	return s
}

// namedHits are the traces that a filter names, as hits before all others.
func namedHits(p *spanfilter.Plan) []index.Hit {
	hits := make([]index.Hit, len(p.Traces))
	for i, id := range p.Traces {
		hits[i] = index.Hit{Key: id, Start: math.MaxInt64}
	}
	return hits
}

// page returns up to size traces, newest first, and whether there are more behind them.
func (s *search) page(ctx context.Context, size int) (hits []index.Hit, more bool, err error) {
	s.size, s.decided = size, make(map[tempodb.Key]struct{})
	if s.named != nil {
		if _, err := s.read(ctx, s.named, nil); err != nil {
			return nil, false, err
		}
		return s.found[:min(len(s.found), size)], len(s.found) > size, s.missing
	}
	if err := s.lookAhead(ctx); err != nil {
		return nil, false, err
	}
	upper, limit := s.upper, size+1
	if s.after != nil {
		upper, limit = s.after.Start, 2*size+1
	}
	if s.filter != nil {
		limit = max(limit, round)
	}
	for {
		all, err := s.ask(ctx, s.query.Where, index.Everything.Min, upper, limit)
		if err := s.note(err); err != nil {
			return nil, false, err
		}
		done, err := s.decide(ctx, all, upper, limit)
		if err != nil {
			return nil, false, err
		}
		if done || len(all) < limit {
			break
		}
		// Further back, from the last row on; where so many rows started together that it is the first one too, with more of them.
		if last := all[len(all)-1].Start; last < upper {
			upper = last
		} else if limit *= 2; limit > deepest {
			return nil, false, &QueryError{fmt.Sprintf("more than %d traces have a row that started at the same time", deepest)}
		}
	}
	return s.found[:min(len(s.found), size)], len(s.found) > size, s.missing
}

// note keeps an error that says what could not be asked, and returns any other.
func (s *search) note(err error) error {
	if err == nil || !isPartial(err) {
		return err
	}
	s.missing = cmp.Or(s.missing, err)
	return nil
}

// lookAhead finds the rows that come before the page.
func (s *search) lookAhead(ctx context.Context) error {
	if s.after == nil {
		return nil
	}
	hits, err := s.ask(ctx, s.query.Where, s.after.Start, s.upper, deepest+1)
	if err != nil {
		return err
	}
	if len(hits) > deepest {
		return &QueryError{fmt.Sprintf("more than %d traces stand before this page: ask for a shorter time", deepest)}
	}
	s.ahead = make(map[tempodb.Key]index.Hit, len(hits))
	for _, hit := range hits {
		s.ahead[hit.Key] = hit
	}
	return nil
}

// decide decides of each of a list of hits whether the trace is on the page, and reports whether no other can be. upper and limit are what they were asked by.
func (s *search) decide(ctx context.Context, all []index.Hit, upper int64, limit int) (done bool, err error) {
	var candidates []index.Hit
	var sure map[tempodb.Key]int64
	if s.filter != nil && len(all) > 0 {
		hits, err := s.ask(ctx, s.under, index.Everything.Min, upper, limit)
		if err := s.note(err); err != nil {
			return false, err
		}
		sure = make(map[tempodb.Key]int64, len(hits))
		for _, hit := range hits {
			sure[hit.Key] = hit.Start
		}
	}
	for _, hit := range all {
		if s.full(hit) {
			break
		}
		if _, again := s.decided[hit.Key]; again {
			continue
		}
		ahead, isAhead := s.ahead[hit.Key]
		isAhead = isAhead && s.before(ahead)
		start, isSure := sure[hit.Key]
		switch {
		case s.filter == nil && isAhead: // it was seen
			continue
		case s.filter == nil, isSure && start == hit.Start && !isAhead && len(s.decided) < mostDecided:
			s.add(hit)
		default:
			candidates = append(candidates, hit)
			continue
		}
		s.remember(hit.Key)
	}
	return s.read(ctx, candidates, all)
}

// read looks at the spans of candidates until no other hit can be on the page.
func (s *search) read(ctx context.Context, candidates, all []index.Hit) (done bool, err error) {
	var last index.Hit
	if len(all) > 0 {
		last = all[len(all)-1]
	}
	matcher := (*spanfilter.Matcher)(nil)
	if s.filter != nil {
		matcher = s.filter.Matcher()
	}
	for len(candidates) > 0 && !s.full(candidates[0]) {
		// No more at a time than may be needed, so that few are read in vain.
		n := min(len(candidates), max(s.size+1-len(s.found), tracesAhead))
		err := s.values(ctx, candidates[:n], func(hit index.Hit, value []byte) error {
			s.remember(hit.Key)
			if s.full(hit) {
				return errEnough
			}
			start, holds, err := s.newest(matcher, value)
			if err != nil {
				return fmt.Errorf("trace %s: %w", trace.ID(hit.Key), err)
			}
			if found := (index.Hit{Key: hit.Key, Start: start}); holds && !s.before(found) {
				s.add(found)
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return false, err
		}
		candidates = candidates[n:]
	}
	return len(all) > 0 && s.full(last), nil
}

var errEnough = errors.New("enough")

// values reads the traces of hits.
func (s *search) values(ctx context.Context, hits []index.Hit, yield func(hit index.Hit, value []byte) error) error {
	ids := make([]trace.ID, len(hits))
	for i, hit := range hits {
		ids[i] = trace.ID(hit.Key)
	}
	n := 0
	return fetchTraces(ctx, s.db, ids, func(id trace.ID, o Outcome) error {
		hit := hits[n]
		n++
		if errors.Is(o.Err, tempodb.ErrNotFound) {
			return nil // its block went since
		}
		if err := s.note(o.Err); err != nil {
			return fmt.Errorf("trace %s: %w", id, err)
		}
		return yield(hit, o.Value)
	})
}

// newest returns the start of the newest span on which the filter holds.
func (s *search) newest(m *spanfilter.Matcher, value []byte) (start int64, found bool, err error) {
	err = trace.WalkShells(value, func(shell *trace.Shell, span []byte) error {
		holds, err := m.Holds(shell, span)
		if err != nil || !holds {
			return err
		}
		if at := int64(m.Span().Start); s.query.Start.Contains(at) && at <= s.upper && (!found || at > start) {
			start, found = at, true
		}
		return nil
	})
	return start, found, err
}

// before reports whether a hit stands before the page.
func (s *search) before(hit index.Hit) bool {
	return s.after != nil && compareHits(hit, *s.after) <= 0
}

// full reports whether no trace at or behind a place can be on the page, or make it known that there is a next one.
func (s *search) full(hit index.Hit) bool {
	return len(s.found) > s.size && compareHits(s.found[s.size], hit) <= 0
}

// add puts a trace among those that are found.
func (s *search) add(hit index.Hit) {
	at, again := slices.BinarySearchFunc(s.found, hit, compareHits)
	if again {
		return
	}
	s.found = slices.Insert(s.found, at, hit)
	s.found = s.found[:min(len(s.found), s.size+1)]
}

func (s *search) remember(key tempodb.Key) {
	if len(s.decided) < mostDecided {
		s.decided[key] = struct{}{}
	}
}

// ask asks for traces with a row that started from begin to end.
func (s *search) ask(ctx context.Context, where *index.Expr, begin, end int64, limit int) ([]index.Hit, error) {
	q := *s.query
	q.Where = where
	q.Start = index.Range{Min: max(q.Start.Min, begin), Max: min(q.Start.Max, end)}
	q.Limit = limit
	if q.Start.Min > q.Start.Max || q.Duration.Min > q.Duration.Max {
		return nil, nil
	}
	return s.db.Search(ctx, &q)
}

// compareHits orders hits as a search does: the newest first, and those that started together by their keys.
func compareHits(a, b index.Hit) int {
	return cmp.Or(cmp.Compare(b.Start, a.Start), bytes.Compare(a.Key[:], b.Key[:]))
}
