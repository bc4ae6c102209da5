package ring

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cortexproject/cortex/pkg/ring"
	"github.com/cortexproject/cortex/pkg/util/services"
)

// ErrNoInstances is returned while a ring has nobody that could answer.
var ErrNoInstances = errors.New("no instance is registered in the ring")

// Instance is a member of a ring.
type Instance struct {
	ID string
	// Address is where it serves gRPC.
	Address string
	Zone    string
	State   string
	// Heartbeat is when it last said that it is there, in its own time, to the second.
	Heartbeat time.Time
}

// Ring watches a ring.
type Ring struct {
	config Config
	ring   *ring.Ring
}

// Watch returns the ring of that name. When it returns it knows what the store knew; it follows what changes until Close.
func (s *Store) Watch(ctx context.Context, c Config) (*Ring, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	r, err := ring.New(s.ringConfig(c), c.Name, c.key(), s.log, s.metrics)
	if err != nil {
		return nil, fmt.Errorf("watch ring %s: %w", c.Name, err)
	}
	if err := start(ctx, r); err != nil {
		return nil, fmt.Errorf("watch ring %s: %w", c.Name, err)
	}
	return &Ring{config: c, ring: r}, nil
}

func (s *Store) ringConfig(c Config) ring.Config {
	return ring.Config{
		KVStore:              s.config,
		HeartbeatTimeout:     c.HeartbeatTimeout,
		ReplicationFactor:    c.Replication,
		ZoneAwarenessEnabled: c.Zones,
		SubringCacheDisabled: true,
	}
}

// Close ends the watching.
func (r *Ring) Close() error { return services.StopAndAwaitTerminated(context.Background(), r.ring) }

// Token returns the place of a key of a tenant in the ring.
func Token(tenant string, key [16]byte) uint32 {
	d := xxhash.New()
	_, _ = d.WriteString(tenant)
	_, _ = d.Write([]byte{0}) // tenants have no zeros in their names
	_, _ = d.Write(key[:])
	return uint32(d.Sum64())
}

// ReadSet is whom to ask so that the answers together hold all that is acknowledged.
type ReadSet struct {
	// Ask are the instances to ask, all of them.
	Ask []Instance
	// Silent are registered, and have not been heard of: they count as failed.
	Silent []Instance
	// Replication and Zones are as in Config.
	Replication int
	Zones       bool
}

// Enough reports whether the answers are enough though those in failed, of Ask, did not answer well. So they are while fewer than half of the replicas
// of anything can be among the failed, the silent and the absent: up to Replication/2 instances, or instances of up to Replication/2 zones.
//
// Absent are those that must have been there for a write that took all its replicas and are registered no more: forgotten, or not known here yet. They may hold
// what one of the others alone holds too.
func (s *ReadSet) Enough(failed ...Instance) bool {
	without := len(s.Silent) + len(failed)
	there := len(s.Silent) + len(s.Ask)
	if s.Zones {
		without, there = zonesOf(s.Silent, failed), zonesOf(s.Silent, s.Ask)
	}
	return without+max(s.Replication-there, 0) <= s.Replication/2
}

// zonesOf counts the zones that instances are in.
func zonesOf(lists ...[]Instance) int {
	zones := make(map[string]struct{})
	for _, list := range lists {
		for _, i := range list {
			zones[i.Zone] = struct{}{}
		}
	}
	return len(zones)
}

// ReadSet returns whom to ask now. It is ErrNoInstances while nobody is registered: then nothing recent was ever written, or the ring is
// not known yet.
func (r *Ring) ReadSet() (*ReadSet, error) {
	healthy, silent, err := r.ring.GetAllInstanceDescs(ring.Reporting)
	if errors.Is(err, ring.ErrEmptyRing) {
		return nil, fmt.Errorf("ring %s: %w", r.config.Name, ErrNoInstances)
	}
	if err != nil {
		return nil, fmt.Errorf("ring %s: %w", r.config.Name, err)
	}
	set := &ReadSet{Replication: r.config.Replication, Zones: r.config.Zones}
	for i := range healthy {
		set.Ask = append(set.Ask, instance("", &healthy[i]))
	}
	for i := range silent {
		set.Silent = append(set.Silent, instance("", &silent[i]))
	}
	return set, nil
}

// Owner returns the instance that owns key: of those that are heard of and ACTIVE the one that key falls to, by rendezvous, so that few keys
// change hands where an instance comes or goes. Processes whose views of the ring differ may name two.
func (r *Ring) Owner(key string) (Instance, error) {
	members, err := r.ring.GetInstanceDescsForOperation(active)
	var owner Instance
	var most uint64
	if err == nil || errors.Is(err, ring.ErrEmptyRing) {
		for id, desc := range members {
			weight := xxhash.Sum64String(id + "\x00" + key)
			if owner.ID == "" || weight > most || weight == most && id < owner.ID {
				owner, most = instance(id, &desc), weight
			}
		}
		if owner.ID == "" {
			err = ErrNoInstances
		}
	}
	if err != nil {
		return Instance{}, fmt.Errorf("ring %s: owner of %q: %w", r.config.Name, key, err)
	}
	return owner, nil
}

// active is the operation of who needs an instance that works.
var active = ring.NewOp([]ring.InstanceState{ring.ACTIVE}, nil)

func instance(id string, desc *ring.InstanceDesc) Instance {
	return Instance{ID: id, Address: desc.Addr, Zone: desc.Zone, State: desc.State.String(), Heartbeat: time.Unix(desc.Timestamp, 0)}
}

// ServeHTTP shows the ring to people; who asks for application/json gets that. It takes a form that makes the ring forget an instance at once.
func (r *Ring) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.ring.ServeHTTP(w, req) }
