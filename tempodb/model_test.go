package tempodb

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// lineCodec is noteCodec with more to get wrong. Of a line "start duration word…" a word "field=value" is a term of the row,
// "@field=value" one of its group, and "#…" is nothing but weight. A line that begins with '#' is no row at all.
// The summary is the number of lines and a hash of them, whatever their order.
type lineCodec struct{ noteCodec }

func (lineCodec) Index(value []byte, s index.Sink) error {
	return eachLine(value, func(line []byte) error {
		r, err := parseRow(string(line))
		if err != nil || r == nil {
			return err
		}
		if !s.Group([]byte(r.identity)) {
			for _, t := range r.groupTerms {
				s.GroupTerm([]byte(t.field), []byte(t.value))
			}
		}
		s.Row(r.start, r.duration)
		for _, t := range r.terms[len(r.groupTerms):] {
			s.Term([]byte(t.field), []byte(t.value))
		}
		return nil
	})
}

var _ RowCounter = lineCodec{}

func (lineCodec) Rows(value []byte) (rows int, err error) {
	err = eachLine(value, func(line []byte) error {
		r, err := parseRow(string(line))
		if r != nil {
			rows++
		}
		return err
	})
	return rows, err
}

func (lineCodec) Summarize(dst, value []byte) ([]byte, error) {
	return append(dst, summaryOf(lines(value))...), nil
}

// summaryOf is the summary of a value of these lines, which are sorted and different.
func summaryOf(lines []string) string {
	h := xxhash.New()
	for _, line := range lines {
		fmt.Fprintf(h, "%d %s\n", len(line), line)
	}
	return fmt.Sprintf("%d lines %016x", len(lines), h.Sum64())
}

type term struct{ field, value string }

// row is what a line means.
type row struct {
	start, duration   int64
	identity          string // of its group
	terms, groupTerms []term // groupTerms are the first of terms
}

// parseRow returns nil for a line that is no row.
func parseRow(line string) (*row, error) {
	if strings.HasPrefix(line, "#") {
		return nil, nil
	}
	words := strings.Fields(line)
	if len(words) < 2 {
		return nil, fmt.Errorf("line %.40q has no start and duration", line)
	}
	r := &row{}
	var err error
	if r.start, err = strconv.ParseInt(words[0], 10, 64); err != nil {
		return nil, err
	}
	if r.duration, err = strconv.ParseInt(words[1], 10, 64); err != nil {
		return nil, err
	}
	var own []term
	for _, word := range words[2:] {
		field, value, _ := strings.Cut(word, "=")
		switch {
		case word[0] == '#':
		case word[0] == '@':
			r.groupTerms = append(r.groupTerms, term{field[1:], value})
			r.identity += word + " "
		default:
			own = append(own, term{field, value})
		}
	}
	r.terms = append(slices.Clip(r.groupTerms), own...)
	return r, nil
}

// end is when a row is over.
func (r *row) end() int64 {
	switch end := r.start + r.duration; {
	case r.duration > 0 && end < r.start:
		return math.MaxInt64
	case r.duration < 0 && end > r.start:
		return math.MinInt64
	default:
		return end
	}
}

// content is keys with their different lines.
type content map[Key]map[string]struct{}

// add adds lines, of which there may be none, to a key.
func (c content) add(k Key, lines ...string) {
	if c[k] == nil {
		c[k] = make(map[string]struct{})
	}
	for _, line := range lines {
		c[k][line] = struct{}{}
	}
}

func (c content) addAll(other content) {
	for k, lines := range other {
		c.add(k, slices.Collect(maps.Keys(lines))...)
	}
}

func (c content) has(k Key, line string) bool {
	_, has := c[k][line]
	return has
}

// lines returns the lines of a key, sorted.
func (c content) lines(k Key) []string { return slices.Sorted(maps.Keys(c[k])) }

func (c content) keys() []Key { return slices.SortedFunc(maps.Keys(c), compareKeys) }

// model is what a database must answer from: all in plain maps, each question answered by looking at everything.
type model struct {
	content
	rows map[string]*row // of every line that there ever was
}

func newModel() *model { return &model{content: make(content), rows: make(map[string]*row)} }

func (m *model) row(line string) *row {
	r, known := m.rows[line]
	if !known {
		var err error
		if r, err = parseRow(line); err != nil {
			panic(err)
		}
		m.rows[line] = r
	}
	return r
}

