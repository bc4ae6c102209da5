package remote

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/storagev2"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// Options of a Server.
type Options struct {
	// Address is where Jaeger comes to, host:port.
	Address string
	// ArchiveAddress is where it comes to for archived traces, by the same services; empty is nowhere.
	ArchiveAddress string
	TLS            TLSFiles
	// Tokens says that clients must show one, for which the store's TenantOf cares. Without that and without TLS, an address that other hosts reach is warned of.
	Tokens bool
	// MaxMessage is the size in bytes of the largest message that is taken; plugin.MaxReceive if zero.
	MaxMessage int
	// UnspecifiedKind and StreamingWriter are those of the services of v1.
	UnspecifiedKind string
	StreamingWriter bool
	// Patience is how long a client may take to send what it asks, and to take each message of the answer; a minute if zero.
	Patience time.Duration
	// Connections is how many there may be; 4096 if zero. Held is how many bytes all clients together may make the server hold: messages that have not arrived
	// whole and answers that were not taken; 256 MiB if zero, and never less than four of the largest messages.
	Connections int
	Held        int64
	Logger      *slog.Logger // slog.Default if nil
}

// Server is one address that Jaeger comes to, or two.
type Server struct {
	options   Options
	tls       *certificates // nil without TLS
	clients   *connections
	patience  *patience
	listeners []*listener
	serving   sync.WaitGroup
	failed    chan error // of the first address that can't be served any more
	stop      sync.Once
	stopped   chan struct{} // closed by Stop
}

// listener is an address, and what serves it once it does.
type listener struct {
	net.Listener
	what   string
	server *grpc.Server // nil before Serve
	health *health.Server
}

// Listen takes the addresses and reads the certificates. Who comes before Serve waits.
func Listen(o Options) (_ *Server, err error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = plugin.MaxReceive
	}
	s := &Server{
		options: o, failed: make(chan error, 1), stopped: make(chan struct{}), patience: &patience{within: cmp.Or(o.Patience, time.Minute)},
		clients: &connections{budget: max(cmp.Or(o.Held, 256<<20), 4*int64(o.MaxMessage)), most: cmp.Or(o.Connections, 4096), log: o.Logger, open: map[string]*conn{}},
	}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if o.TLS != (TLSFiles{}) {
		if s.tls, err = loadCertificates(o.TLS, o.Logger); err != nil {
			return nil, fmt.Errorf("remote storage server: %w", err)
		}
	}
	for _, l := range []listener{{what: "traces"}, {what: "archive"}} {
		address := o.Address
		if l.what == "archive" {
			if address = o.ArchiveAddress; address == "" {
				continue
			}
		}
		if l.Listener, err = net.Listen("tcp", address); err != nil {
			return nil, fmt.Errorf("remote storage server of %s: %w", l.what, err)
		}
		s.listeners = append(s.listeners, &l)
		if s.tls == nil && !o.Tokens && !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
			o.Logger.Warn("whoever reaches this address reads and writes all traces: it is not of this host alone, and clients need neither a certificate nor a token", "serves", l.what, "address", l.Addr().String())
		}
	}
	return s, nil
}

// Address returns where traces are served.
func (s *Server) Address() string { return s.listeners[0].Addr().String() }

// ArchiveAddress returns where the archive is served; empty is nowhere.
func (s *Server) ArchiveAddress() string {
	if len(s.listeners) < 2 {
		return ""
	}
	return s.listeners[1].Addr().String()
}

// Serve begins to serve a store, which must say whose data a call is about, until Stop. It is called once. extra are further options of the gRPC servers.
func (s *Server) Serve(store plugin.Options, extra ...grpc.ServerOption) error {
	for _, l := range s.listeners {
		if err := s.prepare(l, store, extra); err != nil {
			return fmt.Errorf("remote storage server of %s: %w", l.what, err)
		}
	}
	s.serving.Go(func() { s.clients.watch(s.stopped, s.patience.within) })
	for _, l := range s.listeners {
		s.options.Logger.Info("remote storage server is listening", "serves", l.what, "address", l.Addr().String(), "tls", s.tls != nil)
		s.serving.Go(func() {
			if err := l.server.Serve(counted{l.Listener, s.clients}); err != nil {
				select {
				case s.failed <- fmt.Errorf("remote storage server of %s: %w", l.what, err):
				default: // the other has failed before
				}
			}
		})
	}
	return nil
}

