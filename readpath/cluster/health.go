package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/jaeger-tempo/tempo/ring"
)

// health is what is remembered of ingesters from one question to the next.
type health struct {
	mu      sync.Mutex
	members map[string]*memberHealth // by address
}

type memberHealth struct {
	mu sync.Mutex
	// lagging members were given up last time, while others answered: nobody waits for them where the others suffice.
	lagging bool
	// probe is a call that was given up and may go on, to see whether the member answers again.
	probe *call
	// kept is what the member said last of how long it keeps blocks.
	kept time.Duration
}

// call is one question to one member.
type call struct {
	member *memberHealth
	cancel context.CancelFunc
	over   bool // guarded by member.mu
}

// maxStrangers is how many addresses are remembered that are in the ring no more.
const maxStrangers = 64

func (h *health) of(address string, set *ring.ReadSet) *memberHealth {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.members == nil || len(h.members) > len(set.Ask)+maxStrangers {
		h.members = make(map[string]*memberHealth)
	}
	m := h.members[address]
	if m == nil {
		m = new(memberHealth)
		h.members[address] = m
	}
	return m
}

func (m *memberHealth) isLagging() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lagging
}

func (m *memberHealth) keeps() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept
}

// ended notes how a call ended.
func (c *call) ended(err error, kept time.Duration) {
	c.member.mu.Lock()
	defer c.member.mu.Unlock()
	c.over = true
	if c.member.probe == c {
		c.member.probe = nil
	}
	if err == nil {
		c.member.lagging, c.member.kept = false, kept
	}
}

// giveUp ends a call that takes too long, or, if none does that yet, lets it go on to see when the member answers again.
func (c *call) giveUp() {
	c.member.mu.Lock()
	defer c.member.mu.Unlock()
	if c.over {
		return
	}
	c.member.lagging = true
	if c.member.probe == nil {
		c.member.probe = c
		return
	}
	c.cancel()
}

// stop ends a call unless it is a probe.
func (c *call) stop() {
	c.member.mu.Lock()
	defer c.member.mu.Unlock()
	if c.member.probe != c {
		c.cancel()
	}
}

// says notes how long the member keeps blocks.
func (m *memberHealth) says(kept time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = kept
}
