package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// compactResult is what merging small blocks took.
type compactResult struct {
	CPU           time.Duration
	Wall          time.Duration
	PeakMemory    int64
	Before, After int   // blocks
	Rows          int64 // spans written by it
	Bytes         int64 // of the blocks after it
}

// smallCut makes many blocks of the workload, for the compaction to merge.
const smallCut = 8 << 20

func (o *options) scattered() string { return o.store() + "-scattered" }

// scatter writes the workload in small blocks.
func scatter(o *options) (any, error) {
	store, _, err := openStore(o.scattered(), storeOptions{CutBytes: smallCut})
	if err != nil {
		return nil, err
	}
	if err := sendAll(o, writepath.NewWriter(store)); err != nil {
		return nil, err
	}
	return nil, errors.Join(store.Cut(context.Background()), store.Close())
}

// compact merges the small blocks, and verifies every trace afterwards.
func compact(o *options) (any, error) {
	t, err := readTruth(o)
	if err != nil {
		return nil, err
	}
	store, _, err := openStore(o.scattered(), storeOptions{})
	if err != nil {
		return nil, err
	}
	var r compactResult
	var errs []error
	store.Each(func(_ string, db *tempodb.DB) {
		r.Before += db.Stats().Blocks
		began := time.Now()
		used, err := cpu()
		errs = append(errs, err, db.Compact(context.Background()))
		total, err := cpu()
		errs = append(errs, err)
		r.CPU += total - used
		r.Wall += time.Since(began)
		s := db.Stats()
		r.After += s.Blocks
		r.Rows += s.CompactedRows
		r.Bytes += s.BlockBytes
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if r.PeakMemory, err = peakMemory(); err != nil {
		return nil, err
	}
	if err := verify(context.Background(), readpath.NewReader(store), t.Traces); err != nil {
		return nil, fmt.Errorf("after the compaction: %w", err)
	}
	return r, store.Close()
}
