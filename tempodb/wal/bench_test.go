package wal

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkAppend is the time until a record is acknowledged, or, with many goroutines, the share of it
// that falls on each record. It writes to the temporary directory: set TMPDIR to the disk in question.
func BenchmarkAppend(b *testing.B) {
	for _, policy := range []Sync{SyncAlways, SyncInterval, SyncNever} {
		for _, size := range []int{400, 100_000} {
			for _, callers := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("sync=%v/bytes=%d/callers=%d", policy, size, callers), func(b *testing.B) {
					benchmarkAppend(b, policy, size, callers)
				})
			}
		}
	}
}

func benchmarkAppend(b *testing.B, policy Sync, size, callers int) {
	log, _, err := Open(b.TempDir(), Options{Sync: policy}, nil)
	if err != nil {
		b.Fatal(err)
	}
	payload := bytes.Repeat([]byte("span"), size/4)
	const rotateAt = 64 << 20
	var written, left atomic.Int64
	left.Store(int64(b.N))
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := log.Append(context.Background(), payload); err != nil {
					b.Error(err)
					return
				}
				if written.Add(int64(size))%rotateAt < int64(size) {
					if id, err := log.Rotate(); err != nil {
						b.Error(err)
					} else if id != 0 {
						log.Remove(id)
					}
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	s := log.Stats()
	b.ReportMetric(float64(s.Appends)/float64(max(s.Commits, 1)), "records/commit")
	if s.Syncs > 0 {
		b.ReportMetric(float64(s.SyncTime/time.Microsecond)/float64(s.Syncs), "µs/sync")
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkReplay(b *testing.B) {
	for _, size := range []int{400, 100_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			dir := b.TempDir()
			log, _, err := Open(dir, Options{Sync: SyncNever}, nil)
			if err != nil {
				b.Fatal(err)
			}
			payload := bytes.Repeat([]byte("span"), size/4)
			const total = 64 << 20
			for n := 0; n < total; n += size {
				if _, err := log.Append(context.Background(), payload); err != nil {
					b.Fatal(err)
				}
			}
			log.Close()
			b.SetBytes(total)
			b.ReportAllocs()
			for b.Loop() {
				log, report, err := Open(dir, Options{}, func(Position, []byte) error { return nil })
				if err != nil || report.Records == 0 {
					b.Fatal(err)
				}
				log.Close()
			}
		})
	}
}

func BenchmarkReadAt(b *testing.B) {
	log, _, err := Open(b.TempDir(), Options{Sync: SyncNever}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	var at []Position
	payload := make([]byte, 400)
	for range 10_000 {
		pos, err := log.Append(context.Background(), payload)
		if err != nil {
			b.Fatal(err)
		}
		at = append(at, pos)
	}
	b.ReportAllocs()
	b.SetParallelism(runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		buf := make([]byte, 400)
		for n := 0; pb.Next(); n++ {
			if err := log.ReadAt(buf, at[n%len(at)]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
