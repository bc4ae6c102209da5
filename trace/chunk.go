package trace

import "slices"

// Chunk is some of the spans of a value, with their resources and scopes.
type Chunk struct {
	groups []chunkGroup
	spans  [][]byte // of all groups
	size   int      // what it takes to write them, or a little more
	shells int      // how much of that are resources and scopes
	whole  []byte   // the value that the chunk is, if it is not a part of one
}

// chunkGroup has the spans from first on, up to those of the next group.
type chunkGroup struct {
	resource, scope []byte // what they hold besides their field 2
	sameResource    bool   // it goes into the ResourceSpans of the group before
	first           int
}

// EachChunk calls yield with the spans of data in chunks of about limit bytes. A chunk is longer only if it is a single span, or if resources and scopes, which are
// repeated in each chunk, are most of it. Spans stay in their order and are the same byte for byte. Data that fits is one chunk as it is; no chunk is empty.
//
// An error of yield ends the walk and is returned as it is; bytes that are not OTLP end it with a *WireError. A chunk is valid during the call.
func EachChunk(data []byte, limit int, yield func(*Chunk) error) error {
	if len(data) <= limit {
		n := 0
		if err := Walk(data, func(_, _, _ []byte) error { n++; return nil }); err != nil || n == 0 {
			return err
		}
		return yield(&Chunk{whole: data, size: len(data)})
	}
	c := chunker{limit: limit, yield: yield}
	next := c.scanner.scan(data, &c)
	if next >= 0 {
		next = c.flush(next)
	}
	if c.err != nil {
		return c.err
	}
	return wireError(next)
}

// Whole returns the value that the chunk is as it is, or nil if it must be written.
func (c *Chunk) Whole() []byte { return c.whole }

// Size is a bound of how many bytes Append appends.
func (c *Chunk) Size() int { return c.size }

// Append appends the chunk, which is a value.
func (c *Chunk) Append(dst []byte) []byte {
	if c.whole != nil {
		return append(dst, c.whole...)
	}
	for n := 0; n < len(c.groups); {
		after, size := n, len(c.groups[n].resource)
		for ; after == n || after < len(c.groups) && c.groups[after].sameResource; after++ {
			size += sizeField(c.groupSize(after))
		}
		dst = append(appendHeader(dst, 1, size), c.groups[n].resource...)
		for ; n < after; n++ {
			dst = append(appendHeader(dst, 2, c.groupSize(n)), c.groups[n].scope...)
			for _, span := range c.spansOf(n) {
				dst = append(appendHeader(dst, 2, len(span)), span...)
			}
		}
	}
	return dst
}

// spansOf returns the spans of a group.
func (c *Chunk) spansOf(n int) [][]byte {
	end := len(c.spans)
	if n+1 < len(c.groups) {
		end = c.groups[n+1].first
	}
	return c.spans[c.groups[n].first:end]
}

// groupSize is the length of the group's ScopeSpans message.
func (c *Chunk) groupSize(n int) int {
	size := len(c.groups[n].scope)
	for _, span := range c.spansOf(n) {
		size += sizeField(len(span))
	}
	return size
}

// chunker is the visitor of EachChunk.
type chunker struct {
	scanner         scanner
	limit           int
	yield           func(*Chunk) error
	chunk           Chunk
	resource, scope []byte // of the spans that are shown
	begun           bool   // the chunk has spans of the resource
	grouped         bool   // and of the scope
	err             error
}

func (c *chunker) group(resource, scope *shell, sameResource bool) (next int) {
	if !sameResource {
		c.resource, c.begun = resource.lasting(), false
	}
	c.scope, c.grouped = scope.lasting(), false
	return 0
}

// lasting returns the shell's fields where the next read does not overwrite them.
func (s *shell) lasting() []byte {
	if s.copied {
		return slices.Clone(s.rest)
	}
	return s.rest
}

func (c *chunker) span(b []byte, i int) (next int) {
	size, shells := sizeField(len(b)-i), c.shells()
	// Where resources are long, there are as few chunks as make a message at most a quarter longer than they are.
	if n := &c.chunk; len(n.spans) > 0 && n.size+shells+size > c.limit && n.size+size-n.shells > (n.shells+shells)/4 {
		if next = c.flush(i); next < 0 {
			return next
		}
		shells = c.shells()
	}
	if !c.grouped {
		c.chunk.groups = append(c.chunk.groups, chunkGroup{c.resource, c.scope, c.begun, len(c.chunk.spans)})
		c.begun, c.grouped = true, true
	}
	c.chunk.spans = append(c.chunk.spans, b[i:])
	c.chunk.shells += shells
	c.chunk.size += shells + size
	return len(b)
}

// shells is what a span makes the chunk longer besides itself.
func (c *chunker) shells() (size int) {
	if !c.grouped {
		size = len(c.scope) + maxHeader
	}
	if !c.begun {
		size += len(c.resource) + maxHeader
	}
	return size
}

// flush yields the chunk and begins the next.
func (c *chunker) flush(i int) (next int) {
	if len(c.chunk.spans) == 0 {
		return i
	}
	if c.err = c.yield(&c.chunk); c.err != nil {
		return fail(i, faultStopped)
	}
	c.chunk = Chunk{groups: c.chunk.groups[:0], spans: c.chunk.spans[:0]}
	c.begun, c.grouped = false, false
	return i
}
