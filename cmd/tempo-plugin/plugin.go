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
	"github.com/jaeger-tempo/tempo/plugin"
)

// stopWithin is how long a stop may take. Jaeger gives a plugin two seconds.
const stopWithin = 2 * time.Second

// runPlugin runs the store for the Jaeger that started this process, until it is done with it.
func runPlugin(cfg config.Config) error {
	log := daemon.NewLog(cfg.Logging.Level, os.Stderr) // go-plugin replaces os.Stderr
	return run(untilStopped(log), cfg, log, func(ctx context.Context, _ *daemon.Admin, services plugin.Options) error {
		plugin.ServePlugin(ctx, plugin.New(services), log.HC, tracing.RootOptions()...)
		return nil
	})
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
