package columnar

// text codes a text that is new to a column.
func (m *model) text(model int32, of valueClass, id uint64) uint64 {
	f := &m.columnModels[model]
	number := int32(-1)
	var b []byte
	if !m.decoding {
		number = m.texts.number[id]
		b = m.texts.of(id)
	}
	if m.is(&f.elsewhere, number >= 0) {
		return uint64(m.known(&m.texts.catalog, &m.numbers[numberText], number))
	}
	if of == ofPatterns {
		m.plainText(b)
	} else {
		m.newText(model, b)
	}
	if m.decoding {
		id = m.texts.close()
	}
	m.texts.define(int32(id))
	return id
}

// newText codes a text that is new to the page. Decoding, it is appended to the arena.
func (m *model) newText(model int32, b []byte) {
	f := &m.columnModels[model]
	var pattern []byte
	patterned, binary := false, false
	if !m.decoding {
		pattern, m.parts = appendPattern(m.scratch[:0], m.parts[:0], b)
		m.scratch = pattern
		patterned, binary = len(m.parts) > 0, isBinary(b)
	}
	switch {
	case m.is(&f.patterned, patterned):
		m.patternText(model, pattern)
	case m.is(&f.binary, binary):
		m.binaryText(b)
	default:
		m.plainText(b)
	}
}

// plainText codes a text that stands in the blob.
func (m *model) plainText(b []byte) {
	b = m.bytes(&m.numbers[numberLength], b)
	m.spell(b...)
}

// binaryText codes a text as raw bits.
func (m *model) binaryText(b []byte) {
	n := m.number(&m.numbers[numberLength], uint64(len(b)))
	for i := uint64(0); i < n && !m.failed; i++ {
		var v uint64
		if !m.decoding {
			v = uint64(b[i])
		}
		m.spell(byte(m.bits(8, v)))
	}
}

// spell appends to a text that is read.
func (m *model) spell(b ...byte) {
	if m.decoding {
		m.spend(len(b))
		m.texts.arena = append(m.texts.arena, b...)
	}
}

// patternText codes a text by its pattern and what stands at the marks.
func (m *model) patternText(model int32, pattern []byte) {
	f := &m.columnModels[model]
	if f.pattern < 0 {
		id := m.addColumnModel()
		f = &m.columnModels[model] // may have moved
		f.pattern = id
	}
	var id uint64
	if !m.decoding {
		id = m.texts.intern(pattern)
	}
	if f.hasPattern && m.is(&f.samePattern, id == f.lastPattern) {
		id = f.lastPattern
	} else {
		id = m.choose(f.pattern, ofPatterns, id)
	}
	if m.failed {
		return
	}
	f.hasPattern, f.lastPattern = true, id
	pattern = m.texts.of(id)
	for i, at := 0, 0; i < len(pattern) && !m.failed; i++ {
		switch c := pattern[i]; c {
		default:
			m.spell(c)
			continue
		case markNumber:
			m.digits(f, at)
		case markHex:
			if i++; i < len(pattern) {
				m.hex(at, 0, int(pattern[i]))
			}
		case markUUID:
			for _, group := range [...][2]int{{0, 8}, {9, 13}, {14, 18}, {19, 23}, {24, 36}} {
				if group[0] > 0 {
					m.spell('-')
				}
				m.hex(at, group[0], group[1])
			}
		}
		at++
	}
}

// digits codes decimal digits, part n of a text. They are likely to be in another text of the trace.
func (m *model) digits(f *columnModel, n int) {
	var p part
	at := recentNumbers
	if !m.decoding {
		p = m.parts[n]
		p.digits = len(p.text)
		for at = 0; at < recentNumbers; at++ {
			if r := &m.recent[at]; r.value == p.value && r.digits == p.digits {
				break
			}
		}
	}
	if m.is(&f.recent, at < recentNumbers) {
		at = int(m.tree(f.recentIndex[:], 3, uint32(at)))
		p = m.recent[at]
	} else {
		at = recentNumbers - 1
		p.digits = int(m.tree(f.digits[:], 5, uint32(p.digits)))
		p.value = m.number(&f.fresh, p.value)
	}
	if p.value >= 100 {
		copy(m.recent[1:at+1], m.recent[:at])
		m.recent[0] = part{value: p.value, digits: p.digits}
	}
	if m.decoding {
		var b [32]byte
		for i := p.digits - 1; i >= 0; i-- {
			b[i] = '0' + byte(p.value%10)
			p.value /= 10
		}
		m.spell(b[:p.digits]...)
	}
}

const hexDigits = "0123456789abcdef"

// hex codes hexadecimal digits, those from begin to end of part n of a text.
func (m *model) hex(n, begin, end int) {
	for i := begin; i < end && !m.failed; i++ {
		var v uint64
		if !m.decoding {
			v = nibble(m.parts[n].text[i])
		}
		m.spell(hexDigits[m.bits(4, v)])
	}
}

func nibble(c byte) uint64 {
	if c <= '9' {
		return uint64(c - '0')
	}
	return uint64(c-'a') + 10
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
