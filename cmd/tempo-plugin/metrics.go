package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// storeMetrics gives the state of each tenant's database to Prometheus.
type storeMetrics struct{ store *tracedb.Store }

type storeMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*tempodb.Stats) float64
}

func metric(kind prometheus.ValueType, name, help string, value func(*tempodb.Stats) float64) storeMetric {
	return storeMetric{prometheus.NewDesc(name, help, []string{"tenant"}, nil), kind, value}
}

func (storeMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, m := range metrics {
		to <- m.desc
	}
}

func (s storeMetrics) Collect(to chan<- prometheus.Metric) {
	s.store.Each(func(tenant string, db *tempodb.DB) {
		stats := db.Stats()
		for _, m := range metrics {
			to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&stats), tenant)
		}
	})
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

var metrics = []storeMetric{
	metric(counter, "tempo_wal_appends_total", "Records acknowledged by the log.",
		func(s *tempodb.Stats) float64 { return float64(s.Log.Appends) }),
	metric(counter, "tempo_wal_appended_bytes_total", "Bytes acknowledged by the log.",
		func(s *tempodb.Stats) float64 { return float64(s.Log.Bytes) }),
	metric(counter, "tempo_wal_failed_appends_total", "Records refused because the file system failed.",
		func(s *tempodb.Stats) float64 { return float64(s.Log.Failed) }),
	metric(counter, "tempo_wal_commits_total", "Writes to the log; one carries all records that came together.",
		func(s *tempodb.Stats) float64 { return float64(s.Log.Commits) }),
	metric(counter, "tempo_wal_syncs_total", "Syncs of the log, failed ones included.",
		func(s *tempodb.Stats) float64 { return float64(s.Log.Syncs) }),
	metric(counter, "tempo_wal_sync_seconds_total", "Time spent in syncs of the log.",
		func(s *tempodb.Stats) float64 { return s.Log.SyncTime.Seconds() }),
	metric(counter, "tempo_wal_sync_errors_total", "Syncs of the log that failed.",
		func(s *tempodb.Stats) float64 { return float64(s.Log.SyncErrors) }),
	metric(counter, "tempo_wal_write_errors_total", "Writes to the log that failed.",
		func(s *tempodb.Stats) float64 { return float64(s.Log.WriteErrors) }),
	metric(gauge, "tempo_wal_segments", "Segments of the log.",
		func(s *tempodb.Stats) float64 { return float64(s.Segments) }),
	metric(gauge, "tempo_wal_replay_seconds", "Duration of the replay at start.",
		func(s *tempodb.Stats) float64 { return s.Replay.Duration.Seconds() }),
	metric(gauge, "tempo_wal_replay_records", "Records that the replay at start found.",
		func(s *tempodb.Stats) float64 { return float64(s.Replay.Records) }),
	metric(gauge, "tempo_wal_replay_corruptions", "Damaged parts of the log that the replay at start found; kept aside.",
		func(s *tempodb.Stats) float64 { return float64(s.Log.CorruptParts) }),
	metric(gauge, "tempo_wal_replay_torn_tails", "Unfinished records that the replay at start cut off; ordinary after a crash.",
		func(s *tempodb.Stats) float64 { return float64(s.Log.TornTails) }),

	metric(counter, "tempo_tempodb_appended_total", "Entries (parts of a trace) stored.",
		func(s *tempodb.Stats) float64 { return float64(s.Appended) }),
	metric(gauge, "tempo_tempodb_recent_keys", "Traces of which something is not in a block yet.",
		func(s *tempodb.Stats) float64 { return float64(s.RecentKeys) }),
	metric(gauge, "tempo_tempodb_recent_bytes", "Bytes that are not in a block yet.",
		func(s *tempodb.Stats) float64 { return float64(s.RecentBytes) }),
	metric(gauge, "tempo_tempodb_waiting_bytes", "The part of the recent bytes that is being written as a block or waits for it.",
		func(s *tempodb.Stats) float64 { return float64(s.WaitingBytes) }),
	metric(gauge, "tempo_tempodb_index_bytes", "Memory of the index of recent data.",
		func(s *tempodb.Stats) float64 { return float64(s.IndexBytes) }),
	metric(gauge, "tempo_tempodb_unindexed_records", "Records of the log that could not be indexed at start.",
		func(s *tempodb.Stats) float64 { return float64(s.Unindexed) }),
	metric(gauge, "tempo_tempodb_blocks", "Blocks that serve queries.",
		func(s *tempodb.Stats) float64 { return float64(s.Blocks) }),
	metric(gauge, "tempo_tempodb_block_bytes", "Bytes of the blocks that serve queries.",
		func(s *tempodb.Stats) float64 { return float64(s.BlockBytes) }),
	metric(gauge, "tempo_tempodb_block_rows", "Spans in the blocks that serve queries.",
		func(s *tempodb.Stats) float64 { return float64(s.BlockRows) }),
	metric(gauge, "tempo_tempodb_damaged_blocks", "Blocks that could not be opened and are left out of answers.",
		func(s *tempodb.Stats) float64 { return float64(len(s.DamagedBlocks)) }),
	metric(counter, "tempo_tempodb_cuts_total", "Blocks written.",
		func(s *tempodb.Stats) float64 { return float64(s.Cuts) }),
	metric(counter, "tempo_tempodb_cut_errors_total", "Tries to write a block that failed; they are repeated.",
		func(s *tempodb.Stats) float64 { return float64(s.CutErrors) }),
	metric(counter, "tempo_tempodb_compactions_total", "Blocks made by merging others.",
		func(s *tempodb.Stats) float64 { return float64(s.Compactions) }),
	metric(counter, "tempo_tempodb_compacted_rows_total", "Spans in blocks made by merging others.",
		func(s *tempodb.Stats) float64 { return float64(s.CompactedRows) }),
	metric(gauge, "tempo_tempodb_compaction_backlog_bytes", "Bytes that are to be merged until nothing is due.",
		func(s *tempodb.Stats) float64 { return float64(s.Backlog.Bytes) }),
	metric(counter, "tempo_tempodb_retained_total", "Blocks dropped by retention.",
		func(s *tempodb.Stats) float64 { return float64(s.Retained) }),
	metric(counter, "tempo_tempodb_salvaged_total", "Damaged blocks that were set aside into the quarantine.",
		func(s *tempodb.Stats) float64 { return float64(s.Salvaged) }),
	metric(gauge, "tempo_tempodb_damage", "Damaged places met in blocks that serve queries.",
		func(s *tempodb.Stats) float64 { return float64(len(s.Damage)) }),
	metric(counter, "tempo_tempodb_maintain_errors_total", "Compactions and retentions that failed; they are repeated.",
		func(s *tempodb.Stats) float64 { return float64(s.MaintainErrors) }),
}
