package client

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"

	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

// MaxMessage bounds a message of either side.
const MaxMessage = 128 << 20

// Kinds of compression.
const (
	None = "none"
	Gzip = gzip.Name
	Zstd = "zstd"
)

// Options of a Pool. None is required.
type Options struct {
	// Compression is None, Gzip or Zstd, for what goes to ingesters and for what they answer; empty is None.
	Compression string
	// Unused is how long a connection is kept that nothing goes over; 10 min if zero.
	Unused time.Duration
	// Dial is added to what connections are made with.
	Dial []grpc.DialOption
}

// The client looks whether a server is alive when it has heard nothing for alivePing, and the server bears to be asked twice as often.
const (
	alivePing    = 10 * time.Second
	aliveTimeout = 5 * time.Second
)

// ServerOptions are what a gRPC server needs for these clients.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: alivePing / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: alivePing, Timeout: aliveTimeout}),
	}
}

// ErrClosed is returned by a Pool after Close.
var ErrClosed = errors.New("the pool of connections to ingesters is closed")

// Pool has the connections to ingesters.
type Pool struct {
	options []grpc.DialOption
	unused  time.Duration
	err     error // of the options

	mu      sync.Mutex
	clients map[string]*Client
	swept   time.Time
	closed  bool
}

// NewPool returns a pool without connections. If o names a compression that there is not, Client returns the error.
func NewPool(o Options) *Pool {
	p := &Pool{unused: o.Unused, clients: make(map[string]*Client), swept: time.Now()}
	if p.unused <= 0 {
		p.unused = 10 * time.Minute
	}
	calls := []grpc.CallOption{grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)}
	switch o.Compression {
	case "", None:
	case Gzip, Zstd:
		calls = append(calls, grpc.UseCompressor(o.Compression))
	default:
		p.err = fmt.Errorf("compression %q is not one of %s, %s, %s", o.Compression, None, Gzip, Zstd)
	}
	p.options = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(calls...),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: alivePing, Timeout: aliveTimeout, PermitWithoutStream: true}),
		// An ingester that restarts is missed for as short as can be; and calls wait for no host that does not answer.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// A name is looked up for each connection: it may stand for another address than before. Addresses are those of the ring, and no proxy stands between.
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
	}, o.Dial...)
	return p
}

// Client returns the client of the ingester at address, a host and a port. It does not wait for a connection.
func (p *Pool) Client(address string) (*Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, ErrClosed
	case p.err != nil:
		return nil, p.err
	}
	now := time.Now()
	p.sweep(now)
	c := p.clients[address]
	if c == nil {
		conn, err := grpc.NewClient("passthrough:///"+address, p.options...)
		if err != nil {
			return nil, fmt.Errorf("ingester at %s: %w", address, err)
		}
		c = &Client{address: address, conn: conn, rpc: ingesterpb.NewIngesterClient(conn)}
		p.clients[address] = c
	}
	c.used.Store(now.UnixNano())
	return c, nil
}

// sweep closes what was not used for long, now and then.
func (p *Pool) sweep(now time.Time) {
	if now.Sub(p.swept) < p.unused/4 {
		return
	}
	p.swept = now
	for address, c := range p.clients {
		if c.calls.Load() == 0 && now.Sub(time.Unix(0, c.used.Load())) > p.unused {
			delete(p.clients, address)
			_ = c.conn.Close() // its only error is that it is closed
		}
	}
}

// Close closes all connections. Calls that go on fail.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.closed = true
	var errs []error
	for _, c := range p.clients {
		errs = append(errs, c.conn.Close())
	}
	p.clients = nil
	return errors.Join(errs...)
}

// Client calls one ingester.
type Client struct {
	address string
	conn    *grpc.ClientConn
	rpc     ingesterpb.IngesterClient
	calls   atomic.Int64 // that go on
	used    atomic.Int64 // when it was asked for or a call ended, in Unix nanoseconds
}

// Address returns where the ingester is.
func (c *Client) Address() string { return c.address }

func (c *Client) begin() { c.calls.Add(1) }

func (c *Client) end() {
	c.used.Store(time.Now().UnixNano())
	c.calls.Add(-1)
}
