package cache

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// memcachedServer is as much of memcached as the tier asks for, written from the description of its protocol. How it
// fails can be chosen.
type memcachedServer struct {
	address string
	mode    atomic.Value // of the strings below
	gets    atomic.Int64 // lines
	conns   atomic.Int64 // accepted

	mu     sync.Mutex
	values map[string][]byte
	open   map[net.Conn]bool
}

const (
	wellMode     = "well"
	silentMode   = "never answers"
	closesMode   = "closes the connection"
	garbageMode  = "answers something else"
	cutMode      = "closes within a value"
	damagedMode  = "flips a bit of values"
	shortMode    = "has values of another length"
	strangerMode = "answers with other keys"
	fullMode     = "stores nothing"
)

func newMemcachedServer(t *testing.T) *memcachedServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &memcachedServer{address: l.Addr().String(), values: map[string][]byte{}, open: map[net.Conn]bool{}}
	m.mode.Store(wellMode)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.conns.Add(1)
			m.mu.Lock()
			m.open[c] = true
			m.mu.Unlock()
			all.Go(func() { m.serve(c); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); m.hangUp(); all.Wait() })
	return m
}

// hangUp closes all connections.
func (m *memcachedServer) hangUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.open {
		_ = c.Close()
	}
	clear(m.open)
}

func (m *memcachedServer) serve(c net.Conn) {
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	for w.Flush() == nil {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		mode := m.mode.Load()
		var value []byte
		if words[0] == "set" {
			n, _ := strconv.Atoi(words[4])
			value = make([]byte, n+2)
			if _, err := io.ReadFull(r, value); err != nil {
				return
			}
		}
		switch mode {
		case silentMode:
			_, _ = r.ReadByte() // until the other side goes away
			return
		case closesMode:
			return
		case garbageMode:
			_, _ = w.WriteString("VALUE what -1 -1\r\n")
			continue
		case fullMode:
			if words[0] == "set" {
				_, _ = w.WriteString("SERVER_ERROR out of memory storing object\r\n")
				continue
			}
		}
		if words[0] == "set" {
			m.mu.Lock()
			m.values[words[1]] = value[:len(value)-2]
			m.mu.Unlock()
			_, _ = w.WriteString("STORED\r\n")
			continue
		}
		m.gets.Add(1)
		for _, key := range words[1:] {
			m.mu.Lock()
			v, ok := m.values[key]
			m.mu.Unlock()
			if !ok {
				continue
			}
			v = bytes.Clone(v)
			switch mode {
			case damagedMode:
				v[len(v)/2] ^= 4
			case shortMode:
				v = v[:len(v)-1]
			case strangerMode:
				key += "0"
			}
			_, _ = fmt.Fprintf(w, "VALUE %s 0 %d\r\n", key, len(v))
			if mode == cutMode {
				_, _ = w.Write(v[:len(v)/2])
				_ = w.Flush()
				return
			}
			_, _ = w.Write(append(v, "\r\n"...))
		}
		_, _ = w.WriteString("END\r\n")
	}
}

func memcachedOptions(servers ...*memcachedServer) Options {
	o := Options{FrameBytes: frame, MemoryBytes: room(2, frame), Memcached: MemcachedOptions{Timeout: 10 * time.Second}}
	for _, s := range servers {
		o.Memcached.Servers = append(o.Memcached.Servers, s.address)
	}
	return o
}

func TestWhatOneProcessReadAnotherFindsInMemcached(t *testing.T) {
	s := newStore()
	want := s.object("data", 200*frame-5)
	one, two := newMemcachedServer(t), newMemcachedServer(t)
	o := memcachedOptions(one, two)
	o.Memcached.TTL = time.Hour
	a, b := newCache(t, o), newCache(t, o)
	mustRead(t, a.Over(s, "here").Reader(background, "data", int64(len(want)), KindData), 0, len(want))
	a.settle()
	s.took()
	if got := mustRead(t, b.Over(s, "here").Reader(background, "data", int64(len(want)), KindData), 0, len(want)); !bytes.Equal(got, want) {
		t.Error("wrong bytes")
	}
	if got := s.took(); len(got) != 0 {
		t.Errorf("the store was asked for %v", got)
	}
	if len(one.values) == 0 || len(two.values) == 0 {
		t.Errorf("%d frames on one server, %d on the other", len(one.values), len(two.values))
	}
	if n := one.gets.Load() + two.gets.Load(); n > 40 {
		t.Errorf("%d questions for 200 frames by each of two", n)
	}
	if m := b.Stats().Memcached; m.Kinds[KindData].Hits != 200 || m.Kinds[KindData].HitBytes != int64(len(want)) || m.Errors != 0 {
		t.Errorf("counted %+v", m)
	}
}

