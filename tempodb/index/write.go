package index

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

const (
	// termPageBytes is small: a term is asked for alone or with a few neighbours, and a search of many blocks decodes a page in each. A
	// quarter of the size makes a list of services three times as fast, and the object 1.5 % longer.
	termPageBytes = 8 << 10

	objectVersion = 1
	trailerBytes  = 24
	objectMagic   = "TDBindx1"
)

// Write writes the rows of m that count as the search object of a block to w. m's owners must be ordinals of keys, which
// hold the key of each, in any order. m may be searched meanwhile.
//
// The object numbers owners and rows anew: the owner whose latest row started last comes first, and
// an owner's rows stand together in the order in which they came. A search for the newest keys so begins
// at row 0 and stops early. Apart from that order, the object does not depend on how m was filled.
//
//	pages of classes (see classes), pages of columns (see chunk), pages of the term table, its directory, filter of terms (see termFilter), footer page, trailer
//	trailer: footer's offset (8 bytes), footer's length (8 bytes), both little endian, magic (8 bytes)
func Write(w io.Writer, m *Memory, keys [][16]byte) error {
	order, err := m.order(keys)
	if err != nil {
		return err
	}
	classes, told := m.partition(order)
	pages := page.NewWriter(w, 0, page.DefaultLevel)
	f := footer{rows: uint64(len(order.rows))}
	if err := classes.write(pages, order, &f); err != nil {
		return fmt.Errorf("search object: classes: %w", err)
	}
	if err := m.writeColumns(pages, order, keys, &f); err != nil {
		return fmt.Errorf("search object: columns: %w", err)
	}
	table := newTermTable(w, pages.Offset())
	if err := m.writeTerms(table, order, classes, told); err != nil {
		return fmt.Errorf("search object: term table: %w", err)
	}
	return f.writeEnd(w, table)
}

// order is the numbering of owners and rows in a search object.
type order struct {
	owners []uint32 // new ordinal -> owner
	rows   []uint32 // new ordinal -> row
	renum  []uint32 // row -> new ordinal; gone if it does not count
	ends   []uint32 // by new ordinal of an owner: the row after its last
}

func (m *Memory) order(keys [][16]byte) (*order, error) {
	o := &order{
		owners: make([]uint32, len(keys)),
		renum:  make([]uint32, len(m.rows)),
		ends:   make([]uint32, len(keys)),
	}
	latest := make([]int64, len(keys))
	count := make([]uint32, len(keys))
	for i := range o.owners {
		o.owners[i] = uint32(i)
		latest[i] = math.MinInt64
	}
	total := 0
	for i := range m.rows {
		r := &m.rows[i]
		if !m.counts(i) {
			o.renum[i] = gone
			continue
		}
		total++
		if int(r.owner) >= len(keys) {
			return nil, fmt.Errorf("search object: row %d belongs to owner %d of %d", i, r.owner, len(keys))
		}
		latest[r.owner] = max(latest[r.owner], r.start)
		count[r.owner]++
	}
	slices.SortFunc(o.owners, func(a, b uint32) int {
		return compareHits(Hit{keys[a], latest[a]}, Hit{keys[b], latest[b]})
	})
	next := count // from here on: where the owner's next row goes
	at := uint32(0)
	for i, owner := range o.owners {
		at, next[owner] = at+count[owner], at
		o.ends[i] = at
	}
	o.rows = make([]uint32, total)
	for i := range m.rows {
		if o.renum[i] == gone {
			continue
		}
		owner := m.rows[i].owner
		o.renum[i] = next[owner]
		o.rows[next[owner]] = uint32(i)
		next[owner]++
	}
	return o, nil
}

// count returns how many rows of a list count.
func (o *order) count(list *postings, p pool) uint32 {
	if len(o.rows) == len(o.renum) {
		return list.count
	}
	n := uint32(0)
	list.each(p, func(row uint32) {
		if o.renum[row] != gone {
			n++
		}
	})
	return n
}

