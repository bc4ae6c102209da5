package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/internal/version"
	"github.com/jaeger-tempo/tempo/plugin"
)

// stopWithin is how long a stop may take. Jaeger gives a plugin two seconds.
const stopWithin = 2 * time.Second

// serve runs the store for Jaeger until Jaeger is done with it.
func serve(cfg config.Config) error {
	log := daemon.NewLog(cfg.Logging.Level, os.Stderr) // go-plugin replaces os.Stderr
	ctx := untilStopped(log)

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

	plugin.ServePlugin(ctx, s.services, log.HC, tracing.RootOptions()...)
	err = s.close()
	log.Info("stopped")
	return err
}

// untilStopped returns a context that is cancelled on SIGTERM, and when Jaeger is gone. Should the stop
// then take longer than it may, in a long replay say, the process just ends: it can at any moment.
func untilStopped(log *daemon.Log) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	gone := watchParent(syscall.Stdout)
	go func() {
		select {
		case <-term:
			log.Info("stopping", "why", "SIGTERM")
		case why := <-gone:
			log.Info("stopping", "why", "Jaeger has ended: "+why)
		}
		time.AfterFunc(stopWithin, func() { os.Exit(0) })
		cancel()
	}()
	return ctx
}
