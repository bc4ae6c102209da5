package index

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Merge writes the search object that has the rows of all sources. Where an owner's key is in several sources its rows would
// be in the outcome several times; dropped tells which of them to leave out.
//
// It reads every source twice from beginning to end and keeps some 14 bytes an owner in memory, and the longest list of rows of
// one term. It decides nothing by what a row is: terms are copied, rows get new numbers, and classes that hold the same terms become one.
// It returns the number of rows.
func Merge(ctx context.Context, w io.Writer, sources []*Object, dropped func(source int, key [16]byte) bool) (rows int64, err error) {
	m := &merger{ctx: ctx}
	for _, o := range sources {
		m.sources = append(m.sources, &mergeSource{o: o})
	}
	if err := m.orderOwners(dropped); err != nil {
		return 0, fmt.Errorf("merge search objects: owners: %w", err)
	}
	if err := m.joinClasses(); err != nil {
		return 0, fmt.Errorf("merge search objects: classes: %w", err)
	}
	pages := page.NewWriter(w, 0, page.DefaultLevel)
	f := footer{rows: m.rows, owners: uint64(len(m.order)), classes: m.classes}
	if err := m.writeClasses(pages, &f); err != nil {
		return 0, fmt.Errorf("merge search objects: column of classes: %w", err)
	}
	if err := m.writeColumns(pages, &f); err != nil {
		return 0, fmt.Errorf("merge search objects: columns: %w", err)
	}
	table := newTermTable(w, pages.Offset())
	if err := m.writeTerms(table); err != nil {
		return 0, fmt.Errorf("merge search objects: terms: %w", err)
	}
	return int64(m.rows), f.writeEnd(w, table)
}

// merger is the state of one Merge.
type merger struct {
	ctx     context.Context
	sources []*mergeSource
	order   []uint16 // of each owner of the outcome: its source. A source's owners keep their order
	rows    uint64
	classes uint64
}

type mergeSource struct {
	o *Object
	// By owner, in the source's order: its first row in the source and in the outcome (gone if it is left out).
	from, to []uint32
	class    []uint32 // by class of the source: that of the outcome
}

// gone is the row of owners that are left out.
const gone = math.MaxUint32

// ownerRows is an owner and where its rows are.
type ownerRows struct {
	key    [16]byte
	first  uint32
	rows   uint32
	latest int64
}

// owners iterates over the owners of o that have rows, in their order. An error ends the iteration and is left in *failed.
func (o *Object) owners(ctx context.Context, failed *error) iter.Seq[ownerRows] {
	return func(yield func(ownerRows) bool) {
		s := &search{o: o, ctx: ctx, buffers: new(buffers)}
		var current ownerRows
		ordinal := uint32(0)
		row := uint32(0)
		for i := range o.chunks {
			if *failed = ctx.Err(); *failed == nil {
				*failed = s.columns(i)
			}
			if *failed != nil {
				return
			}
			c := &s.chunk
			begin := uint32(0)
			for at, end := range c.ends {
				if current.rows > 0 && c.firstOwner+uint32(at) != ordinal {
					if !yield(current) {
						return
					}
					current = ownerRows{}
				}
				if current.rows == 0 {
					ordinal = c.firstOwner + uint32(at)
					current = ownerRows{key: c.keys[at], first: row, latest: math.MinInt64}
				}
				for ; begin < end; begin++ {
					current.latest = max(current.latest, c.starts[begin])
					current.rows++
					row++
				}
			}
		}
		if current.rows > 0 {
			yield(current)
		}
	}
}

// orderOwners decides the order of owners in the outcome, and so the number of each row.
func (m *merger) orderOwners(dropped func(source int, key [16]byte) bool) error {
	if len(m.sources) > math.MaxUint16 {
		return fmt.Errorf("%d sources at once, more than %d", len(m.sources), math.MaxUint16)
	}
	failed := make([]error, len(m.sources))
	next := make([]func() (ownerRows, bool), len(m.sources))
	heads := make([]ownerRows, len(m.sources))
	var live []int
	for i, s := range m.sources {
		pull, stop := iter.Pull(s.o.owners(m.ctx, &failed[i]))
		defer stop()
		next[i] = pull
		var any bool
		if heads[i], any = pull(); any {
			live = append(live, i)
		}
	}
	for len(live) > 0 {
		at := 0
		for j := 1; j < len(live); j++ {
			a, b := &heads[live[j]], &heads[live[at]]
			if compareHits(Hit{a.key, a.latest}, Hit{b.key, b.latest}) < 0 {
				at = j
			}
		}
		i := live[at]
		s, owner := m.sources[i], &heads[i]
		s.from = append(s.from, owner.first)
		if dropped(i, owner.key) {
			s.to = append(s.to, gone)
		} else {
			s.to = append(s.to, uint32(m.rows))
			m.rows += uint64(owner.rows)
			m.order = append(m.order, uint16(i))
		}
		if m.rows >= gone {
			return fmt.Errorf("more than %d rows", uint32(gone)-1)
		}
		var any bool
		if heads[i], any = next[i](); !any {
			live = slices.Delete(live, at, at+1)
		}
	}
	return errors.Join(failed...)
}