// writeTerms writes the records of all terms in the order of their keys.
func (m *Memory) writeTerms(table *termTable, o *order, c *classes, told []bool) error {
	t := termWriter{
		m: m, o: o, c: c, told: told, table: table,
		allRows: newRowSet(len(o.rows)), allClasses: newRowSet(len(c.group)), allGroups: newRowSet(len(m.groupOf)),
	}
	names := slices.Concat(m.terms.names, m.shared.names)
	slices.SortFunc(names, func(a, b string) int { return compareFields(a, b) })
	for _, name := range slices.Compact(names) {
		if err := t.field([]byte(name)); err != nil {
			return err
		}
	}
	return nil
}

// compareFields orders field names as the keys of their records are ordered.
func compareFields(a, b string) int {
	if len(a) != len(b) && (len(a) >= 0x80 || len(b) >= 0x80) {
		return bytes.Compare(appendFieldKey(nil, []byte(a)), appendFieldKey(nil, []byte(b)))
	}
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare([]byte(a), []byte(b))
}

type termWriter struct {
	m      *Memory
	o      *order
	c      *classes
	told   []bool // by ordinal of a term of rows: classes tell its rows
	table  *termTable
	key    []byte // of the field
	stem   []byte
	record []byte
	list   []byte
	sorted []uint32
	found  []sharedTerm

	// Scratch sets, empty between terms.
	allRows, allClasses, allGroups rowSet
}

// sharedTerm is a term of the dictionary of rows, that of groups, or both.
type sharedTerm struct {
	value       []byte
	rows, group *term
	ordinal     uint32 // of rows
}

func (t *termWriter) field(name []byte) error {
	t.key = appendFieldKey(t.key[:0], name)
	t.found = t.found[:0]
	t.m.terms.eachOf(name, func(ordinal uint32, of *term) {
		t.found = append(t.found, sharedTerm{value: t.m.terms.value(of), rows: of, ordinal: ordinal})
	})
	t.m.shared.eachOf(name, func(_ uint32, of *term) {
		t.found = append(t.found, sharedTerm{value: t.m.shared.value(of), group: of})
	})
	slices.SortFunc(t.found, func(a, b sharedTerm) int { return bytes.Compare(a.value, b.value) })
	for i := 0; i < len(t.found); i++ {
		of := t.found[i]
		if i+1 < len(t.found) && bytes.Equal(of.value, t.found[i+1].value) {
			i++
			if of.rows == nil {
				of.rows, of.ordinal = t.found[i].rows, t.found[i].ordinal
			} else {
				of.group = t.found[i].group
			}
		}
		if err := t.term(of); err != nil {
			return err
		}
	}
	return nil
}

// term writes the records of a term: the classes whose rows all hold it, and the rows that classes don't tell.
func (t *termWriter) term(of sharedTerm) error {
	t.sorted = t.sorted[:0]
	if of.group != nil {
		t.sorted = t.c.ofGroups(t.sorted, &of.group.postings, t.m.pool, t.allGroups)
	}
	byRow := of.rows
	if byRow != nil && t.told[of.ordinal] {
		t.sorted = t.c.ofTerm(t.sorted, &byRow.postings, t.m.pool, t.allClasses)
		byRow = nil
	}
	if len(t.sorted) > 0 {
		slices.Sort(t.sorted)
		t.record = appendClasses(appendValueKey(append(t.record[:0], t.key...), of.value))
		t.list = appendClassList(t.list[:0], slices.Compact(t.sorted))
		if err := t.table.Add(t.record, t.list); err != nil {
			return err
		}
	}
	if byRow == nil {
		return nil
	}
	return t.rows(of.value, &byRow.postings)
}

