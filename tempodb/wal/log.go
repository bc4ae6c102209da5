package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Log is an open log. See the package comment.
//
// Locks, in the order in which they are taken: removeMu, commitMu, and then queueMu or tableMu for moments.
type Log struct {
	dir  string
	fs   FS
	opts Options
	log  *slog.Logger

	// commitMu is held while the active segment is written, synced, sealed or replaced.
	commitMu sync.Mutex
	active   *active // nil until something is appended
	next     uint64  // number of the segment after the active one
	highest  uint64  // number of the last file in the directory
	failing  bool    // the last commit failed
	buf      []byte  // what a commit writes
	batch    []*request

	// queueMu guards who waits for a commit.
	queueMu sync.Mutex
	queue   []*request
	leading bool // somebody commits, or is about to
	crowd   bool // the last commit had more than one record
	closed  bool
	callers sync.WaitGroup // in Append

	// tableMu guards the table of all segments, the active one among them.
	tableMu sync.RWMutex
	table   map[uint64]*segment

	removeMu sync.Mutex // one Remove at a time

	isClosed atomic.Bool
	stop     chan struct{} // ends the periodic sync
	stopped  sync.WaitGroup

	stats counters
}

type counters struct {
	appends, bytes, failed, commits           atomic.Int64
	syncs, syncNanos, syncErrors, writeErrors atomic.Int64
	corruptParts, tornTails, quarantined      atomic.Int64
}

