package columnar

// model is what an encoder and a decoder know of a page after each value, and how they code the next. Its
// methods serve both directions: they are given what is to be written and return what it is; decoding,
// they pass over what they are given.
type model struct {
	coder
	blob []byte // texts as they are; decoding: what is not yet read
	// budget is how many values of fields and bytes of texts a decoder may still make of its input, and
	// spansLeft how many spans. An encoder leaves values as they are before it needs more.
	budget, spansLeft int

	texts         texts
	columns       []column
	columnCatalog catalog
	columnModels  []columnModel
	nodes         []node
	shapes        []shape
	shapeCatalog  catalog
	paths         []int32
	shells        []shell
	shellCatalog  catalog
	shellValues   []uint64
	groups        []groupModel // the first stands for the end of a value
	// Encoding: where groups and values are. Those that a primer brought are in the second map of each.
	groupIDs, knownGroups map[[2]int32]int32
	valueIDs, knownValues map[valueKey]int32
	successions           [1 << successionBits]succession
	parents               []parentModel
	times                 []timeModel

	probs    [probs]prob
	numbers  [numbers]number
	opTree   [32]prob
	argument int32 // columnModel of the texts that columns hold

	trace   int    // number of the value
	base    uint64 // a time in the value before
	clock   uint64 // the time of the event before, or the start of the span
	recent  [recentNumbers]part
	scratch []byte
	parts   []part
	path    []int32
	links   []link
	heads   []head
	values  []uint64 // of the messages at hand
	valueAt int      // the next one that is to be written or rendered
	spansAt int      // where the spans stand in the message that was rendered last
}

// Probabilities and numbers that are the same wherever they are asked for.
const (
	probRaw = iota
	probNewGroup
	probJoined
	probNewShell
	probNewShape
	probNewColumn
	probEventTime
	probBase
	probs
)

const (
	numberRaw = iota
	numberGroup
	numberShell
	numberShape
	numberColumn
	numberTag
	numberArgument
	numberText
	numberLength
	numberParent
	numberBase
	numberEventTime
	numbers
)

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

// recentNumbers is how many numbers in texts are remembered.
const recentNumbers = 8

// reset makes m know nothing, or what the primer knows if there is one.
func (m *model) reset(primer *Primer) {
	if m.groupIDs == nil {
		m.groupIDs, m.valueIDs = map[[2]int32]int32{}, map[valueKey]int32{}
	}
	clear(m.groupIDs)
	clear(m.valueIDs)
	m.shellValues = m.shellValues[:0]
	if primer != nil {
		m.copyFrom(&primer.model)
		return
	}
	m.knownGroups, m.knownValues = nil, nil
	m.texts.reset()
	m.columnCatalog.reset()
	m.shapeCatalog.reset()
	m.shellCatalog.reset()
	m.columns, m.columnModels, m.nodes, m.shapes = m.columns[:0], m.columnModels[:0], m.nodes[:0], m.shapes[:0]
	m.paths, m.shells, m.groups = m.paths[:0], m.shells[:0], m.groups[:0]
	m.parents, m.times = m.parents[:0], m.times[:0]
	m.successions = noSuccessions
	for i := range m.probs {
		m.probs[i] = even
	}
	for i := range m.opTree {
		m.opTree[i] = even
	}
	for i := range m.numbers {
		m.numbers[i] = newNumber
	}
	m.trace, m.base = 0, 0
	for k := range int32(kinds) {
		// A column that stands for nothing, and the root of the kind's shapes.
		m.columnCatalog.define(m.addColumn(columnKey{}))
		m.nodes = append(m.nodes, node{column: k, parent: -1, first: -1, latest: -1, sibling: -1, shape: -1, model: -1})
	}
	m.groups = append(m.groups, groupModel{next: -1, same: even})
	m.argument = m.addColumnModel()
}

// spend takes n from the budget of a decoder.
func (m *model) spend(n int) {
	if m.decoding {
		if m.budget -= n; m.budget < 0 {
			m.failed = true
		}
	}
}

// value codes a value.
func (m *model) value(t *content) {
	m.trace++
	m.recent = [recentNumbers]part{}
	if t.raw = m.is(&m.probs[probRaw], t.raw); t.raw {
		t.text = m.bytes(&m.numbers[numberRaw], t.text)
		return
	}
	m.codeGroups(t)
	m.codeParents(t.spans)
	m.codeTimes(t.spans)
	m.values, m.valueAt = t.values, 0
	for i := range t.spans {
		if m.failed {
			break
		}
		m.clock = t.spans[i].start
		m.fields(t.spans[i].shape)
	}
	if m.decoding {
		t.values = m.values
	}
}

// bytes codes bytes that stand in the blob.
func (m *model) bytes(length *number, b []byte) []byte {
	n := m.number(length, uint64(len(b)))
	if !m.decoding {
		m.blob = append(m.blob, b...)
		return b
	}
	if n > uint64(len(m.blob)) {
		m.failed = true
		return nil
	}
	b, m.blob = m.blob[:n], m.blob[n:]
	return b
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
				m.spend(2)
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
		var ok bool
		key := [2]int32{g.resource, g.scope}
		if id, ok = m.groupIDs[key]; !ok {
			if id, ok = m.knownGroups[key]; !ok {
				id = int32(len(m.groups))
				m.groupIDs[key] = id
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

// known codes a thing by its number in a catalog, the one defined last being the smallest.
func (m *model) known(c *catalog, of *number, n int32) int32 {
	last := int32(len(c.order)) - 1
	v := m.number(of, uint64(last-n))
	if v > uint64(last) || last < 0 {
		m.failed = true
		return 0
	}
	return c.order[last-int32(v)]
}

// succession returns what came behind two shapes, or rather their numbers; less than zero is another context.
func (m *model) succession(one, two int32) *succession {
	s := &m.successions[(uint32(one)*0x9e3779b1^uint32(two)*0x85ebca6b)>>(32-successionBits)]
	if s.one != one || s.two != two {
		*s = succession{one: one, two: two, next: noShape, same: chance(44)}
	}
	return s
}

// anyShape is the second context of a succession that has only one.
const anyShape = -1 << 31

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
		key.arg = m.text(m.argument, key.arg)
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
