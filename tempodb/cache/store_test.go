package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

var errStore = errors.New("the store fails")

// store is a bucket of objects in memory that counts reads, and does with them what it is told to.
type store struct {
	backend.Bucket
	mu      sync.Mutex
	objects map[string][]byte
	ranges  []string // read, as name[from:to)
	before  func(ctx context.Context) error
	deleted []string
	reads   atomic.Int64
}

func newStore() *store { return &store{objects: map[string][]byte{}} }

// object makes an object of n random bytes.
func (s *store) object(name string, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	b := make([]byte, n)
	_, _ = r.Read(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[name] = b
	return b
}

func (s *store) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	s.reads.Add(1)
	s.mu.Lock()
	b, ok := s.objects[name]
	s.ranges = append(s.ranges, fmt.Sprintf("%s[%d:%d)", name, off, off+int64(len(p))))
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			n := 0
			if off < int64(len(b)) { // what is read before it fails is good, what lies behind may be anything
				n = copy(p[:len(p)/3], b[off:])
			}
			for i := n; i < len(p); i++ {
				p[i] = 0xee
			}
			return n, err
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("%s: %w", name, backend.ErrNotExist)
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *store) Delete(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
	s.deleted = append(s.deleted, name)
	return nil
}

// do sets what is done before each read.
func (s *store) do(before func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

// took returns the reads since it was called last.
func (s *store) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ranges
	s.ranges = nil
	return r
}

// newCache makes a cache that is closed with the test.
func newCache(tb testing.TB, o Options) *Cache {
	tb.Helper()
	c, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return c
}

// room is the MemoryBytes for that many frames.
func room(frames, frameBytes int) int64 { return int64(frames * (frameBytes + slotOverhead)) }

// settle waits until the lower tiers have what was read.
func (c *Cache) settle() {
	c.flights.running.Wait()
	for _, s := range c.spills {
		s.settle()
	}
}

func mustRead(tb testing.TB, r *Reader, off int64, n int) []byte {
	tb.Helper()
	p := make([]byte, n)
	if got, err := r.ReadAt(p, off); got != n || err != nil {
		tb.Fatalf("read %s[%d:%d): %d bytes, %v", r.Name(), off, off+int64(n), got, err)
	}
	return p
}
