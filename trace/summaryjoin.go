package trace

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// JoinSummaries appends to dst the summary of the value that holds what several pieces of a trace hold together, given the summaries of the
// pieces, if they tell it: then it is what AppendSummary makes of that value (see Merge). If they don't, ok is false and dst is as it was. The
// error is ErrSummary.
//
// They tell it if all pieces but one have no root, no piece is knotted, and each open parent is a loose end of exactly one other piece and open in
// no other. That is so where a trace was cut between calls and what was called. Pieces with the same summary are the same, and
// count once.
//
// Then no span is in two pieces. Let x be the ID of one that is, and let its parent's ID not be in both of these pieces, which can be had by going up from
// parent to parent. If x has no parent, two pieces have a root. If neither has the parent, it is open in two. If one has it, it is
// open in the other, but no loose end of the first, since there it has the child x; and in a third it makes the same argument begin anew further up.
func JoinSummaries(dst []byte, summaries ...[]byte) (joined []byte, ok bool, err error) {
	j := joiner{}
	for i, encoded := range summaries {
		if slices.ContainsFunc(summaries[:i], func(other []byte) bool { return bytes.Equal(encoded, other) }) {
			continue
		}
		if err := j.add(encoded); err != nil {
			return dst, false, err
		}
	}
	if len(j.pieces) == 1 {
		return append(dst, j.pieces[0].encoded...), true, nil
	}
	if len(j.pieces) == 0 || !j.connect() {
		return dst, false, nil
	}
	return j.append(dst), true, nil
}

// joiner joins summaries.
type joiner struct {
	pieces []joinPiece
	calls  []Edge // between pieces
}

type joinPiece struct {
	Summary
	encoded []byte
	flags   byte
	content uint32
	ends    []summaryEnd // ascending
}

// add adds the summary of a piece.
func (j *joiner) add(encoded []byte) error {
	r := summaryReader{b: encoded}
	p := joinPiece{encoded: encoded, Summary: r.summary()}
	p.content = r.joints(len(p.Services), func(e summaryEnd) { p.ends = append(p.ends, e) })
	if err := r.end(); err != nil {
		return err
	}
	p.flags = encoded[1]
	if p.Spans > 0 || len(j.pieces) == 0 {
		if len(j.pieces) == 1 && j.pieces[0].Spans == 0 {
			j.pieces = j.pieces[:0] // nothing is a piece of everything
		}
		j.pieces = append(j.pieces, p)
	}
	return nil
}

// connect finds the open parents among the loose ends, which it takes away. It returns false where the summaries do not tell.
func (j *joiner) connect() bool {
	roots := 0
	type open struct {
		piece int
		OpenParent
	}
	var opens []open
	for i := range j.pieces {
		p := &j.pieces[i]
		if p.flags&flagKnotted != 0 {
			return false
		}
		if p.HasRoot {
			roots++
		}
		for _, o := range p.OpenParents {
			opens = append(opens, open{i, o})
		}
	}
	if roots != 1 {
		return false
	}
	slices.SortStableFunc(opens, func(a, b open) int { return bytes.Compare(a.SpanID[:], b.SpanID[:]) })
	for len(opens) > 0 {
		// Of a parent there is one entry for each service of its children.
		first, n := opens[0], 1
		for n < len(opens) && opens[n].SpanID == first.SpanID {
			if opens[n].piece != first.piece {
				return false
			}
			n++
		}
		parent, found := j.take(first.piece, endTag(binary.BigEndian.Uint64(first.SpanID[:])))
		if !found {
			return false
		}
		for _, o := range opens[:n] {
			if o.Child != parent {
				j.calls = append(j.calls, Edge{Parent: parent, Child: o.Child, Calls: o.Calls})
			}
		}
		opens = opens[n:]
	}
	return true
}

// take takes the loose end away that has the tag, if exactly one has it in the pieces but the one where it is open, and returns its service.
func (j *joiner) take(openIn int, tag uint32) (service string, found bool) {
	var in *joinPiece
	var at int
	for i := range j.pieces {
		p := &j.pieces[i]
		for k, e := range p.ends {
			if e.tag != tag {
				continue
			}
			if found || i == openIn {
				return "", false
			}
			in, at, found = p, k, true
		}
	}
	if found {
		service = in.Services[in.ends[at].service].Service
		in.ends = slices.Delete(in.ends, at, at+1)
	}
	return service, found
}

