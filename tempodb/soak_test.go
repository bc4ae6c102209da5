package tempodb

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// number returns what the environment says of name.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// SOAK_SEED repeats a history, as far as it has no goroutines of its own; SOAK_STEPS makes it longer.
func TestHistoriesAgreeWithAModel(t *testing.T) {
	steps := number(t, "SOAK_STEPS", 600)
	seed := number(t, "SOAK_SEED", rand.Uint64())
	t.Logf("SOAK_SEED=%d SOAK_STEPS=%d", seed, steps)
	var tally tally
	if err := runTrial(t.Context(), t.TempDir(), seed, int(steps), &tally); err != nil {
		t.Error(err)
	}
	t.Log(&tally)
}

// sample is what the process takes.
type sample struct {
	resident, heap    int64 // bytes
	goroutines, files int
}

func takeSample() sample {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := sample{resident: int64(m.Sys - m.HeapReleased), heap: int64(m.HeapAlloc), goroutines: runtime.NumGoroutine()}
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		if words := bytes.Fields(statm); len(words) > 1 {
			if pages, err := strconv.ParseInt(string(words[1]), 10, 64); err == nil {
				s.resident = pages * int64(os.Getpagesize())
			}
		}
	}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.files = len(files)
	}
	return s
}

// grown compares the last third of the samples with the first after a beginning, by their medians. Too few say nothing.
func grown(samples []sample) error {
	samples = samples[len(samples)/10:]
	n := len(samples) / 3
	if n < 3 {
		return nil
	}
	median := func(window []sample, of func(sample) int64) int64 {
		var all []int64
		for _, s := range window {
			all = append(all, of(s))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	for _, m := range []struct {
		what   string
		of     func(sample) int64
		spare  int64
		factor float64
	}{
		{"resident memory, bytes", func(s sample) int64 { return s.resident }, 64 << 20, 1.3},
		{"heap, bytes", func(s sample) int64 { return s.heap }, 32 << 20, 1.3},
		{"goroutines", func(s sample) int64 { return int64(s.goroutines) }, 100, 1},
		{"open files", func(s sample) int64 { return int64(s.files) }, 600, 1}, // a directory keeps 512 open,
	} {
		first, last := median(samples[:n], m.of), median(samples[len(samples)-n:], m.of)
		if float64(last) > float64(first)*m.factor+float64(m.spare) {
			return fmt.Errorf("%s grow: %d in the first third of the time, %d in the last", m.what, first, last)
		}
	}
	return nil
}

func TestGrowthIsTold(t *testing.T) {
	var flat, leak []sample
	for n := range 60 {
		flat = append(flat, sample{resident: int64(80+n%30) << 20, goroutines: 20 + n%7})
		leak = append(leak, sample{resident: int64(80+n%30) << 20, goroutines: 20 + 4*n})
	}
	if err := grown(flat); err != nil {
		t.Error(err)
	}
	if grown(leak) == nil {
		t.Error("a hundred and sixty goroutines more are not noticed")
	}
}

// TestSoak goes on for as long as SOAK says: histories of 10,000 steps one after another, a process that is killed again and again, and one
// database that is written to, read, merged and bounded by retention all the time. It fails if memory, goroutines or open files grow.
func TestSoak(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("SOAK is not set; make soak")
	}
	whole, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Fatalf("SOAK: %v", err)
	}
	seed := number(t, "SOAK_SEED", rand.Uint64())
	fmt.Printf("SOAK=%v SOAK_SEED=%d\n", whole, seed)
	ctx, cancel := context.WithTimeout(t.Context(), whole)
	defer cancel()
	begin := time.Now()

	var tally tally
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group sync.WaitGroup
	part := func(run func() error) {
		group.Go(func() {
			if err := run(); err != nil {
				stop(err) // the others end too
				t.Error(err)
			}
		})
	}
	part(func() error {
		for seed := seed; ctx.Err() == nil; seed++ {
			dir := filepath.Join(t.TempDir(), "history")
			if err := runTrial(ctx, dir, seed, 10_000, &tally); err != nil {
				return err
			}
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
		return nil
	})

	kills := newKilled(t.TempDir(), seed)
	rounds := 0
	part(func() error {
		for ctx.Err() == nil {
			if kills.acks > 10_000 { // what is there is read after each kill
				kills = newKilled(t.TempDir(), seed+uint64(rounds))
			}
			if err := kills.round(ctx); err != nil {
				return fmt.Errorf("seed %d, kill %d: %w", kills.seed, rounds, err)
			}
			rounds++
		}
		return nil
	})

	db := open(t, t.TempDir(), crowdOptions(4<<20))
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	c := &crowd{db: db, seed: seed, pace: pace.C}
	part(func() error { return c.run(ctx, func() bool { return false }) })

	var samples []sample
	part(func() error {
		minute := time.NewTicker(min(time.Minute, max(whole/60, time.Second)))
		defer minute.Stop()
		for {
			select {
			case <-ctx.Done():
				return grown(samples)
			case <-minute.C:
			}
			now, s := takeSample(), db.Stats()
			samples = append(samples, now)
			fmt.Printf("%8s  histories: %d steps, %d compactions, %d crashes, %d faults | one database: %d puts, %d questions, %d keys recent, %d blocks of %d rows, %d compactions, %d blocks dropped | %d MiB resident, %d MiB heap, %d goroutines, %d files\n",
				time.Since(begin).Round(time.Second), tally.steps.Load(), tally.compactions.Load(), tally.crashes.Load()+tally.crashesWithin.Load(), tally.faults.Load(),
				c.puts.Load(), c.questions.Load(), s.RecentKeys, s.Blocks, s.BlockRows, s.Compactions, s.Retained,
				now.resident>>20, now.heap>>20, now.goroutines, now.files)
		}
	})

	group.Wait()
	fmt.Println("histories:", &tally)
	fmt.Printf("kills: %d of a process, %d puts acknowledged in the last directory\n", rounds, kills.acks)
	if s := db.Stats(); s.BlockBytes > 8<<20 {
		t.Errorf("blocks of %d bytes are kept, twice what retention says", s.BlockBytes)
	}
	noGarbage(t, db)
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
