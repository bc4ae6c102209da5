package ring

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/cortexproject/cortex/pkg/ring"
	"github.com/cortexproject/cortex/pkg/util/services"
)

// Self is who joins a ring.
type Self struct {
	ID string
	// Address is where the others reach it, a host and a port.
	Address string
	Zone    string
	// TokensFile keeps its place over restarts; empty keeps it only as long as the store remembers.
	TokensFile string
	// Tokens is how many it takes; 128 if zero.
	Tokens int
}

// Member is this process in a ring.
type Member struct {
	*Ring
	lifecycler *ring.Lifecycler
	known      bool
	settled    time.Time
}

// Join enters the ring: at once where it stood before if it has tokens from before, else JOINING, and ACTIVE after Config.Settle.
// It returns when it is registered: Active is then true of who stood there before. Who joins also watches.
func (s *Store) Join(ctx context.Context, c Config, self Self) (*Member, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if self.ID == "" {
		return nil, fmt.Errorf("join ring %s: an instance needs an ID", c.Name)
	}
	if self.Tokens == 0 {
		self.Tokens = 128
	}
	host, service, err := net.SplitHostPort(self.Address)
	if err != nil {
		return nil, fmt.Errorf("join ring %s: %w", c.Name, err)
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return nil, fmt.Errorf("join ring %s: %s has no port: %w", c.Name, self.Address, err)
	}
	watched, err := s.Watch(ctx, c)
	if err != nil {
		return nil, err
	}
	m := &Member{Ring: watched, known: watched.ring.HasInstance(self.ID)}
	if others := watched.ring.InstancesCount(); !m.known && others > 0 {
		m.settled = time.Now().Add(c.Settle)
	}
	lc := ring.LifecyclerConfig{
		RingConfig:       s.ringConfig(c),
		NumTokens:        self.Tokens,
		HeartbeatPeriod:  c.Heartbeat,
		ObservePeriod:    c.Settle,
		TokensFilePath:   self.TokensFile,
		Zone:             self.Zone,
		Addr:             host,
		Port:             port,
		ID:               self.ID,
		MinReadyDuration: 0,
		FinalSleep:       0,
	}
	a := &attendant{config: c, log: s.log}
	if self.TokensFile != "" {
		a.settled = self.TokensFile + ".settled"
		if _, err := os.Stat(a.settled); err != nil {
			// With tokens from before it would be ACTIVE at once, and it ended before everybody knew it.
			if err := os.Remove(self.TokensFile); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, errors.Join(fmt.Errorf("join ring %s: %w", c.Name, err), watched.Close())
			}
		}
	}
	if err := watched.restart(ctx, self.ID); err != nil {
		return nil, errors.Join(err, watched.Close())
	}
	m.lifecycler, err = ring.NewLifecyclerWithDelegate(lc, nil, c.Name, c.key(), true, false, s.log, s.metrics, a)
	if err == nil {
		err = start(ctx, m.lifecycler)
	}
	if err == nil {
		err = m.registered(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("join ring %s: %w", c.Name, err), watched.Close())
	}
	return m, nil
}

// registered waits until the ring has this instance; a lifecycler counts as running before it has.
func (m *Member) registered(ctx context.Context) error {
	poll := time.NewTicker(time.Millisecond) // it tells nobody
	defer poll.Stop()
	for m.lifecycler.GetState() == ring.PENDING {
		select {
		case <-poll.C:
		case <-ctx.Done():
			m.lifecycler.StopAsync()
			_ = m.lifecycler.AwaitTerminated(context.Background()) // that it was cut short is the reason
			return fmt.Errorf("instance %s: %w", m.lifecycler.ID, ctx.Err())
		}
		if state := m.lifecycler.State(); state != services.Running {
			return errors.Join(fmt.Errorf("instance %s is not registered: %v", m.lifecycler.ID, state), m.lifecycler.FailureCase())
		}
	}
	return nil
}

// restart makes an instance PENDING that ended while it was JOINING. The lifecycler means to, without a newer heartbeat, which gossip takes for no change: then it
// would not start.
func (r *Ring) restart(ctx context.Context, id string) error {
	if !r.ring.HasInstance(id) { // most often
		return nil
	}
	state, err := r.ring.GetInstanceState(id)
	if err != nil {
		return fmt.Errorf("ring %s: state of instance %s: %w", r.config.Name, id, err)
	}
	if state != ring.JOINING {
		return nil
	}
	err = r.ring.KVClient.CAS(ctx, r.config.key(), func(in any) (out any, retry bool, err error) {
		desc, ok := in.(*ring.Desc)
		if !ok || desc == nil {
			return nil, false, nil
		}
		self, ok := desc.Ingesters[id]
		if !ok || self.State != ring.JOINING {
			return nil, false, nil
		}
		self.State = ring.PENDING
		self.Timestamp = max(time.Now().Unix(), self.Timestamp+1)
		desc.Ingesters[id] = self
		return desc, true, nil
	})
	if err != nil {
		return fmt.Errorf("ring %s: restart instance %s: %w", r.config.Name, id, err)
	}
	return nil
}

// Known reports whether the ring knew an instance of this ID before it joined.
func (m *Member) Known() bool { return m.known }

// Settled is from when on this instance may acknowledge writes, whatever its state: one that the others had forgotten is ACTIVE at once if it has its tokens, and
// readers do not ask it before they have heard of it. The zero time is from the start.
func (m *Member) Settled() time.Time { return m.settled }

// Self returns this instance as the ring should know it.
func (m *Member) Self() Instance {
	return Instance{ID: m.lifecycler.ID, Address: m.lifecycler.Addr, Zone: m.lifecycler.Zone, State: m.lifecycler.GetState().String()}
}

// Active reports whether it is written to.
func (m *Member) Active() bool { return m.lifecycler.GetState() == ring.ACTIVE }

// Retire lets nobody write to this instance any more, while it answers; Return takes that back. Both outlast a restart.
func (m *Member) Retire(ctx context.Context) error { return m.change(ctx, ring.READONLY) }

// Return takes back Retire.
func (m *Member) Return(ctx context.Context) error { return m.change(ctx, ring.ACTIVE) }

func (m *Member) change(ctx context.Context, to ring.InstanceState) error {
	if m.lifecycler.GetState() == to {
		return nil
	}
	if err := m.lifecycler.ChangeState(ctx, to); err != nil {
		return fmt.Errorf("ring %s: %w", m.config.Name, err)
	}
	return nil
}

// Stop stops to be heard of. The place in the ring is kept for the next start, as LEAVING: others are written to in its stead, and it counts as failed
// once its last heartbeat is old.
func (m *Member) Stop() error { return m.stop(false) }

// Leave gives up the place in the ring. All that this instance alone may hold must be elsewhere.
func (m *Member) Leave() error { return m.stop(true) }

func (m *Member) stop(unregister bool) error {
	m.lifecycler.SetUnregisterOnShutdown(unregister)
	return errors.Join(services.StopAndAwaitTerminated(context.Background(), m.lifecycler), m.Close())
}
