package columnar

// nothing is the last value of a node that had none. No text has it for a number.
const nothing = 1<<64 - 1

// field codes the value of a field. It is likely what it was in the last message of this shape, or else in
// the last field of this column in the trace.
func (m *model) field(n *node, c *column, v uint64) uint64 {
	f := &m.columnModels[c.model]
	if m.is(&n.same, v == n.last) {
		if v = n.last; v == nothing && c.op.hasText() {
			m.failed = true
			return 0
		}
	} else if f.trace == m.trace && f.latest != n.last && m.is(&n.again, v == f.latest) {
		v = f.latest
	} else {
		v = m.choose(c.model, c.op.hasText(), v)
		f = &m.columnModels[c.model]
	}
	n.last, f.latest, f.trace = v, v, m.trace
	return v
}

// choose codes a value as one of those that the column has had, or as a new one.
func (m *model) choose(model int32, text bool, v uint64) uint64 {
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
	if text {
		v = m.text(model, v)
		f = &m.columnModels[model]
	} else {
		v = m.number(&f.fresh, v)
	}
	m.add(model, v)
	return v
}

type valueKey struct {
	model int32
	value uint64
}

// indexOf returns where a value is among those that a column has had, or -1. A decoder needs not know.
func (m *model) indexOf(model int32, v uint64) int {
	if m.decoding {
		return -1
	}
	if i, ok := m.valueIDs[valueKey{model, v}]; ok {
		return int(i)
	}
	if i, ok := m.knownValues[valueKey{model, v}]; ok {
		return int(i)
	}
	return -1
}

func (m *model) add(model int32, v uint64) {
	f := &m.columnModels[model]
	if !m.decoding {
		m.valueIDs[valueKey{model, v}] = int32(len(f.values))
	}
	f.values = append(f.values, v)
}

// text codes a text that is new to a column.
func (m *model) text(model int32, id uint64) uint64 {
	f := &m.columnModels[model]
	number := int32(-1)
	if !m.decoding {
		number = m.texts.number[id]
	}
	if m.is(&f.elsewhere, number >= 0) {
		return uint64(m.known(&m.texts.catalog, &m.numbers[numberText], number))
	}
	id = m.newText(model, id)
	m.texts.define(int32(id))
	return id
}

// The classes of new texts.
const (
	classPlain = iota
	classPattern
	classBinary
)

