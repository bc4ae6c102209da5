package tempodb

import (
	"cmp"
	"context"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// What follows is for who keeps a database for a while only: who copies its blocks elsewhere, see block.Replicate, and drops them then.

// Blocks returns what the blocks are that serve queries, the oldest first.
func (db *DB) Blocks() []*block.Meta {
	metas := db.metas()
	slices.SortFunc(metas, func(a, b *block.Meta) int { return cmp.Compare(a.ID, b.ID) })
	return metas
}

// Drop deletes blocks, when no query uses them any more. What is in them is answered no more.
func (db *DB) Drop(ctx context.Context, ids []block.ID) error {
	if db.closed.Load() {
		return ErrClosed
	}
	db.maintaining.Lock()
	defer db.maintaining.Unlock()
	return db.drop(ctx, ids)
}

// Inspect looks for damage in a block, and sets it aside if there is some, as Salvage does with a block in which damage was met. It
// reports whether it was.
func (db *DB) Inspect(ctx context.Context, id block.ID) (bad bool, err error) {
	if db.closed.Load() {
		return false, ErrClosed
	}
	db.maintaining.Lock()
	defer db.maintaining.Unlock()
	if _, err := db.inputs([]block.ID{id}); err != nil {
		return false, nil // dropped meanwhile
	}
	return db.upkeep.setAside(ctx, id)
}

// CloseIfEmpty closes the database if there is nothing in it and there was no damage, and reports whether it did. An Append at the same time either keeps it
// open or gets ErrClosed.
func (db *DB) CloseIfEmpty() (closed bool, err error) {
	db.push.Lock()
	v := db.view.Load()
	empty := len(v.heads) == 1 && v.heads[0].entries == 0 && len(v.blocks) == 0 && db.Losses() == 0
	if empty {
		empty = !db.closed.Swap(true)
	}
	db.push.Unlock()
	if !empty {
		return false, nil
	}
	return true, db.close()
}

// Losses counts the times since Open that something which was appended was found to be lost: damaged parts of the log, blocks that can't be opened,
// values that a salvage could not save. It grows before an answer lacks what was lost without saying so.
func (db *DB) Losses() int64 { return db.stats.losses.Load() }

// countLosses counts what Open has met.
func (db *DB) countLosses() {
	db.stats.losses.Add(int64(len(db.damaged)))
	for _, d := range db.replay.Damages {
		if d.Kind == wal.Corrupt {
			db.stats.losses.Add(1)
		}
	}
}

// Recent is what a database holds in its log.
type Recent struct {
	Bytes int64 // of values
	Rows  int
	Keys  int
}

// RecentBytes returns the bytes of the values in the log that are in no block yet.
func (db *DB) RecentBytes() int64 { return db.recent.Load() }

// Recent returns what there is in the log and in no block yet. Rows are not counted.
func (db *DB) Recent() Recent {
	r := Recent{Bytes: db.recent.Load()}
	for _, h := range db.view.Load().heads {
		h.mu.RLock()
		r.Keys += len(h.keys)
		h.mu.RUnlock()
	}
	return r
}

// RecentOf returns what of a key there is in the log and in no block yet, values that were appended twice counted twice.
func (db *DB) RecentOf(key Key) Recent {
	var r Recent
	for _, h := range db.view.Load().heads {
		h.mu.RLock()
		if owner, known := h.owners[key]; known {
			r.Keys = 1
			r.Rows += int(h.values[owner].rows)
			r.Bytes += h.values[owner].bytes
		}
		h.mu.RUnlock()
	}
	return r
}
