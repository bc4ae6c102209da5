package tracedb_test

import (
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/cache"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// benchBlock writes a block of 20,000 traces of the workload to a directory.
func benchBlock(b *testing.B) (*local.Bucket, *block.Meta) {
	ctx, dir := b.Context(), b.TempDir()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		b.Fatal(err)
	}
	store, err := tracedb.Open(ctx, tracedb.Options{Dir: filepath.Join(dir, "log"), Bucket: bucket, Sync: wal.SyncNever, CutBytes: 1 << 40, NoCompaction: true})
	if err != nil {
		b.Fatal(err)
	}
	w := writepath.NewWriter(store)
	for r := range workload.New(1, 20_000).Requests() {
		if _, err := w.Write(ctx, "bench", r.Data); err != nil {
			b.Fatal(err)
		}
	}
	if err := store.Cut(ctx); err != nil {
		b.Fatal(err)
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	ids, err := block.List(ctx, bucket, "bench")
	if err != nil || len(ids) != 1 {
		b.Fatal(ids, err)
	}
	meta, err := block.ReadMeta(ctx, bucket, "bench", ids[0])
	if err != nil {
		b.Fatal(err)
	}
	return bucket, meta
}

// BenchmarkBlockRead is what reading a block costs that lies in a directory, straight and through a cache.
func BenchmarkBlockRead(b *testing.B) {
	bucket, meta := benchBlock(b)
	ctx := context.Background()
	var keys [][16]byte
	err := block.New(bucket, meta, tracedb.Codec{}).ScanSummaries(ctx, [16]byte{}, func(key [16]byte, _ []byte) (bool, error) {
		keys = append(keys, key)
		return true, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	c, err := cache.New(cache.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	for _, over := range []struct {
		name   string
		bucket backend.Bucket
	}{{"directory", bucket}, {"cache", c.Over(bucket, "bench")}} {
		blk := block.New(over.bucket, meta, tracedb.Codec{})
		blk.KeepOn(block.NewShelf(block.DefaultShelfBytes))
		bare := block.New(over.bucket, meta, tracedb.Codec{})
		bare.KeepOn(block.NewShelf(0))
		get := func(blk *block.Block, key func(i int) [16]byte, want bool) func(b *testing.B) {
			return func(b *testing.B) {
				var dst []byte
				var took []time.Duration
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					began := time.Now()
					value, found, err := blk.Get(ctx, dst[:0], key(i))
					took = append(took, time.Since(began))
					if err != nil || found != want {
						b.Fatal(found, err)
					}
					dst = value
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			}
		}
		there := func(i int) [16]byte { return keys[i*7919%len(keys)] }
		absent := func(i int) [16]byte { key := there(i); key[8] ^= 0xff; return key }
		for _, key := range keys {
			if _, _, err := blk.Get(ctx, nil, key); err != nil { // warms up
				b.Fatal(err)
			}
		}
		b.Run(over.name+"/value", get(blk, there, true))
		b.Run(over.name+"/absent", get(blk, absent, false))
		b.Run(over.name+"/value, nothing open", get(bare, there, true))
		b.Run(over.name+"/absent, nothing open", get(bare, absent, false))
	}
}

// BenchmarkOpenBlock is how much memory a block takes of which everything is open.
func BenchmarkOpenBlock(b *testing.B) {
	bucket, meta := benchBlock(b)
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	shelf := block.NewShelf(1 << 40)
	var blocks []*block.Block
	before := heap()
	for b.Loop() {
		m := *meta
		blk := block.New(bucket, &m, tracedb.Codec{})
		blk.KeepOn(shelf)
		if err := blk.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
		blocks = append(blocks, blk)
	}
	n := float64(len(blocks))
	b.ReportMetric((heap()-before)/n, "heap-B/block")
	b.ReportMetric(float64(shelf.Used())/n, "shelf-B/block")
	b.ReportMetric(float64(meta.Bytes()), "stored-B")
	runtime.KeepAlive(blocks)
}
