package columnar

// newShape codes the columns of a shape.
func (m *model) newShape(k kind, id int32) int32 {
	var path []int32
	if !m.decoding {
		m.shapeCatalog.define(id)
		path = m.shapes[id].path
	}
	at, column := int32(k), int32(k)
	m.path = m.path[:0]
	for i := 0; ; i++ {
		next := int32(0)
		if i < len(path) {
			next = m.nodes[path[i]].column
		}
		if column = m.column(column, next); column < int32(kinds) {
			break
		}
		if m.decoding {
			if at = m.enter(at, column); m.failed {
				return endShape
			}
			m.path = append(m.path, at)
			m.spend(1)
		}
	}
	if !m.decoding {
		return id
	}
	if m.nodes[at].shape >= 0 || !m.sound(k, m.path) {
		m.failed = true
		return endShape
	}
	id = m.shapeAt(k, at, m.path)
	m.shapeCatalog.define(id)
	return id
}

// enter goes on to a column of a shape that is read.
func (m *model) enter(at, column int32) int32 {
	if next := m.child(at, column); next >= 0 {
		return next
	}
	if m.nodes[at].children >= maxBranches || len(m.nodes) >= maxNodes || len(m.path) >= maxFields {
		m.failed = true
		return at
	}
	return m.addChild(at, column)
}

// sound tells whether a shape that was read is one that a message can have.
func (m *model) sound(k kind, path []int32) bool {
	depth, seen := 0, uint32(0)
	for _, n := range path {
		o := m.columns[m.nodes[n].column].op
		switch o {
		case opBegin:
			depth++
		case opEnd:
			depth--
		case opSpans:
			if k != kindResource && k != kindScope || depth != 0 {
				return false
			}
		case opTraceID, opSpanID, opParent, opStart, opFinish, opChildren:
			if k != kindSpan {
				return false
			}
		}
		if o <= opSpans && o >= opTraceID && o != opChildren {
			if seen>>o&1 != 0 {
				return false
			}
			seen |= 1 << o
		}
		if depth < 0 || depth > maxDepth {
			return false
		}
	}
	return depth == 0
}

// column codes a column behind another one in a shape; one below kinds is the shape's end.
func (m *model) column(previous, id int32) int32 {
	p := &m.columns[previous]
	if p.next >= 0 && m.is(&p.nextSame, id == p.next) {
		return p.next
	}
	number := int32(-1)
	if !m.decoding {
		number = m.columnCatalog.number[id]
	}
	if m.is(&m.probs[probNewColumn], number < 0) {
		id = m.newColumn(id)
	} else {
		id = m.known(&m.columnCatalog, &m.numbers[numberColumn], number)
	}
	m.columns[previous].next = id
	return id
}

func (m *model) newColumn(id int32) int32 {
	var key columnKey
	if !m.decoding {
		key = m.columns[id].columnKey
	}
	key.op = op(m.tree(m.opTree[:], 5, uint32(key.op)))
	if key.op >= ops {
		m.failed = true
		return 0
	}
	if key.op.hasTag() {
		tag := m.number(&m.numbers[numberTag], uint64(key.tag))
		if tag>>32 != 0 {
			m.failed = true
		}
		key.tag = uint32(tag)
	}
	switch text, number := key.op.argument(); {
	case text:
		key.arg = m.text(m.argument, ofTexts, key.arg)
	case number:
		key.arg = m.number(&m.numbers[numberArgument], key.arg)
	}
	if m.decoding {
		if len(m.columns) >= maxColumns {
			m.failed = true
			return 0
		}
		id = m.addColumn(key)
	}
	m.columnCatalog.define(id)
	return id
}
