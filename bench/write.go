package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/writepath"
)

// writeResult is what the phase write measured.
type writeResult struct {
	CPU          time.Duration // until settled
	CPUAcked     time.Duration // until the last acknowledgement
	Acked        time.Duration // wall time of the same
	Settled      time.Duration
	PeakMemory   int64
	Syncs        int64
	Blocks       int
	BlockBytes   map[string]int64 // by the object's name
	LogBytesLeft int64
}

func write(o *options) (any, error) {
	store, _, err := openStore(o.store(), storeOptions{})
	if err != nil {
		return nil, err
	}
	var r writeResult
	start, cpu0, err := now()
	if err != nil {
		return nil, err
	}
	if err := sendAll(o, writepath.NewWriter(store)); err != nil {
		return nil, err
	}
	acked, cpu1, err := now()
	if err != nil {
		return nil, err
	}
	if err := store.Cut(context.Background()); err != nil {
		return nil, err
	}
	settled, cpu2, err := now()
	if err != nil {
		return nil, err
	}
	r.CPUAcked, r.CPU, r.Acked, r.Settled = cpu1-cpu0, cpu2-cpu0, acked.Sub(start), settled.Sub(start)
	if r.PeakMemory, err = peakMemory(); err != nil {
		return nil, err
	}
	store.Each(func(_ string, db *tempodb.DB) {
		s := db.Stats()
		r.Syncs += s.Log.Syncs
		r.Blocks += s.Blocks
	})
	if err := store.Close(); err != nil {
		return nil, err
	}
	r.BlockBytes = map[string]int64{}
	err = sizes(filepath.Join(o.store(), "blocks"), func(path string, size int64) { r.BlockBytes[filepath.Base(path)] += size })
	if err != nil {
		return nil, err
	}
	return r, sizes(filepath.Join(o.store(), "log"), func(_ string, size int64) { r.LogBytesLeft += size })
}

// sendAll writes all requests, several at a time.
func sendAll(o *options, writer *writepath.Writer) error {
	return eachRequest(o, o.Writers, func(ctx context.Context, f *frame) error { return send(ctx, writer, f.data) })
}

func now() (time.Time, time.Duration, error) {
	used, err := cpu()
	return time.Now(), used, err
}

// send writes a request, of which the store must take every span.
func send(ctx context.Context, w *writepath.Writer, otlp []byte) error {
	rejected, err := w.Write(ctx, tenant, otlp)
	if err == nil && rejected.Spans > 0 {
		err = fmt.Errorf("%d spans were refused: %s", rejected.Spans, rejected.Reason)
	}
	return err
}

// sizes calls fn with the size of every file below dir.
func sizes(dir string, fn func(path string, size int64)) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fn(path, info.Size())
		return nil
	})
}

// recentResult is what the phase recent measured.
type recentResult struct {
	Lookups  int
	P50, P99 time.Duration
	WriteP50 time.Duration // of a request, until its acknowledgement
}

// lookEvery is after how many requests a trace of the last one is looked up.
const lookEvery = 2

func recent(o *options) (any, error) {
	store, _, err := openStore(o.store()+"-recent", storeOptions{})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(o.requests())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var (
		in      = bufio.NewReaderSize(f, 1<<20)
		writer  = writepath.NewWriter(store)
		reader  = readpath.NewReader(store)
		ctx     = context.Background()
		sent    = map[[16]byte]int{}
		request frame
		lookups []time.Duration
		writes  []time.Duration
	)
	for i := 1; ; i++ {
		err := request.read(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := send(ctx, writer, request.data); err != nil {
			return nil, err
		}
		writes = append(writes, time.Since(begin))
		for _, p := range request.parts {
			sent[p.TraceID] += p.Spans
		}
		if i%lookEvery != 0 {
			continue
		}
		id := request.parts[i%len(request.parts)].TraceID
		begin = time.Now()
		data, err := reader.Trace(ctx, tenant, trace.ID(id))
		lookups = append(lookups, time.Since(begin))
		if err != nil {
			return nil, fmt.Errorf("trace %x, right after its acknowledgement: %w", id, err)
		}
		if err := hasSpans(data, sent[id]); err != nil {
			return nil, fmt.Errorf("trace %x, right after its acknowledgement: %w", id, err)
		}
	}
	r := recentResult{Lookups: len(lookups), P50: percentile(lookups, 50), P99: percentile(lookups, 99), WriteP50: percentile(writes, 50)}
	return r, store.Close()
}
