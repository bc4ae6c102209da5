package cache

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A server that fails this often in a row is left alone for a while.
const (
	memcachedFailures = 3
	memcachedPause    = time.Second
	memcachedMaxPause = time.Minute
)

const (
	memcachedIdle   = 8  // connections kept to each server
	memcachedKeys   = 32 // asked for in one line
	memcachedRun    = 64 // frames in a row that one server has
	maxMemcachedTTL = 30 * 24 * time.Hour
	valueHeader     = 8
)

// memcached is the third tier, on servers that others use as well. Each exchange is short or fails, and a failure is a miss.
//
// The client is our own because of what it must do that the usual one does not: read a value to where it belongs, take no memory
// on a server's word, and obey a context; it's less code than the other, too.
type memcached struct {
	frameBytes int
	timeout    time.Duration
	seconds    int64 // frames are kept
	log        *slog.Logger
	servers    []*server

	counts  [Kinds]counts
	errors  atomic.Int64
	dropped atomic.Int64
}

func newMemcached(o MemcachedOptions, c Options) *memcached {
	m := &memcached{
		frameBytes: c.FrameBytes,
		timeout:    o.Timeout,
		// A longer time would be taken as a date.
		seconds: int64((min(o.TTL, maxMemcachedTTL) + time.Second - 1) / time.Second),
		log:     c.Logger,
	}
	for _, address := range o.Servers {
		m.servers = append(m.servers, &server{
			address: address,
			timeout: o.Timeout,
			idle:    make(chan *conn, memcachedIdle),
			getting: newBreaker(memcachedFailures, memcachedPause, memcachedMaxPause, c.now),
			setting: newBreaker(memcachedFailures, memcachedPause, memcachedMaxPause, c.now),
		})
	}
	return m
}

// get reads those frames of a flight to b that come from nowhere yet.
func (m *memcached) get(ctx context.Context, f *flight, b []byte, from []source) {
	for start := 0; start < f.count; {
		end := m.sameServer(f, start)
		var want []int
		for i := start; i < end; i++ {
			if from[i] == nowhere {
				want = append(want, i)
			}
		}
		start = end
		if len(want) == 0 {
			continue
		}
		s := m.server(f.key(want[0]))
		m.exchange(ctx, s, s.getting, func(c *conn) error {
			for i := 0; i < len(want); i += memcachedKeys {
				if err := m.getSome(c, f, b, want[i:min(len(want), i+memcachedKeys)], from); err != nil {
					return err
				}
			}
			return nil
		})
		for _, i := range want {
			k := &m.counts[f.r.kind]
			if from[i] == fromMemcached {
				k.hits.Add(1)
				k.hitBytes.Add(int64(len(f.frame(i, b))))
			} else {
				k.misses.Add(1)
			}
		}
	}
}

func (m *memcached) getSome(c *conn, f *flight, b []byte, want []int, from []source) error {
	c.line = append(c.line[:0], "get"...)
	for _, i := range want {
		c.line = append(c.line, ' ')
		c.line = m.appendKey(c.line, f.key(i))
	}
	c.line = append(c.line, "\r\n"...)
	if _, err := c.w.Write(c.line); err != nil {
		return err
	}
	if err := c.w.Flush(); err != nil {
		return err
	}
	// The answer has the keys in the order that they were asked for, without those that are not there.
	next := 0
	return readValues(c.r, func(key []byte) []byte {
		for next < len(want) {
			i := want[next]
			next++
			c.line = m.appendKey(c.line[:0], f.key(i))
			if string(c.line) == string(key) {
				c.value = grow(c.value, valueHeader+len(f.frame(i, b)))
				return c.value
			}
		}
		return nil
	}, func(value []byte) {
		i := want[next-1]
		key := f.key(i)
		if binary.LittleEndian.Uint64(value) != valueSum(key, value[valueHeader:]) {
			m.failed("a frame in memcached is damaged", m.server(key), errors.New("its checksum is wrong"))
			return
		}
		copy(f.frame(i, b), value[valueHeader:])
		from[i] = fromMemcached
	})
}

