package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/node"
	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// store is the whole store in this process.
type store struct {
	db       *tracedb.Store
	services *plugin.Services
}

// openStore opens the store in the configured directory, and replays its log. The directory must be locked.
//
// In the directory, log/TENANT holds recent data and blocks/TENANT the rest.
func openStore(ctx context.Context, cfg config.Config, log *slog.Logger, metrics prometheus.Registerer) (*store, error) {
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
	db, err := tracedb.Open(ctx, tracedb.Options{
		Dir:       filepath.Join(cfg.Storage.Path, "log"),
		Bucket:    bucket,
		Sync:      sync,
		SyncEvery: cfg.WAL.SyncInterval,
		CutBytes:  cfg.Cut.Bytes,
		CutAge:    cfg.Cut.Age,
		Logger:    log,
		Retention: func(tenant string) compact.RetainOptions {
			if tracedb.IsArchive(tenant) {
				return compact.RetainOptions{}
			}
			return compact.RetainOptions{MaxAge: cfg.Retention.Age, MaxBytes: cfg.Retention.Bytes}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("storage directory %s: %w", cfg.Storage.Path, err)
	}
	if err := metrics.Register(node.DatabaseMetrics(db.Each)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	services := plugin.New(plugin.Options{
		Writer: writepath.NewWriter(db),
		Reader: readpath.NewReader(db),
		Tenant: cfg.Tenancy.Default,
	})
	return &store{db: db, services: services}, nil
}