// newText codes a text that is new to the page.
func (m *model) newText(model int32, id uint64) uint64 {
	f := &m.columnModels[model]
	class := uint32(classPlain)
	var b, pattern []byte
	if !m.decoding {
		b = m.texts.of(id)
		m.scratch, m.parts = appendPattern(m.scratch[:0], m.parts[:0], b)
		if pattern = m.scratch; len(m.parts) > 0 {
			class = classPattern
		} else if isBinary(b) {
			class = classBinary
		}
	}
	if class = m.bit(&f.class[0], min(class, 1)); class != 0 {
		class += m.bit(&f.class[1], uint32(bit(len(m.parts) == 0)))
	}
	switch class {
	case classPlain:
		b = m.bytes(&m.numbers[numberLength], b)
		if m.decoding {
			m.spend(len(b))
			m.texts.arena = append(m.texts.arena, b...)
		}
	case classBinary:
		n := m.number(&m.numbers[numberLength], uint64(len(b)))
		for i := range n {
			if m.failed {
				break
			}
			if m.decoding {
				m.spend(1)
				m.texts.arena = append(m.texts.arena, byte(m.bits(8, 0)))
			} else {
				m.bits(8, uint64(b[i]))
			}
		}
	default:
		m.patternText(model, pattern)
	}
	if m.decoding {
		return m.texts.close()
	}
	return id
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// isBinary tells whether b looks like noise that is not worth looking for matches in.
func isBinary(b []byte) bool {
	if len(b) < 4 || len(b) > 64 {
		return false
	}
	n := 0
	for _, c := range b {
		if c < ' ' || c >= 0x7f {
			n++
		}
	}
	return n*4 > len(b)
}

// patternText codes a text by its pattern and what stands at the marks.
func (m *model) patternText(model int32, pattern []byte) {
	f := &m.columnModels[model]
	if f.pattern < 0 {
		id := m.addColumnModel()
		f = &m.columnModels[model]
		f.pattern = id
	}
	var id uint64
	if !m.decoding {
		id = m.texts.intern(pattern)
	}
	seen := len(m.columnModels[f.pattern].values) > 0
	if seen && m.is(&f.samePattern, id == f.lastPattern) {
		id = f.lastPattern
	} else {
		id = m.choosePattern(f.pattern, id)
	}
	if m.failed {
		return
	}
	f = &m.columnModels[model]
	f.lastPattern = id
	pattern = m.texts.of(id)
	part := 0
	for i := 0; i < len(pattern) && !m.failed; i++ {
		c := pattern[i]
		if c >= marks || c == 0 {
			if m.decoding {
				m.spend(1)
				m.texts.arena = append(m.texts.arena, c)
			}
			continue
		}
		switch c {
		case markNumber:
			m.digits(f, part)
		case markHex:
			if i++; i >= len(pattern) {
				m.failed = true
				return
			}
			m.hex(part, int(pattern[i]))
		case markUUID:
			m.uuid(part)
		}
		part++
	}
}

// choosePattern is choose for patterns, which are plain texts.
func (m *model) choosePattern(model int32, id uint64) uint64 {
	f := &m.columnModels[model]
	i := m.indexOf(model, id)
	if m.is(&f.known, i >= 0) {
		last := uint64(len(f.values)) - 1
		at := m.number(&f.index, last-uint64(i))
		if at > last || len(f.values) == 0 {
			m.failed = true
			return 0
		}
		return f.values[last-at]
	}
	number := int32(-1)
	if !m.decoding {
		number = m.texts.number[id]
	}
	if m.is(&f.elsewhere, number >= 0) {
		id = uint64(m.known(&m.texts.catalog, &m.numbers[numberText], number))
	} else {
		b := m.bytes(&m.numbers[numberLength], m.textIf(id))
		if m.decoding {
			m.spend(len(b))
			m.texts.arena = append(m.texts.arena, b...)
			id = m.texts.close()
		}
		m.texts.define(int32(id))
	}
	m.add(model, id)
	return id
}

func (m *model) textIf(id uint64) []byte {
	if m.decoding {
		return nil
	}
	return m.texts.of(id)
}

// digits codes decimal digits. They are likely to be in another text of the trace.
func (m *model) digits(f *columnModel, at int) {
	var p part
	seen := recentNumbers
	if !m.decoding {
		p = m.parts[at]
		for seen = 0; seen < recentNumbers; seen++ {
			if r := &m.recent[seen]; r.value == p.value && r.digits == len(p.text) {
				break
			}
		}
		p.digits = len(p.text)
	}
	if m.is(&f.recent, seen < recentNumbers) {
		seen = int(m.tree(f.recentIndex[:], 3, uint32(seen)))
		p = m.recent[seen]
	} else {
		seen = recentNumbers - 1
		p.digits = int(m.tree(f.digits[:], 5, uint32(p.digits)))
		p.value = m.number(&f.fresh, p.value)
	}
	if p.value >= 100 || seen < recentNumbers-1 {
		copy(m.recent[1:seen+1], m.recent[:seen])
		m.recent[0] = part{value: p.value, digits: p.digits}
	}
	if m.decoding {
		m.spend(p.digits)
		begin := len(m.texts.arena)
		for range p.digits {
			m.texts.arena = append(m.texts.arena, '0')
		}
		for i := len(m.texts.arena) - 1; i >= begin; i-- {
			m.texts.arena[i] = '0' + byte(p.value%10)
			p.value /= 10
		}
	}
}

const hexDigits = "0123456789abcdef"

func (m *model) hex(at, n int) {
	for i := range n {
		var v uint64
		if !m.decoding {
			v = nibble(m.parts[at].text[i])
		}
		v = m.bits(4, v)
		if m.decoding {
			m.texts.arena = append(m.texts.arena, hexDigits[v])
		}
	}
	m.spend(n)
}

func nibble(c byte) uint64 {
	if c <= '9' {
		return uint64(c - '0')
	}
	return uint64(c-'a') + 10
}

func (m *model) uuid(at int) {
	for i := range 36 {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if m.decoding {
				m.texts.arena = append(m.texts.arena, '-')
			}
			continue
		}
		var v uint64
		if !m.decoding {
			v = nibble(m.parts[at].text[i])
		}
		v = m.bits(4, v)
		if m.decoding {
			m.texts.arena = append(m.texts.arena, hexDigits[v])
		}
	}
	m.spend(36)
}
