package columnar

import (
	"bytes"
	"encoding/binary"
)

// parser takes values apart. It defines columns, shapes, shells and texts in a model.
type parser struct {
	*model
	// What a primer brought is in the second of each.
	columnIDs             ids
	knownColumns          *ids
	shellIDs, knownShells map[string]int32
	after                 []int32 // the column found last behind each column
	lastTexts             []int64 // of each node, -1 if there is none yet
	scratch               []byte
	path                  []int32
	spanIDs               ids
	t                     *content
}

func (p *parser) reset(m *model, primer *Primer) {
	p.model = m
	p.knownColumns, p.knownShells = nil, nil
	if primer != nil {
		p.knownColumns, p.knownShells = &primer.columnIDs, primer.shellIDs
	}
	if p.shellIDs == nil {
		p.shellIDs = map[string]int32{}
	}
	p.columnIDs.reset()
	clear(p.shellIDs)
	p.after, p.lastTexts = p.after[:0], p.lastTexts[:0]
}

// parse takes a value apart.
func (p *parser) parse(t *content, key *[16]byte, value []byte) {
	t.reset()
	p.t = t
	if !p.value(key, value) {
		t.reset()
		t.raw, t.text = true, value
		return
	}
	p.findParents()
}

func (p *parser) value(key *[16]byte, value []byte) bool {
	var f field
	for len(value) > 0 {
		if !readField(value, &f) || f.tag != 1<<3|typeBytes {
			return false
		}
		value = value[f.size:]
		if !p.resource(key, f.bytes) {
			return false
		}
	}
	return len(p.t.groups) > 0
}

func (p *parser) resource(key *[16]byte, b []byte) bool {
	head, scopes, tail, ok := cut(b)
	if !ok || len(scopes) == 0 {
		return false
	}
	resource := p.shell(kindResource, head, tail)
	var f field
	for joined := false; len(scopes) > 0; joined = true {
		readField(scopes, &f)
		scopes = scopes[f.size:]
		head, spans, tail, ok := cut(f.bytes)
		if !ok {
			return false
		}
		g := group{resource: resource, scope: p.shell(kindScope, head, tail), joined: joined}
		for len(spans) > 0 {
			readField(spans, &f)
			spans = spans[f.size:]
			p.span(key, f.bytes)
		}
		g.end = int32(len(p.t.spans))
		p.t.groups = append(p.t.groups, g)
	}
	return true
}

// cut cuts a ResourceSpans or ScopeSpans message into the fields before its fields 2, these, and those
// behind them.
func cut(b []byte) (head, inner, tail []byte, ok bool) {
	var f field
	begin, end := -1, -1
	for i := 0; i < len(b); i += f.size {
		if !readField(b[i:], &f) {
			return nil, nil, nil, false
		}
		if f.tag == 2<<3|typeBytes {
			if begin < 0 {
				begin = i
			} else if end != i {
				return nil, nil, nil, false
			}
			end = i + f.size
		}
	}
	if begin < 0 {
		return b, nil, nil, true
	}
	return b[:begin], b[begin:end], b[end:], true
}

func appendShellKey(dst []byte, k kind, head, tail []byte) []byte {
	dst = binary.AppendUvarint(append(dst, byte(k)), uint64(len(head)))
	return append(append(dst, head...), tail...)
}

// shell returns the number of the shell with the given fields.
func (p *parser) shell(k kind, head, tail []byte) int32 {
	p.scratch = appendShellKey(p.scratch[:0], k, head, tail)
	if id, ok := p.shellIDs[string(p.scratch)]; ok {
		return id
	}
	if id, ok := p.knownShells[string(p.scratch)]; ok {
		return id
	}
	id := p.shellCatalog.add()
	p.shellIDs[string(p.scratch)] = id
	values := p.t.values
	p.t.values = p.shellValues
	begin := len(p.t.values)
	w := p.begin(k)
	schema := map[kind]schema{kindResource: schemaResourceSpans, kindScope: schemaScopeSpans}[k]
	p.fields(&w, schema, head)
	if len(tail) > 0 {
		p.step(&w, columnKey{op: opSpans}, nil)
		p.fields(&w, schema, tail)
	}
	s := p.end(&w)
	p.shellValues, p.t.values = p.t.values, values
	p.shells = append(p.shells, shell{kind: k, shape: s, begin: begin, end: len(p.shellValues)})
	return id
}

// walk is the way down a shape.
type walk struct {
	kind     kind
	at, base int32 // node; the path's begin in parser.path
	column   int32
	fields   int
	seen     uint32 // ops that a message may have once
	key      *[16]byte
	span     *span
}

func (p *parser) begin(k kind) walk {
	return walk{kind: k, at: int32(k), base: int32(len(p.path)), column: int32(k)}
}

func (p *parser) end(w *walk) int32 {
	id := p.shapeAt(w.kind, w.at, p.path[w.base:])
	p.path = p.path[:w.base]
	return id
}

