package readpath

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// deepest is how many traces may stand before a page. They are found anew for each page, to know which traces were seen.
const deepest = 1 << 20

// find returns the traces that q asks for, newest first, and the token of the next page if there are pages and there is one. With a *tempodb.PartialError it returns what
// was found; then there is no next page.
func find(ctx context.Context, db Database, tenant string, q *Query) (hits []index.Hit, next string, err error) {
	if err := q.check(); err != nil {
		return nil, "", err
	}
	s := &search{db: db, query: q.index(), upper: math.MaxInt64}
	if q.PageSize == 0 {
		hits, _, err = s.page(ctx, s.query.Limit)
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

// search is a search for one page.
type search struct {
	db    Database
	query *index.Query
	after *index.Hit // the page begins behind it; nil: with the newest
	upper int64      // no row counts that started later
}

// page returns up to size traces, newest first, and whether there are more behind them.
func (s *search) page(ctx context.Context, size int) (hits []index.Hit, more bool, err error) {
	if s.after == nil {
		hits, err = s.ask(ctx, index.Everything.Min, s.upper, size+1)
		return hits[:min(len(hits), size)], len(hits) > size, err
	}
	seen, err := s.seen(ctx)
	if err != nil {
		return nil, false, err
	}
	for limit := 2*size + 1; ; limit *= 2 {
		all, err := s.ask(ctx, index.Everything.Min, s.after.Start, limit)
		if err != nil && !isPartial(err) {
			return nil, false, err
		}
		hits = hits[:0]
		for _, hit := range all {
			if !seen[hit.Key] && compareHits(hit, *s.after) > 0 {
				hits = append(hits, hit)
			}
		}
		if len(hits) > size || len(all) < limit || err != nil {
			return hits[:min(len(hits), size)], len(hits) > size, err
		}
	}
}

// seen returns the traces that stand before the page: whose newest row is no later in the order than the last of the page before.
func (s *search) seen(ctx context.Context) (map[tempodb.Key]bool, error) {
	hits, err := s.ask(ctx, s.after.Start, s.upper, deepest+1)
	if err != nil {
		return nil, err
	}
	if len(hits) > deepest {
		return nil, &QueryError{fmt.Sprintf("more than %d traces stand before this page: ask for a shorter time", deepest)}
	}
	seen := make(map[tempodb.Key]bool, len(hits))
	for _, hit := range hits {
		if compareHits(hit, *s.after) <= 0 {
			seen[hit.Key] = true
		}
	}
	return seen, nil
}

// ask asks for traces with a row that started from begin to end.
func (s *search) ask(ctx context.Context, begin, end int64, limit int) ([]index.Hit, error) {
	q := *s.query
	q.Start = index.Range{Min: max(q.Start.Min, begin), Max: min(q.Start.Max, end)}
	q.Limit = limit
	if q.Start.Min > q.Start.Max {
		return nil, nil
	}
	return s.db.Search(ctx, &q)
}

// compareHits orders hits as a search does: the newest first, and those that started together by their keys.
func compareHits(a, b index.Hit) int {
	return cmp.Or(cmp.Compare(b.Start, a.Start), bytes.Compare(a.Key[:], b.Key[:]))
}
