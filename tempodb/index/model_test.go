package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// modelRow is a row as a naive index would keep it.
type modelRow struct {
	key             [16]byte
	start, duration int64
	terms           [][2]string // the group's too
}

// model is the naive index: it looks at every row.
type model struct {
	keys [][16]byte // ascending
	rows []modelRow
}

func (m *model) holds(e *Expr, r *modelRow) bool {
	if e == nil {
		return true
	}
	switch e.Op {
	case OpAnd:
		for _, of := range e.Of {
			if !m.holds(of, r) {
				return false
			}
		}
		return true
	case OpOr:
		for _, of := range e.Of {
			if m.holds(of, r) {
				return true
			}
		}
		return false
	case OpNot:
		return !m.holds(e.Of[0], r)
	}
	for _, t := range r.terms {
		if t[0] == string(e.Field) && e.accepts([]byte(t[1])) {
			return true
		}
	}
	return false
}

func (m *model) search(q *Query) []Hit {
	latest := map[[16]byte]int64{}
	for i := range m.rows {
		r := &m.rows[i]
		if !q.Start.Contains(r.start) || !q.Duration.Contains(r.duration) || !m.holds(q.Where, r) {
			continue
		}
		if start, ok := latest[r.key]; !ok || r.start > start {
			latest[r.key] = r.start
		}
	}
	hits := []Hit{}
	for key, start := range latest {
		hits = append(hits, Hit{Key: key, Start: start})
	}
	slices.SortFunc(hits, compareHits)
	if q.Limit > 0 && len(hits) > q.Limit {
		hits = hits[:q.Limit]
	}
	return hits
}

func (m *model) termsOf(field, prefix string) []string {
	var values []string
	for _, r := range m.rows {
		for _, t := range r.terms {
			if t[0] == field && strings.HasPrefix(t[1], prefix) {
				values = append(values, t[1])
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

var (
	modelFields = []string{"a", "b", "ab", "\x00", "service"}
	modelValues = []string{"", "x", "xy", "x\x00", "x\x00\xff", "\xff", "longer value", strings.Repeat("l", 300)}
)

// fill draws rows and gives them to the model and to m.
func fill(t *rapid.T, owners int) (*model, *Memory) {
	mod, m := &model{}, NewMemory()
	for owner := range owners {
		var key [16]byte
		binary.BigEndian.PutUint64(key[:], uint64(owner*7))
		mod.keys = append(mod.keys, key)
		m.Own(uint32(owner))
		for range rapid.IntRange(0, 3).Draw(t, "groups") {
			service := rapid.IntRange(0, 4).Draw(t, "service")
			groupTerms := [][2]string{{"service", fmt.Sprint("s", service)}, {"a", modelValues[service]}}
			if !m.Group([]byte(fmt.Sprint(service))) {
				for _, term := range groupTerms {
					m.GroupTerm([]byte(term[0]), []byte(term[1]))
				}
			}
			for range rapid.IntRange(1, 4).Draw(t, "rows") {
				r := modelRow{key: key, terms: slices.Clone(groupTerms)}
				r.start = rapid.Int64Range(-5, 20).Draw(t, "start")
				r.duration = rapid.Int64Range(-1, 5).Draw(t, "duration")
				m.Row(r.start, r.duration)
				for range rapid.IntRange(0, 3).Draw(t, "terms") {
					term := [2]string{rapid.SampledFrom(modelFields).Draw(t, "field"), rapid.SampledFrom(modelValues).Draw(t, "value")}
					r.terms = append(r.terms, term)
					m.Term([]byte(term[0]), []byte(term[1]))
				}
				mod.rows = append(mod.rows, r)
			}
		}
	}
	return mod, m
}

func drawExpr(t *rapid.T, depth int) *Expr {
	field := []byte(rapid.SampledFrom(modelFields).Draw(t, "field"))
	value := []byte(rapid.SampledFrom(append(modelValues, "s1", "s2")).Draw(t, "value"))
	kinds := 6
	if depth == 0 {
		kinds = 3
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "op") {
	case 0:
		return Equal(field, value)
	case 1:
		return Prefix(field, value[:len(value)/2])
	case 2:
		return Match(field, nil, func(v []byte) bool { return bytes.Contains(v, value) })
	case 3:
		return Not(drawExpr(t, depth-1))
	case 4:
		return And(drawExpr(t, depth-1), drawExpr(t, depth-1))
	default:
		return Or(drawExpr(t, depth-1), drawExpr(t, depth-1))
	}
}

func drawRange(t *rapid.T) Range {
	if rapid.Bool().Draw(t, "bounded") {
		return Range{rapid.Int64Range(-6, 21).Draw(t, "min"), rapid.Int64Range(-6, 21).Draw(t, "max")}
	}
	return Everything
}

func drawQuery(t *rapid.T) *Query {
	q := &Query{Start: drawRange(t), Duration: drawRange(t), Limit: rapid.IntRange(0, 5).Draw(t, "limit")}
	if rapid.IntRange(0, 9).Draw(t, "where") > 0 {
		q.Where = drawExpr(t, 2)
	}
	return q
}
