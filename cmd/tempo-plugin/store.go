package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/node"
	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// store is the store as this process has it.
type store struct {
	services plugin.Options
	close    func() error // calls in flight get an error, and are not acknowledged
}

// openStore opens the store that the configuration describes: a cluster, an object store that this process works on alone, or a directory.
func openStore(ctx context.Context, cfg config.Config, log *daemon.Log, a *daemon.Admin) (*store, error) {
	tenants, err := node.OpenTenancy(cfg.Tenancy, log)
	if err != nil {
		return nil, err
	}
	open := openDirectory
	switch {
	case cfg.Ring.Store != config.RingNone:
		open = openCluster
	case cfg.Storage.Blocks != "":
		open = openAlone
	}
	s, err := open(ctx, cfg, tenants.Of, log, a)
	if err != nil {
		tenants.Close()
		return nil, err
	}
	closeStore := s.close
	s.close = func() error {
		defer tenants.Close()
		return closeStore()
	}
	return s, nil
}

// tenantOf tells whose data a call is about.
type tenantOf = func(context.Context) (string, error)

// openCluster opens the way to a cluster, of which nobody needs to be there yet. It needs no directory, so any number of processes can.
func openCluster(ctx context.Context, cfg config.Config, of tenantOf, log *daemon.Log, a *daemon.Admin) (*store, error) {
	a.SetReady(func() error { return errors.New("it joins the cluster") })
	n, err := node.Open(ctx, node.Options{Config: cfg, Program: "tempo-plugin", Log: log, Admin: a})
	if err != nil {
		return nil, err
	}
	return clientOf(ctx, n, cfg, of, a)
}

// openAlone makes a cluster of one of this process: an ingester and a compactor, which only this process comes to.
func openAlone(ctx context.Context, cfg config.Config, of tenantOf, log *daemon.Log, a *daemon.Admin) (*store, error) {
	cfg.Ring.Replication, cfg.Ring.Zones, cfg.Ring.Settle = 1, false, time.Millisecond
	cfg.Server.GRPCListenAddress, cfg.Instance.Address = "127.0.0.1:0", ""
	n, err := node.Open(ctx, node.Options{Config: cfg, Program: "tempo-plugin", Log: log, Admin: a, Serves: true})
	if err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{n.Ingest, n.Compact, func(context.Context) error { return n.Serve() }, n.Replayed} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return clientOf(ctx, n, cfg, of, a)
}

// clientOf returns the store that n is the way to.
func clientOf(ctx context.Context, n *node.Node, cfg config.Config, of tenantOf, a *daemon.Admin) (*store, error) {
	writer, err := n.Writer(ctx)
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	reader, err := n.Reader(ctx)
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	a.SetReady(n.Ready)
	return &store{node.Services(cfg, of, writer, reader), n.Close}, nil
}

// openDirectory opens the whole store in the configured directory, and replays its log.
//
// In the directory, log/TENANT holds recent data and blocks/TENANT the rest.
func openDirectory(ctx context.Context, cfg config.Config, of tenantOf, log *daemon.Log, a *daemon.Admin) (_ *store, err error) {
	a.SetReady(func() error { return errors.New("the store is opening and replays its log") })
	lock, err := daemon.LockDir(cfg.Storage.Path, "tempo-plugin", log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Release()
		}
	}()
	sync, err := wal.ParseSync(string(cfg.WAL.Sync))
	if err != nil {
		return nil, fmt.Errorf("wal.sync: %w", err)
	}
	bucket, err := local.New(filepath.Join(cfg.Storage.Path, "blocks"))
	if err != nil {
		return nil, fmt.Errorf("storage directory %s: %w", cfg.Storage.Path, err)
	}
	// Nobody else writes here: the directory is locked.
	if removed, err := bucket.RemoveStale(ctx, 0); err != nil {
		return nil, fmt.Errorf("storage directory %s: remove files of a writer that crashed: %w", cfg.Storage.Path, err)
	} else if removed > 0 {
		log.Info("removed files of blocks whose writing a crash had ended", "files", removed)
	}
	settings, err := node.OpenTenantSettings(cfg, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			settings.Close()
		}
	}()
	db, err := tracedb.Open(ctx, tracedb.Options{
		Dir:       filepath.Join(cfg.Storage.Path, "log"),
		Bucket:    bucket,
		Sync:      sync,
		SyncEvery: cfg.WAL.SyncInterval,
		CutBytes:  cfg.Cut.Bytes,
		CutAge:    cfg.Cut.Age,
		Logger:    log.Logger,
		Retention: settings.Retention,
	})
	if err != nil {
		return nil, fmt.Errorf("storage directory %s: %w", cfg.Storage.Path, err)
	}
	limited := limits.NewStore(db, settings.Limits)
	a.Metrics.MustRegister(node.DatabaseMetrics(db.Each), node.RefusedMetrics("tempo_writer_refused_total", limited.Refused))
	a.Section("Tenants", func() daemon.Table { return node.DatabaseStatus(db.Each) })
	a.SetReady(func() error { return nil })
	return &store{node.Services(cfg, of, limited, db), func() error {
		defer lock.Release()
		defer settings.Close()
		return db.Close()
	}}, nil
}
