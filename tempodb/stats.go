package tempodb

import (
	"sync/atomic"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// Stats is a database's state and its counters since Open.
type Stats struct {
	// Log are the log's counters, and Replay what the replay at Open found.
	Log    wal.Stats
	Replay wal.Report
	// Segments is the number of the log's segments.
	Segments int
	// RecentBytes and RecentKeys count the values and keys that are not in blocks yet; IndexBytes is about the memory of their indexes.
	RecentBytes, IndexBytes int64
	RecentKeys              int
	// WaitingBytes is the part of RecentBytes that is being written or waits for it.
	WaitingBytes int64
	// Blocks, BlockBytes and BlockRows count the blocks that serve queries.
	Blocks     int
	BlockBytes int64
	BlockRows  int64
	// DamagedBlocks says which blocks could not be opened, and why.
	DamagedBlocks []error
	// Appended and AppendedBytes count entries and their bytes; Unindexed records of the log that could not be indexed.
	Appended, AppendedBytes, Unindexed int64
	// Cuts and CutErrors count blocks written, and tries that failed.
	Cuts, CutErrors int64
	// Compactions and CompactedRows count merges and the rows they have written, Retained the blocks dropped by retention, and MaintainErrors
	// the failures of either.
	Compactions, CompactedRows, Retained, MaintainErrors int64
	// Salvaged counts damaged blocks that were set aside; Damage says what damage was met in blocks that are served.
	Salvaged int64
	Damage   []error
	// Backlog is how much compaction is due.
	Backlog compact.Backlog
}

type counters struct {
	appended, appendedBytes, unindexed, cuts, cutErrors, maintainErrors atomic.Int64
	upkeepCounters
}

// Stats returns the database's state.
func (db *DB) Stats() Stats {
	s := Stats{
		Log:           db.log.Stats(),
		Replay:        db.replay,
		Segments:      len(db.log.Segments()),
		WaitingBytes:  db.waiting.Load(),
		DamagedBlocks: db.damaged,
		Appended:      db.stats.appended.Load(),
		AppendedBytes: db.stats.appendedBytes.Load(),
		Unindexed:     db.stats.unindexed.Load(),
		Cuts:          db.stats.cuts.Load(),
		CutErrors:     db.stats.cutErrors.Load(),

		Compactions:    db.stats.merges.Load(),
		CompactedRows:  db.stats.mergedRows.Load(),
		Retained:       db.stats.dropped.Load(),
		MaintainErrors: db.stats.maintainErrors.Load(),
		Salvaged:       db.stats.salvaged.Load(),
		Backlog:        compact.Due(db.metas(), time.Now(), db.opts.Compaction),
	}
	v := db.view.Load()
	for _, h := range v.heads {
		h.mu.RLock()
		s.RecentBytes += h.bytes
		s.RecentKeys += len(h.keys)
		s.IndexBytes += h.rows.Bytes()
		h.mu.RUnlock()
	}
	for _, b := range v.blocks {
		m := b.Meta()
		s.Blocks++
		s.BlockBytes += m.Bytes()
		s.BlockRows += m.Rows
		s.Damage = append(s.Damage, b.Damage()...)
	}
	return s
}
