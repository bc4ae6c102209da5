package wal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// maxBatch is where a commit stops taking in more records, in bytes.
	maxBatch = 4 << 20
	// maxBuffer is how much is gathered for one write.
	maxBuffer = 1 << 20
	// directWrite is the size from which a part is written from the caller's memory, uncopied.
	directWrite = 256 << 10
)

// request is an Append that waits.
type request struct {
	parts  [][]byte
	length int
	crc    uint32
	state  requestState // guarded by Log.queueMu while the request is queued

	pos Position
	err error

	wake chan struct{} // one token: the state is leader or done
}

type requestState uint8

const (
	queued requestState = iota
	leader
	done
)

var requests = sync.Pool{New: func() any { return &request{wake: make(chan struct{}, 1)} }}

// Append adds a record, the concatenation of parts, and returns where its payload is. It returns when the
// record is durable by the log's policy; callers at the same time share a write and a sync. The parts are
// only read, and not kept.
//
// The context is heeded until the record's commit begins. On an error nothing was acknowledged, and the
// record cannot be read by position; after a crash it may be replayed or not.
func (l *Log) Append(ctx context.Context, parts ...[]byte) (Position, error) {
	r := requests.Get().(*request)
	r.parts = append(r.parts[:0], parts...)
	r.length, r.crc, r.state, r.err = 0, 0, queued, nil
	for _, p := range parts {
		r.length += len(p)
	}
	if r.length > MaxRecord {
		err := fmt.Errorf("log %s: record of %d bytes, the limit is %d: %w", l.dir, r.length, int64(MaxRecord), ErrTooLarge)
		r.recycle()
		return Position{}, err
	}
	for _, p := range parts { // here, so that callers do it in parallel
		r.crc = crc32.Update(r.crc, castagnoli, p)
	}

	err := l.enqueue(ctx, r)
	pos := r.pos
	r.recycle()
	if err != nil {
		return Position{}, err
	}
	return pos, nil
}

// recycle gives the request back, without references to the caller's memory.
func (r *request) recycle() {
	clear(r.parts)
	requests.Put(r)
}

// enqueue sees the request through, as the leader of its commit or as one of the led.
func (l *Log) enqueue(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.queueMu.Lock()
	if l.closed {
		l.queueMu.Unlock()
		return fmt.Errorf("log %s: %w", l.dir, ErrClosed)
	}
	l.callers.Add(1)
	defer l.callers.Done()
	l.queue = append(l.queue, r)
	if !l.leading {
		l.leading = true
		l.queueMu.Unlock()
		l.lead(r)
		return r.err
	}
	l.queueMu.Unlock()

	select {
	case <-r.wake:
	case <-ctx.Done():
		l.queueMu.Lock()
		if i := slices.Index(l.queue, r); i >= 0 && r.state == queued {
			l.queue = slices.Delete(l.queue, i, i+1)
			l.queueMu.Unlock()
			return ctx.Err()
		}
		l.queueMu.Unlock()
		<-r.wake // others depend on it, or it is being written: see it through
	}
	if r.state == leader {
		l.lead(r)
	}
	return r.err
}

// lead commits the requests at the head of the queue, r the first of them, wakes their callers, and hands
// the lead to the next in the queue.
func (l *Log) lead(r *request) {
	l.commitMu.Lock()
	if l.crowd {
		// The callers of the last commit are just coming back with their next records. A caller that is
		// alone never waits here.
		runtime.Gosched()
	}
	l.queueMu.Lock()
	n, size := 0, 0
	for n < len(l.queue) && (n == 0 || size+l.queue[n].length <= maxBatch) {
		size += l.queue[n].length
		n++
	}
	batch := append(l.batch[:0], l.queue[:n]...)
	for _, b := range batch {
		b.state = done
	}
	l.queue = slices.Delete(l.queue, 0, n)
	l.queueMu.Unlock()

	l.commit(batch)

	for _, b := range batch {
		if b != r {
			b.wake <- struct{}{}
		}
	}
	clear(batch)
	l.batch = batch
	l.queueMu.Lock()
	l.crowd = n > 1
	var next *request
	if len(l.queue) > 0 {
		next = l.queue[0]
		next.state = leader
	} else {
		l.leading = false
	}
	l.queueMu.Unlock()
	l.commitMu.Unlock()
	if next != nil {
		next.wake <- struct{}{}
	}
}

// commit writes a batch and, by policy, syncs it. It sets position or error of each request. The commit
// lock is held.
func (l *Log) commit(batch []*request) {
	err := l.tryCommit(batch)
	if err != nil {
		l.stats.failed.Add(int64(len(batch)))
		if !l.failing {
			l.log.Error("log does not take records", "error", err)
		}
		l.failing = true
		for _, r := range batch {
			r.err = err
		}
		return
	}
	if l.failing {
		l.failing = false
		l.log.Info("log takes records again", "file", l.active.path)
	}
	var bytes int64
	for _, r := range batch {
		bytes += int64(r.length)
	}
	l.stats.appends.Add(int64(len(batch)))
	l.stats.bytes.Add(bytes)
	l.stats.commits.Add(1)
}

