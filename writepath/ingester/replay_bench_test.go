package ingester_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/ingester"
)

// full is a disk that takes logs and no blocks, so that a log gets as long as it may.
type full struct{ backend.Bucket }

func (full) Create(context.Context, string) (backend.ObjectWriter, error) {
	return nil, errors.New("no room")
}

// BenchmarkReplay starts an ingester on a log of five times CutBytes, the longest that there can be, of traffic as of a shop. It measures the time a GB, and
// the greatest heap from the start until all of the log is in blocks; mid-MiB is the heap when it is ready.
func BenchmarkReplay(b *testing.B) {
	for b.Loop() {
		o := options(b)
		o.CutBytes = 64 << 20
		store, err := tracedb.Open(b.Context(), tracedb.Options{
			Dir: filepath.Join(o.Dir, "log"), Bucket: full{directory(b)}, Sync: wal.SyncNever, CutBytes: o.CutBytes, NoCompaction: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		var splitter trace.Splitter
		var total int64
		for seed := uint64(1); total < 5*o.CutBytes; seed++ {
			for request := range workload.New(seed, 20_000).Requests() {
				fragments, _, err := splitter.Split(request.Data)
				if err != nil {
					b.Fatal(err)
				}
				var entries []tempodb.Entry
				for _, f := range fragments {
					entries = append(entries, tempodb.Entry{Key: f.TraceID, Value: f.Data})
					total += int64(len(f.Data))
				}
				if total > 5*o.CutBytes {
					break
				}
				if err := store.Append(b.Context(), "shop", entries); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(o.Dir, "instance"), []byte(o.Instance+"\n"), 0o600); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		i, err := ingester.Start(o)
		if err != nil {
			b.Fatal(err)
		}
		var most uint64
		ready := make(chan error, 1)
		go func() { ready <- i.Wait(context.Background()) }()
		ticker := time.NewTicker(20 * time.Millisecond)
		waiting := true
		for {
			<-ticker.C
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
			if waiting {
				select {
				case err := <-ready:
					if err != nil {
						b.Fatal(err)
					}
					waiting = false
					b.ReportMetric(time.Since(begin).Seconds()/(float64(total)/1e9), "s/GB")
					b.ReportMetric(float64(most)/(1<<20), "ready-MiB")
				default:
				}
				continue
			}
			recent := int64(0)
			i.Each(func(_ string, db *tempodb.DB) { recent += db.RecentBytes() })
			if recent < o.CutBytes {
				break
			}
		}
		b.ReportMetric(float64(most)/(1<<20), "peak-MiB")
		b.ReportMetric(float64(total)/(1<<20), "log-MiB")
		b.ReportMetric(time.Since(begin).Seconds(), "blocks-s")
		ticker.Stop()
		if err := i.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
