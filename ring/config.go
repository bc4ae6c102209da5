package ring

import (
	"fmt"
	"time"
)

// Kinds of key-value stores.
const (
	Memberlist = "memberlist"
	Etcd       = "etcd"
	Consul     = "consul"
)

// StoreConfig says where rings lie.
type StoreConfig struct {
	// Kind is Memberlist, Etcd or Consul.
	Kind string
	// Listen is the address and port for gossip; port 0 takes a free one. Memberlist only.
	Listen string
	// Advertise is the address and port that others reach Listen under, where it differs.
	Advertise string
	// Join are addresses and ports of some that gossip already; a name stands for all its addresses. That none answers yet is no error.
	Join []string
	// Endpoints are those of etcd, or the one of Consul, as host:port.
	Endpoints []string
}

// Config says how a ring works. All processes that share it must agree.
type Config struct {
	// Name tells the ring from others in the store: "ingesters".
	Name string
	// Replication is how many instances keep a token, 1 or 3.
	Replication int
	// Zones puts replicas into different zones.
	Zones bool
	// Heartbeat is how often an instance says that it is there (5 s if zero), and HeartbeatTimeout how long it is believed (4 times that).
	Heartbeat, HeartbeatTimeout time.Duration
	// Settle is how long a new instance is known before it is written to; 10 s if zero.
	Settle time.Duration
	// ForgetAfter is how long an instance may be silent before it is taken out of the ring; 1 h if zero.
	ForgetAfter time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		return c, fmt.Errorf("ring: it needs a name")
	}
	if c.Replication == 0 {
		c.Replication = 1
	}
	if c.Replication != 1 && c.Replication != 3 {
		return c, fmt.Errorf("ring %s: a replication of %d; it can be 1 or 3", c.Name, c.Replication)
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = 5 * time.Second
	}
	if c.HeartbeatTimeout <= 0 {
		c.HeartbeatTimeout = 4 * c.Heartbeat
	}
	if c.HeartbeatTimeout < 2*c.Heartbeat || c.HeartbeatTimeout < 2*time.Second {
		// Heartbeats are told in whole seconds.
		return c, fmt.Errorf("ring %s: a heartbeat timeout of %v; it must be twice the heartbeat of %v, and 2 s, at least", c.Name, c.HeartbeatTimeout, c.Heartbeat)
	}
	if c.Settle <= 0 {
		c.Settle = 10 * time.Second
	}
	if c.ForgetAfter <= 0 {
		c.ForgetAfter = time.Hour
	}
	if c.ForgetAfter < 2*c.HeartbeatTimeout {
		return c, fmt.Errorf("ring %s: instances would be forgotten after %v; it must be twice the heartbeat timeout of %v at least", c.Name, c.ForgetAfter, c.HeartbeatTimeout)
	}
	return c, nil
}

// key is where the ring lies in the store.
func (c Config) key() string { return c.Name }
