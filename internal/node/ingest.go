package node

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/metric"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/writepath/ingester"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// Ingest starts an ingester in the directory of this process. When it returns the ingester may still replay its log: Ready says so.
func (n *Node) Ingest(ctx context.Context) error {
	if err := n.checkZone(); err != nil {
		return err
	}
	policy, err := wal.ParseSync(string(n.cfg.WAL.Sync))
	if err != nil {
		return fmt.Errorf("wal.sync: %w", err)
	}
	if err := n.lock(); err != nil {
		return err
	}
	if err := n.checkLog(); err != nil {
		return err
	}
	settings, err := n.tenantSettings()
	if err != nil {
		return err
	}
	member, err := n.join(ctx, n.ingesters(), n.path("tokens"))
	if err != nil {
		return err
	}
	n.leaving = append(n.leaving, member.Stop)
	n.watched = member.Ring
	i, err := ingester.Start(ingester.Options{
		Dir: n.path("ingester"), Instance: n.cfg.Instance.Name(), Blocks: n.bucket, Ring: member, Known: member.Known(), Settled: member.Settled(),
		Whole: n.cfg.Ring.ForgetAfter, Keep: n.cfg.Ingester.Keep,
		Sync: policy, SyncEvery: n.cfg.WAL.SyncInterval, CutBytes: n.cfg.Cut.Bytes, CutAge: n.cfg.Cut.Age,
		Retention: func(tenant string) time.Duration { return settings.Retention(tenant).MaxAge },
		Limits:    settings.Limits,
		Logger:    n.log.Logger,
	})
	if err != nil {
		return err
	}
	i.Register(n.server)
	for _, path := range []string{"/flush", "/shutdown", "/prepare-downscale"} {
		n.admin.Handle("", path, i.Handler())
	}
	n.ingester = i
	n.ready = append(n.ready, i.Ready, func() error {
		if state := member.Self().State; state == "PENDING" || state == "JOINING" || time.Now().Before(member.Settled()) {
			return fmt.Errorf("the ring knows this instance since a moment ago, and nobody writes to it before ring.settle, %v, is over", n.cfg.Ring.Settle)
		}
		return nil
	})
	n.admin.Section("Ingester", func() daemon.Table { return ingesterStatus(i) })
	n.admin.Section("Tenants", func() daemon.Table { return DatabaseStatus(i.Each) })
	n.admin.Metrics.MustRegister(DatabaseMetrics(i.Each), metric.Of(ingesterMetrics, i.Stats), RefusedMetrics("tempo_ingester_refused_total", func() map[limits.Refused]int64 { return i.Stats().Refused }))
	watching, stop := context.WithCancel(context.Background())
	var watched sync.WaitGroup
	watched.Go(func() {
		if err := i.Wait(watching); err != nil && watching.Err() == nil {
			n.end(err)
			return
		}
		select {
		case <-i.Left():
			n.end(nil)
		case <-watching.Done():
		}
	})
	n.closeLast(func() error {
		stop()
		watched.Wait()
		return i.Close()
	})
	return nil
}

// Replayed returns when the ingester of this process has replayed its log, or can't.
func (n *Node) Replayed(ctx context.Context) error { return n.ingester.Wait(ctx) }

// checkLog returns an error if the directory is that of a store without an object store, whose log an ingester would not find.
func (n *Node) checkLog() error {
	tenants, err := os.ReadDir(n.path("log"))
	if err == nil && len(tenants) > 0 {
		return fmt.Errorf("storage directory %s holds recent traces of a tempo-plugin without storage.blocks, which would not be found any more: "+
			"set storage.path to another directory", n.cfg.Storage.Path)
	}
	return nil // it is tried to make what can't be read
}

