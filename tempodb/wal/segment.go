package wal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"
)

// segment is one file of the log, open for reading. It is shared by the log's table and by the readers
// that are in it; the last one to let go closes the file.
type segment struct {
	id      uint64
	path    string
	file    File
	size    atomic.Int64 // up to where it may be read
	damages []Damage     // corruptions that replay found
	refs    atomic.Int32 // one for the table, one for each reader
}

func newSegment(id uint64, path string, file File) *segment {
	s := &segment{id: id, path: path, file: file}
	s.refs.Store(1)
	return s
}

// release lets go of the segment.
func (s *segment) release() error {
	if s.refs.Add(-1) == 0 {
		return s.file.Close()
	}
	return nil
}

// acquire returns the segment for reading; the caller releases it. That the table is locked meanwhile is
// what keeps a segment that was removed from being acquired again.
func (l *Log) acquire(id uint64) (*segment, error) {
	l.tableMu.RLock()
	defer l.tableMu.RUnlock()
	s := l.table[id]
	if s == nil {
		if l.isClosed.Load() {
			return nil, fmt.Errorf("log %s: %w", l.dir, ErrClosed)
		}
		return nil, fmt.Errorf("log %s, segment %d: %w", l.dir, id, ErrNoSegment)
	}
	s.refs.Add(1)
	return s, nil
}

// ReadAt fills p with a record's payload from pos on: pos is what Append returned or replay passed, or a
// later place in the same payload. The log does not know the payload's length; the caller does. The error
// wraps ErrNoSegment if the segment was removed.
//
// What is read was verified at replay or written by this process; it is not verified again.
func (l *Log) ReadAt(p []byte, pos Position) error {
	s, err := l.acquire(pos.Segment)
	if err != nil {
		return err
	}
	defer func() { _ = s.release() }()
	if end := s.size.Load(); pos.Offset < firstRecord || pos.Offset > end || int64(len(p)) > end-pos.Offset {
		return fmt.Errorf("log segment %s: read of %d bytes at offset %d is outside of its records (%d to %d): %w",
			s.path, len(p), pos.Offset, firstRecord, end, io.ErrUnexpectedEOF)
	}
	if n, err := s.file.ReadAt(p, pos.Offset); n < len(p) {
		return fmt.Errorf("log segment %s: read of %d bytes at offset %d: %w", s.path, len(p), pos.Offset, err)
	}
	return nil
}

// active is the segment that appends go to. The commit lock guards it.
type active struct {
	*segment
	salt     [saltSize]byte
	end      int64 // of the last record that was acknowledged, where the next one goes
	synced   int64 // all before it is durable
	reserved int64 // up to where space was asked for
}

const (
	minReserve = 256 << 10
	maxReserve = 4 << 20
)

// reserve asks the file system for space up to end and some more: as much as there is, within bounds.
func (a *active) reserve(end int64) {
	if end <= a.reserved {
		return
	}
	n := end - a.reserved + min(max(a.end, minReserve), maxReserve)
	if err := a.file.Reserve(a.reserved, n); err != nil {
		// Without it writes are slower and no less safe. If the disk is nearly full, they may still fit.
		n = end - a.reserved
	}
	a.reserved += n
}

// sync makes the file durable and counts.
func (l *Log) sync(s *segment) error {
	start := time.Now()
	err := s.file.Sync()
	l.stats.syncs.Add(1)
	l.stats.syncNanos.Add(int64(time.Since(start)))
	if err != nil {
		l.stats.syncErrors.Add(1)
		return fmt.Errorf("log segment %s: sync: %w", s.path, err)
	}
	return nil
}

// Rotate seals the active segment, makes it durable, and lets the next Append begin another one. It
// returns the number of the sealed segment, or 0 if nothing was appended since the last Rotate or Open.
//
// An Append that is on its way at the same time lands in one or the other; its Position tells.
func (l *Log) Rotate() (closed uint64, err error) {
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	if l.isClosed.Load() {
		return 0, fmt.Errorf("log %s: %w", l.dir, ErrClosed)
	}
	return l.seal()
}

// seal ends the active segment. The commit lock is held.
//
// If the last sync fails, the segment takes no more records and counts as closed all the same: its records
// were acknowledged by a policy that does not wait for the disk, and are readable.
func (l *Log) seal() (uint64, error) {
	a := l.active
	if a == nil {
		return 0, nil
	}
	l.active = nil
	if a.synced < a.end {
		if err := l.sync(a.segment); err != nil {
			return a.id, err
		}
	}
	// The records are safe. What follows is for the next replay (an end record), and gives space back.
	end := recordHeader{kind: kindEnd}
	_, err := a.file.WriteAt(end.appendTo(nil, &a.salt, a.end), a.end)
	err = errors.Join(err, a.file.Truncate(a.end+recordHeaderSize))
	if err == nil {
		err = l.sync(a.segment)
	}
	if err != nil {
		l.log.Warn("log segment has no end record", "file", a.path, "error", err)
	}
	return a.id, nil
}

// Remove deletes a sealed segment: its records are elsewhere, or not wanted. A segment in which replay
// found corruption is moved to the folder quarantine, with a report beside it. Reads that are under way
// end well, later ones get ErrNoSegment. After an error the segment is still there, and Remove may be
// tried again.
func (l *Log) Remove(id uint64) error {
	l.removeMu.Lock()
	defer l.removeMu.Unlock()
	s, err := l.acquire(id)
	if err != nil {
		return err
	}
	defer func() { _ = s.release() }()
	if err := l.keepNumber(id); err != nil {
		return err
	}
	if err := l.unlink(s.path, s.damages); err != nil {
		return err
	}
	l.tableMu.Lock()
	_, held := l.table[id]
	delete(l.table, id)
	l.tableMu.Unlock()
	if held { // and not closed meanwhile
		return s.release()
	}
	return nil
}

// keepNumber makes sure that a file with a higher number than id's exists before id's is removed: the
// highest number in the directory is what keeps numbers from being used again after a restart, when the
// owner may still remember the old bearer of the number as "all in blocks".
func (l *Log) keepNumber(id uint64) error {
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	if l.active != nil && l.active.id == id {
		return fmt.Errorf("log %s: segment %d is the active one: rotate before removing it", l.dir, id)
	}
	if id < l.highest {
		return nil
	}
	path := filepath.Join(l.dir, segmentName(l.next))
	f, err := l.fs.Create(path)
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return fmt.Errorf("log: reserve the number of segment %s: %w", path, err)
	}
	l.highest = l.next // the next active segment takes this file
	return nil
}

// unlink removes a file, or puts it into quarantine.
func (l *Log) unlink(path string, damages []Damage) error {
	if len(damages) > 0 {
		return l.quarantine(path, damages)
	}
	if err := l.fs.Remove(path); err != nil {
		return fmt.Errorf("log: remove segment %s: %w", path, err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("log: remove segment %s: %w", path, err)
	}
	return nil
}
