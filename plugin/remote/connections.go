package remote

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/stats"
)

// connections bounds what all clients together make the server hold: messages that have not arrived whole, answers that were not taken, and the traces that those
// are made of. gRPC bounds these for a stream, which is no bound where anybody can open streams. Where it is too much, calls that would read traces wait, and the
// connection goes that has been still for the longest.
//
// It is a stats.Handler, by which gRPC tells of messages; bytes are counted below it, at the connection. So what it knows is right to some dozens of
// bytes a message, which is enough.
type connections struct {
	budget int64 // bytes
	most   int   // connections
	log    *slog.Logger

	held   atomic.Int64 // by all
	looked atomic.Int64 // when relieve last did, in nanoseconds
	ended  atomic.Int64 // connections that had to go

	mu   sync.Mutex
	open map[string]*conn // by both its addresses
	room chan struct{}    // closed when there is room for a trace again; nil if nobody waits for that
}

const (
	// stillAfter is how long a connection must not have had a message to be one that goes.
	stillAfter = 500 * time.Millisecond
	// lookEvery is how often it is looked which ones those are.
	lookEvery = 20 * time.Millisecond
	// maxReads is how many calls of a connection may be sending traces; of all connections twice as many, or more if their traces are small. The rest waits.
	maxReads = 32
	// trifle is how much of messages a connection may hold in any case.
	trifle = 64 << 10
	// writeQuota is what gRPC lets a call have unsent before it takes another message of it.
	writeQuota = 64 << 10
	// overhead is what a message or the headers of a call take beside what they are, generously.
	overhead = 64
)

var _ stats.Handler = (*connections)(nil)

// conn is a connection.
type conn struct {
	net.Conn
	of  *connections
	key string

	reads chan struct{} // has one for each call that is sending traces

	mu       sync.Mutex
	closed   bool
	calls    int
	in       int64     // bytes that have arrived of messages that are not whole
	out      int64     // bytes of messages that have not left
	traces   int64     // bytes of what answers are being made of
	proven   bool      // it has once taken all that it had asked for
	accepted time.Time // when it was
	moved    time.Time // when a message last was whole, or could be sent; zero before the first
}

func (c *conn) heldLocked() int64 { return c.in + c.out + c.traces }

// count has fn change what is held.
func (c *conn) count(fn func(*conn)) {
	c.mu.Lock()
	before := c.heldLocked()
	fn(c)
	c.in, c.out = max(c.in, 0), max(c.out, 0)
	if c.calls == 0 && c.out == 0 && !c.moved.IsZero() {
		c.proven = true
	}
	if c.closed { // its traces go when its calls end
		c.in, c.out = 0, 0
	}
	change := c.heldLocked() - before
	c.mu.Unlock()
	now := c.of.held.Add(change)
	switch {
	case change > 0 && now > c.of.soft():
		c.of.relieve()
	case change < 0 && now <= c.of.budget:
		c.of.wake()
	}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.count(func(c *conn) { c.in += int64(n) })
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.count(func(c *conn) { c.out -= int64(n) })
	return n, err
}

func (c *conn) Close() error {
	c.of.mu.Lock()
	if c.of.open[c.key] == c {
		delete(c.of.open, c.key)
	}
	c.of.mu.Unlock()
	c.count(func(c *conn) { c.closed = true })
	return c.Conn.Close()
}

// load is what a connection weighs.
type load struct {
	moves    bool      // it has had messages
	since    time.Time // when the last of them was, or the connection began
	held     int64
	messages int64 // the part of held that is not traces
	calls    int
}

func (c *conn) load() load {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := load{moves: !c.moved.IsZero(), since: c.moved, held: c.heldLocked(), messages: c.in + c.out, calls: c.calls}
	if !l.moves {
		l.since = c.accepted
	}
	return l
}

// stiller reports whether a connection is to go rather than another one: one whose client keeps messages waiting rather than one that does not (a trace that the
// store looks for is no fault of the client), who never had a message rather than who had, and then who has been still for longer.
func (l load) stiller(than load) bool {
	if a, b := l.messages >= trifle, than.messages >= trifle; a != b {
		return a
	}
	if l.moves != than.moves {
		return than.moves
	}
	return l.since.Before(than.since)
}

// counted is a listener whose connections are counted.
type counted struct {
	net.Listener
	of *connections
}

func (l counted) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, of: l.of, key: key(accepted.LocalAddr(), accepted.RemoteAddr()), reads: make(chan struct{}, maxReads), accepted: time.Now()}
	l.of.mu.Lock()
	l.of.open[c.key] = c
	tooMany := len(l.of.open) > l.of.most
	l.of.mu.Unlock()
	if tooMany {
		stillest, _ := l.of.victims()
		l.of.end(stillest, "there are too many connections")
	}
	return c, nil
}

func key(local, remote net.Addr) string { return local.String() + " " + remote.String() }

// guess is what a trace counts for before it is known how large it is.
func (s *connections) guess() int64 { return s.budget / (2 * maxReads) }

// soft is the part of the budget that is for all. The rest is for those that have taken what they asked for: they need not wait until all that came to take nothing
// have gone.
func (s *connections) soft() int64 { return s.budget / 4 * 3 }

