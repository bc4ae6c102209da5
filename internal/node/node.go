package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/plugin/remote"
	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/writepath/ingester"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// Names of the rings.
const (
	ingestersRing  = "ingesters"
	compactorsRing = "compactors"
)

// Options of a Node. All are required but Serves and Remote.
type Options struct {
	Config config.Config
	// Program is the name of the program, for people.
	Program string
	Log     *daemon.Log
	Admin   *daemon.Admin
	// Serves says that others come to this process: it has a gRPC server, and a known address for gossip.
	Serves bool
	// Remote says that Jaeger comes to it, and Remote will be called.
	Remote bool
}

// Node is a process of the store.
type Node struct {
	cfg     config.Config
	program string
	log     *daemon.Log
	admin   *daemon.Admin

	store    objectStore
	bucket   backend.Bucket  // the object store, through what retries and counts
	cache    backend.Bucket  // the same through the cache; nil before cached
	rings    *ring.Store     // nil before openRings
	settings *TenantSettings // nil before tenantSettings
	pages    int             // of rings

	ingester *ingester.Ingester // nil if there is none
	watched  *ring.Ring         // that of the ingesters, nil before connect
	pool     *client.Pool       // of connections to them; nil before connect

	listener net.Listener // nil if nobody comes here
	server   *grpc.Server
	health   *health.Server
	remote   *remote.Server // nil if Jaeger does not come here

	ready   []func() error
	ended   chan error     // of a part that can't go on, or has nothing more to do
	leaving []func() error // what Close does before all else
	closers []func() error // the rest of it, the last first
}

// Open opens what all parts need: the object store, and the address of the gRPC server.
func Open(ctx context.Context, o Options) (*Node, error) {
	n := &Node{cfg: o.Config, program: o.Program, log: o.Log, admin: o.Admin, ended: make(chan error, 1)}
	if err := n.open(ctx, o); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context, o Options) (err error) {
	if o.Serves { // first: a port that is taken is told before anything is touched
		if n.listener, err = net.Listen("tcp", n.cfg.Server.GRPCListenAddress); err != nil {
			return fmt.Errorf("gRPC server: %w; set server.grpc_listen_address to a free address", err)
		}
		n.closeLast(func() error { _ = n.listener.Close(); return nil }) // the server has closed it already, if it ran
		n.server = grpc.NewServer(append(client.ServerOptions(), tracing.ServerOptions()...)...)
		n.health = health.NewServer()
		grpc_health_v1.RegisterHealthServer(n.server, n.health)
	}
	if o.Remote {
		if n.remote, err = ListenRemote(n.cfg, n.log); err != nil {
			return err
		}
		n.closeLast(func() error { n.remote.Stop(); return nil })
	}
	return n.openStore(ctx)
}

// closeLast has done when the node is closed, before all that was given earlier.
func (n *Node) closeLast(do func() error) { n.closers = append(n.closers, do) }

// address is what others reach the gRPC server under.
func (n *Node) address() string {
	if a := n.cfg.Instance.Address; a != "" {
		return a
	}
	return n.listener.Addr().String()
}

// lock locks the directory of this process.
func (n *Node) lock() error {
	lock, err := daemon.LockDir(n.cfg.Storage.Path, n.program, n.log)
	if err != nil {
		return err
	}
	n.closeLast(func() error { lock.Release(); return nil })
	return nil
}

// path returns a name in the directory of this process.
func (n *Node) path(name string) string { return filepath.Join(n.cfg.Storage.Path, name) }

// stopWithin is how long calls that are being served may take to end.
const stopWithin = 5 * time.Second

// Serve begins to serve gRPC: all parts that have something to serve must have been started.
func (n *Node) Serve() error {
	n.log.Info("gRPC server is listening", "address", n.listener.Addr().String(), "reached_at", n.address())
	done := make(chan error, 1)
	go func() { done <- n.server.Serve(n.listener) }()
	n.closeLast(func() error {
		n.health.Shutdown()
		kill := time.AfterFunc(stopWithin, n.server.Stop)
		defer kill.Stop()
		n.server.GracefulStop()
		return <-done
	})
	return nil
}

// Ready returns nil if all parts can do their work, else why not.
func (n *Node) Ready() error {
	var errs []error
	for _, ready := range n.ready {
		errs = append(errs, ready())
	}
	return errors.Join(errs...)
}

// Wait returns nil when ctx ends or nothing is left to do, or the error of a part that can't go on.
func (n *Node) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.ended:
		return err
	}
}

// end says that a part can't go on, or, if err is nil, that it has nothing more to do.
func (n *Node) end(err error) {
	select {
	case n.ended <- err:
	default: // another has ended before
	}
}

// Close ends all that was started, the last first. Before that others are told not to come any more.
func (n *Node) Close() error {
	var errs []error
	for _, leave := range n.leaving {
		errs = append(errs, leave())
	}
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	n.leaving, n.closers = nil, nil
	return errors.Join(errs...)
}
