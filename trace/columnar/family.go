package columnar

// parentModel predicts the parents of the spans of a shape.
type parentModel struct {
	inside prob     // the parent is in the same value
	shapes [4]int32 // of the parents found last, the latest first; -1 if there are fewer
	hit    [2]prob  // the parent is the span at hand, which has not or has got a child of the same shape
}

// timeModel predicts a time of the spans of a shape, from others that it is close to.
type timeModel struct {
	nearest [4]prob
	sign    [3]prob
	delta   [3]number
}

// link holds the relations of a span to others of its value while these are coded.
type link struct {
	alike          int32  // the next span of the same shape, -1 if there is none
	childShape     int32  // of the child found last
	child, sibling int32  // first child, next child of the parent; -1 if there is none
	done           bool   // its times are coded
	latest         uint64 // end of the child that ended last of those that are done
	previous       uint64 // start of the child that was done last
	children       int    // that are done
}

// head is the list of the spans of a shape.
type head struct{ first, next int32 }

// tries is how many spans are looked at to find a parent.
const tries = 12

// codeParents codes which span is the parent of which, and the IDs of spans.
func (m *model) codeParents(spans []span) {
	m.startLinks(spans)
	for i := range spans {
		s := &spans[i]
		sh := &m.shapes[s.shape]
		if sh.id >= 0 {
			s.id = m.bits(64, s.id)
		}
		if sh.parent < 0 {
			continue
		}
		n := &m.nodes[sh.parent]
		if n.model < 0 {
			n.model = int32(len(m.parents))
			m.parents = append(m.parents, parentModel{inside: even, shapes: [4]int32{-1, -1, -1, -1}, hit: [2]prob{even, even}})
		}
		p := &m.parents[n.model]
		if m.is(&p.inside, s.parent >= 0) {
			s.parent = m.parentOf(p, spans, int32(i))
		} else {
			s.parentID = m.bits(64, s.parentID)
			s.parent = -1
		}
	}
	for i := range spans {
		if s := &spans[i]; m.decoding && s.parent >= 0 {
			s.parentID = spans[s.parent].id
		}
	}
	for _, s := range spans {
		m.heads[s.shape] = head{-1, -1}
	}
}

// startLinks lists the spans of each shape.
func (m *model) startLinks(spans []span) {
	m.links = append(m.links[:0], make([]link, len(spans))...)
	for len(m.heads) < len(m.shapes) {
		m.heads = append(m.heads, head{-1, -1})
	}
	for i := len(spans) - 1; i >= 0; i-- {
		h := &m.heads[spans[i].shape]
		m.links[i] = link{alike: h.first, childShape: -1, child: -1, sibling: -1}
		*h = head{int32(i), int32(i)}
	}
}

// parentOf codes the parent of span i.
func (m *model) parentOf(p *parentModel, spans []span, i int32) int32 {
	parent, shape := spans[i].parent, spans[i].shape
	found := false
	for _, of := range p.shapes {
		if of < 0 || m.heads[of].first < 0 {
			continue
		}
		h := &m.heads[of]
		for h.next >= 0 && h.next <= i {
			h.next = m.links[h.next].alike
		}
		at, wrapped := h.next, false
		for range tries {
			if at < 0 && !wrapped {
				at, wrapped = h.first, true
			}
			if at < 0 || wrapped && at >= i {
				break
			}
			l := &m.links[at]
			if found = m.is(&p.hit[bit(l.childShape == shape)], at == parent); found {
				parent = at
				break
			}
			at = l.alike
		}
		break
	}
	if !found {
		v := m.number(&m.numbers[numberParent], uint64(parent))
		if v >= uint64(len(spans)) {
			m.failed = true
			return -1
		}
		parent = int32(v)
	}
	m.links[parent].childShape = shape
	of := spans[parent].shape
	k := 0
	for k < len(p.shapes)-1 && p.shapes[k] != of {
		k++
	}
	copy(p.shapes[1:k+1], p.shapes[:k])
	p.shapes[0] = of
	return parent
}

// codeTimes codes starts and ends of spans, parents before their children and ends after them.
func (m *model) codeTimes(spans []span) {
	for i := len(spans) - 1; i >= 0; i-- {
		if parent := spans[i].parent; parent >= 0 {
			m.links[i].sibling = m.links[parent].child
			m.links[parent].child = int32(i)
		}
	}
	for i := range spans {
		if spans[i].parent < 0 {
			m.family(spans, int32(i))
		}
	}
	for i := range spans { // of circles
		if !m.links[i].done {
			m.family(spans, int32(i))
		}
	}
}

// family codes the times of a span and of those below it.
func (m *model) family(spans []span, root int32) {
	m.start(spans, root, true)
	at := root
	for {
		l := &m.links[at]
		// Down to the next child that is not done, or else up.
		for l.child >= 0 && m.links[l.child].done {
			l.child = m.links[l.child].sibling
		}
		if l.child >= 0 {
			at = l.child
			m.start(spans, at, false)
			continue
		}
		m.finishTime(spans, at)
		if at == root || m.failed {
			return
		}
		at = spans[at].parent
	}
}

func (m *model) start(spans []span, i int32, root bool) {
	s := &spans[i]
	m.links[i].done = true
	id := m.shapes[s.shape].start
	if id < 0 {
		return
	}
	if root {
		s.start = m.base + uint64(m.signed(&m.numbers[numberBase], &m.probs[probBase], int64(s.start-m.base)))
		m.base = s.start
		return
	}
	t := m.timeModel(id)
	p := &m.links[s.parent]
	near := [3]uint64{spans[s.parent].start, p.latest, p.previous}
	choice := uint32(0)
	if p.children > 0 {
		if !m.decoding {
			best := distance(s.start, near[0])
			for k, at := range near {
				if d := distance(s.start, at); d < best {
					best, choice = d, uint32(k)
				}
			}
		}
		choice = m.tree(t.nearest[:], 2, choice)
		choice = min(choice, 2)
	}
	at := near[choice]
	s.start = at + uint64(m.signed(&t.delta[choice], &t.sign[choice], int64(s.start-at)))
	p.previous = s.start
}

func (m *model) finishTime(spans []span, i int32) {
	s := &spans[i]
	l := &m.links[i]
	if id := m.shapes[s.shape].finish; id >= 0 {
		t := m.timeModel(id)
		at, k := s.start, 0
		if l.children > 0 {
			at, k = l.latest, 1
		}
		s.finish = at + uint64(m.signed(&t.delta[k], &t.sign[k], int64(s.finish-at)))
	}
	if s.parent >= 0 {
		p := &m.links[s.parent]
		if p.children == 0 || int64(s.finish-p.latest) > 0 {
			p.latest = s.finish
		}
		p.children++
	}
}

func (m *model) timeModel(id int32) *timeModel {
	n := &m.nodes[id]
	if n.model < 0 {
		n.model = int32(len(m.times))
		m.times = append(m.times, timeModel{
			nearest: [4]prob{even, even, even, even},
			sign:    [3]prob{even, even, even},
			delta:   [3]number{newNumber, newNumber, newNumber},
		})
	}
	return &m.times[n.model]
}

func distance(a, b uint64) uint64 {
	if d := int64(a - b); d < 0 {
		return -uint64(d)
	}
	return a - b
}
