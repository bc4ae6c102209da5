package ingester_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/writepath/ingester"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

// BenchmarkTenants pushes b.N groups, each of one span, for a number of tenants in turn, from 64 callers, each push fsynced; then the ingester is closed and
// replays. So it tells what a log for each tenant costs, against one log for all, of which a single tenant with as many pushes is an estimate. In a push stand the
// spans of one tenant, or (batch) of 16, as a writer's coalesced pushes have them.
func BenchmarkTenants(b *testing.B) {
	for _, bench := range []struct{ tenants, batch int }{{1, 1}, {1000, 1}, {1, 16}, {1000, 16}} {
		b.Run(fmt.Sprintf("tenants=%d/batch=%d", bench.tenants, bench.batch), func(b *testing.B) {
			o := options(b)
			o.Tick = 500 * time.Millisecond
			n := start(b, o)
			names := make([]string, bench.tenants)
			for t := range names {
				names[t] = fmt.Sprintf("tenant-%04d", t)
				n.store(group(names[t], 1, spans(1, 1, "ann"))) // there is a database
			}
			pushes := (b.N + bench.batch - 1) / bench.batch
			var next atomic.Int64
			var callers sync.WaitGroup
			b.ResetTimer()
			for range 64 {
				callers.Go(func() {
					for p := int(next.Add(1)) - 1; p < pushes; p = int(next.Add(1)) - 1 {
						var groups []*ingesterpb.Group
						for g := range bench.batch {
							id := uint64(p*bench.batch + g)
							groups = append(groups, group(names[int(id)%len(names)], id+2, spans(id+2, 1, "ann")))
						}
						n.store(groups...)
					}
				})
			}
			callers.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "groups/s")
			b.ReportMetric(float64(pushes)/b.Elapsed().Seconds(), "pushes/s")
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
			b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
			b.ReportMetric(float64(diskUse(b, o.Dir))/(1<<20), "disk-MiB")
			idle := cpu(b)
			time.Sleep(3 * time.Second) // what it costs to do nothing is measured
			b.ReportMetric(100*(cpu(b)-idle).Seconds()/3, "idle-CPU-%")
			begin := time.Now()
			n.stop()
			b.ReportMetric(time.Since(begin).Seconds(), "close-s")
			begin = time.Now()
			i, err := ingester.Open(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(begin).Seconds(), "replay-s")
			begin = time.Now()
			if err := i.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(begin).Seconds(), "flush-s")
			if err := i.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// cpu returns the time that this process has computed for.
func cpu(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// diskUse returns how much of the disk the files in dir take.
func diskUse(b *testing.B, dir string) (bytes int64) {
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st syscall.Stat_t
		if err == nil && syscall.Stat(path, &st) == nil {
			bytes += st.Blocks * 512
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}