// step goes on to a field, given by its column. text is that of the column's argument, if it has one. It
// returns the node, or -1 if there are too many different shapes.
func (p *parser) step(w *walk, key columnKey, text []byte) int32 {
	// What stood here last time most often does so again, and then what stood behind the same column; it saves looking for the text.
	next := p.nodes[w.at].latest
	if next < 0 || !p.isColumn(p.nodes[next].column, key, text) {
		column := p.columnOf(w.column, key, text)
		if column < 0 {
			return -1
		}
		if next = p.child(w.at, column); next < 0 {
			if p.full(w, key.op) {
				return -1
			}
			next = p.addChild(w.at, column)
		}
	}
	w.fields++
	w.at, w.column = next, p.nodes[next].column
	p.path = append(p.path, next)
	return next
}

// isColumn tells whether a column is the one with the given key, or with the text for its argument.
func (p *parser) isColumn(column int32, key columnKey, text []byte) bool {
	c := &p.columns[column]
	if c.op != key.op || c.tag != key.tag {
		return false
	}
	if text == nil {
		return c.arg == key.arg
	}
	return bytes.Equal(p.texts.of(c.arg), text)
}

// columnOf returns the column with the given key, or with the text for its argument, that comes behind another one. If there are too
// many, it is -1.
func (p *parser) columnOf(previous int32, key columnKey, text []byte) int32 {
	for int(previous) >= len(p.after) {
		p.after = append(p.after, -1)
	}
	column := p.after[previous]
	if column >= 0 && p.isColumn(column, key, text) {
		return column
	}
	if text != nil {
		key.arg = p.texts.intern(text)
	}
	a, b := key.words()
	if column = p.columnIDs.find(a, b); column < 0 {
		if column = p.knownColumns.find(a, b); column < 0 {
			if len(p.columns) >= someColumns && !key.op.always() {
				return -1
			}
			column = p.addColumn(key)
			p.columnIDs.set(a, b, column)
		}
	}
	p.after[previous] = column
	return column
}

// always tells whether a field of the op finds room in any shape.
func (o op) always() bool { return o == opRest || o == opEnd || o == opSpans }

// full tells whether there is no room for another node with the given op.
func (p *parser) full(w *walk, o op) bool {
	branches := int(p.nodes[w.at].children)
	if o == opBytes {
		branches -= 32 // in place of constant bytes
	}
	return !o.always() && (branches >= someBranches || len(p.nodes) >= someNodes || w.fields >= someFields)
}

func (p *parser) put(v uint64) { p.t.values = append(p.t.values, v) }

// fields goes through the fields of a message.
func (p *parser) fields(w *walk, s schema, b []byte) {
	var f field
	for len(b) > 0 {
		rest := b
		if !readField(b, &f) {
			p.rest(w, rest)
			return
		}
		b = b[f.size:]
		ok := false
		switch action := schemas[s].actions[min(f.tag, maxTag)]; action.what {
		case asOther:
			ok = p.other(w, &f)
		case asConst:
			ok = p.constant(w, &f) || p.other(w, &f)
		case asOnce:
			ok = p.once(w, action.op, &f) || p.other(w, &f)
		case asAttribute:
			ok = p.attribute(w, &f) || p.other(w, &f)
		case asMessage:
			if ok = p.step(w, columnKey{op: opBegin, tag: f.tag}, nil) >= 0; ok {
				p.fields(w, action.schema, f.bytes)
				p.step(w, columnKey{op: opEnd}, nil)
			}
		case asChildren:
			if ok = p.step(w, columnKey{op: opChildren, tag: f.tag}, nil) >= 0; ok {
				b = p.children(w, action, f.tag, rest)
			}
		}
		if !ok {
			p.rest(w, rest)
			return
		}
	}
}

func (p *parser) rest(w *walk, b []byte) {
	p.step(w, columnKey{op: opRest}, nil)
	p.put(p.texts.intern(b))
}

// other goes to a field that has no meaning here.
func (p *parser) other(w *walk, f *field) bool {
	key := columnKey{tag: f.tag}
	switch f.tag & 7 {
	case typeVarint:
		key.op = opVarint
	case typeFixed64:
		key.op = opFixed64
	case typeFixed32:
		key.op = opFixed32
	case typeBytes:
		key.op = opBytes
	}
	if p.step(w, key, nil) < 0 {
		return false
	}
	if key.op == opBytes {
		f.number = p.texts.intern(f.bytes)
	}
	p.put(f.number)
	return true
}

// constant goes to a field whose value is part of the shape.
func (p *parser) constant(w *walk, f *field) bool {
	switch f.tag & 7 {
	case typeVarint:
		return p.step(w, columnKey{op: opConstVarint, tag: f.tag, arg: f.number}, nil) >= 0
	case typeFixed32:
		return p.step(w, columnKey{op: opConstFixed32, tag: f.tag, arg: f.number}, nil) >= 0
	default:
		return len(f.bytes) > 0 && p.step(w, columnKey{op: opConstBytes, tag: f.tag}, f.bytes) >= 0
	}
}

