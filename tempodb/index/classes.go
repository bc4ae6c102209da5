package index

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// classes partitions the rows of a search object: rows of one class are of one group and hold the same of the frequent terms.
//
// A frequent term's rows are then told by a short list of classes, and the class of each row by a column. Rows of
// one kind of span differ in few terms, and the spans of similar traces follow each other in similar order: the column of classes
// takes a fraction of a byte a row, where each frequent term's rows, listed by themselves, would take about as much again.
//
// Classes are numbered by their first row in the object.
type classes struct {
	of    []uint32 // by row of the Memory: its class; gone if it does not count
	group []uint32 // by class
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
func (m *Memory) partition(o *order) (*classes, []bool) {
	c := &classes{of: make([]uint32, len(m.rows))}
	var size []uint32 // by class: its rows that count
	for group := range m.groupOf {
		c.group = append(c.group, uint32(group))
		size = append(size, o.count(&m.groupOf[group], m.pool))
		m.groupOf[group].each(m.pool, func(row uint32) { c.of[row] = uint32(group) })
	}
	told := make([]bool, len(m.terms.terms))
	var with, split []uint32 // by class: its rows that hold the term; the class they go to
	for _, f := range m.frequent(o) {
		t := &m.terms.terms[f.ordinal]
		with = append(with[:0], make([]uint32, len(size))...)
		t.each(m.pool, func(row uint32) {
			if o.renum[row] != gone {
				with[c.of[row]]++
			}
		})
		splits := uint32(0)
		for class, n := range with {
			if 0 < n && n < size[class] {
				splits++
			}
		}
		if splits*splitCost > f.count {
			continue
		}
		told[f.ordinal] = true
		if splits == 0 {
			continue
		}
		split = append(split[:0], make([]uint32, len(with))...)
		for class, n := range with {
			if split[class] = uint32(class); 0 < n && n < size[class] {
				split[class] = uint32(len(size))
				size[class] -= n
				size = append(size, n)
				c.group = append(c.group, c.group[class])
			}
		}
		t.each(m.pool, func(row uint32) { c.of[row] = split[c.of[row]] })
	}
	c.number(o)
	return c, told
}

// frequentTerm is a frequent term of rows, and how many rows that count hold it.
type frequentTerm struct{ ordinal, count uint32 }

// frequent lists the frequent terms. The most frequent come first: they split what many others would split again.
func (m *Memory) frequent(o *order) []frequentTerm {
	var all []frequentTerm
	least := uint32(max(frequentLeast, len(o.rows)/frequentShare))
	for i := range m.terms.terms {
		t := &m.terms.terms[i]
		if t.count < least {
			continue
		}
		if n := o.count(&t.postings, m.pool); n >= least {
			all = append(all, frequentTerm{uint32(i), n})
		}
	}
	slices.SortFunc(all, func(a, b frequentTerm) int {
		if a.count != b.count {
			return int(b.count) - int(a.count)
		}
		s, t := &m.terms.terms[a.ordinal], &m.terms.terms[b.ordinal]
		return cmp.Or(cmp.Compare(m.terms.names[s.field], m.terms.names[t.field]), bytes.Compare(m.terms.value(s), m.terms.value(t)))
	})
	return all
}

// number gives the classes with rows their numbers and drops the others.
func (c *classes) number(o *order) {
	numbers := make([]uint32, len(c.group)) // one more than the number, or zero
	groups := make([]uint32, 0, len(c.group))
	for _, row := range o.rows {
		class := c.of[row]
		if numbers[class] == 0 {
			groups = append(groups, c.group[class])
			numbers[class] = uint32(len(groups))
		}
	}
	for row, class := range c.of {
		if o.renum[row] == gone {
			c.of[row] = gone
			continue
		}
		c.of[row] = numbers[class] - 1
	}
	c.group = groups
}

// ofTerm appends the classes of a told term, ascending. seen has room for all classes and is left empty.
func (c *classes) ofTerm(dst []uint32, list *postings, p pool, seen rowSet) []uint32 {
	list.each(p, func(row uint32) {
		if class := c.of[row]; class != gone {
			seen.add(class)
		}
	})
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
	f.classes = uint64(len(c.group))
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