// eachRow calls fn with every row.
func (m *model) eachRow(fn func(k Key, r *row)) {
	for k, lines := range m.content {
		for line := range lines {
			if r := m.row(line); r != nil {
				fn(k, r)
			}
		}
	}
}

// search returns what Search should.
func (m *model) search(q *index.Query) []index.Hit {
	latest := make(map[Key]int64)
	m.eachRow(func(k Key, r *row) {
		if !q.Start.Contains(r.start) || !q.Duration.Contains(r.duration) || !holds(q.Where, r) {
			return
		}
		if before, any := latest[k]; !any || r.start > before {
			latest[k] = r.start
		}
	})
	hits := make([]index.Hit, 0, len(latest))
	for k, start := range latest {
		hits = append(hits, index.Hit{Key: k, Start: start})
	}
	slices.SortFunc(hits, func(a, b index.Hit) int {
		if a.Start != b.Start {
			return cmp.Compare(b.Start, a.Start)
		}
		return bytes.Compare(a.Key[:], b.Key[:])
	})
	if q.Limit > 0 && len(hits) > q.Limit {
		hits = hits[:q.Limit]
	}
	return hits
}

// holds says whether an expression holds on a row.
func holds(e *index.Expr, r *row) bool {
	if e == nil {
		return true
	}
	one := func(accepts func(value string) bool) bool {
		return slices.ContainsFunc(r.terms, func(t term) bool { return t.field == string(e.Field) && accepts(t.value) })
	}
	switch e.Op {
	case index.OpEqual:
		return one(func(v string) bool { return v == string(e.Value) })
	case index.OpPrefix:
		return one(func(v string) bool { return strings.HasPrefix(v, string(e.Value)) })
	case index.OpMatch:
		return one(func(v string) bool { return e.Match([]byte(v)) })
	case index.OpAnd:
		return !slices.ContainsFunc(e.Of, func(of *index.Expr) bool { return !holds(of, r) })
	case index.OpOr:
		return slices.ContainsFunc(e.Of, func(of *index.Expr) bool { return holds(of, r) })
	default:
		return !holds(e.Of[0], r)
	}
}

// termsOf returns what Terms should.
func (m *model) termsOf(field, prefix string) []string {
	values := make(map[string]struct{})
	m.eachRow(func(_ Key, r *row) {
		for _, t := range r.terms {
			if t.field == field && strings.HasPrefix(t.value, prefix) {
				values[t.value] = struct{}{}
			}
		}
	})
	return slices.Sorted(maps.Keys(values))
}

// within returns which keys have a row that starts in starts, and the summaries they have.
func (m *model) within(starts index.Range) map[Key]string {
	summaries := make(map[Key]string)
	m.eachRow(func(k Key, r *row) {
		if _, again := summaries[k]; !again && starts.Contains(r.start) {
			summaries[k] = summaryOf(m.lines(k))
		}
	})
	return summaries
}

// generator draws what is put and asked.
type generator struct {
	*rand.Rand
	serial int // of lines that are to be like no other
	keys   []Key
}

// Rows start in the days after dawn, long ago: every window of compaction is settled.
const (
	dawn = int64(1_700_000_000_000_000_000)
	hour = int64(3_600_000_000_000)
	span = 72 * hour
)

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// key draws from a few keys, from some hundred, and from all.
func (g *generator) key() Key {
	var k Key
	switch n := g.IntN(20); {
	case n < 8:
		return key(g.IntN(8))
	case n < 13:
		binary.BigEndian.PutUint16(k[7:], uint16(g.IntN(300))) // long shared beginnings
	case n < 16 && len(g.keys) > 0:
		return g.keys[g.IntN(len(g.keys))]
	default:
		binary.BigEndian.PutUint64(k[:], g.Uint64())
		binary.BigEndian.PutUint64(k[8:], g.Uint64())
	}
	g.keys = append(g.keys, k)
	return k
}

func (g *generator) start() int64 {
	switch n := g.IntN(100); {
	case n == 0:
		return pick[int64](g, 0, -1, math.MinInt64, math.MaxInt64, math.MaxInt64-1)
	case n < 5:
		return dawn + span // the last of nearly every block
	case n < 30:
		return dawn + g.Int64N(40)*hour/10 // many equal ones
	default:
		return dawn + g.Int64N(span)
	}
}

func (g *generator) duration() int64 {
	switch n := g.IntN(50); {
	case n == 0:
		return pick[int64](g, math.MaxInt64, math.MinInt64, -1)
	case n < 25:
		return g.Int64N(5)
	default:
		return g.Int64N(hour)
	}
}