func ingesterStatus(i *ingester.Ingester) daemon.Table {
	s := i.Stats()
	t := daemon.Table{Head: []string{"What", "How much", ""}}
	row := func(cells ...any) { t.Rows = append(t.Rows, cells) }
	if !s.Ready {
		row("Log that is replayed", daemon.Bytes(s.ReplayedBytes), fmt.Sprintf("of at most %d bytes", s.ReplayBytes))
	}
	if !s.Whole {
		row("Answers that count again from", s.WholeAt, daemon.Bad{Cell: s.Lost})
	}
	if s.Full != "" {
		row("Takes nothing", "", daemon.Bad{Cell: s.Full})
	}
	if s.Leaving {
		row("Leaving the ring", "", "")
	}
	failure := ""
	if s.LastFailure != nil {
		failure = s.LastFailure.Error()
	}
	row("Blocks to be copied to the object store", s.WaitingBlocks, daemon.BadIf(failure != "", failure))
	row("bytes of them", daemon.Bytes(s.WaitingBytes), "")
	if !s.Oldest.IsZero() {
		row("the oldest, made at", s.Oldest, "")
	}
	row("Blocks that are in the object store and here", s.KeptBlocks, "")
	row("Blocks copied since the start", s.Copied, "")
	row("bytes of them", daemon.Bytes(s.CopiedBytes), "")
	return t
}

// refused counts what limits have refused.
type refused struct {
	metric *prometheus.Desc
	counts func() map[limits.Refused]int64
}

// RefusedMetrics returns the metric of that name, which counts what limits have refused.
func RefusedMetrics(name string, counts func() map[limits.Refused]int64) prometheus.Collector {
	return refused{prometheus.NewDesc(name, "Parts of traces that were refused.", []string{"tenant", "reason"}, nil), counts}
}

// Describe implements prometheus.Collector.
func (r refused) Describe(to chan<- *prometheus.Desc) { to <- r.metric }

// Collect implements prometheus.Collector.
func (r refused) Collect(to chan<- prometheus.Metric) {
	for what, count := range r.counts() {
		to <- prometheus.MustNewConstMetric(r.metric, prometheus.CounterValue, float64(count), what.Tenant, what.Reason)
	}
}

type ingesterStats = ingester.Stats

var ingesterMetrics = []metric.Metric[ingesterStats]{
	metric.Gauge("tempo_ingester_replayed_bytes", "Bytes of the log that were replayed at start.", func(s *ingesterStats) float64 { return float64(s.ReplayedBytes) }),
	metric.Gauge("tempo_ingester_whole", "1 if its answers count, 0 if it may lack something that it acknowledged.", func(s *ingesterStats) float64 { return oneIf(s.Whole) }),
	metric.Gauge("tempo_ingester_full", "1 if it takes nothing, because of its disk or of what waits.", func(s *ingesterStats) float64 { return oneIf(s.Full != "") }),
	metric.Gauge("tempo_ingester_leaving", "1 if it is about to leave the ring.", func(s *ingesterStats) float64 { return oneIf(s.Leaving) }),
	metric.Gauge("tempo_ingester_pushing_bytes", "Bytes of the pushes that are going on.", func(s *ingesterStats) float64 { return float64(s.PushingBytes) }),
	metric.Gauge("tempo_ingester_waiting_blocks", "Blocks that wait to be copied to the object store.", func(s *ingesterStats) float64 { return float64(s.WaitingBlocks) }),
	metric.Gauge("tempo_ingester_waiting_bytes", "Bytes of blocks that wait to be copied to the object store.", func(s *ingesterStats) float64 { return float64(s.WaitingBytes) }),
	metric.Gauge("tempo_ingester_waiting_seconds", "Age of the oldest block that waits to be copied to the object store.", func(s *ingesterStats) float64 { return since(s.Oldest) }),
	metric.Gauge("tempo_ingester_kept_blocks", "Blocks that are in the object store and here.", func(s *ingesterStats) float64 { return float64(s.KeptBlocks) }),
	metric.Counter("tempo_ingester_copied_total", "Blocks copied to the object store.", func(s *ingesterStats) float64 { return float64(s.Copied) }),
	metric.Counter("tempo_ingester_copied_bytes_total", "Bytes of blocks copied to the object store.", func(s *ingesterStats) float64 { return float64(s.CopiedBytes) }),
	metric.Counter("tempo_ingester_copy_errors_total", "Tries to copy a block to the object store that failed; they are repeated.", func(s *ingesterStats) float64 { return float64(s.CopyErrors) }),
	metric.Counter("tempo_ingester_dropped_total", "Blocks dropped here after they were copied.", func(s *ingesterStats) float64 { return float64(s.Dropped) }),
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func since(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return time.Since(t).Seconds()
}
