package compactor

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jaeger-tempo/tempo/internal/metric"
	"github.com/jaeger-tempo/tempo/tempodb"
)

// Collector returns the metrics of all tenants.
func (c *Compactor) Collector() prometheus.Collector { return metric.ByTenant(metrics, c.Each) }

type stats = tempodb.CompactorStats

var metrics = []metric.Metric[stats]{
	metric.Gauge("tempo_compactor_blocks", "Live blocks.", func(s *stats) float64 { return float64(s.Blocks) }),
	metric.Gauge("tempo_compactor_block_bytes", "Bytes of the live blocks.", func(s *stats) float64 { return float64(s.Bytes) }),
	metric.Gauge("tempo_compactor_retired_blocks", "Blocks that were merged or dropped, and wait for their grace period to be over.",
		func(s *stats) float64 { return float64(s.Retired) }),
	metric.Gauge("tempo_compactor_damaged_blocks", "Blocks whose meta.json can't be read.", func(s *stats) float64 { return float64(s.Damaged) }),
	metric.Gauge("tempo_compactor_backlog_jobs", "Merges until nothing is due, by whomever.", func(s *stats) float64 { return float64(s.Backlog.Jobs) }),
	metric.Gauge("tempo_compactor_backlog_bytes", "Bytes to be merged until nothing is due, by whomever.", func(s *stats) float64 { return float64(s.Backlog.Bytes) }),
	metric.Gauge("tempo_compactor_merging_jobs", "Merges under way in this process.", func(s *stats) float64 {
		if s.Merging == nil {
			return 0
		}
		return 1
	}),
	metric.Counter("tempo_compactor_merges_total", "Merges done by this process.", func(s *stats) float64 { return float64(s.Merges) }),
	metric.Counter("tempo_compactor_merged_rows_total", "Spans in blocks that this process has made by merging.", func(s *stats) float64 { return float64(s.MergedRows) }),
	metric.Counter("tempo_compactor_merged_bytes_total", "Bytes of blocks that this process has merged.", func(s *stats) float64 { return float64(s.MergedBytes) }),
	metric.Counter("tempo_compactor_claims_lost_total", "Jobs that others had claimed.", func(s *stats) float64 { return float64(s.ClaimsLost) }),
	metric.Counter("tempo_compactor_claims_taken_total", "Claims taken over from who did not renew them.", func(s *stats) float64 { return float64(s.ClaimsTaken) }),
	metric.Counter("tempo_compactor_outrun_total", "Jobs that others had done when it was their turn.", func(s *stats) float64 { return float64(s.Outrun) }),
	metric.Counter("tempo_compactor_retained_total", "Blocks dropped by retention.", func(s *stats) float64 { return float64(s.Dropped) }),
	metric.Counter("tempo_compactor_salvaged_total", "Damaged blocks set aside into the quarantine.", func(s *stats) float64 { return float64(s.Salvaged) }),
	metric.Counter("tempo_compactor_deleted_total", "Blocks and remains deleted.", func(s *stats) float64 { return float64(s.Deleted) }),
	metric.Counter("tempo_compactor_errors_total", "Rounds that failed; they are repeated.", func(s *stats) float64 { return float64(s.Errors) }),
}
