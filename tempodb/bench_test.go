package tempodb

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// benchNote is the nth value of a benchmark, some 240 bytes, of which 180 are text that does not compress well, with one row of three terms; and its key.
func benchNote(n int) Entry {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	e := Entry{Value: note(dawn+int64(n)*1e6, rng.Int64N(1e9),
		fmt.Sprint("user=", rng.IntN(10_000)), fmt.Sprint("kind=", rng.IntN(20)), fmt.Sprint("id=", n), "#"+(&generator{Rand: rng}).ballast(180))}
	binary.BigEndian.PutUint64(e.Key[:], rng.Uint64())
	binary.BigEndian.PutUint64(e.Key[8:], uint64(n))
	return e
}

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64} {
		for _, policy := range []wal.Sync{wal.SyncAlways, wal.SyncNever} {
			b.Run(fmt.Sprintf("sync=%v/callers=%d", policy, callers), func(b *testing.B) {
				db := open(b, b.TempDir(), func(o *Options) { o.Sync, o.Codec = policy, lineCodec{} })
				defer db.Close()
				var n atomic.Int64
				b.ReportAllocs()
				b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
				append1 := func() {
					if err := db.Append(b.Context(), []Entry{benchNote(int(n.Add(1)))}); err != nil {
						b.Error(err)
					}
				}
				if callers == 1 {
					for b.Loop() {
						append1()
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						append1()
					}
				})
			})
		}
	}
}

// BenchmarkQueries asks a database of 100,000 keys, all in the log or all in ten blocks.
func BenchmarkQueries(b *testing.B) {
	const keys = 100_000
	for _, where := range []string{"recent", "blocks"} {
		b.Run(where, func(b *testing.B) {
			db := open(b, b.TempDir(), func(o *Options) { o.Sync, o.Codec = wal.SyncNever, lineCodec{} })
			defer db.Close()
			var batch []Entry
			for n := range keys {
				if batch = append(batch, benchNote(n)); len(batch) == 100 {
					if err := db.Append(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
					batch = batch[:0]
				}
				if where == "blocks" && n%(keys/10) == keys/10-1 {
					if err := db.Cut(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.Run("get", func(b *testing.B) {
				var dst []byte
				b.ReportAllocs()
				for n := 0; b.Loop(); n++ {
					var err error
					if dst, err = db.Get(b.Context(), dst[:0], benchNote(n*7919%keys).Key); err != nil {
						b.Fatal(err)
					}
				}
			})
			search := func(name, field string, value func(n int) string, limit int) {
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					for n := 0; b.Loop(); n++ {
						q := everything()
						q.Where, q.Limit = index.Equal([]byte(field), []byte(value(n))), limit
						if _, err := db.Search(b.Context(), q); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			search("search-common-limit-20", "kind", func(n int) string { return fmt.Sprint(n % 20) }, 20)
			search("search-unique", "id", func(n int) string { return fmt.Sprint(n * 7919 % keys) }, 20)
			s := db.Stats()
			b.Run("size", func(b *testing.B) {
				for b.Loop() {
					db.Stats()
				}
				b.ReportMetric(float64(s.IndexBytes)/keys, "memory-B/key")
				b.ReportMetric(float64(s.RecentBytes+s.BlockBytes)/keys, "stored-B/key")
				for _, block := range db.view.Load().blocks[:s.Blocks/10] {
					for name, o := range block.Meta().Objects {
						b.ReportMetric(float64(o.Bytes)/(keys/10), name+"-B/key")
					}
				}
			})
		})
	}
}
