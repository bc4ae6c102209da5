package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/tracedb"
)

const tenant = "bench"

// counted is a bucket that counts its reads.
type counted struct {
	backend.Bucket
	reads, bytes *atomic.Int64
}

func (c counted) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	c.reads.Add(1)
	c.bytes.Add(int64(len(p)))
	return c.Bucket.ReadAt(ctx, name, p, off)
}

// openStore opens a store with the product's defaults.
func openStore(dir string) (*tracedb.Store, counted, error) {
	return openStoreCut(dir, config.Default(os.LookupEnv).Cut.Bytes)
}

// openStoreCut opens a store that cuts blocks of another size.
func openStoreCut(dir string, cutBytes int64) (*tracedb.Store, counted, error) {
	c := config.Default(os.LookupEnv)
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		return nil, counted{}, err
	}
	reads := counted{bucket, new(atomic.Int64), new(atomic.Int64)}
	s, err := tracedb.Open(context.Background(), tracedb.Options{
		Dir:      filepath.Join(dir, "log"),
		Bucket:   reads,
		Sync:     wal.SyncAlways,
		CutBytes: cutBytes,
		CutAge:   c.Cut.Age,
		// Compaction is a phase of its own.
		NoCompaction: true,
		Logger:       slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	return s, reads, err
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
