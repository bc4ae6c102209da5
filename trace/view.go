package trace

import "math"

// Shell is what stands around a span. Its slices are views that must not be modified.
type Shell struct {
	// ResourceSpans and ScopeSpans are the messages of these names without their field 2, the lists.
	ResourceSpans, ScopeSpans []byte
	// Resource and Scope are the messages of the span's resource and InstrumentationScope; empty if there is none.
	Resource, Scope []byte
}

// WalkShells is Walk with all that stands around each span. Spans of one group are given the same Shell.
func WalkShells(data []byte, fn func(shell *Shell, span []byte) error) error {
	w := shellWalker{fn: fn}
	next := w.scanner.scan(data, &w)
	if w.err != nil {
		return w.err
	}
	return wireError(next)
}

type shellWalker struct {
	scanner scanner
	fn      func(*Shell, []byte) error
	shell   Shell
	err     error
}

func (w *shellWalker) group(resource, scope *shell, _ bool) (next int) {
	w.shell = Shell{ResourceSpans: resource.rest, ScopeSpans: scope.rest, Resource: resource.head, Scope: scope.head}
	return 0
}

func (w *shellWalker) span(b []byte, i int) (next int) {
	if w.err = w.fn(&w.shell, b[i:]); w.err != nil {
		return fail(i, faultStopped)
	}
	return len(b)
}

// AppendTo appends TracesData with the spans in this shell.
func (s *Shell) AppendTo(dst []byte, spans ...[]byte) []byte {
	size := len(s.ScopeSpans)
	for _, span := range spans {
		size += sizeField(len(span))
	}
	dst = appendHeader(dst, 1, len(s.ResourceSpans)+sizeField(size))
	dst = append(dst, s.ResourceSpans...)
	dst = appendHeader(dst, 2, size)
	dst = append(dst, s.ScopeSpans...)
	for _, span := range spans {
		dst = append(appendHeader(dst, 2, len(span)), span...)
	}
	return dst
}

// SchemaURLs returns those of the resource and of the scope.
func (s *Shell) SchemaURLs() (resource, scope []byte, err error) {
	if resource, err = lastBytes(s.ResourceSpans, 3); err != nil {
		return nil, nil, err
	}
	scope, err = lastBytes(s.ScopeSpans, 3)
	return resource, scope, err
}

// AppendService appends the name of the shell's service, as Index lists it: ServiceUnknown if the resource has none.
func (s *Shell) AppendService(dst []byte) ([]byte, error) {
	v, found, next := findService(s.Resource)
	if next >= 0 {
		if !found {
			return append(dst, ServiceUnknown...), nil
		}
		dst, next = v.appendText(dst)
	}
	return dst, wireError(next)
}

// ScopeName returns name and version of the scope.
func (s *Shell) ScopeName() (name, version []byte, err error) {
	if name, err = lastBytes(s.Scope, 1); err != nil {
		return nil, nil, err
	}
	version, err = lastBytes(s.Scope, 2)
	return name, version, err
}

// lastBytes returns the field of that number, a text, of which the last counts.
func lastBytes(b []byte, number uint32) (last []byte, err error) {
	next := eachOf(b, 0, number, func(b []byte, i int) int {
		last = b[i:]
		return len(b)
	})
	return last, wireError(next)
}

// ValueType is the type of an attribute's value.
type ValueType byte

// The types of values.
const (
	ValueNone   ValueType = valueNone
	ValueString ValueType = valueString
	ValueBool   ValueType = valueBool
	ValueInt    ValueType = valueInt
	ValueDouble ValueType = valueDouble
	ValueArray  ValueType = valueArray
	ValueMap    ValueType = valueMap
	ValueBytes  ValueType = valueBytes
)

// Value is the value of an attribute.
type Value struct {
	Type   ValueType
	Text   []byte // of a string; a view
	Int    int64
	Double float64
	Bool   bool
}

func (v *anyValue) exported() Value {
	out := Value{Type: ValueType(v.kind)}
	switch v.kind {
	case valueString:
		out.Text = v.data.bytes()
	case valueInt:
		out.Int = int64(v.number)
	case valueDouble:
		out.Double = math.Float64frombits(v.number)
	case valueBool:
		out.Bool = v.number != 0
	}
	return out
}

// Attributes are the attributes of a message that has any: read when they are asked for.
type Attributes struct {
	b      []byte
	number uint32
}

// Attributes returns those of the resource and of the scope.
func (s *Shell) Attributes() (resource, scope Attributes) {
	return Attributes{s.Resource, 1}, Attributes{s.Scope, 3}
}