// renumber returns the row of the outcome for each of ascending rows of the source, leaving out those of owners that are left out.
func (s *mergeSource) renumber(dst, rows []uint32) ([]uint32, error) {
	owner := 0
	for _, row := range rows {
		// Most often the owner is this one or near; the step doubles until it is passed.
		step := 1
		for owner+step < len(s.from) && s.from[owner+step] <= row {
			owner += step
			step *= 2
		}
		for ; step > 0; step /= 2 {
			if owner+step < len(s.from) && s.from[owner+step] <= row {
				owner += step
			}
		}
		if owner >= len(s.from) {
			return dst, errRowList
		}
		if s.to[owner] != gone {
			dst = append(dst, s.to[owner]+row-s.from[owner])
		}
	}
	return dst, nil
}

// joinClasses numbers the classes of the outcome: classes that are told by the same terms are one.
func (m *merger) joinClasses() error {
	type identity struct{ a, b uint64 }
	seeds := [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	joined := make(map[identity]uint32)
	for _, s := range m.sources {
		identities := make([]identity, s.o.classes)
		for r, err := range s.o.records(m.ctx) {
			if err != nil {
				return err
			}
			if r.kind != kindClasses {
				continue
			}
			a, b := maphash.Bytes(seeds[0], r.stem), maphash.Bytes(seeds[1], r.stem)
			err := eachClass(r.list, s.o.classes, func(class uint32) {
				const odd = 0x9e3779b97f4a7c15
				of := &identities[class]
				of.a, of.b = of.a*odd+a, of.b*odd+b
			})
			if err != nil {
				return corrupt(s.o.r, fmt.Sprintf("classes of %q", r.stem), 0, err.Error())
			}
		}
		for _, id := range identities {
			class, known := joined[id]
			if !known {
				class = uint32(len(joined))
				joined[id] = class
			}
			s.class = append(s.class, class)
		}
	}
	m.classes = uint64(len(joined))
	return nil
}

// record is a record of a term table. Its slices are valid until the next.
type record struct {
	stem   []byte // the key without what ends it
	kind   byte
	stripe uint32
	list   []byte
}

// records iterates over the term table.
func (o *Object) records(ctx context.Context) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		n := 0
		stopped := false
		err := o.terms.Scan(nil, func(key, list []byte) (bool, error) {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return false, ctx.Err()
			}
			stem, kind, stripe, ok := cutStem(key)
			if !ok || kind == kindRows && o.rowsOf(stripe) == 0 {
				return false, corrupt(o.r, fmt.Sprintf("term key %q", key), 0, "is malformed")
			}
			stopped = !yield(record{stem: stem, kind: kind, stripe: stripe, list: list}, nil)
			return !stopped, nil
		})
		if err != nil && !stopped {
			yield(record{}, err)
		}
	}
}

// writeTerms merges the term tables.
func (m *merger) writeTerms(table *termTable) error {
	heads := make([]record, len(m.sources))
	next := make([]func() (record, error, bool), len(m.sources))
	var live []int
	for i, s := range m.sources {
		pull, stop := iter.Pull2(s.o.records(m.ctx))
		defer stop()
		next[i] = pull
		r, err, any := pull()
		if err != nil {
			return err
		}
		if heads[i] = r; any {
			live = append(live, i)
		}
	}
	t := termMerge{m: m, table: table, classes: newRowSet(int(m.classes))}
	for len(live) > 0 {
		least := heads[live[0]].stem
		for _, i := range live[1:] {
			if bytes.Compare(heads[i].stem, least) < 0 {
				least = heads[i].stem
			}
		}
		t.begin(least)
		for at := 0; at < len(live); {
			i := live[at]
			ended := false
			for !ended && bytes.Equal(heads[i].stem, t.stem) {
				if err := t.add(m.sources[i], &heads[i]); err != nil {
					return err
				}
				r, err, any := next[i]()
				if err != nil {
					return err
				}
				heads[i], ended = r, !any
			}
			if ended {
				live = slices.Delete(live, at, at+1)
			} else {
				at++
			}
		}
		if err := t.end(); err != nil {
			return err
		}
	}
	return nil
}

