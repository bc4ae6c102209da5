package ring

import (
	"os"
	"time"

	"github.com/cortexproject/cortex/pkg/ring"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// attendant does what is due with each heartbeat of a member.
type attendant struct {
	config Config
	log    log.Logger
	// settled is made when the member is ACTIVE for the first time: from then on everybody knows it. Empty: not made.
	settled string
	// heard is since when each instance has said nothing new, by this process's clock.
	heard    map[string]heard
	listened time.Time // last
}

// heard is a heartbeat, and when it came.
type heard struct {
	timestamp int64
	at        time.Time
}

// listen notes which heartbeats are new.
func (a *attendant) listen(desc *ring.Desc, now time.Time) {
	if a.heard == nil || now.Sub(a.listened) > a.config.HeartbeatTimeout { // it has started, or was stopped meanwhile
		a.heard = make(map[string]heard)
	}
	a.listened = now
	for id, i := range desc.Ingesters {
		if h, ok := a.heard[id]; !ok || h.timestamp != i.Timestamp {
			a.heard[id] = heard{i.Timestamp, now}
		}
	}
	for id := range a.heard {
		if _, ok := desc.Ingesters[id]; !ok {
			delete(a.heard, id)
		}
	}
}

// OnRingInstanceHeartbeat may change the ring; Cortex stores it.
func (a *attendant) OnRingInstanceHeartbeat(l *ring.Lifecycler, desc *ring.Desc) {
	if a.settled != "" && l.GetState() == ring.ACTIVE {
		if err := os.WriteFile(a.settled, nil, 0o600); err != nil {
			_ = level.Error(a.log).Log("msg", "can't note that this instance is known; it will settle again when it restarts", "file", a.settled, "err", err)
		}
		a.settled = ""
	}
	now := time.Now()
	a.listen(desc, now)
	for _, id := range forgotten(desc, a.heard, a.config, now) {
		_ = level.Warn(a.log).Log("msg", "instance was silent for too long and is forgotten", "instance", id, "after", a.config.ForgetAfter)
		desc.RemoveIngester(id)
	}
}

// forgotten returns the instances that have been silent for so long that they no longer count as failed. There are none while more are silent than the
// replication can stand: what is acknowledged may then lie on silent instances alone, and a read must go on to fail, until they are back or
// somebody says that they never will be.
//
// What counts is how long this process itself has heard nothing: one that has just started may know of an instance only what it said long ago, and take
// one out that is there and is written to, which readers then do not ask.
func forgotten(desc *ring.Desc, last map[string]heard, c Config, now time.Time) []string {
	var old []string
	silent, zones := 0, make(map[string]struct{})
	for id, i := range desc.Ingesters {
		since := now.Sub(time.Unix(i.Timestamp, 0))
		if since <= c.HeartbeatTimeout {
			continue
		}
		silent++
		zones[i.Zone] = struct{}{}
		if h, ok := last[id]; ok && now.Sub(h.at) > c.ForgetAfter {
			old = append(old, id)
		}
	}
	if c.Zones {
		silent = len(zones)
	}
	if silent > c.Replication/2 {
		return nil
	}
	return old
}
