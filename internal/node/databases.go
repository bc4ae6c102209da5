package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/metric"
	"github.com/jaeger-tempo/tempo/tempodb"
)

// EachDatabase calls fn with the database of every tenant, as tracedb.Store.Each does.
type EachDatabase func(fn func(tenant string, db *tempodb.DB))

// DatabaseStatus says what there is of each tenant, for the status page.
func DatabaseStatus(each EachDatabase) daemon.Table {
	t := daemon.Table{Head: []string{"Tenant", "Log segments", "recent", "Blocks", "in blocks", "spans in blocks", "damaged blocks"}}
	each(func(tenant string, db *tempodb.DB) {
		s := db.Stats()
		damaged := len(s.DamagedBlocks)
		t.Rows = append(t.Rows, []any{
			tenant, s.Segments, daemon.Bytes(s.RecentBytes), s.Blocks, daemon.Bytes(s.BlockBytes), s.BlockRows, daemon.BadIf(damaged > 0, damaged),
		})
	})
	return t
}

// DatabaseMetrics gives the state of each tenant's database to Prometheus.
func DatabaseMetrics(each EachDatabase) prometheus.Collector {
	return metric.ByTenant(databaseMetrics, func(fn func(tenant string, s *stats)) {
		each(func(tenant string, db *tempodb.DB) {
			s := db.Stats()
			fn(tenant, &s)
		})
	})
}

type stats = tempodb.Stats

var databaseMetrics = []metric.Metric[stats]{
	metric.Counter("tempo_wal_appends_total", "Records acknowledged by the log.",
		func(s *stats) float64 { return float64(s.Log.Appends) }),
	metric.Counter("tempo_wal_appended_bytes_total", "Bytes acknowledged by the log.",
		func(s *stats) float64 { return float64(s.Log.Bytes) }),
	metric.Counter("tempo_wal_failed_appends_total", "Records refused because the file system failed.",
		func(s *stats) float64 { return float64(s.Log.Failed) }),
	metric.Counter("tempo_wal_commits_total", "Writes to the log; one carries all records that came together.",
		func(s *stats) float64 { return float64(s.Log.Commits) }),
	metric.Counter("tempo_wal_syncs_total", "Syncs of the log, failed ones included.",
		func(s *stats) float64 { return float64(s.Log.Syncs) }),
	metric.Counter("tempo_wal_sync_seconds_total", "Time spent in syncs of the log.",
		func(s *stats) float64 { return s.Log.SyncTime.Seconds() }),
	metric.Counter("tempo_wal_sync_errors_total", "Syncs of the log that failed.",
		func(s *stats) float64 { return float64(s.Log.SyncErrors) }),
	metric.Counter("tempo_wal_write_errors_total", "Writes to the log that failed.",
		func(s *stats) float64 { return float64(s.Log.WriteErrors) }),
	metric.Gauge("tempo_wal_segments", "Segments of the log.",
		func(s *stats) float64 { return float64(s.Segments) }),
	metric.Gauge("tempo_wal_replay_seconds", "Duration of the replay at start.",
		func(s *stats) float64 { return s.Replay.Duration.Seconds() }),
	metric.Gauge("tempo_wal_replay_records", "Records that the replay at start found.",
		func(s *stats) float64 { return float64(s.Replay.Records) }),
	metric.Gauge("tempo_wal_replay_corruptions", "Damaged parts of the log that the replay at start found; kept aside.",
		func(s *stats) float64 { return float64(s.Log.CorruptParts) }),
	metric.Gauge("tempo_wal_replay_torn_tails", "Unfinished records that the replay at start cut off; ordinary after a crash.",
		func(s *stats) float64 { return float64(s.Log.TornTails) }),

	metric.Counter("tempo_tempodb_appended_total", "Entries (parts of a trace) stored.",
		func(s *stats) float64 { return float64(s.Appended) }),
	metric.Gauge("tempo_tempodb_recent_keys", "Traces of which something is not in a block yet.",
		func(s *stats) float64 { return float64(s.RecentKeys) }),
	metric.Gauge("tempo_tempodb_recent_bytes", "Bytes that are not in a block yet.",
		func(s *stats) float64 { return float64(s.RecentBytes) }),
	metric.Gauge("tempo_tempodb_waiting_bytes", "The part of the recent bytes that is being written as a block or waits for it.",
		func(s *stats) float64 { return float64(s.WaitingBytes) }),
	metric.Gauge("tempo_tempodb_index_bytes", "Memory of the index of recent data.",
		func(s *stats) float64 { return float64(s.IndexBytes) }),
	metric.Gauge("tempo_tempodb_unindexed_records", "Records of the log that could not be indexed at start.",
		func(s *stats) float64 { return float64(s.Unindexed) }),
	metric.Gauge("tempo_tempodb_blocks", "Blocks that serve queries.",
		func(s *stats) float64 { return float64(s.Blocks) }),
	metric.Gauge("tempo_tempodb_block_bytes", "Bytes of the blocks that serve queries.",
		func(s *stats) float64 { return float64(s.BlockBytes) }),
	metric.Gauge("tempo_tempodb_block_rows", "Spans in the blocks that serve queries.",
		func(s *stats) float64 { return float64(s.BlockRows) }),
	metric.Gauge("tempo_tempodb_damaged_blocks", "Blocks that could not be opened and are left out of answers.",
		func(s *stats) float64 { return float64(len(s.DamagedBlocks)) }),
	metric.Counter("tempo_tempodb_cuts_total", "Blocks written.",
		func(s *stats) float64 { return float64(s.Cuts) }),
	metric.Counter("tempo_tempodb_cut_errors_total", "Tries to write a block that failed; they are repeated.",
		func(s *stats) float64 { return float64(s.CutErrors) }),
	metric.Counter("tempo_tempodb_compactions_total", "Blocks made by merging others.",
		func(s *stats) float64 { return float64(s.Compactions) }),
	metric.Counter("tempo_tempodb_compacted_rows_total", "Spans in blocks made by merging others.",
		func(s *stats) float64 { return float64(s.CompactedRows) }),
	metric.Gauge("tempo_tempodb_compaction_backlog_bytes", "Bytes that are to be merged until nothing is due.",
		func(s *stats) float64 { return float64(s.Backlog.Bytes) }),
	metric.Counter("tempo_tempodb_retained_total", "Blocks dropped by retention.",
		func(s *stats) float64 { return float64(s.Retained) }),
	metric.Counter("tempo_tempodb_salvaged_total", "Damaged blocks that were set aside into the quarantine.",
		func(s *stats) float64 { return float64(s.Salvaged) }),
	metric.Gauge("tempo_tempodb_damage", "Damaged places met in blocks that serve queries.",
		func(s *stats) float64 { return float64(len(s.Damage)) }),
	metric.Counter("tempo_tempodb_maintain_errors_total", "Compactions and retentions that failed; they are repeated.",
		func(s *stats) float64 { return float64(s.MaintainErrors) }),
}