// append appends the summary of all pieces.
func (j *joiner) append(dst []byte) []byte {
	s := summarizers.Get().(*summarizer)
	defer func() {
		s.forget()
		summarizers.Put(s)
	}()
	h := &s.head
	h.start, h.end = j.pieces[0].Start, j.pieces[0].End
	for i := range j.pieces {
		p := &j.pieces[i]
		h.start, h.end = min(h.start, p.Start), max(h.end, p.End)
		h.content += p.content
		for _, of := range p.Services {
			service := &s.services[s.numberNamed(of.Service)]
			service.spans += of.Spans
			service.errors += of.Errors
		}
	}
	s.rank()
	rank := func(service string) int { return s.services[s.numberNamed(service)].rank }
	for i := range j.pieces {
		p := &j.pieces[i]
		if p.HasRoot {
			h.flags |= flagRoot
			h.rootService, h.rootName = rank(p.RootService), []byte(p.RootName)
		}
		j.calls = append(j.calls, p.Edges...)
		for _, e := range p.ends {
			s.ends = append(s.ends, summaryEnd{int32(rank(p.Services[e.service].Service)), e.tag})
		}
	}
	for _, e := range j.calls {
		s.edges = append(s.edges, summaryEdge{uint64(rank(e.Parent)), rank(e.Child), e.Calls})
	}
	return s.write(dst)
}

// numberNamed is numberService for a name that stands elsewhere.
func (s *summarizer) numberNamed(name string) int {
	start := len(s.names)
	s.names = append(s.names, name...)
	return s.numberService(start)
}

// EdgeCounter adds up the edges of summaries. The zero EdgeCounter has none. It is for one goroutine.
type EdgeCounter struct {
	names  []string
	known  map[string]int32
	calls  map[[2]int32]uint64
	places []extent // of the services of the summary in hand
	number []int32  // of each, -1 if it was not needed yet
}

// Add adds the edges of a summary as AppendSummary makes it. Its error is ErrSummary; then some of the edges may have been added. It reads
// the summary up to its edges only, and of what it knows already it allocates nothing.
func (c *EdgeCounter) Add(summary []byte) error {
	r := summaryReader{b: summary}
	r.header()
	n := r.count(3)
	c.places, c.number = c.places[:0], c.number[:0]
	for range n {
		c.places, c.number = append(c.places, r.extent()), append(c.number, -1)
		r.number()
		r.number()
	}
	if n > 0 {
		r.uvarint()
		r.extent()
	}
	for n = r.count(3); n > 0; n-- {
		parent, child, calls := c.service(&r), c.service(&r), r.uvarint()
		if r.what != "" {
			break
		}
		if c.calls == nil {
			c.calls = make(map[[2]int32]uint64)
		}
		c.calls[[2]int32{parent, child}] += calls
	}
	if r.what != "" {
		return r.end()
	}
	return nil
}

// service reads the number of a service and returns its number among all.
func (c *EdgeCounter) service(r *summaryReader) int32 {
	n := r.uvarint()
	if n >= uint64(len(c.places)) {
		r.fail("service that is not listed")
		return 0
	}
	if c.number[n] < 0 {
		name := c.places[n].of(r.b)
		number, known := c.known[string(name)]
		if !known {
			if c.known == nil {
				c.known = make(map[string]int32)
			}
			number = int32(len(c.names))
			c.names = append(c.names, string(name))
			c.known[c.names[number]] = number
		}
		c.number[n] = number
	}
	return c.number[n]
}

// Edges returns the sums, sorted by Parent and Child.
func (c *EdgeCounter) Edges() []Edge {
	edges := make([]Edge, 0, len(c.calls))
	for of, calls := range c.calls {
		edges = append(edges, Edge{Parent: c.names[of[0]], Child: c.names[of[1]], Calls: calls})
	}
	slices.SortFunc(edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.Parent, b.Parent), cmp.Compare(a.Child, b.Child))
	})
	return edges
}
