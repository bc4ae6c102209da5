package cache

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// Reader reads one immutable object through the cache. It may be used concurrently.
type Reader struct {
	ctx    context.Context
	cache  *Cache
	bucket backend.Bucket
	object string
	id     objectID
	size   int64
	kind   Kind
	scan   bool
	again  bool // past the lower tiers

	// end is where the last read ended. Who reads on from there in the same frame reads it for the first time still: it
	// counts as one use, or else whatever is read in small steps once would look as if it was wanted often.
	end atomic.Int64
}

var _ io.ReaderAt = (*Reader)(nil)

// Name returns the object's name; errors of the packages that read say it.
func (r *Reader) Name() string { return r.object }

// Within returns a reader of the same object for as long as ctx lasts. It costs less than a Reader from the Bucket.
func (r *Reader) Within(ctx context.Context) *Reader {
	return &Reader{ctx: ctx, cache: r.cache, bucket: r.bucket, object: r.object, id: r.id, size: r.size, kind: r.kind, scan: r.scan, again: r.again}
}

// Size returns the object's size, as it was given.
func (r *Reader) Size() int64 { return r.size }

// ReadAt implements io.ReaderAt. Errors are those of the reader's context, of the store as they are, io.EOF where the
// object ends, and ErrClosed.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("read %s at offset %d: there is nothing before the object", r.object, off)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if off >= r.size {
		return 0, io.EOF
	}
	var eof error
	if left := r.size - off; int64(len(p)) > left {
		p, eof = p[:left], io.EOF
	}
	n, err := r.read(p, off)
	if err == nil {
		err = eof
	}
	return n, err
}

// ReadAgain is ReadAt from the object store, for who has read something that can't be what was written. The frames it lies in are forgotten,
// and replaced in all tiers by what the store has now.
func (r *Reader) ReadAgain(p []byte, off int64) (int, error) {
	if off >= 0 && off < r.size && len(p) > 0 {
		last := min(off+int64(len(p)), r.size) - 1
		for index := off >> r.cache.shift; index <= last>>r.cache.shift; index++ {
			r.cache.forgetFrame(frameKey{object: r.id, index: index})
		}
	}
	again := r.Within(r.ctx)
	again.again = true
	return again.ReadAt(p, off)
}

// read fills p, which lies within the object.
func (r *Reader) read(p []byte, off int64) (int, error) {
	if r.scan {
		return r.readScan(p, off)
	}
	c := r.cache
	h := used
	if end := r.end.Load(); end > 0 && off >= end && off>>c.shift == (end-1)>>c.shift {
		h = counted
	}
	r.end.Store(off + int64(len(p)))
	for n := 0; n < len(p); {
		part, key, at := r.part(p[n:], off+int64(n))
		if c.memory.read(key, r.kind, at, part, h) {
			n += len(part)
			h = used
			continue
		}
		got, err := r.load(p[n:], off+int64(n))
		n += got
		if err != nil {
			return n, err
		}
		h = used
	}
	return len(p), nil
}

// part returns how much of p one frame has, which frame, and where in it.
func (r *Reader) part(p []byte, off int64) (part []byte, key frameKey, at int) {
	at = int(off & int64(r.cache.frameBytes-1))
	return p[:min(len(p), r.cache.frameBytes-at)], frameKey{object: r.id, index: off >> r.cache.shift}, at
}

// load fills the beginning of p, whose first frame is not in memory: as much as one request may bring.
func (r *Reader) load(p []byte, off int64) (int, error) {
	c := r.cache
	first := off >> c.shift
	p = p[:min(int64(len(p)), (first+int64(c.maxFrames))<<c.shift-off)]
	last := (off + int64(len(p)) - 1) >> c.shift
	var few [16]int64
	missing := append(few[:0], first)
	for i := first + 1; i <= last; i++ {
		start := i<<c.shift - off
		part, key, _ := r.part(p[start:], i<<c.shift)
		if !c.memory.read(key, r.kind, 0, part, used) {
			missing = append(missing, i)
		}
	}
	return c.await(r, p, off, missing)
}

// readScan fills p from the cache where it can, and the rest from the store with one request, straight to p.
func (r *Reader) readScan(p []byte, off int64) (int, error) {
	c := r.cache
	if c.flights.isClosed() {
		return 0, ErrClosed
	}
	first, last := -1, 0 // what is missing of p
	frames := 0
	for n := 0; n < len(p); {
		part, key, at := r.part(p[n:], off+int64(n))
		if !c.memory.read(key, r.kind, at, part, quietly) && !r.readDisk(key, at, part) {
			if first < 0 {
				first = n
			}
			last = n + len(part)
			frames++
		}
		n += len(part)
	}
	if first < 0 {
		return len(p), nil
	}
	n, err := c.request(r.ctx, r, p[first:last], off+int64(first), frames > 1, true)
	if err != nil {
		return first + n, err
	}
	return len(p), nil
}

// readDisk fills part from a frame that is on disk.
func (r *Reader) readDisk(key frameKey, at int, part []byte) bool {
	c := r.cache
	if c.disk == nil || r.again {
		return false
	}
	length := c.frameLength(key.index, r.size)
	b := c.buffers.get(length)
	defer c.buffers.put(b)
	if !c.disk.read(key, r.kind, b.b, quietly) {
		return false
	}
	copy(part, b.b[at:])
	return true
}
