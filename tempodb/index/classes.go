package index

import (
	"errors"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// classes partitions the rows of a search object: rows of one class are of one group and hold the same of the frequent terms.
//
// A frequent term's rows are then told by a short list of classes, and the class of each row by a column. Rows of
// one kind of span differ in few terms, and the spans of similar traces follow each other in similar order: the column of classes
// takes a fraction of a byte a row, where each frequent term's rows, listed by themselves, would take about as much again.
type classes struct {
	of    []uint32 // by row: its class
	group []uint32 // by class
	size  []uint32 // by class
}

const (
	// frequentShare and frequentLeast say which terms are frequent: those of at least 1/frequentShare of the rows,
	// and of frequentLeast rows.
	frequentShare = 1024
	frequentLeast = 32
	// splitCost is about how many of a term's rows, listed by themselves, take as much as one more class.
	splitCost = 48
)

// partition returns the classes of m's rows and, by ordinal, which terms of rows they tell.
func (m *Memory) partition() (*classes, []bool) {
	c := &classes{of: make([]uint32, len(m.rows)), group: make([]uint32, len(m.groupOf)), size: make([]uint32, len(m.groupOf))}
	for group := range m.groupOf {
		c.group[group] = uint32(group)
		c.size[group] = m.groupOf[group].count
		m.groupOf[group].each(m.pool, func(row uint32) { c.of[row] = uint32(group) })
	}
	var frequent []uint32
	least := uint32(max(frequentLeast, len(m.rows)/frequentShare))
	for i := range m.terms.terms {
		if m.terms.terms[i].count >= least {
			frequent = append(frequent, uint32(i))
		}
	}
	// The most frequent first: they split what many others would split again.
	slices.SortStableFunc(frequent, func(a, b uint32) int {
		return int(m.terms.terms[b].count) - int(m.terms.terms[a].count)
	})
	told := make([]bool, len(m.terms.terms))
	var with, split []uint32 // by class: its rows that hold the term; the class they go to
	for _, i := range frequent {
		t := &m.terms.terms[i]
		with = append(with[:0], make([]uint32, len(c.size))...)
		t.each(m.pool, func(row uint32) { with[c.of[row]]++ })
		splits := uint32(0)
		for class, n := range with {
			if 0 < n && n < c.size[class] {
				splits++
			}
		}
		if splits*splitCost > t.count {
			continue
		}
		told[i] = true
		if splits == 0 {
			continue
		}
		split = append(split[:0], make([]uint32, len(with))...)
		for class, n := range with {
			if split[class] = uint32(class); 0 < n && n < c.size[class] {
				split[class] = uint32(len(c.size))
				c.size[class] -= n
				c.size = append(c.size, n)
				c.group = append(c.group, c.group[class])
			}
		}
		t.each(m.pool, func(row uint32) { c.of[row] = split[c.of[row]] })
	}
	return c, told
}

// ofTerm appends the classes of a told term, ascending. seen has room for all classes and is left empty.
func (c *classes) ofTerm(dst []uint32, list *postings, p pool, seen rowSet) []uint32 {
	list.each(p, func(row uint32) { seen.add(c.of[row]) })
	dst = seen.appendRows(dst)
	clear(seen)
	return dst
}

// ofGroups appends the classes of groups, ascending. seen has room for all groups and is left empty.
func (c *classes) ofGroups(dst []uint32, groups *postings, p pool, seen rowSet) []uint32 {
	groups.each(p, func(group uint32) { seen.add(group) })
	for class, group := range c.group {
		if seen.has(group) {
			dst = append(dst, uint32(class))
		}
	}
	clear(seen)
	return dst
}

// planes returns how many bytes the ordinal of a class takes in the column.
func planes(classes uint64) int {
	n := 1
	for classes > 1<<(8*n) {
		n++
	}
	return n
}

// appendClassColumn encodes the classes of a stripe's rows: all lowest bytes, then all second bytes, and so on.
func appendClassColumn(dst []byte, of []uint32, classes uint64) []byte {
	for plane := range planes(classes) {
		for _, class := range of {
			dst = append(dst, byte(class>>(8*plane)))
		}
	}
	return dst
}

var errClassColumn = errors.New("malformed column of classes")

// parseClassColumn decodes the classes of so many rows, each below classes, into dst.
func parseClassColumn(dst []uint32, b []byte, rows int, classes uint64) ([]uint32, error) {
	n := planes(classes)
	if len(b) != n*rows {
		return nil, errClassColumn
	}
	dst = slices.Grow(dst[:0], rows)[:rows]
	for i, v := range b[:rows] {
		dst[i] = uint32(v)
	}
	for plane := 1; plane < n; plane++ {
		for i, v := range b[plane*rows : (plane+1)*rows] {
			dst[i] |= uint32(v) << (8 * plane)
		}
	}
	for _, class := range dst {
		if uint64(class) >= classes {
			return nil, errClassColumn
		}
	}
	return dst, nil
}

// writeClasses writes a page of the column for each stripe.
func (c *classes) write(pages *page.Writer, o *order, f *footer) error {
	f.classes = uint64(len(c.size))
	var of []uint32
	var encoded []byte
	for begin := 0; begin < len(o.rows); begin += stripeRows {
		of = of[:0]
		for _, row := range o.rows[begin:min(begin+stripeRows, len(o.rows))] {
			of = append(of, c.of[row])
		}
		encoded = appendClassColumn(encoded[:0], of, f.classes)
		ref, err := pages.Write(encoded)
		if err != nil {
			return err
		}
		f.stripes = append(f.stripes, ref)
	}
	return nil
}