func (l *Log) tryCommit(batch []*request) error {
	fresh := l.active == nil
	if fresh {
		if err := l.begin(); err != nil {
			l.stats.writeErrors.Add(1)
			return err
		}
	}
	a := l.active
	end, err := l.write(a, batch)
	if err != nil {
		l.stats.writeErrors.Add(1)
		l.abandon(a, err)
		return fmt.Errorf("log segment %s: append: %w", a.path, err)
	}
	if l.opts.Sync == SyncAlways {
		if err := l.sync(a.segment); err != nil {
			l.abandon(a, err)
			return err
		}
		a.synced = end
	}
	a.end = end
	a.size.Store(end)
	if fresh {
		l.tableMu.Lock()
		l.table[a.id] = a.segment
		l.tableMu.Unlock()
	}
	return nil
}

// begin creates the file of a new active segment. Its header is written with the first records.
func (l *Log) begin() error {
	a := &active{}
	rand.Read(a.salt[:]) // never fails
	path := filepath.Join(l.dir, segmentName(l.next))
	f, err := l.fs.Create(path)
	if err != nil {
		return fmt.Errorf("log: create segment %s: %w", path, err)
	}
	l.highest = max(l.highest, l.next)
	if err := l.fs.SyncDir(l.dir); err != nil {
		f.Close()
		return fmt.Errorf("log: create segment %s: %w", path, err)
	}
	a.segment = newSegment(l.next, path, f)
	l.active = a
	l.next++
	return nil
}

// write writes the records of a batch behind the last acknowledged one, and returns their end.
func (l *Log) write(a *active, batch []*request) (int64, error) {
	need := int64(0)
	for _, r := range batch {
		need += recordHeaderSize + int64(r.length)
	}
	buf, base := l.buf[:0], a.end // buf goes to base
	if a.end == 0 {
		head := segmentHeader{id: a.id, salt: a.salt}
		buf = head.appendTo(buf)
		need += firstRecord
	}
	a.reserve(a.end + need)

	flush := func(b []byte) error {
		n, err := a.file.WriteAt(b, base)
		base += int64(n)
		return err
	}
	for _, r := range batch {
		off := base + int64(len(buf))
		head := recordHeader{kind: kindData, length: uint32(r.length), crc: r.crc, back: unknownBack}
		if back := off - a.synced; back < unknownBack {
			head.back = uint32(back)
		}
		buf = head.appendTo(buf, &a.salt, off)
		r.pos = Position{a.id, off + recordHeaderSize}
		for _, p := range r.parts {
			direct := len(p) >= directWrite
			if !direct {
				buf = append(buf, p...)
			}
			if direct || len(buf) >= maxBuffer {
				if err := flush(buf); err != nil {
					return 0, err
				}
				buf = buf[:0]
			}
			if direct {
				if err := flush(p); err != nil {
					return 0, err
				}
			}
		}
	}
	l.buf = buf[:0]
	err := flush(buf)
	return base, err
}

// abandon closes the active segment to appends after a failure. What was acknowledged stays readable;
// what was not is cut off, as far as the disk lets us. No record is ever acknowledged again in a file with
// a failed sync: its pages may be marked clean and be lost.
func (l *Log) abandon(a *active, cause error) {
	l.active = nil
	if a.end == 0 {
		// Nothing in it was acknowledged: the file is emptied, and its number is used again.
		l.next = a.id
		err := errors.Join(a.file.Truncate(0), a.release())
		if err != nil {
			l.log.Warn("log segment without acknowledged records could not be emptied", "file", a.path, "error", err)
		}
		return
	}
	err := a.file.Truncate(a.end)
	if a.synced < a.end {
		err = errors.Join(err, l.sync(a.segment))
	}
	if err != nil {
		l.log.Warn("log segment was not sealed cleanly", "file", a.path, "cause", cause, "error", err)
	}
}

// syncPeriodically is the goroutine of SyncInterval.
func (l *Log) syncPeriodically() {
	tick := time.NewTicker(l.opts.SyncEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			l.syncActive()
		}
	}
}

// syncActive makes durable what was appended until now, while appends go on.
func (l *Log) syncActive() {
	l.commitMu.Lock()
	a := l.active
	if a == nil || a.synced == a.end {
		l.commitMu.Unlock()
		return
	}
	end := a.end
	a.refs.Add(1)
	l.commitMu.Unlock()

	err := l.sync(a.segment)

	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	defer func() { _ = a.release() }()
	switch {
	case l.active != a: // sealed meanwhile, with a sync of its own
	case err != nil:
		l.log.Error("log could not be synced; recent records may be lost if the machine fails", "error", err)
		l.active = nil
	default:
		a.synced = end
	}
}
