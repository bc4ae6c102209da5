package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/metric"
	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/remote"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/writepath"
)

// Services says what Jaeger's services are made of: a store as the configuration wants it seen. tenantOf tells whose data a call is about.
func Services(cfg config.Config, tenantOf func(context.Context) (string, error), writer writepath.Store, reader readpath.Store) plugin.Options {
	return plugin.Options{
		Writer: writepath.NewWriter(writer), Reader: readpath.NewReader(reader), MarkPartial: cfg.Reader.Partial == config.PartialMark,
		TenantOf: tenantOf,
	}
}

// ListenRemote takes the addresses of the remote storage server.
func ListenRemote(cfg config.Config, log *daemon.Log) (*remote.Server, error) {
	r := cfg.Remote
	server, err := remote.Listen(remote.Options{
		Address: r.ListenAddress, ArchiveAddress: r.ArchiveListenAddress, TLS: remote.TLSFiles{Cert: r.TLSCert, Key: r.TLSKey, ClientCA: r.TLSClientCA},
		Tokens:     cfg.Tenancy.Enabled && cfg.Tenancy.TokensFile != "" && cfg.Tenancy.TokensFor == config.TokensForAll,
		MaxMessage: int(r.MaxMessageBytes), UnspecifiedKind: string(r.SpanKind), StreamingWriter: r.StreamingWriter, Logger: log.Logger,
	})
	if errors.As(err, new(*net.OpError)) {
		err = fmt.Errorf("%w; set remote.listen_address, and remote.archive_listen_address, to free addresses", err)
	}
	return server, err
}

// RemoteMetrics are those of a remote storage server.
func RemoteMetrics(s *remote.Server) prometheus.Collector { return metric.Of(remoteMetrics, s.Stats) }

type remoteStats = remote.Stats

var remoteMetrics = []metric.Metric[remoteStats]{
	metric.Gauge("tempo_remote_connections", "Connections of Jaegers.", func(s *remoteStats) float64 { return float64(s.Connections) }),
	metric.Gauge("tempo_remote_held_bytes", "Bytes of messages that have not arrived whole, and of answers that were not taken.", func(s *remoteStats) float64 { return float64(s.HeldBytes) }),
	metric.Counter("tempo_remote_ended_calls_total", "Calls that were ended because their clients sent or took nothing.", func(s *remoteStats) float64 { return float64(s.EndedCalls) }),
	metric.Counter("tempo_remote_ended_connections_total", "Connections that were ended because there were too many, or all together held too much.",
		func(s *remoteStats) float64 { return float64(s.EndedConns) }),
}

// Remote serves Jaeger what this process and the others of its ring have, at the addresses that Open took for it.
func (n *Node) Remote(ctx context.Context) error {
	writer, err := n.Writer(ctx)
	if err != nil {
		return err
	}
	reader, err := n.Reader(ctx)
	if err != nil {
		return err
	}
	tenants, err := OpenTenancy(n.cfg.Tenancy, n.log)
	if err != nil {
		return err
	}
	n.admin.Metrics.MustRegister(RemoteMetrics(n.remote))
	n.closeLast(func() error { tenants.Close(); return nil })
	n.closeLast(func() error { n.remote.Stop(); return nil })
	if err := n.remote.Serve(Services(n.cfg, tenants.Of, writer, reader), tracing.RootOptions()...); err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.Background())
	var watched sync.WaitGroup
	watched.Go(func() {
		if err := n.remote.Wait(watching); err != nil {
			n.end(err)
		}
	})
	n.closeLast(func() error {
		stop()
		watched.Wait()
		return nil
	})
	return nil
}