// termMerge merges the records of one term at a time.
type termMerge struct {
	m       *merger
	table   *termTable
	stem    []byte
	classes rowSet // empty between terms
	told    bool
	rows    []uint32
	set     rowSet // scratch for a stripe
	old     []uint32
	record  []byte
	list    []byte
}

func (t *termMerge) begin(stem []byte) {
	t.stem = append(t.stem[:0], stem...)
	t.rows = t.rows[:0]
	t.told = false
}

func (t *termMerge) add(s *mergeSource, r *record) error {
	if r.kind == kindClasses {
		t.told = true
		return eachClass(r.list, s.o.classes, func(class uint32) { t.classes.add(s.class[class]) })
	}
	rows := s.o.rowsOf(r.stripe)
	if t.set == nil {
		t.set = newRowSet(stripeRows)
	}
	set := t.set[:(rows+63)/64]
	if err := addRowList(set, r.list, rows); err != nil {
		return corrupt(s.o.r, fmt.Sprintf("postings of %q", r.stem), 0, err.Error())
	}
	t.old = set.appendRows(t.old[:0])
	clear(set)
	for i := range t.old {
		t.old[i] += r.stripe * stripeRows
	}
	var err error
	t.rows, err = s.renumber(t.rows, t.old)
	return err
}

func (t *termMerge) end() error {
	if t.told {
		t.old = t.classes.appendRows(t.old[:0])
		clear(t.classes)
		t.list = appendClassList(t.list[:0], t.old)
		t.record = appendClasses(append(t.record[:0], t.stem...))
		if err := t.table.Add(t.record, t.list); err != nil {
			return err
		}
	}
	slices.Sort(t.rows)
	var err error
	t.record, t.list, err = addStripes(t.table, t.record, t.list, t.stem, t.rows)
	return err
}

// sequence reads rows of a source from the first to the last.
type sequence struct {
	search
	chunkAt int // the chunk in hand is chunkAt-1
	row     uint32
	owner   int
}

// skipGone moves to the source's next owner that is in the outcome, and returns how many rows it has.
func (q *sequence) skipGone(s *mergeSource) uint32 {
	for s.to[q.owner] == gone {
		q.owner++
	}
	end := uint32(s.o.rows)
	if q.owner+1 < len(s.from) {
		end = s.from[q.owner+1]
	}
	q.row = s.from[q.owner]
	q.owner++
	return end - q.row
}

// eachRow calls fn with the source and the row in it for each row of the outcome, in order.
func (m *merger) eachRow(fn func(q *sequence, s *mergeSource, key bool) error) error {
	sequences := make([]*sequence, len(m.sources))
	for i, s := range m.sources {
		sequences[i] = &sequence{search: search{o: s.o, ctx: m.ctx, buffers: new(buffers)}}
	}
	for n, of := range m.order {
		if n%1024 == 0 && m.ctx.Err() != nil {
			return m.ctx.Err()
		}
		q, s := sequences[of], m.sources[of]
		for i := range q.skipGone(s) {
			if err := fn(q, s, i == 0); err != nil {
				return err
			}
			q.row++
		}
	}
	return nil
}

func (m *merger) writeClasses(pages *page.Writer, f *footer) error {
	stripe := make([]uint32, 0, min(m.rows, stripeRows))
	var encoded []byte
	flush := func() error {
		if len(stripe) == 0 {
			return nil
		}
		encoded = appendClassColumn(encoded[:0], stripe, m.classes)
		ref, err := pages.Write(encoded)
		f.stripes = append(f.stripes, ref)
		stripe = stripe[:0]
		return err
	}
	err := m.eachRow(func(q *sequence, s *mergeSource, _ bool) error {
		if err := q.loadClasses(q.row / stripeRows); err != nil {
			return err
		}
		stripe = append(stripe, s.class[q.of[q.row%stripeRows]])
		if len(stripe) == stripeRows {
			return flush()
		}
		return nil
	})
	return cmp.Or(err, flush())
}

func (m *merger) writeColumns(pages *page.Writer, f *footer) error {
	w := chunkWriter{pages: pages, f: f}
	owner := uint32(0)
	err := m.eachRow(func(q *sequence, _ *mergeSource, first bool) error {
		if at := int(q.row / chunkRows); q.chunkAt != at+1 {
			if err := q.columns(at); err != nil {
				return err
			}
			q.chunkAt = at + 1
		}
		row := q.row % chunkRows
		if first {
			at, _ := slices.BinarySearch(q.chunk.ends, row+1)
			w.owner(owner, q.chunk.keys[at])
			owner++
		}
		return w.row(q.chunk.starts[row], q.chunk.durations[row])
	})
	return cmp.Or(err, w.flush())
}