// reserve waits until there is room for a trace, and takes it.
func (s *connections) reserve(ctx context.Context, c *call) error {
	c.conn.mu.Lock()
	most := s.soft()
	if c.conn.proven {
		most = s.budget
	}
	c.conn.mu.Unlock()
	for {
		held := s.held.Load()
		if held+s.guess() <= most {
			if !s.held.CompareAndSwap(held, held+s.guess()) {
				continue
			}
			c.conn.mu.Lock()
			c.conn.traces, c.holds = c.conn.traces+s.guess(), s.guess()
			c.conn.mu.Unlock()
			return nil
		}
		s.mu.Lock()
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		if s.held.Load() < held { // by who has not seen that somebody waits
			continue
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wake tells those that wait for room to look again.
func (s *connections) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// watch relieves until stop is closed, also when nothing happens. It ends connections without calls whose last answers were not taken for longer than may be:
// or were given up, after gRPC had them, and count for ever.
func (s *connections) watch(stop <-chan struct{}, patience time.Duration) {
	ticker, slow := time.NewTicker(5*lookEvery), time.NewTicker(patience/4)
	defer ticker.Stop()
	defer slow.Stop()
	for {
		select {
		case <-ticker.C:
			s.relieve()
		case <-slow.C:
			s.mu.Lock()
			all := slices.Collect(maps.Values(s.open))
			s.mu.Unlock()
			for _, c := range all {
				if l := c.load(); l.calls == 0 && l.messages >= trifle && time.Since(l.since) >= patience {
					s.end(c, "it has not taken answers")
				}
			}
		case <-stop:
			return
		}
	}
}

// relieve ends connections until no more is held than all may: those that have been still for the longest, or one whose messages are too much by themselves. If
// all are busy and none is that large, there is just much to do.
func (s *connections) relieve() {
	last, now := s.looked.Load(), time.Now().UnixNano()
	if now-last < int64(lookEvery) || !s.looked.CompareAndSwap(last, now) {
		return // someone looks, or has just found nothing
	}
	for s.held.Load()+s.guess() > s.soft() {
		stillest, largest := s.victims()
		switch {
		case stillest == nil:
			return
		case stillest.load().messages >= trifle && time.Since(stillest.load().since) >= stillAfter:
			s.end(stillest, "the clients together make the server hold too much, and this one has been still for the longest")
		case largest.load().messages >= s.budget:
			s.end(largest, "this client alone makes the server hold too much")
		default:
			return
		}
	}
}

// end ends a connection, with all its calls.
func (s *connections) end(c *conn, why string) {
	l := c.load()
	if c.Close() == nil {
		s.ended.Add(1)
		s.log.Warn("a connection was ended: "+why, "client", c.RemoteAddr().String(), "still", time.Since(l.since).Round(time.Millisecond), "bytes", l.held)
	}
}

// victims returns the connection that is to go first, and the one whose messages are most.
func (s *connections) victims() (stillest, largest *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var still, large load
	for _, c := range s.open {
		l := c.load()
		if stillest == nil || l.stiller(still) {
			stillest, still = c, l
		}
		if largest == nil || l.messages > large.messages {
			largest, large = c, l
		}
	}
	return stillest, largest
}

type connKey struct{}

// TagConn implements stats.Handler.
func (s *connections) TagConn(ctx context.Context, info *stats.ConnTagInfo) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return context.WithValue(ctx, connKey{}, s.open[key(info.LocalAddr, info.RemoteAddr)])
}

// HandleConn implements stats.Handler.
func (*connections) HandleConn(context.Context, stats.ConnStats) {}

// call is one, of a connection.
type call struct {
	conn  *conn
	reads bool  // it has one of the connection's reads
	holds int64 // bytes of the trace that is being sent
	sent  int64 // bytes of messages, and
	last  int64 // those of the last one
}

type callKey struct{}

// TagRPC implements stats.Handler.
func (*connections) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	if c, _ := ctx.Value(connKey{}).(*conn); c != nil { // nil if it has been closed since
		return context.WithValue(ctx, callKey{}, &call{conn: c})
	}
	return ctx
}

// read waits until a call may read traces: a connection reads only so many at once, and only if there is room.
func read(ctx context.Context) error {
	c, _ := ctx.Value(callKey{}).(*call)
	if c == nil || c.reads {
		return nil
	}
	select {
	case c.conn.reads <- struct{}{}:
		c.reads = true
		return c.conn.of.reserve(ctx, c)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// holds says how large the trace is that a call is sending, in place of the one before.
func holds(ctx context.Context, bytes int) {
	if c, _ := ctx.Value(callKey{}).(*call); c != nil {
		c.conn.count(func(of *conn) { of.traces, c.holds = of.traces+int64(bytes)-c.holds, int64(bytes) })
	}
}

// HandleRPC implements stats.Handler.
func (*connections) HandleRPC(ctx context.Context, event stats.RPCStats) {
	c, _ := ctx.Value(callKey{}).(*call)
	if c == nil {
		return
	}
	switch e := event.(type) {
	case *stats.Begin:
		c.conn.count(func(of *conn) { of.calls++ })
	case *stats.InHeader:
		c.conn.count(func(of *conn) { of.in -= int64(e.WireLength) + overhead })
	case *stats.InPayload:
		c.conn.count(func(of *conn) { of.in, of.moved = of.in-int64(e.WireLength)-overhead, time.Now() })
	case *stats.OutPayload:
		c.last = int64(e.WireLength)
		c.sent += c.last
		c.conn.count(func(of *conn) { of.out, of.moved = of.out+c.last, time.Now() })
	case *stats.End:
		holds(ctx, 0)
		if c.reads {
			<-c.conn.reads
		}
		c.conn.count(func(of *conn) {
			if e.Error != nil && !waitOf(ctx).over.Load() { // most likely its client has gone, and what it had not taken is never written
				of.out -= min(c.sent, writeQuota+c.last)
			}
			if of.calls--; of.calls == 0 {
				of.in = 0 // what is left are pings, and what the overhead is more than thought
			}
		})
	}
}
