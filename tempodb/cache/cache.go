package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"time"

	"golang.org/x/sync/semaphore"
)

// ErrClosed is returned by reads through a closed Cache.
var ErrClosed = errors.New("cache is closed")

// What Options are where they do not say.
const (
	DefaultMemoryBytes      = 64 << 20
	DefaultFrameBytes       = 16 << 10 // BenchmarkFrameSize: fewer requests than with larger ones, and half the bookkeeping of smaller ones
	DefaultMaxReadBytes     = 4 << 20
	DefaultInFlightBytes    = 64 << 20
	DefaultDirectoryShare   = 0.25
	DefaultMemcachedTimeout = 100 * time.Millisecond
)

const (
	minFrameBytes = 512
	maxFrameBytes = 512 << 10 // memcached takes no more than a mebibyte
)

// Options of a Cache. The zero value is good: memory only.
type Options struct {
	// MemoryBytes bounds the frames in memory and their bookkeeping; zero is DefaultMemoryBytes.
	MemoryBytes int64
	// FrameBytes is the size of a frame, a power of two from 512 B to 512 KiB; zero is DefaultFrameBytes.
	FrameBytes int
	// MaxReadBytes bounds one request to a store, a multiple of FrameBytes; zero is DefaultMaxReadBytes.
	MaxReadBytes int
	// InFlightBytes bounds what is being read from stores and lower tiers at one time, beside what scans read, which goes to
	// the memory of the caller; zero is DefaultInFlightBytes. Reads beyond it wait. It is at least MaxReadBytes.
	InFlightBytes int64
	// DirectoryShare is the part of each tier that frames of KindIndex and KindFilter hold against any number of others;
	// zero is DefaultDirectoryShare, negative is none. The others take what of it is not used.
	DirectoryShare float64
	// Disk is the second tier.
	Disk DiskOptions
	// Memcached is the third tier.
	Memcached MemcachedOptions
	// Logger is told of lower tiers that fail and recover; nil is silence.
	Logger *slog.Logger

	shards int              // of the memory; zero is by its size
	now    func() time.Time // nil is the time
	open   openFile         // nil is files of the operating system
}

// DiskOptions are those of the disk tier.
type DiskOptions struct {
	// Dir is a directory of its own for the cache, which is created if it does not exist; empty is no disk tier.
	Dir string
	// Bytes bounds its files.
	Bytes int64
}

// MemcachedOptions are those of the memcached tier.
type MemcachedOptions struct {
	// Servers are host:port each; none is no memcached tier. All processes should list them in the same order.
	Servers []string
	// Timeout bounds each exchange with a server, dialling included; zero is DefaultMemcachedTimeout.
	Timeout time.Duration
	// TTL is how long servers keep a frame at most; zero is until they need the room.
	TTL time.Duration
}

// Cache keeps frames of immutable objects. It may be used concurrently.
type Cache struct {
	frameBytes int
	shift      uint
	maxFrames  int   // of one request
	bridge     int64 // frames that are read again to save a request
	log        *slog.Logger

	memory    *memory
	disk      *disk      // nil if there is none
	memcached *memcached // nil if there is none

	inFlight *semaphore.Weighted
	flights  flights
	buffers  buffers
	counts   storeCounts
	spills   []*spill // one for each lower tier
}

// New makes a cache. What it starts ends with Close.
func New(o Options) (*Cache, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	c := &Cache{
		frameBytes: o.FrameBytes,
		shift:      uint(bits.TrailingZeros(uint(o.FrameBytes))),
		maxFrames:  o.MaxReadBytes / o.FrameBytes,
		bridge:     int64(bridgeBytes / o.FrameBytes),
		log:        o.Logger,
		inFlight:   semaphore.NewWeighted(o.InFlightBytes),
		flights:    flights{flying: make(map[frameKey]*flight)},
	}
	var err error
	if c.memory, err = newMemory(o.MemoryBytes, o.FrameBytes, o.DirectoryShare, o.shards); err != nil {
		return nil, err
	}
	if o.Disk.Dir != "" {
		if c.disk, err = openDisk(o.Disk, o); err != nil {
			return nil, errors.Join(err, c.memory.close())
		}
		c.spills = append(c.spills, newSpill(&c.buffers, fromDisk, c.disk.write, &c.disk.dropped))
	}
	if len(o.Memcached.Servers) > 0 {
		c.memcached = newMemcached(o.Memcached, o)
		c.spills = append(c.spills, newSpill(&c.buffers, fromMemcached, c.memcached.set, &c.memcached.dropped))
	}
	return c, nil
}

