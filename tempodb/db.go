package tempodb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/blocklist"
	"github.com/jaeger-tempo/tempo/tempodb/page"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// DB is a database. All its methods may be called concurrently.
type DB struct {
	queries
	opts Options
	// bucket is that of the options, for as long as the database is open.
	bucket backend.Bucket // mortal
	id     string         // of this log, as it stands in the blocks that are cut from it
	log    *wal.Log

	// push is held for reading from before an entry is logged until it can be found, and for writing to seal the active head: so that
	// a sealed head has all entries of its segments.
	push   sync.RWMutex
	active *head

	maintaining  sync.Mutex    // held by who takes blocks away
	wakeMaintain chan struct{} // tells the maintenance that there is a new block

	cutting chan struct{} // holds a token while a cut is going on
	wake    chan struct{} // tells the cutter that there may be something to do
	waiting atomic.Int64  // bytes of values in sealed heads
	recent  atomic.Int64  // bytes of values in all heads
	room    chan struct{} // closed and replaced when waiting shrinks or the database closes; guarded by change

	stop context.CancelFunc // ends what the database does of itself
	die  context.CancelFunc // ends all that is asked of the bucket
	done sync.WaitGroup

	replay  wal.Report
	damaged []error // of blocks that could not be opened; constant after Open

	unopened []block.ID // blocks that could not be opened and are to be salvaged; who holds maintaining has them
	upkeep   upkeep     // who holds maintaining has it
	stats    counters
}

// Open opens a database, or creates it. It opens all blocks, replays what of the log is in none of them, and then serves.
//
// A damaged block is set aside: the rest is served, and Stats tells. A damaged part of the log is kept aside by the log. A store that can't be read
// makes Open fail.
func Open(ctx context.Context, o Options) (*DB, error) {
	o = o.withDefaults()
	if o.Dir == "" || o.Bucket == nil || o.Name == "" || o.Codec == nil {
		return nil, errors.New("open database: Dir, Bucket, Name and Codec are required")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open database %s: %w", o.Name, err)
	}
	id, err := logID(filepath.Join(o.Dir, "id"))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", o.Name, err)
	}
	db := &DB{queries: queries{codec: o.Codec, shelf: o.Shelf}, opts: o, id: id, cutting: make(chan struct{}, 1), wake: make(chan struct{}, 1), room: make(chan struct{}), wakeMaintain: make(chan struct{}, 1)}
	life, die := context.WithCancel(context.WithoutCancel(ctx))
	db.die = die
	db.bucket = mortalBucket(o.Bucket, life)
	db.upkeep = upkeep{
		bucket: db.bucket, name: o.Name, codec: o.Codec, plan: o.Compaction, salvage: block.SalvageOptions{By: "tempodb"},
		now: time.Now, logger: o.Logger, holder: db, stats: &db.stats.upkeepCounters, avoided: make(map[block.ID]avoidance),
	}
	blocks, err := db.openBlocks(ctx)
	if err != nil {
		die()
		return nil, fmt.Errorf("open database %s: %w", o.Name, err)
	}
	marks, err := blocklist.Marks(ctx, db.bucket, o.Name)
	if err != nil {
		die()
		return nil, fmt.Errorf("open database %s: %w", o.Name, err)
	}
	heads, err := db.openLog(ctx, blocks)
	if err != nil {
		die()
		return nil, fmt.Errorf("open database %s: %w", o.Name, err)
	}
	db.active = heads[len(heads)-1]
	for _, h := range heads[:len(heads)-1] {
		db.waiting.Add(h.bytes)
	}
	for _, h := range heads {
		db.recent.Add(h.bytes)
	}
	// Only now: which segments are in blocks, superseded ones tell as well.
	live, retired := db.sortOut(blocks, marks)
	db.serve(&view{heads: heads, blocks: live})
	if err := db.delete(ctx, retired); err != nil {
		db.opts.Logger.Warn("superseded blocks can't be deleted; they are left out", "database", o.Name, "error", err)
	} else if err := blocklist.RemoveMarks(ctx, db.bucket, o.Name, marks); err != nil {
		db.opts.Logger.Warn("marks of dropped blocks can't be deleted", "database", o.Name, "error", err)
	}
	// The blocks are this DB's alone, and it writes none yet: what has no meta.json was never finished.
	if garbage, err := block.RemoveGarbage(ctx, db.bucket, o.Name, time.Now()); err != nil {
		o.Logger.Warn("what a crash has left of blocks can't be deleted", "database", o.Name, "error", err)
	} else if len(garbage) > 0 {
		o.Logger.Info("what a crash has left of blocks is deleted", "database", o.Name, "blocks", garbage)
	}
	db.countLosses()
	ctx, db.stop = context.WithCancel(life)
	db.done.Go(func() { db.cutLoop(ctx) })
	db.done.Go(func() { db.maintainLoop(ctx) })
	return db, nil
}

