package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/tracedb"
)

const tenant = "bench"

// storeOptions say how a store differs from the product's defaults.
type storeOptions struct {
	CutBytes int64 // 0: the default
	Sync     wal.Sync
}

// openStore opens a store, whose requests to its bucket are counted.
func openStore(dir string, o storeOptions) (*tracedb.Store, *instrument.Counted, error) {
	c := config.Default(os.LookupEnv)
	if o.CutBytes == 0 {
		o.CutBytes = c.Cut.Bytes
	}
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		return nil, nil, err
	}
	counted := instrument.Count(bucket, instrument.CountOptions{})
	s, err := tracedb.Open(context.Background(), tracedb.Options{
		Dir:       filepath.Join(dir, "log"),
		Bucket:    counted,
		Sync:      o.Sync,
		SyncEvery: c.WAL.SyncInterval,
		CutBytes:  o.CutBytes,
		CutAge:    c.Cut.Age,
		// Compaction is a phase of its own.
		NoCompaction: true,
		Logger:       slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	return s, counted, err
}

// hasSpans checks that an answer, OTLP TracesData, has as many spans as were sent.
func hasSpans(data []byte, sent int) error {
	var m otlp.TracesData
	if err := proto.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("the answer is no OTLP: %w", err)
	}
	n := 0
	for _, r := range m.ResourceSpans {
		for _, s := range r.ScopeSpans {
			n += len(s.Spans)
		}
	}
	if n != sent {
		return fmt.Errorf("the answer has %d spans, %d were sent", n, sent)
	}
	return nil
}
