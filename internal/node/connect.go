package node

import (
	"context"

	"github.com/jaeger-tempo/tempo/internal/metric"
	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/writepath"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// connect returns the ring of ingesters and the connections to them.
func (n *Node) connect(ctx context.Context) (*ring.Ring, *client.Pool, error) {
	if err := n.openRings(ctx); err != nil {
		return nil, nil, err
	}
	if n.watched == nil { // it is no ingester itself
		watched, err := fromRing(ctx, n, func(ctx context.Context) (*ring.Ring, error) { return n.rings.Watch(ctx, n.ingesters()) })
		if err != nil {
			return nil, nil, err
		}
		n.closeLast(watched.Close)
		n.show(ingestersRing, watched)
		n.watched = watched
	}
	if n.pool == nil {
		n.pool = client.NewPool(client.Options{Compression: string(n.cfg.Writer.Compression), Dial: tracing.ClientOptions()})
		n.closeLast(n.pool.Close)
		n.ready = append(n.ready, func() error {
			_, err := n.watched.ReadSet()
			return err // nobody is there
		})
	}
	return n.watched, n.pool, nil
}

// Writer returns what writes to the ingesters.
func (n *Node) Writer(ctx context.Context) (writepath.Store, error) {
	watched, pool, err := n.connect(ctx)
	if err != nil {
		return nil, err
	}
	writer := writepath.NewCluster(watched, pool, writepath.ClusterOptions{})
	n.closeLast(writer.Close)
	n.admin.Metrics.MustRegister(metric.Of(writerMetrics, writer.Stats))
	return writer, nil
}

type writerStats = writepath.ClusterStats

var writerMetrics = []metric.Metric[writerStats]{
	metric.Counter("tempo_writer_pushes_total", "Pushes to ingesters.", func(s *writerStats) float64 { return float64(s.Pushes) }),
	metric.Counter("tempo_writer_pushed_groups_total", "Writes that these pushes carried.", func(s *writerStats) float64 { return float64(s.Groups) }),
	metric.Counter("tempo_writer_pushed_bytes_total", "Bytes that these pushes carried.", func(s *writerStats) float64 { return float64(s.Bytes) }),
	metric.Counter("tempo_writer_failed_pushes_total", "Pushes to ingesters that failed as a whole.", func(s *writerStats) float64 { return float64(s.FailedPushes) }),
	metric.Counter("tempo_writer_refused_groups_total", "Writes that were not pushed, since too much waited for their ingester.", func(s *writerStats) float64 { return float64(s.Refused) }),
	metric.Counter("tempo_writer_retries_total", "Writes that were tried again, since too few ingesters could be reached.", func(s *writerStats) float64 { return float64(s.Retries) }),
}
