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
}

// OnRingInstanceHeartbeat may change the ring; Cortex stores it.
func (a *attendant) OnRingInstanceHeartbeat(l *ring.Lifecycler, desc *ring.Desc) {
	if a.settled != "" && l.GetState() == ring.ACTIVE {
		if err := os.WriteFile(a.settled, nil, 0o600); err != nil {
			_ = level.Error(a.log).Log("msg", "can't note that this instance is known; it will settle again when it restarts", "file", a.settled, "err", err)
		}
		a.settled = ""
	}
	for _, id := range forgotten(desc, a.config, time.Now()) {
		_ = level.Warn(a.log).Log("msg", "instance was silent for too long and is forgotten", "instance", id, "after", a.config.ForgetAfter)
		desc.RemoveIngester(id)
	}
}

// forgotten returns the instances that have been silent for so long that they no longer count as failed. There are none while more are silent than the
// replication can stand: what is acknowledged may then lie on silent instances alone, and a read must go on to fail, until they are back or
// somebody says that they never will be.
func forgotten(desc *ring.Desc, c Config, now time.Time) []string {
	var old []string
	silent, zones := 0, make(map[string]struct{})
	for id, i := range desc.Ingesters {
		since := now.Sub(time.Unix(i.Timestamp, 0))
		if since <= c.HeartbeatTimeout {
			continue
		}
		silent++
		zones[i.Zone] = struct{}{}
		if since > c.ForgetAfter {
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