// set writes the frames that a flight has brought from the store.
func (m *memcached) set(g *cargo) {
	n := len(g.from)
	for start := 0; start < n; {
		end := min(n, m.sameServer(g.flight, start))
		m.setSome(g, start, end)
		start = end
	}
}

func (m *memcached) setSome(g *cargo, start, end int) {
	frames := int64(0) // to be stored
	for _, from := range g.from[start:end] {
		if from == fromStore {
			frames++
		}
	}
	if frames == 0 {
		return
	}
	s := m.server(g.key(start))
	m.exchange(context.Background(), s, s.setting, func(c *conn) error {
		for i := start; i < end; i++ {
			if g.from[i] != fromStore {
				continue
			}
			content := g.frame(i, g.buffer.b)
			c.line = append(c.line[:0], "set "...)
			c.line = m.appendKey(c.line, g.key(i))
			c.line = append(c.line, " 0 "...)
			c.line = strconv.AppendInt(c.line, m.seconds, 10)
			c.line = append(c.line, ' ')
			c.line = strconv.AppendInt(c.line, int64(valueHeader+len(content)), 10)
			c.line = append(c.line, "\r\n"...)
			c.line = binary.LittleEndian.AppendUint64(c.line, valueSum(g.key(i), content))
			if _, err := c.w.Write(c.line); err != nil {
				return err
			}
			if _, err := c.w.Write(content); err != nil {
				return err
			}
			if _, err := c.w.WriteString("\r\n"); err != nil {
				return err
			}
			if err := c.w.Flush(); err != nil {
				return err
			}
			if stored, err := readStored(c.r); err != nil {
				return err
			} else if stored {
				frames--
			}
		}
		return nil
	})
	m.dropped.Add(frames)
}

// exchange calls talk with a connection to a server, if it is not left alone with this.
func (m *memcached) exchange(ctx context.Context, s *server, b *breaker, talk func(*conn) error) {
	if !b.allow() {
		return
	}
	err := s.with(ctx, talk)
	if ctx.Err() != nil {
		b.pass() // who asked is gone: that says nothing of the server
		return
	}
	if changed := b.done(err); err != nil {
		m.failed("memcached failed", s, err)
		if changed {
			m.log.Warn("memcached is left alone for a while", "server", s.address)
		}
	} else if changed {
		m.log.Info("memcached answers again", "server", s.address)
	}
}

func (m *memcached) failed(what string, s *server, err error) {
	if n := m.errors.Add(1); n&(n-1) == 0 { // the log shall not fill
		m.log.Warn(what, "server", s.address, "error", err, "so far", n)
	}
}

// server returns the server that has a frame.
func (m *memcached) server(key frameKey) *server {
	key.index /= memcachedRun
	return m.servers[key.hash()%uint64(len(m.servers))]
}

// sameServer returns the end of the frames of a flight, from start on, that are known to be on the same server.
func (m *memcached) sameServer(f *flight, start int) int {
	at := f.first + int64(start)
	return min(f.count, start+int(memcachedRun-at%memcachedRun))
}

// appendKey appends the key of a frame. It has all that the value depends on.
func (m *memcached) appendKey(dst []byte, key frameKey) []byte {
	dst = append(dst, "tempo1-"...)
	dst = strconv.AppendInt(dst, int64(m.frameBytes), 10)
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, key.object[:])
	dst = append(dst, '-')
	return strconv.AppendInt(dst, key.index, 10)
}

// valueSum is what stands before a frame in its value. It binds the frame to its key.
func valueSum(key frameKey, content []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(key.hash())
	_, _ = d.Write(key.object[:])
	_, _ = d.Write(content)
	return d.Sum64()
}

func (m *memcached) close() {
	for _, s := range m.servers {
		s.close()
	}
}

func (m *memcached) stats() TierStats {
	t := TierStats{Errors: m.errors.Load(), Dropped: m.dropped.Load()}
	for k := range m.counts {
		t.Kinds[k].add(&m.counts[k])
	}
	return t
}

// grow returns a slice of n bytes, which is b if it is large enough.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
