package columnar

// An op says what a field of a message is made of.
type op uint8

const (
	opEnd          op = iota // end of an inner message, or of a shape
	opBegin                  // an inner message, up to its opEnd
	opConstVarint            // a varint that the shape holds
	opConstFixed32           // four bytes that the shape holds
	opConstBytes             // bytes that the shape holds
	opTraceID                // the key of the value
	opSpanID                 // 8 bytes, at random
	opParent                 // 8 bytes, mostly the ID of a span of the same value
	opStart                  // 8 bytes, a time
	opFinish                 // 8 bytes, a time
	opTime                   // 8 bytes, a time of an event in the span
	opChildren               // a run of inner messages, with shapes of their own
	opSpans                  // where the spans, or the scopes, of a shell stand
	opVarint
	opFixed32
	opFixed64
	opBytes
	opString // a KeyValue with a string; the shape holds the key
	opInt    // the same, with another value
	opBool
	opDouble
	opAny  // the same, with an AnyValue as it is
	opRest // what is left of the message, as it is
	ops
)

// hasValue tells whether a field of the op has a value that is coded with those of the other fields.
func (o op) hasValue() bool { return o >= opTime && o != opSpans }

// class tells what the value is.
func (o op) class() valueClass {
	if o == opBytes || o == opString || o >= opAny {
		return ofTexts
	}
	return ofNumbers
}

// argument tells what a column holds for all its fields.
func (o op) argument() (text, number bool) {
	switch o {
	case opConstBytes, opString, opInt, opBool, opDouble, opAny:
		return true, false
	case opConstVarint, opConstFixed32:
		return false, true
	}
	return false, false
}

// hasTag tells whether a field of the op begins with a tag.
func (o op) hasTag() bool { return o != opEnd && o != opSpans && o != opRest }

// A kind of message has shapes of its own.
type kind uint8

const (
	kindResource kind = iota // ResourceSpans without its field 2
	kindScope                // ScopeSpans without its field 2
	kindSpan
	kindEvent
	kindLink
	kinds
)

// columnKey tells columns apart.
type columnKey struct {
	op  op
	tag uint32 // as on the wire
	arg uint64 // a number or a text
}

func (k columnKey) words() (a, b uint64) { return k.arg, uint64(k.tag)<<8 | uint64(k.op) }

// column is what the fields of one kind have in common, wherever they stand.
type column struct {
	columnKey
	model int32 // index of its columnModel, -1 if its fields have no value

	// What followed last where this column stands in a shape.
	next     int32
	nextSame prob
}

// columnModel predicts the values of a column.
type columnModel struct {
	values    []uint64 // all values of the column, in order of appearance
	known     prob     // a value is one of them
	index     number
	fresh     number // new values, if they are numbers
	trace     int    // the trace that latest was in
	latest    uint64
	elsewhere prob // a new text is one of another column

	patterned   prob  // a new text has a pattern
	binary      prob  // or else it is noise
	pattern     int32 // the columnModel of the patterns of its texts, -1 if there are none yet
	hasPattern  bool
	lastPattern uint64
	samePattern prob
	digits      [32]prob
	recent      prob // a number is one of those seen last in the trace
	recentIndex [recentNumbers]prob
}

var newColumnModel = func() columnModel {
	m := columnModel{
		known: even, index: newNumber, fresh: newNumber, elsewhere: chance(8), patterned: even, binary: chance(8),
		pattern: -1, samePattern: even, recent: even,
	}
	for i := range m.digits {
		m.digits[i] = even
	}
	for i := range m.recentIndex {
		m.recentIndex[i] = even
	}
	return m
}()

// node is a field of a shape: a column, behind all the columns before it. Shapes that begin alike share
// their nodes.
type node struct {
	column   int32
	children int32 // how many
	first    int32 // child, -1 if there is none
	latest   int32 // child that was asked for last
	sibling  int32 // next child of the parent
	shape    int32 // that ends here, -1 if none does

	last  uint64 // value
	same  prob   // the value is last
	again prob   // the value is the column's latest in the trace
	model int32  // index of a timeModel or a parentModel, -1 if there is none
}

// shape is the sequence of the fields of a message.
type shape struct {
	kind kind
	path []int32 // nodes
	// The nodes of fields that are coded apart from the others, -1 if there are none.
	id, parent, start, finish int32
}

// Limits of what a page can define. What does not fit is written as it is, behind opRest. Those that an
// encoder heeds for most fields are lower than those of the format, so that there is always room for opRest.
const (
	maxColumns   = 1 << 13
	maxNodes     = 1 << 16
	maxBranches  = 256     // shapes that begin alike and go on in different ways
	maxFields    = 1 << 13 // of a shape
	maxDepth     = 8       // of messages within a message
	someColumns  = maxColumns - 8
	someNodes    = 1 << 15
	someBranches = 192
	someFields   = 1 << 12
)

// child returns the node of a column behind another node, -1 if there is none.
func (m *model) child(at, column int32) int32 {
	n := &m.nodes[at]
	if n.latest >= 0 && m.nodes[n.latest].column == column {
		return n.latest
	}
	for c := n.first; c >= 0; c = m.nodes[c].sibling {
		if m.nodes[c].column == column {
			n.latest = c
			return c
		}
	}
	return -1
}

// addChild adds a node.
func (m *model) addChild(at, column int32) int32 {
	id := int32(len(m.nodes))
	m.nodes = append(m.nodes, node{
		column: column, first: -1, latest: -1, sibling: m.nodes[at].first, shape: -1,
		last: nothing, same: chance(44), again: even, model: -1,
	})
	n := &m.nodes[at]
	n.first, n.latest = id, id
	n.children++
	return id
}

// shapeAt returns the shape that ends at a node, a new one if there is none.
func (m *model) shapeAt(k kind, leaf int32, path []int32) int32 {
	if id := m.nodes[leaf].shape; id >= 0 {
		return id
	}
	id := m.shapeCatalog.add()
	begin := len(m.paths)
	m.paths = append(m.paths, path...)
	s := shape{kind: k, path: m.paths[begin:len(m.paths):len(m.paths)], id: -1, parent: -1, start: -1, finish: -1}
	for _, n := range path {
		switch m.columns[m.nodes[n].column].op {
		case opSpanID:
			s.id = n
		case opParent:
			s.parent = n
		case opStart:
			s.start = n
		case opFinish:
			s.finish = n
		}
	}
	m.shapes = append(m.shapes, s)
	m.nodes[leaf].shape = id
	return id
}

// addColumn adds a column.
func (m *model) addColumn(key columnKey) int32 {
	id := m.columnCatalog.add()
	c := column{columnKey: key, model: -1, next: -1, nextSame: chance(40)}
	if key.op.hasValue() {
		c.model = m.addColumnModel()
	}
	m.columns = append(m.columns, c)
	return id
}

func (m *model) addColumnModel() int32 {
	n := len(m.columnModels)
	if n < cap(m.columnModels) {
		m.columnModels = m.columnModels[:n+1]
		values := m.columnModels[n].values[:0]
		m.columnModels[n] = newColumnModel
		m.columnModels[n].values = values
	} else {
		m.columnModels = append(m.columnModels, newColumnModel)
	}
	return int32(n)
}