// logID returns the identity of the log beside whose directory path is, and gives it one if it has none. A log that is
// made anew numbers its segments anew: without an identity, a block cut from the log before could be taken for one that has what the new one holds.
func logID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		id, err := ulid.ParseStrict(strings.TrimSpace(string(b)))
		if err != nil {
			return "", fmt.Errorf("%s should hold the log's identity: %w; if the log's directory is empty, remove this file", path, err)
		}
		return id.String(), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	id := ulid.Make().String()
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(id + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return "", err
	}
	return id, syncDir(filepath.Dir(path))
}

func (db *DB) openBlocks(ctx context.Context) ([]*block.Block, error) {
	ids, err := block.List(ctx, db.bucket, db.opts.Name)
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	type opened struct {
		*block.Block
		hollow, empty bool
		err           error
	}
	all := make([]opened, len(ids))
	inParallel(len(ids), func(i int) {
		b := &all[i]
		if b.Block, b.err = block.Open(ctx, db.bucket, db.opts.Name, ids[i], db.opts.Codec); b.err == nil {
			b.hollow, b.empty, b.err = block.Hollow(ctx, db.bucket, db.opts.Name, ids[i])
		}
	})
	var blocks []*block.Block
	for i, id := range ids {
		b, err := all[i].Block, all[i].err
		if err == nil && all[i].hollow {
			// It must not be believed: what it was made of is the only copy.
			if all[i].empty {
				db.opts.Logger.Warn("meta.json without a block, put in place after the rest was deleted, is deleted", "database", db.opts.Name, "block", id)
				if err := db.delete(ctx, []block.ID{id}); err != nil {
					return nil, err
				}
				continue
			}
			err = &page.CorruptError{Object: db.opts.Name + "/" + string(id) + "/data", What: "object", Reason: "is missing, while meta.json is there"}
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			var corrupt *page.CorruptError
			if !errors.As(err, &corrupt) {
				// The store failed, which may pass: without the block, what is in it would seem never to have been.
				return nil, err
			}
			db.damaged = append(db.damaged, err)
			db.unopened = append(db.unopened, id)
			db.opts.Logger.Error("block can't be opened and is left out of answers until it is salvaged", "database", db.opts.Name, "block", id, "error", err)
			continue
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// source names a segment of this log in the meta data of a block.
func (db *DB) source(segment uint64) string { return db.id + "/" + strconv.FormatUint(segment, 10) }

// openLog replays the log. It returns at least one head; the last is the one to append to.
func (db *DB) openLog(ctx context.Context, blocks []*block.Block) ([]*head, error) {
	inBlocks := make(map[uint64]bool)
	highest := uint64(0)
	for _, b := range blocks {
		for _, source := range b.Meta().Sources {
			number, ours := strings.CutPrefix(source, db.id+"/")
			if segment, err := strconv.ParseUint(number, 10, 64); ours && err == nil {
				inBlocks[segment] = true
				highest = max(highest, segment)
			}
		}
	}
	var heads []*head
	var unreadable int
	current := newHead(db.opts.Codec, nil, 0)
	lastSegment := uint64(0)
	log, report, err := wal.Open(filepath.Join(db.opts.Dir, "wal"), wal.Options{
		Sync:       db.opts.Sync,
		SyncEvery:  db.opts.SyncEvery,
		Logger:     db.opts.Logger,
		Skip:       func(segment uint64) bool { return inBlocks[segment] },
		MinSegment: highest + 1,
	}, func(pos wal.Position, payload []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if db.opts.Replayed != nil {
			db.opts.Replayed(len(payload))
		}
		if pos.Segment != lastSegment && current.bytes >= db.opts.CutBytes {
			current.through = lastSegment
			heads = append(heads, current)
			current = newHead(db.opts.Codec, nil, lastSegment)
		}
		lastSegment = pos.Segment
		err := eachEntry(payload, func(key Key, offset int, value []byte) error {
			return current.add(key, wal.Position{Segment: pos.Segment, Offset: pos.Offset + int64(offset)}, value)
		})
		if err != nil {
			// The record is as it was written: it was refused then too, or the program that wrote it knew a codec that this one does not.
			path, aside := db.keepRefused(pos, payload)
			if aside != nil {
				return fmt.Errorf("set log record aside, %w, which can't be indexed: %w", aside, err)
			}
			unreadable++
			db.opts.Logger.Error("log record can't be indexed and is set aside", "database", db.opts.Name, "segment", pos.Segment, "offset", pos.Offset, "file", path, "error", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	db.log, db.replay = log, *report
	db.stats.unindexed.Add(int64(unreadable))
	heads = append(heads, current)
	for _, h := range heads {
		h.log = log
	}
	return heads, nil
}

// Append stores entries, all or none. When it returns nil they are as durable as Options.Sync says, and every query finds them. After an
// error they may be stored or not; to append them again does no harm.
//
// It copies what it keeps. ErrBehind, or the context's error, says that blocks can't be written as fast as data comes.
func (db *DB) Append(ctx context.Context, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := db.waitForRoom(ctx); err != nil {
		return err
	}
	total := 0
	for i := range entries {
		size := len(entries[i].Value)
		if size > maxValue {
			return fmt.Errorf("append to database %s: value of key %x has %d bytes, more than %d", db.opts.Name, entries[i].Key, size, maxValue)
		}
		total += entryHeader + size
	}
	if total > maxRecord {
		return fmt.Errorf("append to database %s: entries of %d bytes at once, more than %d", db.opts.Name, total, maxRecord)
	}
	headers := make([]byte, 0, entryHeader*len(entries))
	parts := make([][]byte, 0, 2*len(entries))
	for i := range entries {
		at := len(headers)
		headers = appendEntryHeader(headers, &entries[i])
		parts = append(parts, headers[at:], entries[i].Value)
	}

	db.push.RLock()
	defer db.push.RUnlock()
	if db.closed.Load() {
		return ErrClosed
	}
	pos, err := db.log.Append(ctx, parts...)
	if err != nil {
		return fmt.Errorf("append to database %s: %w", db.opts.Name, err)
	}
	h := db.active
	h.mu.Lock()
	before := h.bytes
	for i := range entries {
		pos.Offset += entryHeader
		err = errors.Join(err, h.add(entries[i].Key, pos, entries[i].Value))
		pos.Offset += int64(len(entries[i].Value))
	}
	full := h.bytes >= db.opts.CutBytes
	db.recent.Add(h.bytes - before)
	h.mu.Unlock()
	if full {
		db.nudge()
	}
	db.stats.appended.Add(int64(len(entries)))
	db.stats.appendedBytes.Add(int64(total))
	if err != nil {
		return fmt.Errorf("append to database %s: %w", db.opts.Name, err)
	}
	return nil
}

// waitForRoom holds an Append back while too much waits to be written.
func (db *DB) waitForRoom(ctx context.Context) error {
	// As long as a cut is stuck no head is sealed, and the active one grows: it counts as well, beyond what it may have in any case.
	limit := int64(db.opts.MaxWaiting+1) * db.opts.CutBytes
	const patience = 5 * time.Second
	var timeout <-chan time.Time
	for db.recent.Load() > limit {
		db.change.Lock()
		room := db.room
		db.change.Unlock()
		if db.closed.Load() {
			return ErrClosed
		}
		if db.recent.Load() <= limit {
			return nil
		}
		if timeout == nil {
			t := time.NewTimer(patience)
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-room:
		case <-timeout:
			return fmt.Errorf("append to database %s: %w", db.opts.Name, ErrBehind)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// makeRoom lets the Appends that wait for room look again.
func (db *DB) makeRoom() {
	db.change.Lock()
	defer db.change.Unlock()
	close(db.room)
	db.room = make(chan struct{})
}

// Close stops the writing and merging of blocks and closes the log. What was appended is durable and served again by the next Open; nothing is
// written that a crash would not leave as well. It waits for Appends and queries that are under way; those that the store keeps waiting for
// longer than half a second end with ErrClosed.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return nil
	}
	return db.close()
}

// close is what remains of Close when closed is set.
func (db *DB) close() error {
	db.stop()
	db.makeRoom()
	const patience = 500 * time.Millisecond
	late := time.AfterFunc(patience, db.die)
	defer db.die()
	defer late.Stop()
	db.done.Wait()
	// Who was asked by others to cut or to merge may have begun before the database was closed.
	db.cutting <- struct{}{}
	defer func() { <-db.cutting }()
	db.maintaining.Lock()
	defer db.maintaining.Unlock()
	db.push.Lock()
	defer db.push.Unlock()
	db.view.Load().retire()
	return db.log.Close()
}
