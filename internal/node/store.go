package node

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/backend/open"
	"github.com/jaeger-tempo/tempo/tempodb/backend/place"
)

// objectStore is what is known of the object store.
type objectStore struct {
	at     place.Place
	claims bool          // it is a backend.Claimer
	dir    *local.Bucket // nil if it is no directory
}

// isLocal reports whether it is a directory: the operating system caches it, and it does not fail for a moment.
func (s objectStore) isLocal() bool { return s.dir != nil }

func (n *Node) openStore(ctx context.Context) error {
	url := n.cfg.Storage.Blocks
	if url == "" {
		url = n.path("blocks")
	}
	at, err := place.Parse(url)
	if err != nil {
		return fmt.Errorf("storage.blocks: %w", err)
	}
	raw, err := open.Open(ctx, at, open.FromEnv(os.LookupEnv))
	if err != nil {
		return fmt.Errorf("storage.blocks: %w", err)
	}
	n.closeLast(raw.Close)
	_, claims := raw.(backend.Claimer)
	n.store = objectStore{at: at, claims: claims}
	counted := instrument.Count(raw, instrument.CountOptions{
		Kind: instrument.LastElement("data", "index", "filter", "search", "summary", "meta.json"),
	})
	n.admin.Metrics.MustRegister(counted.Collector())
	if n.store.dir, _ = raw.(*local.Bucket); n.store.dir != nil {
		n.bucket = tracing.Bucket(counted)
		return nil
	}
	retries := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tempo_backend_retries_total", Help: "Requests to the object store that failed and were made again.",
	})
	hedged := instrument.Hedge(counted, instrument.HedgeOptions{})
	hedges := func(name, help string, of func(instrument.HedgeStats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(of(hedged.Stats())) })
	}
	n.admin.Metrics.MustRegister(retries,
		hedges("tempo_backend_hedges_total", "Reads that were late and were asked for a second time.", func(s instrument.HedgeStats) int64 { return s.Hedges }),
		hedges("tempo_backend_hedges_won_total", "Reads of which the second answer came first.", func(s instrument.HedgeStats) int64 { return s.Won }),
		hedges("tempo_backend_hedges_denied_total", "Reads that were late, when too many had been asked for twice.", func(s instrument.HedgeStats) int64 { return s.Denied }),
	)
	n.bucket = tracing.Bucket(instrument.Retry(hedged, instrument.RetryOptions{
		OnRetry: func(instrument.Op, string, error, time.Duration) { retries.Inc() },
	}))
	return nil
}
