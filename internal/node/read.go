package node

import (
	"context"
	"slices"

	"github.com/jaeger-tempo/tempo/internal/metric"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/readpath/cluster"
	"github.com/jaeger-tempo/tempo/readpath/querier"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/cache"
)

// Reader returns what answers from all ingesters and from the object store. It asks nobody yet.
func (n *Node) Reader(ctx context.Context) (readpath.Store, error) {
	watched, pool, err := n.connect(ctx)
	if err != nil {
		return nil, err
	}
	bucket, err := n.cached()
	if err != nil {
		return nil, err
	}
	reader, err := cluster.New(cluster.Options{
		Ring: watched, Pool: pool, Bucket: bucket, CacheBytes: -1, PollEvery: n.cfg.Reader.PollInterval,
		Queriers: n.cfg.Reader.Queriers.Elements(), Logger: n.log.Logger,
	})
	if err != nil {
		return nil, err
	}
	n.closeLast(reader.Close)
	n.admin.Metrics.MustRegister(metric.Of(readerMetrics, reader.Stats))
	return reader, nil
}

// Query starts a querier, which answers questions about blocks for other processes. It needs no directory and no ring.
func (n *Node) Query(context.Context) error {
	bucket, err := n.cached()
	if err != nil {
		return err
	}
	q, err := querier.New(querier.Options{Bucket: bucket, Logger: n.log.Logger})
	if err != nil {
		return err
	}
	q.Register(n.server)
	n.admin.Metrics.MustRegister(metric.Of(querierMetrics, q.Stats))
	return nil
}

type querierStats = querier.Stats

var querierMetrics = []metric.Metric[querierStats]{
	metric.Counter("tempo_querier_questions_total", "Questions that were asked.", func(s *querierStats) float64 { return float64(s.Questions) }),
	metric.Counter("tempo_querier_failed_total", "Questions that it could not answer.", func(s *querierStats) float64 { return float64(s.Failed) }),
	metric.Counter("tempo_querier_blocks_total", "Blocks that were asked for the questions.", func(s *querierStats) float64 { return float64(s.Blocks) }),
	metric.Gauge("tempo_querier_known_blocks", "Blocks that it knows.", func(s *querierStats) float64 { return float64(s.Known) }),
}

// cached returns the object store through the cache; a directory has that of the operating system.
func (n *Node) cached() (backend.Bucket, error) {
	if n.store.isLocal() {
		return n.bucket, nil
	}
	if n.cache != nil {
		return n.cache, nil
	}
	c := n.cfg.Cache
	cached, err := cache.New(cache.Options{
		MemoryBytes: c.MemoryBytes,
		Disk:        cache.DiskOptions{Dir: c.DiskPath, Bytes: c.DiskBytes},
		Memcached:   cache.MemcachedOptions{Servers: c.Memcached.Elements()},
		Logger:      n.log.Logger,
	})
	if err != nil {
		return nil, err
	}
	n.closeLast(cached.Close)
	n.admin.Metrics.MustRegister(metric.Of(cacheMetrics, cached.Stats))
	n.cache = cached.Over(n.bucket, n.store.at.String())
	return n.cache, nil
}

type readerStats = cluster.Stats

var readerMetrics = []metric.Metric[readerStats]{
	metric.Counter("tempo_reader_questions_total", "Questions that were asked.", func(s *readerStats) float64 { return float64(s.Questions) }),
	metric.Counter("tempo_reader_asked_total", "Questions to ingesters that they took.", func(s *readerStats) float64 { return float64(s.Asked) }),
	metric.Counter("tempo_reader_failed_total", "Questions to ingesters that were not answered well.", func(s *readerStats) float64 { return float64(s.Failed) }),
	metric.Counter("tempo_reader_lagging_total", "Questions to ingesters that were not answered in time.", func(s *readerStats) float64 { return float64(s.Lagging) }),
	metric.Counter("tempo_reader_partial_total", "Answers that were not whole.", func(s *readerStats) float64 { return float64(s.Partial) }),
	metric.Counter("tempo_reader_looks_total", "Questions that had to wait until the blocks were listed anew.", func(s *readerStats) float64 { return float64(s.Looks) }),
	metric.Gauge("tempo_reader_tenants", "Tenants of which the blocks are followed.", func(s *readerStats) float64 { return float64(s.Tenants) }),
	metric.Counter("tempo_reader_summaries_total", "Summaries of traces that ingesters hold.", func(s *readerStats) float64 { return float64(s.Summaries) }),
	metric.Counter("tempo_reader_spread_total", "Questions to queriers that were answered.", func(s *readerStats) float64 { return float64(s.Spread) }),
	metric.Counter("tempo_reader_fallbacks_total", "Questions to queriers that this process had to answer itself.", func(s *readerStats) float64 { return float64(s.Fallbacks) }),
	metric.Counter("tempo_reader_summaries_read_total", "Those of them for which spans had to be read.", func(s *readerStats) float64 { return float64(s.Read) }),
}

// tiers sums what the cache has done, over the kinds of objects.
func tiers(of func(*cache.Stats) *cache.TierStats, name, what string) []metric.Metric[cache.Stats] {
	sum := func(s *cache.Stats, of1 func(*cache.TierKindStats) int64) (sum float64) {
		for i := range of(s).Kinds {
			sum += float64(of1(&of(s).Kinds[i]))
		}
		return sum
	}
	return []metric.Metric[cache.Stats]{
		metric.Gauge("tempo_cache_"+name+"_used_bytes", "Room that is taken "+what+".", func(s *cache.Stats) float64 { return float64(of(s).UsedBytes) }),
		metric.Counter("tempo_cache_"+name+"_hits_total", "Frames that were found "+what+".",
			func(s *cache.Stats) float64 { return sum(s, func(k *cache.TierKindStats) int64 { return k.Hits }) }),
		metric.Counter("tempo_cache_"+name+"_misses_total", "Frames that were not found "+what+".",
			func(s *cache.Stats) float64 { return sum(s, func(k *cache.TierKindStats) int64 { return k.Misses }) }),
		metric.Counter("tempo_cache_"+name+"_evictions_total", "Frames that gave way to others "+what+".",
			func(s *cache.Stats) float64 { return sum(s, func(k *cache.TierKindStats) int64 { return k.Evictions }) }),
		metric.Counter("tempo_cache_"+name+"_errors_total", "Operations that failed "+what+", and damaged frames.", func(s *cache.Stats) float64 { return float64(of(s).Errors) }),
	}
}

var cacheMetrics = slices.Concat(
	tiers(func(s *cache.Stats) *cache.TierStats { return &s.Memory }, "memory", "in memory"),
	tiers(func(s *cache.Stats) *cache.TierStats { return &s.Disk }, "disk", "on disk"),
	tiers(func(s *cache.Stats) *cache.TierStats { return &s.Memcached }, "memcached", "in memcached"),
)
