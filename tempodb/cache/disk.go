package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A disk that failed to take a frame is left alone for a while.
const (
	diskPause    = time.Second
	diskMaxPause = time.Minute
)

// disk is the second tier: frames in the slots of one file, and what is in which slot in another. What was written before is
// found again when it is opened, which costs one pass over the second, some thousandth of the first.
//
// Any operation may fail, and any byte may be lost or damaged: it's a miss.
type disk struct {
	frameBytes int
	limit      int64
	dir        string
	log        *slog.Logger
	frames     file
	slots      file
	lock       io.Closer
	breaker    *breaker
	entry      []byte // of the one goroutine that writes

	mu     sync.RWMutex
	closed bool
	policy *policy

	counts  [Kinds]counts
	errors  atomic.Int64
	dropped atomic.Int64
}

// file is what is asked of a file.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(int64) error
	Close() error
}

type openFile func(name string) (file, error)

func openOSFile(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// openDisk opens the tier, with what it had before if the size of frames is the same. It fails where the directory can't be
// used, or another process uses it.
func openDisk(o DiskOptions, c Options) (*disk, error) {
	slots := (o.Bytes - slotEntry) / int64(c.FrameBytes+slotEntry)
	if slots < 1 {
		return nil, fmt.Errorf("disk cache %s of %d bytes holds no frame of %d bytes", o.Dir, o.Bytes, c.FrameBytes)
	}
	if slots >= noSlot {
		return nil, fmt.Errorf("disk cache %s of %d bytes has more frames of %d bytes than can be counted: use bigger frames", o.Dir, o.Bytes, c.FrameBytes)
	}
	d := &disk{
		frameBytes: c.FrameBytes,
		limit:      slots * int64(c.FrameBytes),
		dir:        o.Dir,
		log:        c.Logger,
		breaker:    newBreaker(1, diskPause, diskMaxPause, c.now),
		policy:     newPolicy(int(slots), c.DirectoryShare),
	}
	if err := d.open(c.open); err != nil {
		return nil, errors.Join(fmt.Errorf("disk cache %s: %w", o.Dir, err), d.closeFiles())
	}
	return d, nil
}

func (d *disk) open(open openFile) (err error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	if d.lock, err = lockDir(d.dir); err != nil {
		return err
	}
	if d.frames, err = open(filepath.Join(d.dir, framesFile)); err != nil {
		return err
	}
	if d.slots, err = open(filepath.Join(d.dir, slotsFile)); err != nil {
		return err
	}
	if err := d.load(); err != nil {
		// What was there is lost, no more.
		d.log.Warn("disk cache can't be read and starts empty", "directory", d.dir, "error", err)
		d.policy = newPolicy(d.policy.capacity, float64(d.policy.share)/float64(d.policy.capacity))
		if err := errors.Join(d.slots.Truncate(0), d.frames.Truncate(0)); err != nil {
			return err
		}
	}
	if err := d.frames.Truncate(min(d.limit, int64(len(d.policy.slots))*int64(d.frameBytes))); err != nil {
		return err
	}
	if err := d.slots.Truncate(int64(1+len(d.policy.slots)) * slotEntry); err != nil {
		return err
	}
	if _, err := d.slots.WriteAt(appendSlotsHeader(nil, d.frameBytes), 0); err != nil {
		d.fail("written", err) // a full disk; next time it starts empty
	}
	return nil
}

// load fills the policy with what the slots file says.
func (d *disk) load() error {
	var header [slotEntry]byte
	if n, err := d.slots.ReadAt(header[:], 0); n < len(header) {
		if err == io.EOF {
			if n == 0 {
				return nil // it's new
			}
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if !bytes.Equal(header[:], appendSlotsHeader(nil, d.frameBytes)) {
		return errors.New("it is damaged, of another version, or of another size of frames")
	}
	b := make([]byte, 1024*slotEntry)
	for off := int64(slotEntry); len(d.policy.slots) < d.policy.capacity; {
		n, err := d.slots.ReadAt(b, off)
		for e := b[:n]; len(e) >= slotEntry && len(d.policy.slots) < d.policy.capacity; e = e[slotEntry:] {
			i := d.policy.grow()
			if key, kind, length, sum, ok := parseSlotEntry(e[:slotEntry], d.frameBytes); ok {
				d.policy.publish(i, key, kind, length, sum)
			} else {
				d.policy.release(i)
			}
		}
		off += int64(n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read fills dst with a frame, if it is here whole and of this length.
func (d *disk) read(key frameKey, kind Kind, dst []byte, h how) bool {
	ok := d.find(key, dst, h)
	if h != quietly {
		if c := &d.counts[kind]; ok {
			c.hits.Add(1)
			c.hitBytes.Add(int64(len(dst)))
		} else {
			c.misses.Add(1)
		}
	}
	return ok
}

func (d *disk) find(key frameKey, dst []byte, h how) bool {
	d.mu.RLock()
	i, ok := d.policy.find(key)
	if ok = ok && int(d.policy.slots[i].length) == len(dst); !ok {
		d.mu.RUnlock()
		return false
	}
	sum := d.policy.slots[i].sum
	if h == used {
		d.policy.use(i)
	}
	d.mu.RUnlock()

	// Meanwhile the slot may be given to another frame: then the checksum tells.
	n, err := d.frames.ReadAt(dst, int64(i)*int64(d.frameBytes))
	if n == len(dst) && xxhash.Sum64(dst) == sum {
		return true
	}
	d.mu.Lock()
	at, still := d.policy.find(key)
	if still = still && at == i && !d.closed; still {
		d.policy.remove(i)
	}
	d.mu.Unlock()
	if still {
		if n := d.errors.Add(1); n&(n-1) == 0 { // a dying disk shall not fill the log
			d.log.Warn("a frame of the disk cache was damaged or could not be read", "directory", d.dir, "slot", i, "error", err, "so far", n)
		}
	}
	return false
}

// write writes the frames that a flight has not brought from here. It's for one goroutine.
func (d *disk) write(c *cargo) {
	for i, from := range c.from {
		if from == fromDisk {
			continue
		}
		if !d.breaker.allow() {
			d.dropped.Add(1)
			continue
		}
		err := d.put(c.key(i), c.r.kind, c.frame(i, c.buffer.b), c.r.again)
		if changed := d.breaker.done(err); err != nil {
			d.fail("written", err)
		} else if changed {
			d.log.Info("disk cache can be written again", "directory", d.dir)
		}
	}
}

// put writes a frame, if it is not here or is to be replaced.
func (d *disk) put(key frameKey, kind Kind, content []byte, replace bool) error {
	d.mu.Lock()
	if replace {
		d.policy.forgetFrame(key)
	}
	if _, ok := d.policy.find(key); ok {
		d.mu.Unlock()
		return nil
	}
	i, ok := d.policy.reserve(kind)
	d.mu.Unlock()
	if !ok {
		return nil
	}
	sum := xxhash.Sum64(content)
	d.entry = appendSlotEntry(d.entry[:0], key, kind, len(content), sum)
	_, err := d.frames.WriteAt(content, int64(i)*int64(d.frameBytes))
	if err == nil {
		_, err = d.slots.WriteAt(d.entry, int64(1+i)*slotEntry)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.policy.release(i)
		return err
	}
	d.policy.publish(i, key, kind, len(content), sum)
	return nil
}

func (d *disk) fail(what string, err error) {
	d.errors.Add(1)
	d.log.Warn("disk cache can't be "+what+"; what is not in memory is read from the object store", "directory", d.dir, "error", err)
}

func (d *disk) forget(object objectID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.policy.forget(object)
}

// close closes the files. Frames are missed from then on.
func (d *disk) close() error {
	d.mu.Lock()
	d.closed = true
	d.policy = newPolicy(0, 0)
	d.mu.Unlock()
	return d.closeFiles()
}

func (d *disk) closeFiles() error {
	var errs []error
	for _, c := range []io.Closer{d.frames, d.slots, d.lock} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

func (d *disk) stats() TierStats {
	t := TierStats{LimitBytes: d.limit, Errors: d.errors.Load(), Dropped: d.dropped.Load()}
	d.mu.RLock()
	t.add(d.policy, d.frameBytes)
	d.mu.RUnlock()
	for k := range d.counts {
		t.Kinds[k].add(&d.counts[k])
	}
	return t
}