// prepare registers the services of a listener.
func (s *Server) prepare(l *listener, store plugin.Options, extra []grpc.ServerOption) error {
	store.Reader = countedReader{store.Reader}
	store.UnspecifiedKind, store.StreamingWriter = s.options.UnspecifiedKind, s.options.StreamingWriter
	if l.what == "archive" {
		of := store.TenantOf
		store.TenantOf = func(ctx context.Context) (string, error) {
			tenant, err := of(ctx)
			if err != nil {
				return "", err
			}
			return tracedb.ArchiveTenant(tenant), nil
		}
	}
	server := grpc.NewServer(slices.Concat(extra, s.grpcOptions())...)
	plugin.New(store).Register(server)
	storagev2.New(storagev2.Options{Writer: store.Writer, Reader: store.Reader, TenantOf: store.TenantOf, MarkPartial: store.MarkPartial}).Register(server)
	l.health = health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, l.health)
	if err := registerReflection(server); err != nil {
		return err
	}
	for service := range server.GetServiceInfo() {
		l.health.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	l.server = server
	return nil
}

// Stats are numbers of a Server.
type Stats struct {
	Connections int   // that are open
	HeldBytes   int64 // of messages that have not arrived whole, and of answers that were not taken
	EndedCalls  int64 // because their clients did not do their part in time
	EndedConns  int64 // because there were too many, or all together held too much
}

// Stats returns the numbers of now.
func (s *Server) Stats() Stats {
	s.clients.mu.Lock()
	open := len(s.clients.open)
	s.clients.mu.Unlock()
	return Stats{Connections: open, HeldBytes: s.clients.held.Load(), EndedCalls: s.patience.ended.Load(), EndedConns: s.clients.ended.Load()}
}

// Wait returns nil when ctx ends, or the error of an address that can't be served any more.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// What a connection may do.
const (
	// maxStreams is how many calls it may have at once. The pool of Jaeger's streaming writer alone has up to a thousand.
	maxStreams = 2000
	// handshakeWithin is how long it may take to become one.
	handshakeWithin = 10 * time.Second
	// A client that has been silent for pingEvery is asked whether it is there, and must answer within pingWithin. It may ask that itself, in intervals
	// of pingedAtMost and longer.
	pingEvery, pingWithin, pingedAtMost = time.Minute, 20 * time.Second, 10 * time.Second
)

func (s *Server) grpcOptions() []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(plugin.Codec{}), grpc.StatsHandler(s.clients),
		grpc.MaxRecvMsgSize(s.options.MaxMessage), grpc.MaxHeaderListSize(64 << 10), grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(handshakeWithin),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingEvery, Timeout: pingWithin}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingedAtMost, PermitWithoutStream: true}),
	}
	options = append(options, s.patience.options()...)
	if s.tls != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.tls.config())))
	}
	return options
}

// stopWithin is how long calls may take to end that are being served when the server is stopped.
const stopWithin = 5 * time.Second

// Stop takes no further calls, and returns when those that are being served have ended; after 5 seconds they are ended. The store must be there until then.
func (s *Server) Stop() {
	var stops sync.WaitGroup
	for _, l := range s.listeners {
		if l.server == nil {
			_ = l.Close()
			continue
		}
		l.health.Shutdown()
		stops.Go(func() {
			late := time.AfterFunc(stopWithin, l.server.Stop)
			defer late.Stop()
			l.server.GracefulStop()
			_ = l.Close() // if it was not served
		})
	}
	stops.Wait()
	s.stop.Do(func() { close(s.stopped) })
	s.serving.Wait()
}
