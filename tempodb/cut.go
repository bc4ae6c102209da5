package tempodb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// nudge makes the cutter look whether there is something to do.
func (db *DB) nudge() {
	select {
	case db.wake <- struct{}{}:
	default:
	}
}

// cutLoop seals heads that are full or old and writes sealed heads as blocks, until ctx ends.
func (db *DB) cutLoop(ctx context.Context) {
	var old <-chan time.Time
	if db.opts.CutAge > 0 {
		ticker := time.NewTicker(max(db.opts.CutAge/10, 10*time.Millisecond))
		defer ticker.Stop()
		old = ticker.C
	}
	const shortest, longest = 100 * time.Millisecond, 5 * time.Second
	pause := shortest
	for {
		err := db.cutDue(ctx)
		var again <-chan time.Time
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			db.stats.cutErrors.Add(1)
			db.opts.Logger.Error("recent data can't be written as a block; it stays in the log, and is tried again",
				"database", db.opts.Name, "in", pause, "error", err)
			again = time.After(pause)
			pause = min(2*pause, longest)
		default:
			pause = shortest
		}
		select {
		case <-ctx.Done():
			return
		case <-db.wake:
			if again != nil {
				// The next try is when the pause is over, not with every Append.
				select {
				case <-ctx.Done():
					return
				case <-again:
				}
			}
		case <-old:
		case <-again:
		}
	}
}

// cutDue seals the active head if it is due, and writes all sealed heads.
func (db *DB) cutDue(ctx context.Context) error {
	v := db.view.Load()
	due := v.heads[len(v.heads)-1].due(db.opts.CutBytes, db.opts.CutAge)
	return db.cut(ctx, due)
}

// Cut writes everything appended before the call as blocks. It returns when they are in the object store and serve queries.
func (db *DB) Cut(ctx context.Context) error {
	if db.closed.Load() {
		return ErrClosed
	}
	return db.cut(ctx, true)
}

func (db *DB) cut(ctx context.Context, seal bool) error {
	select {
	case db.cutting <- struct{}{}:
		defer func() { <-db.cutting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if db.closed.Load() {
		return ErrClosed
	}
	if seal {
		if err := db.seal(); err != nil {
			return err
		}
	}
	for {
		heads := db.view.Load().heads
		if len(heads) == 1 {
			return nil
		}
		if db.closed.Load() {
			return ErrClosed
		}
		if err := db.write(ctx, heads[0]); err != nil {
			return err
		}
	}
}

// seal makes the active head a sealed one, if it holds anything, and begins another.
func (db *DB) seal() error {
	db.push.Lock()
	defer db.push.Unlock()
	h := db.active
	if h.entries == 0 {
		return nil
	}
	if _, err := db.log.Rotate(); err != nil {
		return fmt.Errorf("seal recent data of database %s: %w", db.opts.Name, err)
	}
	for _, segment := range db.log.Segments() {
		if !segment.Active {
			h.through = max(h.through, segment.ID)
		}
	}
	db.active = newHead(db.opts.Codec, db.log, h.through)
	db.waiting.Add(h.bytes)
	db.replace(func(v *view) *view {
		return &view{heads: append(slices.Clone(v.heads), db.active), blocks: v.blocks}
	})
	return nil
}

// write writes a sealed head as a block, lets queries ask the block instead of the head, and removes the head's part of the log.
func (db *DB) write(ctx context.Context, h *head) error {
	begin := time.Now()
	var segments []uint64
	var sources []string
	for _, segment := range db.log.Segments() {
		if segment.ID > h.from && segment.ID <= h.through {
			segments = append(segments, segment.ID)
			sources = append(sources, db.source(segment.ID))
		}
	}
	b, err := db.writeBlock(ctx, h, sources)
	if err != nil {
		return fmt.Errorf("cut a block of database %s: %w", db.opts.Name, err)
	}
	old := db.replace(func(v *view) *view {
		return &view{heads: v.heads[1:], blocks: append(slices.Clone(v.blocks), b)}
	})
	db.waiting.Add(-h.bytes)
	db.recent.Add(-h.bytes)
	db.makeRoom()
	old.retire() // queries that began before ask the head still
	for _, segment := range segments {
		if err := db.log.Remove(segment); err != nil {
			// The next Open removes it, since the block names it as a source.
			db.opts.Logger.Warn("log segment can't be removed", "database", db.opts.Name, "segment", segment, "error", err)
		}
	}
	select {
	case db.wakeMaintain <- struct{}{}:
	default:
	}
	db.stats.cuts.Add(1)
	m := b.Meta()
	db.opts.Logger.Info("block cut", "database", db.opts.Name, "block", m.ID, "keys", m.Keys, "rows", m.Rows,
		"log_bytes", h.bytes, "seconds", time.Since(begin).Seconds())
	return nil
}

func (db *DB) writeBlock(ctx context.Context, h *head, sources []string) (*block.Block, error) {
	w, err := block.NewWriter(ctx, db.bucket, db.opts.Name, block.WriterOptions{
		Codec: db.opts.Codec, Sources: sources, Rows: h.rows, Owners: h.keys,
	})
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	var values [][]byte
	var merged []byte
	for _, key := range h.sortedKeys() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if values, err = h.appendValues(values[:0], key); err != nil {
			return nil, err
		}
		if merged, err = db.opts.Codec.Merge(merged[:0], values...); err != nil {
			return nil, fmt.Errorf("merge values of key %x: %w", key, err)
		}
		if err := h.settle(key, merged, values); err != nil {
			return nil, fmt.Errorf("list rows of key %x: %w", key, err)
		}
		if err := w.Add(key, merged); err != nil {
			return nil, err
		}
	}
	m, err := w.Finish(ctx)
	if err != nil {
		return nil, err
	}
	return block.New(db.bucket, m, db.opts.Codec), nil
}
