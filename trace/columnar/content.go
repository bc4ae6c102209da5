package columnar

// content is a value taken apart.
type content struct {
	raw    bool   // the value is kept as it is:
	text   []byte // these bytes
	groups []group
	spans  []span
	// values are those of the fields of spans that are not in span, in the order in which they stand there.
	// For opChildren it is the number of messages, then the shape of each and the values of its fields.
	values []uint64
}

func (t *content) reset() {
	t.raw, t.text = false, nil
	t.groups, t.spans, t.values = t.groups[:0], t.spans[:0], t.values[:0]
}

// group is a run of spans below one resource and scope.
type group struct {
	resource, scope int32 // shells
	joined          bool  // to the ResourceSpans of the group before
	end             int32 // of its spans
}

type span struct {
	shape, group int32
	parent       int32 // the span in the same value, -1 if it is none
	id, parentID uint64
	start        uint64
	finish       uint64
}
