package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/node"
	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/internal/version"
	"github.com/jaeger-tempo/tempo/plugin"
)

// serve runs the store for any Jaeger that comes to its address, until SIGTERM.
func serve(cfg config.Config) error {
	if cfg.Remote.ListenAddress == config.RemoteOff {
		return errors.New("remote.listen_address: is off: give this program an address to serve")
	}
	log := daemon.NewLog(cfg.Logging.Level, os.Stderr)
	ctx := daemon.UntilStopped(log)
	server, err := node.ListenRemote(cfg, log) // first: a port that is taken is told before a log is replayed
	if err != nil {
		return err
	}
	defer server.Stop()
	return run(ctx, cfg, log, func(ctx context.Context, a *daemon.Admin, services plugin.Options) error {
		a.Metrics.MustRegister(node.RemoteMetrics(server))
		defer server.Stop() // before the store closes
		if err := server.Serve(services, tracing.RootOptions()...); err != nil {
			return err
		}
		return server.Wait(ctx)
	})
}

// run opens the store and has it served until ctx ends.
func run(ctx context.Context, cfg config.Config, log *daemon.Log, serve func(context.Context, *daemon.Admin, plugin.Options) error) error {
	a := daemon.NewAdmin("tempo-plugin", "plugin", cfg, log)
	if err := a.Listen(); err != nil {
		return err
	}
	stopTracing, err := tracing.Start("tempo-plugin", os.LookupEnv, log.Logger)
	if err != nil {
		return err
	}
	defer stopTracing()
	began := time.Now()
	s, err := openStore(ctx, cfg, log, a)
	if err != nil {
		return err
	}
	log.Info("store is open", "path", cfg.Storage.Path, "blocks", cfg.Storage.Blocks, "ring", cfg.Ring.Store, "version", version.Text(),
		"took", time.Since(began).Round(time.Millisecond))
	err = serve(ctx, a, s.services)
	err = errors.Join(err, s.close())
	log.Info("stopped")
	return err
}
