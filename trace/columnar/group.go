package columnar

// shell is a ResourceSpans or ScopeSpans without its field 2.
type shell struct {
	kind       kind
	shape      int32
	begin, end int    // encoding: its values in shellValues
	head, tail []byte // decoding: its fields before and behind field 2
}

type groupModel struct {
	resource, scope int32
	next            int32 // the group that followed last, -1 if none did yet
	same            prob
}

// codeGroups codes the groups of a value, and the shapes of their spans.
func (m *model) codeGroups(t *content) {
	previous := int32(0)
	for i, n := 0, 0; !m.failed; i++ {
		var g group
		if !m.decoding && i < len(t.groups) {
			g = t.groups[i]
			g.resource++ // zero is none
		}
		id := m.group(previous, &g)
		if id == 0 {
			return
		}
		g.joined = i > 0 && g.resource == m.groups[previous].resource && m.is(&m.probs[probJoined], g.joined)
		one, two := -id-1<<16, int32(anyShape+1)
		for !m.failed {
			shape := int32(endShape)
			if !m.decoding && n < int(g.end) {
				shape = t.spans[n].shape
			}
			if shape = m.shape(kindSpan, one, two, shape); shape == endShape {
				break
			}
			if m.decoding {
				if m.spansLeft--; m.spansLeft < 0 {
					m.failed = true
				}
				t.spans = append(t.spans, span{shape: shape, parent: -1})
			}
			one, two = m.shapeCatalog.number[shape], one
			n++
		}
		if m.decoding {
			g.end = int32(len(t.spans))
			t.groups = append(t.groups, g)
			m.spend(2)
		}
		previous = id
	}
}

// group codes a group and returns its number; zero is the end of the value.
func (m *model) group(previous int32, g *group) int32 {
	id := int32(0)
	if !m.decoding && g.resource > 0 {
		g.resource--
		a, b := uint64(g.resource), uint64(g.scope)
		if id = m.groupIDs.find(a, b); id < 0 {
			if id = m.knownGroups.find(a, b); id < 0 {
				id = int32(len(m.groups))
				m.groupIDs.set(a, b, id)
			}
		}
	}
	p := &m.groups[previous]
	switch {
	case p.next >= 0 && m.is(&p.same, id == p.next):
		id = p.next
	case m.is(&m.probs[probNewGroup], int(id) == len(m.groups)):
		id = int32(len(m.groups))
		resource := m.shell(kindResource, g.resource)
		scope := m.shell(kindScope, g.scope)
		m.groups = append(m.groups, groupModel{resource: resource, scope: scope, next: -1, same: even})
	default:
		n := m.number(&m.numbers[numberGroup], uint64(id))
		if n >= uint64(len(m.groups)) {
			m.failed = true
			return 0
		}
		id = int32(n)
	}
	m.groups[previous].next = id
	g.resource, g.scope = m.groups[id].resource, m.groups[id].scope
	return id
}

// shell codes a shell.
func (m *model) shell(k kind, id int32) int32 {
	number := int32(-1)
	if !m.decoding {
		number = m.shellCatalog.number[id]
	}
	if !m.is(&m.probs[probNewShell], number < 0) {
		return m.known(&m.shellCatalog, &m.numbers[numberShell], number)
	}
	if !m.decoding {
		m.shellCatalog.define(id)
		s := &m.shells[id]
		m.shape(k, anyShape+1, int32(k), s.shape)
		m.values, m.valueAt = m.shellValues[s.begin:s.end], 0
		m.fields(s.shape)
		return id
	}
	id = m.shellCatalog.add()
	m.shellCatalog.define(id)
	s := shell{kind: k, shape: m.shape(k, anyShape+1, int32(k), 0)}
	m.values = m.values[:0]
	if s.shape < 0 {
		m.failed = true
	} else {
		m.fields(s.shape)
	}
	if !m.failed {
		m.renderShell(&s)
	}
	m.shells = append(m.shells, s)
	return id
}

// succession tells which shape came last in a certain context. The table of them forgets a context for the
// sake of another one with the same hash.
type succession struct {
	one, two int32
	next     int32
	same     prob
}

const successionBits = 11

var noSuccessions = func() (t [1 << successionBits]succession) {
	for i := range t {
		t[i].one, t[i].two = anyShape, anyShape
	}
	return t
}()

const (
	noShape  = -2
	endShape = -1
)

// anyShape is the second context of a succession that has only one.
const anyShape = -1 << 31

// succession returns what came behind two shapes, or rather their numbers; less than zero is another context.
func (m *model) succession(one, two int32) *succession {
	s := &m.successions[(uint32(one)*0x9e3779b1^uint32(two)*0x85ebca6b)>>(32-successionBits)]
	if s.one != one || s.two != two {
		*s = succession{one: one, two: two, next: noShape, same: chance(44)}
	}
	return s
}

// shape codes a shape that comes behind two others, or endShape.
func (m *model) shape(k kind, one, two, id int32) int32 {
	first := *m.succession(one, anyShape)
	second := m.succession(one, two)
	switch {
	case second.next != noShape && m.is(&second.same, id == second.next):
		id = second.next
	case first.next != noShape && first.next != second.next && m.is(&first.same, id == first.next):
		id = first.next
	default:
		id = m.shapeByNumber(k, id)
	}
	if id != endShape && m.shapes[id].kind != k {
		m.failed = true
		return endShape
	}
	second.next, first.next = id, id
	*m.succession(one, anyShape) = first
	return id
}

func (m *model) shapeByNumber(k kind, id int32) int32 {
	n := int32(0) // the end
	if !m.decoding && id != endShape {
		n = m.shapeCatalog.number[id] + 1
		if n == 0 {
			n = -1
		}
	}
	if m.is(&m.probs[probNewShape], n < 0) {
		return m.newShape(k, id)
	}
	n = int32(min(m.number(&m.numbers[numberShape], uint64(n)), 1<<30))
	if n == 0 {
		return endShape
	}
	if int(n) > len(m.shapeCatalog.order) {
		m.failed = true
		return endShape
	}
	return m.shapeCatalog.order[n-1]
}
