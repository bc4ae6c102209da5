package tempodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/page"
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
	drop := compact.Retain(db.metas(), time.Now(), db.opts.Retention)
	if len(drop) == 0 {
		return nil
	}
	db.opts.Logger.Info("blocks dropped by retention", "database", db.opts.Name, "blocks", drop)
	db.stats.retained.Add(int64(len(drop)))
	return db.exchange(ctx, drop, nil)
}

// Compact merges blocks until Options.Compaction finds nothing more to merge.
func (db *DB) Compact(ctx context.Context) error {
	db.maintaining.Lock()
	defer db.maintaining.Unlock()
	for {
		jobs := compact.Plan(db.metas(), time.Now(), db.opts.Compaction)
		if len(jobs) == 0 {
			return nil
		}
		if err := db.merge(ctx, &jobs[0]); err != nil {
			return err
		}
	}
}

// noneGone reports whether all the blocks are still served.
func (db *DB) noneGone(ids []block.ID) bool {
	served := make(map[block.ID]bool)
	for _, m := range db.metas() {
		served[m.ID] = true
	}
	return !slices.ContainsFunc(ids, func(id block.ID) bool { return !served[id] })
}

// metas returns what the live blocks are.
func (db *DB) metas() []*block.Meta {
	var metas []*block.Meta
	for _, b := range db.view.Load().blocks {
		metas = append(metas, b.Meta())
	}
	return metas
}

// merge does a job of compaction.
func (db *DB) merge(ctx context.Context, job *compact.Job) error {
	began := time.Now()
	var ids []block.ID
	var inputs []*block.Block
	blocks := db.view.Load().blocks
	for _, m := range job.Inputs {
		ids = append(ids, m.ID)
		i := slices.IndexFunc(blocks, func(b *block.Block) bool { return b.Meta().ID == m.ID })
		inputs = append(inputs, blocks[i]) // only who holds db.maintaining takes blocks away
	}
	m, err := block.Merge(ctx, db.bucket, db.opts.Name, inputs, block.MergeOptions{Codec: db.opts.Codec})
	if page.IsCorrupt(err) {
		// The next plan is made of what is left of them.
		for _, id := range ids {
			if aside := db.setAside(ctx, id); aside != nil {
				return errors.Join(err, aside)
			}
		}
		if db.noneGone(ids) {
			return fmt.Errorf("compact blocks %v: damage that a salvage does not find: %w", ids, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("compact blocks %v: %w", ids, err)
	}
	db.stats.compactions.Add(1)
	db.stats.compactedRows.Add(m.Rows)
	db.opts.Logger.Info("blocks compacted", "database", db.opts.Name, "inputs", ids, "output", m.ID, "keys", m.Keys, "rows", m.Rows,
		"bytes", m.Bytes(), "seconds", time.Since(began).Seconds())
	return db.exchange(ctx, ids, block.New(db.bucket, m, db.opts.Codec))
}

// exchange takes blocks away, puts another in their place if it is not nil, and deletes the former when no query uses them.
//
// If deleting fails or is cut short the blocks are still in the bucket: those that were merged are superseded by the one that names them its
// parents, and are deleted at the next Open.
func (db *DB) exchange(ctx context.Context, ids []block.ID, with *block.Block) error {
	old := db.replace(func(v *view) *view {
		blocks := slices.DeleteFunc(slices.Clone(v.blocks), func(b *block.Block) bool { return slices.Contains(ids, b.Meta().ID) })
		if with != nil {
			blocks = append(blocks, with)
		}
		return &view{heads: v.heads, blocks: blocks}
	})
	old.retire()
	return db.delete(ctx, ids)
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

// cutSuperseded returns the blocks that no other block has for a parent, and the IDs of the rest: what they have, their children have.
func cutSuperseded(blocks []*block.Block) (live []*block.Block, superseded []block.ID) {
	parents := make(map[block.ID]bool)
	for _, b := range blocks {
		for _, id := range b.Meta().Parents {
			parents[id] = true
		}
	}
	for _, b := range blocks {
		if id := b.Meta().ID; parents[id] {
			superseded = append(superseded, id)
		} else {
			live = append(live, b)
		}
	}
	return live, superseded
}
