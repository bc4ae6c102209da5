package index

import (
	"bytes"
	"context"
	"hash/maphash"
	"math"
	"slices"
)

// Memory is an index that grows row by row and can be searched at any moment. A log segment's
// recent data is found through one, and a block's search object is written from one (see Write).
//
// Methods that add must not run concurrently with any other method; the rest may run together.
type Memory struct {
	owner   uint32 // of the rows that come
	value   int    // the first row since the last Own
	group   uint32 // of the rows that come
	rows    []row
	pool    pool
	terms   dictionary // terms of rows; postings list rows
	shared  dictionary // terms of groups; postings list groups
	groups  map[groupID]uint32
	groupOf []postings // rows of each group
	starts  Range
	length  Range // of durations
	seeds   [2]maphash.Seed

	replaced map[uint32]uint32 // by owner: the first row that counts, where not all do
}

// row holds a row's columns.
type row struct {
	owner           uint32
	start, duration int64
}

// groupID is a group's identity, hashed with seeds of this process: 128 bits that nobody can aim at.
type groupID struct{ a, b uint64 }

// NewMemory returns an empty index.
func NewMemory() *Memory {
	return &Memory{
		groups: make(map[groupID]uint32),
		starts: emptyRange,
		length: emptyRange,
		seeds:  [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		terms:  newDictionary(),
		shared: newDictionary(),
	}
}

// nobody owns rows that were taken back.
const nobody = math.MaxUint32

// Own begins a value of owner, an ordinal of the caller's: owner has the rows that follow.
func (m *Memory) Own(owner uint32) { m.owner, m.value = owner, len(m.rows) }

// Listed returns how many rows have come since the last Own.
func (m *Memory) Listed() int { return len(m.rows) - m.value }

// Disown takes back the rows that have come since the last Own: of a value that could not be listed to its end. Of their terms, some may
// go on to be listed by Terms.
func (m *Memory) Disown() {
	for i := m.value; i < len(m.rows); i++ {
		m.rows[i].owner = nobody
	}
	m.value = len(m.rows)
}

// Replace makes the rows that have come since the last Own the only ones of their owner: those before do not count any longer.
func (m *Memory) Replace() {
	if m.replaced == nil {
		m.replaced = make(map[uint32]uint32)
	}
	m.replaced[m.owner] = uint32(m.value)
}

// Replaced reports whether there was a Replace of owner.
func (m *Memory) Replaced(owner uint32) bool {
	_, replaced := m.replaced[owner]
	return replaced
}

// counts reports whether a row was neither taken back nor replaced.
func (m *Memory) counts(row int) bool {
	owner := m.rows[row].owner
	return owner != nobody && (len(m.replaced) == 0 || uint32(row) >= m.replaced[owner])
}

// Extent returns the number of rows that count, the range of their starts (of none an empty one, Min > Max), and the latest of their ends: of
// starts + durations.
func (m *Memory) Extent() (rows int, starts Range, end int64) {
	starts, end = emptyRange, math.MinInt64
	for i := range m.rows {
		if !m.counts(i) {
			continue
		}
		rows++
		r := &m.rows[i]
		starts.include(r.start)
		end = max(end, addTime(r.start, r.duration))
	}
	return rows, starts, end
}

// addTime returns start + duration, or the nearest int64.
func addTime(start, duration int64) int64 {
	end := start + duration
	switch {
	case duration > 0 && end < start:
		return math.MaxInt64
	case duration < 0 && end > start:
		return math.MinInt64
	default:
		return end
	}
}

// Group begins a group. See Sink.
func (m *Memory) Group(identity []byte) (known bool) {
	id := groupID{maphash.Bytes(m.seeds[0], identity), maphash.Bytes(m.seeds[1], identity)}
	if m.group, known = m.groups[id]; known {
		return true
	}
	m.group = m.newGroup()
	m.groups[id] = m.group
	return false
}

func (m *Memory) newGroup() uint32 {
	m.groupOf = append(m.groupOf, postings{})
	return uint32(len(m.groupOf) - 1)
}

// GroupTerm adds a term to the current group. See Sink.
func (m *Memory) GroupTerm(field, value []byte) {
	if indexable(field, value) {
		m.shared.add(&m.pool, field, value, m.group)
	}
}

// Row begins a row. See Sink.
func (m *Memory) Row(start, duration int64) {
	if len(m.groupOf) == 0 {
		m.group = m.newGroup()
	}
	ordinal := uint32(len(m.rows))
	m.rows = append(m.rows, row{owner: m.owner, start: start, duration: duration})
	m.groupOf[m.group].add(&m.pool, ordinal)
	m.starts.include(start)
	m.length.include(duration)
}

// Term adds a term to the current row. See Sink.
func (m *Memory) Term(field, value []byte) {
	if indexable(field, value) {
		m.terms.add(&m.pool, field, value, uint32(len(m.rows)-1))
	}
}

func indexable(field, value []byte) bool { return len(field) > 0 && len(field)+len(value) <= MaxTerm }

// Starts returns a range that has the start times of all rows; of no rows, an empty range (Min > Max).
func (m *Memory) Starts() Range { return m.starts }

// Bytes returns about how much memory the index takes.
func (m *Memory) Bytes() int64 {
	const rowBytes, groupBytes = 24, 64
	return int64(cap(m.rows))*rowBytes + int64(cap(m.pool)) + int64(len(m.groupOf))*groupBytes +
		m.terms.bytes() + m.shared.bytes()
}

// Search returns the keys that q asks for, newest first. key tells an owner's key.
func (m *Memory) Search(ctx context.Context, q *Query, key func(owner uint32) [16]byte) ([]Hit, error) {
	if err := q.Where.validate(); err != nil {
		return nil, err
	}
	if len(m.rows) == 0 || !q.Start.Overlaps(m.starts) || !q.Duration.Overlaps(m.length) {
		return nil, nil
	}
	set, err := eval(q.Where, len(m.rows), memoryLeaves{m})
	if err != nil {
		return nil, err
	}
	best := newNewest(q.Limit)
	// From the last row, which most often is the newest, so that the bar is high early.
	for word := len(set) - 1; word >= 0; word-- {
		if word&1023 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for w, base := set[word], word<<6; w != 0; w &= w - 1 {
			at := base + trailingZeros(w)
			r := &m.rows[at]
			if q.Start.Contains(r.start) && q.Duration.Contains(r.duration) && m.counts(at) {
				best.add(r.owner, r.start, key)
			}
		}
	}
	return best.sorted(), nil
}

// Terms calls fn with each value of field that begins with prefix, in ascending order, until fn returns false.
func (m *Memory) Terms(field, prefix []byte, fn func(value []byte) bool) {
	var values [][]byte
	for _, d := range []*dictionary{&m.terms, &m.shared} {
		d.eachOf(field, func(_ uint32, t *term) {
			if value := d.value(t); bytes.HasPrefix(value, prefix) {
				values = append(values, value)
			}
		})
	}
	slices.SortFunc(values, bytes.Compare)
	for _, value := range slices.CompactFunc(values, bytes.Equal) {
		if !fn(value) {
			return
		}
	}
}

// memoryLeaves evaluates leaves over all rows of a Memory.
type memoryLeaves struct{ m *Memory }

func (l memoryLeaves) addLeaf(leaf *Expr, dst rowSet) error {
	m := l.m
	addRow := func(row uint32) { dst.add(row) }
	addGroup := func(group uint32) { m.groupOf[group].each(m.pool, addRow) }
	if leaf.Op == OpEqual {
		if t := m.terms.find(leaf.Field, leaf.Value); t != nil {
			t.each(m.pool, addRow)
		}
		if t := m.shared.find(leaf.Field, leaf.Value); t != nil {
			t.each(m.pool, addGroup)
		}
		return nil
	}
	m.terms.eachOf(leaf.Field, func(_ uint32, t *term) {
		if leaf.accepts(m.terms.value(t)) {
			t.each(m.pool, addRow)
		}
	})
	m.shared.eachOf(leaf.Field, func(_ uint32, t *term) {
		if leaf.accepts(m.shared.value(t)) {
			t.each(m.pool, addGroup)
		}
	})
	return nil
}

// accepts reports whether a value of the leaf's field satisfies it.
func (e *Expr) accepts(value []byte) bool {
	switch e.Op {
	case OpEqual:
		return bytes.Equal(value, e.Value)
	case OpPrefix:
		return bytes.HasPrefix(value, e.Value)
	default:
		return e.Match(value)
	}
}

// dictionary holds terms, each once, with their postings: a hash table of ordinals into terms, whose bytes
// stand in one arena. Like the postings it has no pointers inside.
type dictionary struct {
	seed   maphash.Seed
	slots  []slot // the length is a power of two
	terms  []term
	arena  []byte            // values
	fields map[string]uint32 // field -> its ordinal
	names  []string          // field by ordinal
	latest []uint32          // by field: 1 + the term that came last

	// What came behind a term or a field last time most often does so again, and is found without a look into the tables.
	current uint32   // 1 + the term added last, or 0
	after   []uint32 // by field: the field behind it
}

// slot holds the hash of a term too, so that others are passed over without a look at them.
type slot struct{ hash, at uint32 } // 1 + ordinal of a term; 0 is free

// term is a (field, value) with the ordinals that bear it.
type term struct {
	postings
	field uint32
	at    uint32 // the value is arena[at:at+size]
	size  uint32
	prior uint32 // 1 + the term of the same field before this one
	after uint32 // 1 + the term that was added behind this one last
}

func newDictionary() dictionary {
	return dictionary{seed: maphash.MakeSeed(), slots: make([]slot, 64), fields: make(map[string]uint32)}
}

func (d *dictionary) bytes() int64 {
	const termBytes, slotBytes = 52, 8
	return int64(cap(d.slots))*slotBytes + int64(cap(d.terms))*termBytes + int64(cap(d.arena))
}

func (d *dictionary) value(t *term) []byte { return d.arena[t.at : t.at+t.size : t.at+t.size] }

// hash mixes the field's ordinal into the value's hash.
func (d *dictionary) hash(field uint32, value []byte) uint32 {
	h := maphash.Bytes(d.seed, value) + uint64(field)*0x9e3779b97f4a7c15
	return uint32(h ^ h>>32)
}

// find returns the term, or nil. It is valid until the next add.
func (d *dictionary) find(field, value []byte) *term {
	f, known := d.fields[string(field)]
	if !known {
		return nil
	}
	at, _ := d.probe(f, value, d.hash(f, value))
	if at == 0 {
		return nil
	}
	return &d.terms[at-1]
}

// probe returns 1 + the ordinal of the term, or 0 and the place of the slot where it would go.
func (d *dictionary) probe(field uint32, value []byte, hash uint32) (at, place uint32) {
	mask := uint32(len(d.slots) - 1)
	for place = hash & mask; ; place = (place + 1) & mask {
		s := d.slots[place]
		if s.at == 0 {
			return 0, place
		}
		if s.hash != hash {
			continue
		}
		if t := &d.terms[s.at-1]; t.field == field && bytes.Equal(d.value(t), value) {
			return s.at, place
		}
	}
}

// add notes that ordinal bears the term. Ordinals of one term must not descend.
func (d *dictionary) add(p *pool, field, value []byte, ordinal uint32) {
	before := d.current
	if before != 0 {
		if at := d.terms[before-1].after; at != 0 {
			if t := &d.terms[at-1]; string(value) == string(d.value(t)) && string(field) == d.names[t.field] {
				d.current = at
				t.add(p, ordinal)
				return
			}
		}
	}
	f := d.field(field)
	hash := d.hash(f, value)
	at, place := d.probe(f, value, hash)
	if at == 0 {
		d.terms = append(d.terms, term{field: f, at: uint32(len(d.arena)), size: uint32(len(value)), prior: d.latest[f]})
		d.arena = append(d.arena, value...)
		at = uint32(len(d.terms))
		d.slots[place] = slot{hash, at}
		d.latest[f] = at
		if len(d.terms)*4 > len(d.slots)*3 {
			d.grow()
		}
	}
	if before != 0 {
		d.terms[before-1].after = at
	}
	d.current = at
	d.terms[at-1].add(p, ordinal)
}

// field returns the ordinal of a field, a new one if there is none yet.
func (d *dictionary) field(field []byte) uint32 {
	before := uint32(0)
	if d.current != 0 {
		before = d.terms[d.current-1].field
		if f := d.after[before]; string(field) == d.names[f] {
			return f
		}
	}
	f, known := d.fields[string(field)]
	if !known {
		f = uint32(len(d.names))
		name := string(field)
		d.fields[name] = f
		d.names = append(d.names, name)
		d.latest = append(d.latest, 0)
		d.after = append(d.after, 0)
	}
	d.after[before] = f
	return f
}

func (d *dictionary) grow() {
	old := d.slots
	d.slots = make([]slot, 2*len(old))
	mask := uint32(len(d.slots) - 1)
	for _, s := range old {
		if s.at == 0 {
			continue
		}
		place := s.hash & mask
		for d.slots[place].at != 0 {
			place = (place + 1) & mask
		}
		d.slots[place] = s
	}
}

// eachOf calls fn with every term of field and its ordinal, the latest first.
func (d *dictionary) eachOf(field []byte, fn func(ordinal uint32, t *term)) {
	f, known := d.fields[string(field)]
	if !known {
		return
	}
	for at := d.latest[f]; at != 0; at = d.terms[at-1].prior {
		fn(at-1, &d.terms[at-1])
	}
}