// Each calls fn with each attribute of that key, until fn returns false. Those whose keys the store keeps for itself are not there.
func (a Attributes) Each(key string, fn func(Value) bool) error {
	if len(key) >= len(internalPrefix) && key[:len(internalPrefix)] == internalPrefix {
		return nil
	}
	done := false
	return wireError(eachOf(a.b, 0, a.number, func(b []byte, i int) int {
		if done {
			return len(b)
		}
		if k, text, ok := plainString(b, i); ok {
			if string(k) == key {
				done = !fn(Value{Type: ValueString, Text: text})
			}
			return len(b)
		}
		k, r, next := readKeyValue(b, i)
		if next < 0 || string(k) != key {
			return next
		}
		v, next := readAnyValue(r.b, r.i)
		if next >= 0 {
			done = !fn(v.exported())
		}
		return next
	}))
}

// SpanView is what a Span message says besides attributes, events and links, which are read when they are asked for. Its slices are views.
type SpanView struct {
	TraceID, SpanID, ParentID, TraceState, Name, StatusMessage []byte

	Kind       Kind // KindUnspecified for one that OTLP does not define
	Error, OK  bool // the status
	Start, End uint64

	Attributes Attributes
	events     []extent
	links      []extent
}

// Duration is End - Start.
func (v *SpanView) Duration() int64 { return int64(v.End - v.Start) }

// Read reads a Span message, of which v keeps views. A SpanView may be used again.
func (v *SpanView) Read(span []byte) error {
	*v = SpanView{Attributes: Attributes{span, 9}, events: v.events[:0], links: v.links[:0]}
	b, i := span, 0
	var kind, code uint64
	var message extent
	text := func(of *[]byte, i int) (next int) {
		start, next := readLen(b, i)
		if next >= 0 {
			*of = b[start:next]
		}
		return next
	}
	for uint(i) < uint(len(b)) {
		var tag uint32
		var from int
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeLen:
			i = text(&v.TraceID, i)
		case 2<<3 | typeLen:
			i = text(&v.SpanID, i)
		case 3<<3 | typeLen:
			i = text(&v.TraceState, i)
		case 4<<3 | typeLen:
			i = text(&v.ParentID, i)
		case 5<<3 | typeLen:
			i = text(&v.Name, i)
		case 6<<3 | typeVarint:
			kind, i = readVarint(b, i)
		case 7<<3 | typeFixed64:
			v.Start, i = readFixed64(b, i)
		case 8<<3 | typeFixed64:
			v.End, i = readFixed64(b, i)
		case 11<<3 | typeLen:
			from, i = readLen(b, i)
			v.events = append(v.events, extent{from, i})
		case 13<<3 | typeLen:
			from, i = readLen(b, i)
			v.links = append(v.links, extent{from, i})
		case 15<<3 | typeLen:
			if from, i = readLen(b, i); i >= 0 {
				if code, message, from = readStatus(b[:i], from, code, message); from < 0 {
					return wireError(from)
				}
			}
		default:
			i = skipOther(b, i, tag, knownInView)
		}
	}
	v.Kind = Kind(kind).known()
	v.OK, v.Error = code == statusOK, code == statusError
	v.StatusMessage = message.of(b)
	return wireError(i)
}

const knownInView = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<11 | 1<<13 | 1<<15

// Events and Links return how many there are.
func (v *SpanView) Events() int { return len(v.events) }
func (v *SpanView) Links() int  { return len(v.links) }

// EventView is an event of a span. Its slices are views.
type EventView struct {
	Time       uint64
	Name       []byte
	Attributes Attributes
}

// Event reads the event of that number.
func (v *SpanView) Event(n int) (e EventView, err error) {
	b := v.events[n].of(v.Attributes.b)
	e.Attributes = Attributes{b, 3}
	i := 0
	for uint(i) < uint(len(b)) {
		var tag uint32
		var from int
		tag, i = readTag(b, i)
		switch tag {
		case 1<<3 | typeFixed64:
			e.Time, i = readFixed64(b, i)
		case 2<<3 | typeLen:
			if from, i = readLen(b, i); i >= 0 {
				e.Name = b[from:i]
			}
		default:
			i = skipOther(b, i, tag, 1<<1|1<<2)
		}
	}
	return e, wireError(i)
}

// LinkView is a link of a span. Its slices are views.
type LinkView struct {
	TraceID, SpanID, TraceState []byte
	Attributes                  Attributes
}

// Link reads the link of that number.
func (v *SpanView) Link(n int) (l LinkView, err error) {
	b := v.links[n].of(v.Attributes.b)
	l.Attributes = Attributes{b, 4}
	i := 0
	for uint(i) < uint(len(b)) {
		var tag uint32
		var from int
		tag, i = readTag(b, i)
		if number := tag >> 3; i >= 0 && tag&7 == typeLen && number >= 1 && number <= 3 {
			if from, i = readLen(b, i); i >= 0 {
				*[...]*[]byte{&l.TraceID, &l.SpanID, &l.TraceState}[number-1] = b[from:i]
			}
			continue
		}
		i = skipOther(b, i, tag, 1<<1|1<<2|1<<3)
	}
	return l, wireError(i)
}
