package cluster

import (
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/ring"
)

// panel is how the ingesters of one question stand: who has answered, who has failed, and how long the others are worth waiting for. It decides
// and does nothing: no I/O, no clock.
type panel struct {
	set   *ring.ReadSet
	floor time.Duration
	stand []standing // of set.Ask
	took  []time.Duration
}

type standing uint8

const (
	waiting standing = iota
	answered
	failed
)

func newPanel(set *ring.ReadSet, floor time.Duration) *panel {
	return &panel{set: set, floor: floor, stand: make([]standing, len(set.Ask))}
}

// answer notes that member i has answered well, after that time.
func (p *panel) answer(i int, after time.Duration) {
	p.stand[i] = answered
	p.took = append(p.took, after)
}

// fail notes that member i has not.
func (p *panel) fail(i int) { p.stand[i] = failed }

// open returns the members that have not answered yet.
func (p *panel) open() (members []int) {
	for i, s := range p.stand {
		if s == waiting {
			members = append(members, i)
		}
	}
	return members
}

// enough reports whether the answers that are there suffice, without those that are still open. An answer of nobody never does: a ring that is only half
// known must not be taken for one that is empty.
func (p *panel) enough() bool {
	var without []ring.Instance
	good := false
	for i, s := range p.stand {
		if s == answered {
			good = true
		} else {
			without = append(without, p.set.Ask[i])
		}
	}
	return good && p.set.Enough(without...)
}

// patience returns for how long, from the beginning, the others are waited for once enough have answered: in most cases all answer at about the same time, and an
// answer more is of no use but that the next question would find the member well.
func (p *panel) patience() time.Duration {
	if len(p.took) == 0 {
		return p.floor
	}
	sorted := slices.Clone(p.took)
	slices.Sort(sorted)
	return 2*sorted[len(sorted)/2] + p.floor
}