// rows writes a term's rows, a record for each stripe that has any.
func (t *termWriter) rows(value []byte, list *postings) error {
	t.sorted = t.sorted[:0]
	if int(list.count) > len(t.allRows) {
		// More rows than words: the bitmap sorts faster.
		list.each(t.m.pool, func(row uint32) {
			if row = t.o.renum[row]; row != gone {
				t.allRows.add(row)
			}
		})
		t.sorted = t.allRows.appendRows(t.sorted)
		clear(t.allRows)
	} else {
		list.each(t.m.pool, func(row uint32) {
			if row = t.o.renum[row]; row != gone {
				t.sorted = append(t.sorted, row)
			}
		})
		slices.Sort(t.sorted)
	}
	t.stem = appendValueKey(append(t.stem[:0], t.key...), value)
	var err error
	t.record, t.list, err = addStripes(t.table, t.record, t.list, t.stem, t.sorted)
	return err
}

// addStripes adds a record for each stripe that has some of rows, which ascend and are overwritten. record and list are scratch, and returned.
func addStripes(table *termTable, record, list, stem []byte, rows []uint32) ([]byte, []byte, error) {
	record = append(record[:0], stem...)
	for len(rows) > 0 {
		stripe := rows[0] / stripeRows
		n := 0
		for n < len(rows) && rows[n]/stripeRows == stripe {
			rows[n] %= stripeRows
			n++
		}
		record = appendStripe(record[:len(stem)], stripe)
		list = appendRowList(list[:0], rows[:n])
		if err := table.Add(record, list); err != nil {
			return record, list, err
		}
		rows = rows[n:]
	}
	return record, list, nil
}

// writeColumns writes a page of columns for each chunkRows rows and enters it in the footer.
func (m *Memory) writeColumns(pages *page.Writer, o *order, keys [][16]byte, f *footer) error {
	w := chunkWriter{pages: pages, f: f}
	begin, ordinal := uint32(0), uint32(0)
	for i, owner := range o.owners {
		if o.ends[i] == begin {
			continue
		}
		w.owner(ordinal, keys[owner])
		ordinal++
		for _, row := range o.rows[begin:o.ends[i]] {
			if err := w.row(m.rows[row].start, m.rows[row].duration); err != nil {
				return err
			}
		}
		begin = o.ends[i]
	}
	f.owners = uint64(ordinal)
	return w.flush()
}

// chunkWriter writes columns row by row.
type chunkWriter struct {
	pages   *page.Writer
	f       *footer
	c       chunk
	info    chunkInfo
	ordinal uint32
	key     [16]byte
	encoded []byte
}

// owner begins an owner, which must have a row. Ordinals are consecutive.
func (w *chunkWriter) owner(ordinal uint32, key [16]byte) { w.ordinal, w.key = ordinal, key }

// row adds a row of the owner begun last.
func (w *chunkWriter) row(start, duration int64) error {
	c := &w.c
	if len(c.keys) == 0 {
		c.firstOwner = w.ordinal
		w.info = chunkInfo{starts: emptyRange, durations: emptyRange}
	}
	if int(w.ordinal-c.firstOwner) == len(c.keys) {
		c.keys = append(c.keys, w.key)
		c.ends = append(c.ends, 0)
	}
	c.starts = append(c.starts, start)
	c.durations = append(c.durations, duration)
	c.ends[len(c.ends)-1] = uint32(len(c.starts))
	w.info.starts.include(start)
	w.info.durations.include(duration)
	if len(c.starts) == chunkRows {
		return w.flush()
	}
	return nil
}

// flush writes the rows that are not written yet.
func (w *chunkWriter) flush() error {
	c := &w.c
	if len(c.starts) == 0 {
		return nil
	}
	w.encoded = appendChunk(w.encoded[:0], c)
	ref, err := w.pages.Write(w.encoded)
	if err != nil {
		return err
	}
	w.info.ref = ref
	w.f.chunks = append(w.f.chunks, w.info)
	c.keys, c.ends, c.starts, c.durations = c.keys[:0], c.ends[:0], c.starts[:0], c.durations[:0]
	return nil
}

var emptyRange = Range{Min: math.MaxInt64, Max: math.MinInt64}

// include widens r so that it contains v.
func (r *Range) include(v int64) { r.Min, r.Max = min(r.Min, v), max(r.Max, v) }
