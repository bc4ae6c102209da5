package blocklist

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// lineage is which blocks stand for which. It is found out from their metas alone, so that all who see the same blocks and the same marks
// of dropped ones agree.
type lineage struct {
	present map[block.ID]*block.Meta
	// dropped are the blocks that were marked, and all those whose content is in them; there or not.
	dropped map[block.ID]bool
	// via is, of a dropped block that was not marked, the one for which it counts as dropped.
	via map[block.ID]block.ID
	// heirs are of a block that is listed, present or not, the present blocks that have all that it has.
	heirs map[block.ID][]*block.Meta
	// void are the blocks that are made of a dropped one and of others that are all there: they serve in its place.
	void map[block.ID]bool
	// bared are the parents and twins of blocks that are void, or damaged and salvaged: those stand for them no more.
	bared map[block.ID]bool
}

// newLineage looks at blocks that are present. others are listed, but what they are is not known; dropped are the blocks that were marked, there
// or not, and void those that are known to be.
func newLineage(present map[block.ID]*block.Meta, others, dropped, void map[block.ID]bool) *lineage {
	g := &lineage{
		present: present, dropped: dropped, void: void,
		via: make(map[block.ID]block.ID), heirs: make(map[block.ID][]*block.Meta), bared: make(map[block.ID]bool),
	}
	twins := g.twins()
	g.spreadDropped(twins)
	for _, m := range present {
		g.isVoid(m)
	}
	salvaged := make(map[block.ID]bool)
	for _, m := range present {
		if bad := g.salvagedFrom(m); bad != nil && !g.void[m.ID] {
			salvaged[bad.ID] = true
		}
	}
	for _, m := range present {
		for _, parent := range m.Parents {
			switch {
			case g.void[m.ID], salvaged[m.ID] && g.salvagedFrom(m) == nil: // what it was salvaged from is damaged all the same
				g.bared[parent] = true
			case parent != m.ID && (present[parent] != nil || others[parent]): // most parents are long gone
				g.heirs[parent] = append(g.heirs[parent], m)
			}
		}
	}
	for _, family := range twins {
		if slices.ContainsFunc(family, func(m *block.Meta) bool { return g.bared[m.ID] || salvaged[m.ID] }) {
			for _, m := range family {
				g.bared[m.ID] = true // any of them may be the one that serves
			}
		}
		family = slices.DeleteFunc(family, func(m *block.Meta) bool { return g.void[m.ID] || salvaged[m.ID] })
		if len(family) < 2 {
			continue
		}
		// The one that was dropped, or that others are made of already, or else the first: so it is the same whoever looks.
		rank := func(m *block.Meta) int {
			switch {
			case g.dropped[m.ID] && g.via[m.ID] == "":
				return 0
			case len(g.heirs[m.ID]) > 0:
				return 1
			}
			return 2
		}
		heir := slices.MinFunc(family, func(a, b *block.Meta) int {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.ID, b.ID))
		})
		for _, m := range family {
			if m != heir {
				g.heirs[m.ID] = append(g.heirs[m.ID], heir)
			}
		}
	}
	return g
}

// spreadDropped adds to the dropped blocks those that have nothing else: what they were made of, and their twins. Who had not heard
// of a merge may go on with its inputs, and what was dropped would come back in the result.
func (g *lineage) spreadDropped(twins [][]*block.Meta) {
	twinsOf := make(map[block.ID][]*block.Meta)
	for _, family := range twins {
		for _, m := range family {
			twinsOf[m.ID] = family
		}
	}
	todo := slices.Collect(maps.Keys(g.dropped))
	slices.Sort(todo)
	for ; len(todo) > 0; todo = todo[1:] {
		also := func(id block.ID) {
			if !g.dropped[id] {
				g.dropped[id], g.via[id] = true, todo[0]
				todo = append(todo, id)
			}
		}
		if m := g.present[todo[0]]; m != nil {
			for _, parent := range m.Parents {
				also(parent)
			}
		}
		for _, twin := range twinsOf[todo[0]] {
			also(twin.ID)
		}
	}
}

// isVoid reports whether a block is made of one that was dropped. It is not if something else that it is made of is gone: then it
// is all there is of that, and to serve again what was dropped is better than to lose what was not.
func (g *lineage) isVoid(m *block.Meta) bool {
	if void, known := g.void[m.ID]; known {
		return void // false while it is being found out: blocks that came from each other are left alone
	}
	g.void[m.ID] = false
	if g.dropped[m.ID] {
		return false
	}
	tainted := false
	for _, id := range m.Parents {
		parent := g.present[id]
		switch {
		case g.dropped[id], parent != nil && g.isVoid(parent):
			tainted = true
		case parent == nil:
			return false
		}
	}
	g.void[m.ID] = tainted
	return tainted
}

// salvagedFrom returns the damaged block that m has the rest of, if it is present. A block that is merged of others has a higher level than
// they; one that is salvaged has the same.
func (g *lineage) salvagedFrom(m *block.Meta) *block.Meta {
	if len(m.Parents) != 1 || m.Parents[0] == m.ID {
		return nil
	}
	if bad := g.present[m.Parents[0]]; bad != nil && m.Level == bad.Level {
		return bad
	}
	return nil
}

// twins returns the families of present blocks that are the same merge, done more than once, each ordered by ID.
func (g *lineage) twins() (families [][]*block.Meta) {
	byWork := make(map[string][]*block.Meta)
	for _, m := range g.present {
		if work := workOf(m); work != "" {
			byWork[work] = append(byWork[work], m)
		}
	}
	for _, family := range byWork {
		if len(family) > 1 {
			slices.SortFunc(family, func(a, b *block.Meta) int { return cmp.Compare(a.ID, b.ID) })
			families = append(families, family)
		}
	}
	return families
}

// workOf says what a block was merged of and what became of it: all that do the same work get the same. It is empty for a block that was not merged:
// two that were salvaged from the same damaged block need not have the same.
func workOf(m *block.Meta) string {
	if len(m.Parents) < 2 {
		return ""
	}
	parents := slices.Clone(m.Parents)
	slices.Sort(parents)
	var b strings.Builder
	for _, id := range parents {
		b.WriteString(string(id))
	}
	fmt.Fprintf(&b, " %d %d %s %s %d %d %d", m.Keys, m.Rows, m.MinKey, m.MaxKey, m.MinStart, m.MaxStart, m.MaxEnd)
	return b.String()
}

// areTwins reports whether two blocks are the same merge done twice.
func areTwins(a, b *block.Meta) bool {
	work := workOf(a)
	return a.ID != b.ID && work != "" && work == workOf(b)
}
