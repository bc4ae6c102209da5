package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/version"
	"github.com/jaeger-tempo/tempo/plugin"
)

// stopWithin is how long a stop may take. Jaeger gives a plugin two seconds.
const stopWithin = 2 * time.Second

// serve runs the store for Jaeger until Jaeger is done with it.
func serve(file string) error {
	stderr := os.Stderr // go-plugin replaces it
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		return err
	}
	hlog := newLog(cfg.Logging.Level, stderr)
	var seen recent
	log := newLogger(hlog, &seen)
	ctx := untilStopped(log)

	a := newAdmin(cfg, &seen)
	if err := a.listen(log); err != nil {
		return err
	}
	lock, err := lockDir(cfg.Storage.Path, lockWait, func(holder string) {
		log.Warn("storage directory is in use, waiting for its holder to end", "path", cfg.Storage.Path, "holder", holder)
	})
	if err != nil {
		return err
	}
	defer lock.release()

	began := time.Now()
	s, err := openStore(ctx, cfg, log, a.registry)
	if err != nil {
		return err
	}
	a.store.Store(s)
	log.Info("store is open", "path", cfg.Storage.Path, "version", version.Text(), "took", time.Since(began).Round(time.Millisecond))

	plugin.ServePlugin(ctx, s.services, hlog)
	err = s.db.Close() // calls in flight get an error, and are not acknowledged
	log.Info("stopped")
	return err
}

// untilStopped returns a context that is cancelled on SIGTERM, and when Jaeger is gone. Should the stop
// then take longer than it may, in a long replay say, the process just ends: it can at any moment.
func untilStopped(log *slog.Logger) context.Context {
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
