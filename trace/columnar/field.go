package columnar

// fields codes the values of the fields of a message that are not coded apart.
func (m *model) fields(shape int32) {
	for _, id := range m.shapes[shape].path {
		n := &m.nodes[id]
		c := &m.columns[n.column]
		if !c.op.hasValue() {
			continue
		}
		at := len(m.values)
		var v uint64
		if !m.decoding {
			v = m.nextValue()
		} else {
			m.spend(1)
			m.values = append(m.values, 0)
		}
		switch c.op {
		case opTime:
			m.clock += uint64(m.signed(&m.numbers[numberEventTime], &m.probs[probEventTime], int64(v-m.clock)))
			v = m.clock
		case opChildren:
			v = m.field(n, c, v)
			m.children(childKind(c.tag), v, shape)
		default:
			v = m.field(n, c, v)
		}
		if m.failed {
			return
		}
		if m.decoding {
			m.values[at] = v
		}
	}
}

func (m *model) nextValue() uint64 {
	m.valueAt++
	return m.values[m.valueAt-1]
}

// childKind is the kind of the messages in a field.
func childKind(tag uint32) kind {
	if tag == 13<<3|typeBytes {
		return kindLink
	}
	return kindEvent
}

// children codes the shapes and fields of messages in a message.
func (m *model) children(k kind, count uint64, parent int32) {
	one, two := -1-m.shapeCatalog.number[parent], int32(anyShape)
	for ; count > 0 && !m.failed; count-- {
		shape := int32(0)
		if !m.decoding {
			shape = int32(m.nextValue())
		}
		if shape = m.shape(k, one, two, shape); shape == endShape {
			m.failed = true
			return
		}
		if m.decoding {
			m.spend(2)
			m.values = append(m.values, uint64(shape))
		}
		m.fields(shape)
		one, two = m.shapeCatalog.number[shape], one
	}
}

// nothing is the last value of a node that had none. No text has it for a number.
const nothing = 1<<64 - 1

// field codes the value of a field. It is likely what it was in the last message of this shape, or else in
// the last field of this column in the trace.
func (m *model) field(n *node, c *column, v uint64) uint64 {
	f := &m.columnModels[c.model]
	if m.is(&n.same, v == n.last) {
		if v = n.last; v == nothing && c.op.class() == ofTexts {
			m.failed = true
			return 0
		}
	} else if f.trace == m.trace && f.latest != n.last && m.is(&n.again, v == f.latest) {
		v = f.latest
	} else {
		v = m.choose(c.model, c.op.class(), v)
		f = &m.columnModels[c.model]
	}
	n.last, f.latest, f.trace = v, v, m.trace
	return v
}

// A valueClass says what the numbers are that values are held as.
type valueClass uint8

const (
	ofNumbers  valueClass = iota // themselves
	ofTexts                      // texts of the page
	ofPatterns                   // texts that are patterns of others
)

// choose codes a value as one of those that the column has had, or as a new one. For patterns model is that
// of the patterns of a column.
func (m *model) choose(model int32, of valueClass, v uint64) uint64 {
	f := &m.columnModels[model]
	i := m.indexOf(model, v)
	if m.is(&f.known, i >= 0) {
		last := uint64(len(f.values)) - 1
		at := m.number(&f.index, last-uint64(i))
		if at > last || len(f.values) == 0 {
			m.failed = true
			return 0
		}
		return f.values[last-at]
	}
	if of == ofNumbers {
		v = m.number(&f.fresh, v)
	} else {
		v = m.text(model, of, v)
	}
	m.add(model, v)
	return v
}

// indexOf returns where a value is among those that a column has had, or -1. A decoder needs not know.
func (m *model) indexOf(model int32, v uint64) int {
	if m.decoding {
		return -1
	}
	i := m.valueIDs.find(v, uint64(model))
	if i < 0 {
		i = m.knownValues.find(v, uint64(model))
	}
	return int(i)
}

func (m *model) add(model int32, v uint64) {
	f := &m.columnModels[model]
	if !m.decoding {
		m.valueIDs.set(v, uint64(model), int32(len(f.values)))
	}
	f.values = append(f.values, v)
}
