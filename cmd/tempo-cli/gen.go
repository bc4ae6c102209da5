package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/backend/place"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

func (p *program) genCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gen",
		Short: "Write made-up traces of a web shop, for trying things out",
		Long: `Write made-up traces of a web shop, the same for the same seed: into blocks of a store that is a directory, or as export
requests to a file. They begin on 2026-01-05 at 09:00 UTC; a trace has 19.5 spans on average.

  tempo-cli gen --store=./tempo-data --traces=20000     then: tempo-cli --store=./tempo-data search
  tempo-cli gen --format=otlp-json -o requests.jsonl

Formats of a file:
  otlp-json   a line for each request
  otlp-proto  each request as protobuf, after its length in 4 bytes, big endian: what OpenTelemetry's
              collector writes and reads as files of proto

A daemon that has the directory open sees the blocks after its next look at the store.`,
		Args: noArguments,
	}
	format := &choice{value: "otlp-json", of: []string{"otlp-json", "otlp-proto"}}
	cmd.Flags().Var(format, "format", "`form` of the file: otlp-json, otlp-proto")
	file := cmd.Flags().StringP("output", "o", "", "the `file`; - is stdout; without, blocks are written to the store")
	traces := cmd.Flags().Int("traces", 2000, "`number` of traces")
	seed := cmd.Flags().Uint64("seed", 1, "another `seed` makes other traces")
	size := cmd.Flags().String("block-bytes", "64MiB", "how `much`, before compression, makes a block")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *traces < 1 {
			return usage("--traces=%d: there must be one at least", *traces)
		}
		w := workload.New(*seed, *traces)
		if *file != "" {
			return p.genFile(cmd.Context(), w, *traces, *file, format.value)
		}
		bytes, err := parseSize(*size)
		if err != nil || bytes == 0 {
			return usage("--block-bytes=%s is no size: write 64MiB", *size)
		}
		return p.genBlocks(cmd.Context(), w, *traces, bytes)
	}
	return cmd
}

func (p *program) genFile(ctx context.Context, w *workload.Workload, traces int, name, format string) error {
	out, err := p.create(name)
	if err != nil {
		return err
	}
	defer out.abort()
	bar := newProgress(p.stderr, "gen")
	defer bar.end()
	var buf []byte
	spans := 0
	for r := range w.Requests() {
		buf = buf[:0]
		if format == "otlp-proto" {
			buf = append(binary.BigEndian.AppendUint32(buf, uint32(len(r.Data))), r.Data...)
		} else {
			if buf, err = export.AppendOTLP(buf, r.Data); err != nil {
				return err
			}
			buf = append(buf, '\n')
		}
		if _, err := out.Write(buf); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		spans += r.Spans
		bar.show(float64(spans)/(19.5*float64(traces)), formatCount(int64(spans))+" spans")
	}
	if err := out.commit(); err != nil {
		return err
	}
	bar.end()
	fmt.Fprintf(p.stderr, "%s traces, %s spans, %s written\n", formatCount(int64(traces)), formatCount(int64(spans)), formatBytes(out.n))
	return nil
}

// genBlocks writes blocks as a daemon would that receives the requests: what came together is in a block, so that traces
// at the borders are in two.
func (p *program) genBlocks(ctx context.Context, w *workload.Workload, traces int, blockBytes int64) error {
	at, err := p.flags.place()
	if err != nil {
		return err
	}
	if at.Scheme != place.File {
		return usage("gen writes to a directory, not to %s", p.flags.store)
	}
	if err := block.CheckTenant(p.flags.tenant); err != nil {
		return usage("--tenant: %w", err)
	}
	dir, err := genDir(at.Path)
	if err != nil {
		return err
	}
	bucket, err := local.New(dir)
	if err != nil {
		return storeError{err}
	}
	defer func() { _ = bucket.Close() }() // files open for reading
	bar := newProgress(p.stderr, "gen")
	defer bar.end()
	var splitter trace.Splitter
	values := make(map[trace.ID][]byte)
	var waiting, written int64
	blocks, spans := 0, 0
	cut := func() error {
		m, err := writeBlock(ctx, bucket, p.flags.tenant, values)
		if err != nil {
			return fromStore(err)
		}
		written += m.Bytes()
		blocks++
		clear(values)
		waiting = 0
		return nil
	}
	for r := range w.Requests() {
		fragments, rejected, err := splitter.Split(r.Data)
		if err != nil {
			return err
		}
		if rejected.Spans > 0 {
			return errors.New(rejected.Reason)
		}
		for _, f := range fragments {
			values[f.TraceID] = append(values[f.TraceID], f.Data...)
			waiting += int64(len(f.Data))
		}
		spans += r.Spans
		if ctx.Err() != nil {
			return ctx.Err()
		}
		bar.show(float64(spans)/(19.5*float64(traces)), fmt.Sprintf("%s spans, %s", formatCount(int64(spans)), many(blocks, "block")))
		if waiting >= blockBytes {
			if err := cut(); err != nil {
				return err
			}
		}
	}
	if len(values) > 0 {
		if err := cut(); err != nil {
			return err
		}
	}
	bar.end()
	fmt.Fprintf(p.stderr, "%s traces, %s spans, %s of %s written to %s, tenant %s\n",
		formatCount(int64(traces)), formatCount(int64(spans)), many(blocks, "block"), formatBytes(written), dir, p.flags.tenant)
	return nil
}

// genDir returns the directory of blocks in a storage.path, which may have none yet.
func genDir(path string) (string, error) {
	if entries, err := os.ReadDir(path); errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return filepath.Join(path, "blocks"), nil
	}
	if _, err := os.Stat(filepath.Join(path, "log")); err == nil {
		return filepath.Join(path, "blocks"), nil
	}
	return blocksDir(path)
}

func writeBlock(ctx context.Context, bucket *local.Bucket, tenant string, values map[trace.ID][]byte) (*block.Meta, error) {
	w, err := block.NewWriter(ctx, bucket, tenant, block.WriterOptions{Codec: tracedb.Codec{}})
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	ids := make([]trace.ID, 0, len(values))
	for id := range values {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b trace.ID) int { return slices.Compare(a[:], b[:]) })
	var merged []byte
	for _, id := range ids {
		if merged, err = trace.Merge(merged[:0], values[id]); err != nil {
			return nil, err
		}
		if err := w.Add(id, merged); err != nil {
			return nil, err
		}
	}
	return w.Finish(ctx)
}
