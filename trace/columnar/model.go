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
	// Encoding: the numbers of groups, by their shells, and those of values within their columns, by value and column. What a primer
	// brought is in the second of each.
	groupIDs, valueIDs       ids
	knownGroups, knownValues *ids
	successions              [1 << successionBits]succession
	parents                  []parentModel
	times                    []timeModel

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
	longest int      // where the output may end
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

// recentNumbers is how many numbers in texts are remembered.
const recentNumbers = 8

// reset makes m know nothing, or what the primer knows if there is one.
func (m *model) reset(primer *Primer) {
	m.groupIDs.reset()
	m.valueIDs.reset()
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
		m.nodes = append(m.nodes, node{column: k, first: -1, latest: -1, sibling: -1, shape: -1, model: -1})
	}
	m.groups = append(m.groups, groupModel{next: -1, same: even})
	m.argument = m.addColumnModel()
}

// copyFrom makes m know what o knows. It shares with o what neither changes.
func (m *model) copyFrom(o *model) {
	m.texts.copyFrom(&o.texts)
	m.columns = append(m.columns[:0], o.columns...)
	m.columnCatalog.copyFrom(&o.columnCatalog)
	models := m.columnModels[:min(len(o.columnModels), cap(m.columnModels))]
	for len(models) < len(o.columnModels) {
		models = append(models, columnModel{})
	}
	for i := range models {
		values := append(models[i].values[:0], o.columnModels[i].values...)
		models[i] = o.columnModels[i]
		models[i].values = values
	}
	m.columnModels = models
	m.nodes = append(m.nodes[:0], o.nodes...)
	m.shapes = append(m.shapes[:0], o.shapes...)
	m.shapeCatalog.copyFrom(&o.shapeCatalog)
	m.paths = m.paths[:0]
	m.shells = append(m.shells[:0], o.shells...)
	m.shellCatalog.copyFrom(&o.shellCatalog)
	m.groups = append(m.groups[:0], o.groups...)
	m.successions = o.successions
	m.parents = append(m.parents[:0], o.parents...)
	m.times = append(m.times[:0], o.times...)
	m.probs, m.numbers, m.opTree, m.argument = o.probs, o.numbers, o.opTree, o.argument
	m.trace, m.base = o.trace, o.base
	m.knownGroups, m.knownValues = &o.groupIDs, &o.valueIDs
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
