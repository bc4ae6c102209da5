package ring

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/cortexproject/cortex/pkg/ring"
	"github.com/cortexproject/cortex/pkg/ring/kv"
	"github.com/cortexproject/cortex/pkg/ring/kv/codec"
	"github.com/cortexproject/cortex/pkg/ring/kv/memberlist"
	"github.com/cortexproject/cortex/pkg/util/services"
	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
)

// Store is a key-value store that rings lie in, or the part of this process in one.
type Store struct {
	config  kv.Config
	gossip  *memberlist.KV // nil if the store is none of gossip
	address string         // where it listens
	log     log.Logger
	metrics prometheus.Registerer
}

// prefix is put before the names of rings, since etcd and Consul may hold more than them.
const prefix = "tempo-rings/"

// OpenStore opens a store. With Memberlist it has tried to join the others when it returns, and goes on trying. metrics may be nil.
func OpenStore(ctx context.Context, c StoreConfig, logger *slog.Logger, metrics prometheus.Registerer) (*Store, error) {
	s := &Store{log: cortexLogger(logger), metrics: metrics}
	var defaults flag.FlagSet
	s.config.RegisterFlagsWithPrefix("ring.", prefix, &defaults)
	s.config.Store = c.Kind
	switch c.Kind {
	case Etcd:
		s.config.Etcd.Endpoints = c.Endpoints
	case Consul:
		if len(c.Endpoints) != 1 {
			return nil, fmt.Errorf("ring store: consul has one endpoint, the agent's; there are %d", len(c.Endpoints))
		}
		s.config.Consul.Host = c.Endpoints[0]
	case Memberlist:
		if err := s.openGossip(ctx, c); err != nil {
			return nil, fmt.Errorf("ring store: %w", err)
		}
		s.config.MemberlistKV = func() (*memberlist.KV, error) { return s.gossip, nil }
	default:
		return nil, fmt.Errorf("ring store: %q is not one of %s, %s, %s", c.Kind, Memberlist, Etcd, Consul)
	}
	return s, nil
}

func (s *Store) openGossip(ctx context.Context, c StoreConfig) error {
	var gossip memberlist.KVConfig
	var defaults flag.FlagSet
	gossip.RegisterFlags(&defaults)
	host, port, err := splitAddress(c.Listen)
	if err != nil {
		return fmt.Errorf("address for gossip: %w", err)
	}
	gossip.TCPTransport.BindAddrs = []string{host}
	gossip.TCPTransport.BindPort = port
	if c.Advertise != "" {
		if gossip.AdvertiseAddr, gossip.AdvertisePort, err = splitAddress(c.Advertise); err != nil {
			return fmt.Errorf("address to advertise for gossip: %w", err)
		}
	}
	gossip.JoinMembers = c.Join
	// Who is not there yet is looked for again: also after a partition, or if all of them have been replaced.
	gossip.AbortIfJoinFails = false
	gossip.MaxJoinRetries = 0
	gossip.RejoinInterval = 5 * time.Second
	gossip.PushPullInterval = 10 * time.Second
	gossip.LeaveTimeout = time.Second
	gossip.Codecs = []codec.Codec{ring.GetCodec()}
	gossip.MetricsRegisterer = s.metrics
	s.gossip = memberlist.NewKV(gossip, s.log, &resolver{}, s.metrics)
	if err := start(ctx, s.gossip); err != nil {
		return err
	}
	s.address = net.JoinHostPort(host, strconv.Itoa(s.gossip.GetListeningPort()))
	return nil
}

// start starts a service, which ctx can't end later: who stops may still have something to say.
func start(ctx context.Context, s services.Service) error {
	if err := s.StartAsync(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	err := s.AwaitRunning(ctx)
	if err == nil {
		return nil
	}
	s.StopAsync()
	_ = s.AwaitTerminated(context.Background()) // how it failed follows
	if failure := s.FailureCase(); failure != nil {
		err = failure
	}
	return err
}

// Address returns where this process gossips; empty if it does not.
func (s *Store) Address() string { return s.address }

// Close leaves the store. What watches or joined through it must have been closed before.
func (s *Store) Close() error {
	if s.gossip == nil {
		return nil
	}
	return services.StopAndAwaitTerminated(context.Background(), s.gossip)
}

func splitAddress(address string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(service); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q: the port should be a number from 0 to 65535", address)
	}
	return host, port, nil
}

// resolver finds the members to join: a name stands for all its addresses, as that of a headless service does.
type resolver struct {
	mu        sync.Mutex
	addresses []string
}

// Resolve looks the addresses up. It is an error only if nothing could be.
func (r *resolver) Resolve(ctx context.Context, addresses []string, _ bool) error {
	var found []string
	var errs []error
	for _, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ips, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, ip := range ips {
			found = append(found, net.JoinHostPort(ip, port))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(found) == 0 {
		return errors.Join(errs...)
	}
	r.addresses = found
	return nil
}

// Addresses returns what was found last.
func (r *resolver) Addresses() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addresses
}