// once goes to a field that a span has once, if it is not there yet.
func (p *parser) once(w *walk, o op, f *field) bool {
	if w.seen>>o&1 != 0 {
		return false
	}
	switch o {
	case opTraceID:
		if !bytes.Equal(f.bytes, w.key[:]) {
			return false
		}
	case opSpanID, opParent:
		if len(f.bytes) != 8 {
			return false
		}
		f.number = binary.LittleEndian.Uint64(f.bytes)
	}
	if p.step(w, columnKey{op: o, tag: f.tag}, nil) < 0 {
		return false
	}
	w.seen |= 1 << o
	switch o {
	case opSpanID:
		w.span.id = f.number
	case opParent:
		w.span.parentID = f.number
	case opStart:
		w.span.start = f.number
	case opFinish:
		w.span.finish = f.number
	case opTime:
		p.put(f.number)
	}
	return true
}

// attribute goes to a KeyValue.
func (p *parser) attribute(w *walk, f *field) bool {
	if key, value, ok := plainString(f.bytes); ok {
		at := p.step(w, columnKey{op: opString, tag: f.tag}, key)
		if at >= 0 {
			p.put(p.intern(at, value))
		}
		return at >= 0
	}
	var key, value, inner field
	if !readField(f.bytes, &key) || key.tag != 1<<3|typeBytes || len(key.bytes) == 0 {
		return false
	}
	if !readField(f.bytes[key.size:], &value) || value.tag != 2<<3|typeBytes || key.size+value.size != len(f.bytes) {
		return false
	}
	column := columnKey{op: opAny, tag: f.tag}
	if readField(value.bytes, &inner) && inner.size == len(value.bytes) {
		switch inner.tag {
		case 1<<3 | typeBytes:
			column.op = opString
		case 2<<3 | typeVarint:
			if inner.number <= 1 {
				column.op = opBool
			}
		case 3<<3 | typeVarint:
			column.op = opInt
		case 4<<3 | typeFixed64:
			column.op = opDouble
		}
	}
	at := p.step(w, column, key.bytes)
	if at < 0 {
		return false
	}
	switch column.op {
	case opAny:
		p.put(p.intern(at, value.bytes))
	case opString:
		p.put(p.intern(at, inner.bytes))
	default:
		p.put(inner.number)
	}
	return true
}

// plainString takes a KeyValue apart as most are: a key and a string whose lengths take a byte each.
func plainString(b []byte) (key, value []byte, ok bool) {
	const longest = 127
	if len(b) < 6 || len(b) > longest || b[0] != 1<<3|typeBytes {
		return nil, nil, false
	}
	i := 2 + int(b[1])
	if i == 2 || i > len(b)-4 || b[i] != 2<<3|typeBytes || int(b[i+1]) != len(b)-i-2 || b[i+2] != 1<<3|typeBytes || int(b[i+3]) != len(b)-i-4 {
		return nil, nil, false
	}
	return b[2:i], b[i+4:], true
}

// intern returns the text of a field. That of the shape's last such field is tried first.
func (p *parser) intern(at int32, b []byte) uint64 {
	for int(at) >= len(p.lastTexts) {
		p.lastTexts = append(p.lastTexts, -1)
	}
	if last := p.lastTexts[at]; last >= 0 && bytes.Equal(p.texts.of(uint64(last)), b) {
		return uint64(last)
	}
	id := p.texts.intern(b)
	p.lastTexts[at] = int64(id)
	return id
}

// children goes through the fields with the given tag that b begins with, and returns what follows them.
func (p *parser) children(w *walk, a action, tag uint32, b []byte) []byte {
	count := len(p.t.values)
	p.put(0)
	var f field
	for len(b) > 0 && readField(b, &f) && f.tag == tag {
		b = b[f.size:]
		at := len(p.t.values)
		p.put(0)
		inner := p.begin(a.kind)
		inner.span = w.span
		p.fields(&inner, a.schema, f.bytes)
		p.t.values[at] = uint64(p.end(&inner))
		p.t.values[count]++
	}
	return b
}

func (p *parser) span(key *[16]byte, b []byte) {
	p.t.spans = append(p.t.spans, span{group: int32(len(p.t.groups)), parent: -1})
	w := p.begin(kindSpan)
	w.key = key
	w.span = &p.t.spans[len(p.t.spans)-1]
	p.fields(&w, schemaSpan, b)
	w.span.shape = p.end(&w)
}

// findParents finds the parents of spans.
func (p *parser) findParents() {
	spans := p.t.spans
	p.spanIDs.reset()
	for i := range spans {
		p.spanIDs.set(spans[i].id, 0, int32(i))
	}
	for i := range spans {
		s := &spans[i]
		if p.shapes[s.shape].parent < 0 {
			continue
		}
		if j := p.spanIDs.find(s.parentID, 0); j >= 0 && p.shapes[spans[j].shape].id >= 0 {
			s.parent = j
		}
	}
}