// Open opens the log in dir, or creates it. It passes every record of every segment in order to fn, with
// its position; the payload is valid until fn returns. An error of fn ends Open with that error. Damaged
// parts are skipped and reported. Records that are appended later go to a new segment.
//
// A *VersionError says that a segment was written by a newer program.
func Open(dir string, o Options, fn func(pos Position, payload []byte) error) (*Log, *Report, error) {
	l := &Log{dir: dir, fs: o.FS, opts: o, log: o.Logger, table: make(map[uint64]*segment), stop: make(chan struct{})}
	if l.fs == nil {
		l.fs = osFS{}
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.opts.SyncEvery <= 0 {
		l.opts.SyncEvery = DefaultSyncEvery
	}
	start := time.Now()
	report, err := l.replay(fn)
	if err != nil {
		for _, s := range l.table {
			_ = s.release()
		}
		return nil, nil, err
	}
	report.Duration = time.Since(start)
	if l.opts.Sync == SyncInterval {
		l.stopped.Go(l.syncPeriodically)
	}
	return l, report, nil
}

// replay fills the table from the directory.
func (l *Log) replay(fn func(Position, []byte) error) (*Report, error) {
	if err := makeDir(l.fs, l.dir); err != nil {
		return nil, fmt.Errorf("log: create directory %s: %w", l.dir, err)
	}
	ids, err := l.list(l.dir)
	if err != nil {
		return nil, fmt.Errorf("log: read directory %s: %w", l.dir, err)
	}
	if len(ids) > 0 {
		l.highest = ids[len(ids)-1]
	}
	l.next = max(l.highest+1, l.opts.MinSegment)

	report := &Report{}
	var useless []uint64
	for _, id := range ids {
		skip := l.opts.Skip != nil && l.opts.Skip(id)
		records, err := l.replaySegment(id, skip, fn, report)
		if err != nil {
			return nil, err
		}
		if skip || records == 0 && len(l.table[id].damages) == 0 {
			useless = append(useless, id)
		}
	}
	// Not before all are known to be readable by this program.
	for _, id := range useless {
		if err := l.discard(id); err != nil {
			l.log.Warn("log segment that is not needed stays", "error", err)
		}
	}
	return report, nil
}

// replaySegment adds a segment to the table and the report, and passes its records to fn unless skipped.
func (l *Log) replaySegment(id uint64, skip bool, fn func(Position, []byte) error, report *Report) (records int64, err error) {
	path := filepath.Join(l.dir, segmentName(id))
	f, err := l.fs.Open(path)
	if err != nil {
		return 0, fmt.Errorf("log: open segment %s: %w", path, err)
	}
	s := newSegment(id, path, f)
	l.table[id] = s
	size, err := f.Size()
	if err != nil {
		return 0, fmt.Errorf("log: size of segment %s: %w", path, err)
	}
	var each func(int64, []byte) error
	if !skip && fn != nil {
		each = func(off int64, payload []byte) error {
			if err := fn(Position{id, off}, payload); err != nil {
				return fmt.Errorf("log segment %s: record at offset %d: %w", path, off, err)
			}
			return nil
		}
	}
	res, err := scan(f, size, each)
	if err != nil {
		return 0, err
	}
	if res.version > version {
		return 0, &VersionError{File: path, Version: res.version, Known: version}
	}
	if res.id != 0 && res.id != id {
		// Somebody renamed or copied it. The records are good; the file is kept when it is removed.
		l.log.Warn("log segment has another number than its file name", "file", path, "segment", res.id)
		res.damages = append([]Damage{{Bytes: segmentHeaderSize, Kind: Corrupt}}, res.damages...)
	}
	s.size.Store(res.end)
	for _, d := range res.damages {
		d.Segment, d.File = id, path
		report.Damages = append(report.Damages, d)
		if d.Kind == Corrupt {
			s.damages = append(s.damages, d)
			l.stats.corruptParts.Add(1)
			l.log.Error("log segment is damaged; records around the damage were kept", "file", path, "offset", d.Offset, "bytes", d.Bytes)
		} else {
			l.stats.tornTails.Add(1)
			l.log.Info("log segment has a torn tail, as after a crash", "file", path, "offset", d.Offset, "bytes", d.Bytes)
		}
	}
	if skip {
		report.Skipped++
		return res.records, nil
	}
	report.Segments++
	report.Records += res.records
	report.Bytes += res.bytes
	return res.records, nil
}

// discard removes a segment at Open. An empty file with the highest number stays: it keeps the number.
func (l *Log) discard(id uint64) error {
	s := l.table[id]
	if id == l.highest {
		if size, err := s.file.Size(); err == nil && size == 0 {
			delete(l.table, id)
			return s.release()
		}
	}
	return l.Remove(id)
}

// list returns the numbers of the segments in a directory, ascending.
func (l *Log) list(dir string) ([]uint64, error) {
	names, err := l.fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ids []uint64
	for _, name := range names {
		if id, ok := parseSegmentName(name); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Segments lists what the log holds, by number.
func (l *Log) Segments() []SegmentInfo {
	l.commitMu.Lock()
	var now uint64
	if l.active != nil {
		now = l.active.id
	}
	l.commitMu.Unlock()

	l.tableMu.RLock()
	defer l.tableMu.RUnlock()
	infos := make([]SegmentInfo, 0, len(l.table))
	for id, s := range l.table {
		infos = append(infos, SegmentInfo{ID: id, Bytes: s.size.Load(), Active: id == now, Damaged: len(s.damages) > 0})
	}
	slices.SortFunc(infos, func(a, b SegmentInfo) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return infos
}

// Stats returns the counters as they are now.
func (l *Log) Stats() Stats {
	c := &l.stats
	return Stats{
		Appends:      c.appends.Load(),
		Bytes:        c.bytes.Load(),
		Failed:       c.failed.Load(),
		Commits:      c.commits.Load(),
		Syncs:        c.syncs.Load(),
		SyncTime:     time.Duration(c.syncNanos.Load()),
		SyncErrors:   c.syncErrors.Load(),
		WriteErrors:  c.writeErrors.Load(),
		CorruptParts: c.corruptParts.Load(),
		TornTails:    c.tornTails.Load(),
		Quarantined:  c.quarantined.Load(),
	}
}

// Close waits for the Appends that have begun, seals the active segment and closes all files. Later calls
// of any method return ErrClosed. An error says that the last records of a log that does not sync at every
// append may not be durable.
func (l *Log) Close() error {
	l.queueMu.Lock()
	if l.closed {
		l.queueMu.Unlock()
		return fmt.Errorf("log %s: %w", l.dir, ErrClosed)
	}
	l.closed = true
	l.queueMu.Unlock()
	l.callers.Wait()
	close(l.stop)
	l.stopped.Wait()

	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	_, err := l.seal()
	l.isClosed.Store(true)

	l.tableMu.Lock()
	defer l.tableMu.Unlock()
	for _, s := range l.table {
		err = errors.Join(err, s.release())
	}
	clear(l.table)
	return err
}
