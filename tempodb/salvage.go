package tempodb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// Salvage sets aside the blocks in which damage was met, by queries, by a compaction or at Open: what is whole of a block goes on in a new one,
// and the block with a report goes to the quarantine (see block.Salvage). It does nothing to blocks whose damage nobody has met.
func (db *DB) Salvage(ctx context.Context) error {
	db.maintaining.Lock()
	defer db.maintaining.Unlock()
	var errs []error
	for _, b := range db.view.Load().blocks {
		if len(b.Damage()) > 0 {
			errs = append(errs, db.setAside(ctx, b.Meta().ID))
		}
	}
	for len(db.unopened) > 0 {
		if err := db.setAside(ctx, db.unopened[0]); err != nil {
			errs = append(errs, err)
			break
		}
		db.unopened = db.unopened[1:]
	}
	return errors.Join(errs...)
}

// setAside salvages a block, if it is damaged, and serves what was saved in its place. Who calls holds db.maintaining.
func (db *DB) setAside(ctx context.Context, id block.ID) error {
	report, err := block.Salvage(ctx, db.bucket, db.opts.Name, id, db.opts.Codec, block.SalvageOptions{By: "tempodb"})
	switch {
	case errors.Is(err, block.ErrSound):
		// What was met has passed: the block begins anew, with no damage to its name.
		db.replace(func(v *view) *view {
			blocks := slices.Clone(v.blocks)
			for i, b := range blocks {
				if b.Meta().ID == id && len(b.Damage()) > 0 {
					blocks[i] = block.New(db.bucket, b.Meta(), db.opts.Codec)
				}
			}
			return &view{heads: v.heads, blocks: blocks}
		})
		return nil
	case errors.Is(err, backend.ErrNotExist):
		return db.exchange(ctx, []block.ID{id}, nil)
	case err != nil:
		return err
	}
	var saved *block.Block
	if report.NewBlock != "" {
		if saved, err = block.Open(ctx, db.bucket, db.opts.Name, report.NewBlock, db.opts.Codec); err != nil {
			return fmt.Errorf("what was salvaged of block %s: %w", id, err)
		}
	}
	db.stats.salvaged.Add(1)
	db.opts.Logger.Error("damaged block set aside", "database", db.opts.Name, "block", id, "damaged_places", report.DamageCount, "keys", report.Keys,
		"saved", report.Saved, "into", report.NewBlock, "kept_under", block.QuarantineFolder+"/"+db.opts.Name+"/"+string(id))
	return db.exchange(ctx, []block.ID{id}, saved)
}
