package node

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/ring"
)

// ringStore says where rings lie. Without one configured this process gossips with itself.
func (n *Node) ringStore(serves bool) ring.StoreConfig {
	r := n.cfg.Ring
	free := "127.0.0.1:0"
	if r.Store == config.RingNone {
		return ring.StoreConfig{Kind: ring.Memberlist, Listen: free}
	}
	listen := r.ListenAddress
	if listen == config.RingAuto {
		if listen = free; serves {
			listen = config.RingDefaultAddress
		}
	}
	return ring.StoreConfig{Kind: string(r.Store), Listen: listen, Advertise: r.AdvertiseAddress, Join: r.Join.Elements(), Endpoints: r.Endpoints.Elements()}
}

// openRings opens the store of rings, once.
func (n *Node) openRings(ctx context.Context) (err error) {
	if n.rings != nil {
		return nil
	}
	if n.rings, err = ring.OpenStore(ctx, n.ringStore(n.server != nil), n.log.Logger, n.ringMetrics()); err != nil {
		return err
	}
	n.closeLast(n.rings.Close)
	if address := n.rings.Address(); address != "" {
		n.log.Info("gossip is listening", "address", address)
	}
	return nil
}

// ringWithin is how long etcd or Consul may take to say who is in a ring. Jaeger waits a minute for a plugin.
const ringWithin = 20 * time.Second

// fromRing gets something from the store of rings, and says what to look at if it has none.
func fromRing[T any](ctx context.Context, n *Node, get func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, ringWithin)
	defer cancel()
	got, err := get(ctx)
	if r := n.cfg.Ring; err != nil && (r.Store == config.RingEtcd || r.Store == config.RingConsul) {
		err = fmt.Errorf("%w; does %s answer at %s, as ring.endpoints says?", err, r.Store, r.Endpoints)
	}
	return got, err
}

// ringConfig says how a ring works.
func (n *Node) ringConfig(name string, replication int, zones bool) ring.Config {
	r := n.cfg.Ring
	return ring.Config{
		Name: name, Replication: replication, Zones: zones,
		Heartbeat: r.Heartbeat, HeartbeatTimeout: r.HeartbeatTimeout, Settle: r.Settle, ForgetAfter: r.ForgetAfter,
	}
}

func (n *Node) ingesters() ring.Config {
	return n.ringConfig(ingestersRing, n.cfg.Ring.Replication, n.cfg.Ring.Zones)
}

// ringMetrics is where Cortex's ring registers its metrics.
func (n *Node) ringMetrics() prometheus.Registerer {
	return prometheus.WrapRegistererWithPrefix("tempo_ring_", n.admin.Metrics)
}

// join enters a ring.
func (n *Node) join(ctx context.Context, c ring.Config, tokensFile string) (*ring.Member, error) {
	if err := n.openRings(ctx); err != nil {
		return nil, err
	}
	m, err := fromRing(ctx, n, func(ctx context.Context) (*ring.Member, error) {
		return n.rings.Join(ctx, c, ring.Self{ID: n.cfg.Instance.Name(), Address: n.address(), Zone: n.cfg.Instance.Zone, TokensFile: tokensFile})
	})
	if err != nil {
		return nil, err
	}
	n.show(c.Name, m.Ring)
	return m, nil
}

// show shows a ring to people and to monitoring: /ring/NAME, and the first one as /ring too.
func (n *Node) show(name string, r *ring.Ring) {
	n.admin.Handle("ring of "+name, "/ring/"+name, r)
	if n.pages++; n.pages == 1 {
		n.admin.Handle("", "/ring", http.RedirectHandler("/ring/"+name, http.StatusFound))
	}
	n.admin.Metrics.MustRegister(instances{name, r})
	n.admin.Section("Ring of "+name, func() daemon.Table {
		t := daemon.Table{Head: []string{"Address", "Zone", "State", "Last heard of"}}
		set, err := r.ReadSet()
		if err != nil {
			return t
		}
		for _, i := range set.Ask {
			t.Rows = append(t.Rows, []any{i.Address, i.Zone, i.State, i.Heartbeat})
		}
		for _, i := range set.Silent {
			t.Rows = append(t.Rows, []any{i.Address, i.Zone, daemon.Bad{Cell: i.State + ", silent"}, i.Heartbeat})
		}
		return t
	})
}

// instances counts those of a ring by their state, as this process sees it.
type instances struct {
	name string
	ring *ring.Ring
}

var instancesMetric = prometheus.NewDesc("tempo_ring_instances", "Instances in the ring, as this process sees it; silent are those that have not been heard of.",
	[]string{"ring", "state"}, nil)

// Describe implements prometheus.Collector. What it shows of two rings differs by a label, so that it is described by none.
func (instances) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (i instances) Collect(to chan<- prometheus.Metric) {
	set, err := i.ring.ReadSet()
	if err != nil {
		return
	}
	count := map[string]int{"silent": len(set.Silent)}
	for _, m := range set.Ask {
		count[m.State]++
	}
	for state, n := range count {
		to <- prometheus.MustNewConstMetric(instancesMetric, prometheus.GaugeValue, float64(n), i.name, state)
	}
}

// checkZone returns an error for an instance without a zone where replicas are spread over zones.
func (n *Node) checkZone() error {
	if n.cfg.Ring.Zones && n.cfg.Instance.Zone == "" {
		return fmt.Errorf("instance.zone: is empty: ring.zones is true, say in which zone this instance is")
	}
	return nil
}