func TestMemcachedThatFailsIsAMissAndLeftAlone(t *testing.T) {
	for _, mode := range []string{closesMode, garbageMode, cutMode, damagedMode, shortMode, strangerMode, fullMode, silentMode} {
		t.Run(mode, func(t *testing.T) {
			s := newStore()
			s.object("data", 40*frame)
			server := newMemcachedServer(t)
			now := time.Unix(1_000_000, 0)
			o := memcachedOptions(server)
			o.now = func() time.Time { return now }
			if mode == silentMode {
				o.Memcached.Timeout = 20 * time.Millisecond
			}
			c := newCache(t, o)
			readAll(t, c, s, "data")
			server.mode.Store(mode)
			if n := readAll(t, c, s, "data"); n < 38 && mode != fullMode {
				t.Errorf("%d reads of the store", n)
			}
			m := c.Stats().Memcached
			switch mode {
			case damagedMode:
				if m.Errors < 38 {
					t.Errorf("damage is not counted: %+v", m)
				}
			case shortMode, strangerMode, fullMode: // no failures
			default:
				if m.Errors < memcachedFailures || m.Errors > 2*memcachedFailures {
					t.Errorf("it was not left alone: %+v", m)
				}
			}
			// It is well again, and found out in time.
			server.mode.Store(wellMode)
			now = now.Add(memcachedPause)
			if n := readAll(t, c, s, "data"); n > 1 {
				t.Errorf("%d reads of the store when it is well again", n)
			}
		})
	}
}

func TestAMemcachedServerThatIsGone(t *testing.T) {
	s := newStore()
	s.object("data", 20*frame)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{FrameBytes: frame, MemoryBytes: room(2, frame), Memcached: MemcachedOptions{Servers: []string{l.Addr().String()}}}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := newCache(t, o)
	if n := readAll(t, c, s, "data"); n != 20 {
		t.Errorf("%d reads of the store", n)
	}
}

func TestAMemcachedServerThatWasRestartedHasNotFailed(t *testing.T) {
	s := newStore()
	s.object("data", 20*frame)
	server := newMemcachedServer(t)
	c := newCache(t, memcachedOptions(server))
	readAll(t, c, s, "data")
	server.hangUp()
	if n := readAll(t, c, s, "data"); n != 0 {
		t.Errorf("%d reads of the store", n)
	}
	if m := c.Stats().Memcached; m.Errors != 0 {
		t.Errorf("counted %+v", m)
	}
	if n := server.conns.Load(); n > 4 {
		t.Errorf("%d connections for one reader", n)
	}
}

func TestLowerTiersTogether(t *testing.T) {
	s := newStore()
	s.object("data", 50*frame)
	o := memcachedOptions(newMemcachedServer(t))
	newCache(t, o) // another process, which has nothing to do with it
	a := newCache(t, o)
	readAll(t, a, s, "data")
	o.Disk = DiskOptions{Dir: t.TempDir(), Bytes: 100 * frame}
	b := newCache(t, o)
	if n := readAll(t, b, s, "data"); n != 0 {
		t.Errorf("%d reads of the store, memcached has all", n)
	}
	if n := readAll(t, b, s, "data"); n != 0 {
		t.Errorf("%d reads of the store, disk has all", n)
	}
	if m := b.Stats(); m.Memcached.Kinds[KindData].Hits != 50 || m.Disk.Kinds[KindData].Hits < 45 {
		t.Errorf("what memcached has did not come to disk: %+v", m)
	}
}

func TestTheBreakerAsksOnceInAWhile(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBreaker(2, time.Second, 3*time.Second, func() time.Time { return now })
	step := func(allowed bool, err error, changed bool) {
		t.Helper()
		if got := b.allow(); got != allowed {
			t.Fatalf("allowed %v", got)
		}
		if allowed {
			if got := b.done(err); got != changed {
				t.Fatalf("changed %v", got)
			}
		}
	}
	step(true, errStore, false)
	step(true, nil, false)
	step(true, errStore, false)
	step(true, errStore, true) // twice in a row
	step(false, nil, false)
	for _, pause := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		now = now.Add(pause - 1)
		step(false, nil, false)
		now = now.Add(1)
		step(true, errStore, false)
	}
	now = now.Add(time.Minute)
	if !b.allow() || b.allow() {
		t.Fatal("two try at one time")
	}
	b.pass()
	step(true, nil, true)
	step(true, errStore, false)
}