// complete checks the options and fills in what they do not say.
func (o *Options) complete() error {
	if o.MemoryBytes == 0 {
		o.MemoryBytes = DefaultMemoryBytes
	}
	if o.FrameBytes == 0 {
		o.FrameBytes = DefaultFrameBytes
	}
	if o.MaxReadBytes == 0 {
		o.MaxReadBytes = max(DefaultMaxReadBytes, o.FrameBytes)
	}
	if o.InFlightBytes == 0 {
		o.InFlightBytes = max(DefaultInFlightBytes, int64(o.MaxReadBytes))
	}
	if o.DirectoryShare == 0 {
		o.DirectoryShare = DefaultDirectoryShare
	}
	o.DirectoryShare = max(0, o.DirectoryShare)
	if o.Memcached.Timeout == 0 {
		o.Memcached.Timeout = DefaultMemcachedTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.open == nil {
		o.open = openOSFile
	}
	switch {
	case o.FrameBytes < minFrameBytes || o.FrameBytes > maxFrameBytes || bits.OnesCount(uint(o.FrameBytes)) != 1:
		return fmt.Errorf("frames of %d bytes: their size must be a power of two from %d to %d", o.FrameBytes, minFrameBytes, maxFrameBytes)
	case o.MaxReadBytes < o.FrameBytes || o.MaxReadBytes%o.FrameBytes != 0:
		return fmt.Errorf("reads of up to %d bytes: that must be a multiple of the frame size, %d", o.MaxReadBytes, o.FrameBytes)
	case o.InFlightBytes < int64(o.MaxReadBytes):
		return fmt.Errorf("%d bytes in flight: that must be no less than one read, %d", o.InFlightBytes, o.MaxReadBytes)
	case o.DirectoryShare > 1:
		return fmt.Errorf("share of directories %g: it must be no more than 1", o.DirectoryShare)
	}
	return nil
}

// Close ends the reads that are in flight, writes what waits for the lower tiers, and gives the memory back.
// Reads fail with ErrClosed from then on.
func (c *Cache) Close() error {
	if !c.flights.close() {
		return nil
	}
	for _, s := range c.spills {
		s.close()
	}
	var err error
	if c.disk != nil {
		err = c.disk.close()
	}
	if c.memcached != nil {
		c.memcached.close()
	}
	return errors.Join(err, c.memory.close())
}

// Stats returns what the cache has done and what it holds. It takes some time: call it for a scrape, not for a read.
func (c *Cache) Stats() Stats {
	s := Stats{Memory: c.memory.stats(), Store: c.counts.stats()}
	if c.disk != nil {
		s.Disk = c.disk.stats()
	}
	if c.memcached != nil {
		s.Memcached = c.memcached.stats()
	}
	return s
}

// FrameBytes returns the size of a frame.
func (c *Cache) FrameBytes() int { return c.frameBytes }

// forgetFrame takes a frame out of memory and disk.
func (c *Cache) forgetFrame(key frameKey) {
	s := c.memory.shard(key)
	s.mu.Lock()
	s.policy.forgetFrame(key)
	s.mu.Unlock()
	if c.disk != nil {
		c.disk.mu.Lock()
		c.disk.policy.forgetFrame(key)
		c.disk.mu.Unlock()
	}
}

// frameLength returns how long a frame of an object of this size is.
func (c *Cache) frameLength(index, size int64) int {
	return int(min(int64(c.frameBytes), size-index<<c.shift))
}

// fill reads the frames of a flight into b from the lower tiers and the store, and says how many bytes from the
// beginning are good, and where each frame came from. Only if all are good is there no error.
func (c *Cache) fill(ctx context.Context, f *flight, b []byte, from []source) (int, error) {
	if c.disk != nil && !f.r.again {
		for i := range from {
			if c.disk.read(f.key(i), f.r.kind, f.frame(i, b), used) {
				from[i] = fromDisk
			}
		}
	}
	if c.memcached != nil && !f.r.again {
		c.memcached.get(ctx, f, b, from)
	}
	first, last := -1, -1
	for i, s := range from {
		if s == nowhere {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return len(b), nil
	}
	// Frames of other tiers between the first and the last that are missing are read again: it's one request.
	start, end := first*c.frameBytes, min((last+1)*c.frameBytes, len(b))
	n, err := c.request(ctx, f.r, b[start:end], f.off+int64(start), last > first, false)
	if err == nil {
		n = len(b) - start
	}
	for i := first; i <= last; i++ {
		from[i] = fromStore
	}
	return start + n, err
}

// request asks the store. There is an error unless all of p was read.
func (c *Cache) request(ctx context.Context, r *Reader, p []byte, off int64, coalesced, scan bool) (int, error) {
	k := &c.counts.kinds[r.kind]
	c.counts.inFlight.Add(int64(len(p)))
	n, err := r.bucket.ReadAt(ctx, r.object, p, off)
	c.counts.inFlight.Add(-int64(len(p)))
	n, err = complete(n, len(p), err)
	k.reads.Add(1)
	k.bytes.Add(int64(n))
	if coalesced {
		k.coalesced.Add(1)
	}
	if err != nil {
		k.errors.Add(1)
	}
	if scan {
		k.scanReads.Add(1)
		k.scanBytes.Add(int64(n))
	}
	return n, err
}