var fields = []string{"color", "size", "id", "note"}

func (g *generator) value(field string) string {
	switch field {
	case "color":
		return pick(g, "red", "green", "blue", "bluegreen", "", "\x00", "\x00\xff", "\xff", "grün")
	case "size":
		return strconv.Itoa(g.IntN(30))
	case "id":
		return strconv.FormatUint(g.Uint64()>>pick(g, 40, 56), 36)
	default:
		return strings.Repeat(pick(g, "ab", "ba", "abc"), g.IntN(8))
	}
}

// line draws a line of a value.
func (g *generator) line() string {
	if g.IntN(40) == 0 {
		return "#" + g.value("id")
	}
	line := fmt.Sprint(g.start(), " ", g.duration())
	for range g.IntN(4) {
		field := pick(g, fields...)
		line += " " + pick(g, "", "", "@") + field + "=" + g.value(field)
	}
	return line
}

// ballast is some text that is like no other: of it a value becomes big.
func (g *generator) ballast(size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = "0123456789abcdefghijklmnopqrstuv"[g.Uint32()&31]
	}
	return string(b)
}

// drawLines draws the lines of a value.
func (g *generator) drawLines() []string {
	if g.IntN(60) == 0 {
		return nil
	}
	var all []string
	for range 1 + g.IntN(4) {
		all = append(all, g.line())
	}
	if g.IntN(100) == 0 {
		all[0] += " #" + g.ballast(pick(g, 5_000, 50_000, 400_000))
	}
	return all
}

func appendLines(dst []byte, lines []string) []byte {
	for _, line := range lines {
		dst = appendLine(dst, []byte(line))
	}
	return dst
}

// put draws an append: its entries, and what they mean. If marked, each has a line that is in no other.
func (g *generator) put(marked bool) ([]Entry, content) {
	var entries []Entry
	means := make(content)
	for range 1 + g.IntN(20) {
		k, lines := g.key(), g.drawLines()
		if marked {
			g.serial++
			lines = append(lines, fmt.Sprint(g.start(), " 1 serial=", g.serial))
		}
		entries = append(entries, Entry{k, appendLines(nil, lines)})
		means.add(k, lines...)
		if g.IntN(10) == 0 {
			entries = append(entries, entries[g.IntN(len(entries))]) // sent twice
		}
	}
	return entries, means
}

func (g *generator) interval(of func() int64) index.Range {
	r := index.Everything
	if g.IntN(2) == 0 {
		r.Min = of()
	}
	if g.IntN(2) == 0 {
		r.Max = of()
	}
	return r
}

// expr draws a condition, and how to read it.
func (g *generator) expr(depth int) (*index.Expr, string) {
	field := pick(g, append(fields, "color", "unknown")...)
	value := g.value(field)
	of := func() ([]*index.Expr, string) {
		var all []*index.Expr
		var text []string
		for range g.IntN(4) {
			e, s := g.expr(depth - 1)
			all, text = append(all, e), append(text, s)
		}
		return all, "(" + strings.Join(text, ", ") + ")"
	}
	n := g.IntN(9)
	if depth == 0 {
		n = g.IntN(4)
	}
	switch n {
	case 0, 1:
		return index.Equal([]byte(field), []byte(value)), fmt.Sprintf("%s=%q", field, value)
	case 2:
		value = value[:min(len(value), g.IntN(3))]
		return index.Prefix([]byte(field), []byte(value)), fmt.Sprintf("%s=%q…", field, value)
	case 3, 4:
		part := pick(g, "b", "1", "e", "\xff")
		return index.Match([]byte(field), nil, func(v []byte) bool { return bytes.Contains(v, []byte(part)) }), fmt.Sprintf("%s=…%q…", field, part)
	case 5, 6:
		all, text := of()
		return index.And(all...), "and" + text
	case 7:
		all, text := of()
		return index.Or(all...), "or" + text
	default:
		e, text := g.expr(depth - 1)
		return index.Not(e), "not " + text
	}
}

func (g *generator) query() (*index.Query, string) {
	q, text := &index.Query{Start: g.interval(g.start), Duration: g.interval(g.duration)}, "all"
	if g.IntN(10) > 0 {
		q.Where, text = g.expr(3)
	}
	if g.IntN(3) > 0 {
		q.Limit = 1 + g.IntN(pick(g, 3, 30, 300))
	}
	return q, fmt.Sprintf("%s start %v duration %v limit %d", text, q.Start, q.Duration, q.Limit)
}
