package tempodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/blocklist"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
)

// maintainEvery is how often is looked for work that time alone brings: windows that are settled, blocks that are too old.
const maintainEvery = time.Minute

// maintainLoop compacts and drops blocks as it becomes due, until ctx ends.
func (db *DB) maintainLoop(ctx context.Context) {
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	for {
		if err := db.maintain(ctx); err != nil && ctx.Err() == nil {
			db.stats.maintainErrors.Add(1)
			db.opts.Logger.Error("blocks can't be compacted or dropped; tried again", "database", db.opts.Name, "in", maintainEvery, "error", err)
			select { // a cut does not bring the next try forward
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-db.wakeMaintain:
		case <-ticker.C:
		}
	}
}

func (db *DB) maintain(ctx context.Context) error {
	if err := db.Retain(ctx); err != nil {
		return err
	}
	if err := db.Salvage(ctx); err != nil {
		return err
	}
	if db.opts.NoCompaction {
		return nil
	}
	return db.Compact(ctx)
}

// Retain drops the blocks that Options.Retention says are too old or too much. Recent data that is in no block yet stays.
func (db *DB) Retain(ctx context.Context) error {
	db.maintaining.Lock()
	defer db.maintaining.Unlock()
	var o compact.RetainOptions
	if db.opts.Retention != nil {
		o = db.opts.Retention()
	}
	return db.upkeep.retain(ctx, o)
}

// Compact merges blocks until Options.Compaction finds nothing more to merge.
func (db *DB) Compact(ctx context.Context) error {
	db.maintaining.Lock()
	defer db.maintaining.Unlock()
	for {
		jobs := db.upkeep.jobs(nil)
		if len(jobs) == 0 {
			return nil
		}
		if _, err := db.upkeep.merge(ctx, &jobs[0]); err != nil {
			return err
		}
	}
}

// Salvage sets aside the blocks in which damage was met, by queries, by a compaction or at Open: what is whole of a block goes on in a new one,
// and the block with a report goes to the quarantine (see block.Salvage). It does nothing to blocks whose damage nobody has met.
func (db *DB) Salvage(ctx context.Context) error {
	db.maintaining.Lock()
	defer db.maintaining.Unlock()
	var errs []error
	for _, b := range db.view.Load().blocks {
		if len(b.Damage()) > 0 {
			_, err := db.upkeep.setAside(ctx, b.Meta().ID)
			errs = append(errs, err)
		}
	}
	for len(db.unopened) > 0 {
		if _, err := db.upkeep.setAside(ctx, db.unopened[0]); err != nil {
			errs = append(errs, err)
			break
		}
		db.unopened = db.unopened[1:]
	}
	return errors.Join(errs...)
}

// A DB is the holder of its blocks. They are its alone: who holds db.maintaining has them as they are, and what no query uses is deleted at once.
var _ holder = (*DB)(nil)

func (db *DB) metas() []*block.Meta {
	var metas []*block.Meta
	for _, b := range db.view.Load().blocks {
		metas = append(metas, b.Meta())
	}
	return metas
}

func (db *DB) inputs(ids []block.ID) ([]*block.Block, error) {
	served := make(map[block.ID]*block.Block)
	for _, b := range db.view.Load().blocks {
		served[b.Meta().ID] = b
	}
	inputs := make([]*block.Block, len(ids))
	for i, id := range ids {
		if inputs[i] = served[id]; inputs[i] == nil {
			return nil, errNotLive
		}
	}
	return inputs, nil
}

func (db *DB) stillLive(context.Context, []block.ID) (bool, error) { return true, nil }

// exchange implements holder. If deleting fails or is cut short the blocks are still in the bucket: those that were merged are superseded by the
// one that names them its parents, and are deleted at the next Open.
func (db *DB) exchange(ctx context.Context, ids []block.ID, with *block.Meta) error {
	old := db.replace(func(v *view) *view {
		blocks := slices.DeleteFunc(slices.Clone(v.blocks), func(b *block.Block) bool { return slices.Contains(ids, b.Meta().ID) })
		if with != nil {
			blocks = append(blocks, block.New(db.bucket, with, db.opts.Codec))
		}
		return &view{heads: v.heads, blocks: blocks}
	})
	old.retire()
	return db.delete(ctx, ids)
}

func (db *DB) drop(ctx context.Context, ids []block.ID) error { return db.exchange(ctx, ids, nil) }

// forgive implements holder: what was met has passed, and the block begins anew, with no damage to its name.
func (db *DB) forgive(id block.ID) {
	db.replace(func(v *view) *view {
		blocks := slices.Clone(v.blocks)
		for i, b := range blocks {
			if b.Meta().ID == id && len(b.Damage()) > 0 {
				blocks[i] = block.New(db.bucket, b.Meta(), db.opts.Codec)
			}
		}
		return &view{heads: v.heads, blocks: blocks}
	})
}

func (db *DB) delete(ctx context.Context, ids []block.ID) error {
	var errs []error
	for _, id := range ids {
		if err := block.Delete(ctx, db.bucket, db.opts.Name, id); err != nil {
			errs = append(errs, fmt.Errorf("delete block %s of database %s: %w", id, db.opts.Name, err))
		}
	}
	return errors.Join(errs...)
}

// sortOut returns the blocks that answer queries, and the IDs of those that others superseded or that were dropped, in the order in which they are to
// be deleted: a crash, or a Compactor that worked on the blocks while the database was closed, may have left some.
func (db *DB) sortOut(blocks []*block.Block, marks map[block.ID]time.Time) (live []*block.Block, retired []block.ID) {
	metas := make([]*block.Meta, len(blocks))
	for i, b := range blocks {
		metas[i] = b.Meta()
	}
	serving, retired := blocklist.Sort(db.opts.Name, metas, marks)
	serves := make(map[block.ID]bool)
	for _, id := range serving {
		serves[id] = true
	}
	for _, b := range blocks {
		if serves[b.Meta().ID] {
			live = append(live, b)
		}
	}
	return live, retired
}
