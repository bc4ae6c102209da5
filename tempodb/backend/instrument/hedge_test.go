package instrument

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// trained returns a hedging bucket over f that has seen reads that take 10 ms.
func trained(t *testing.T, f *fake, o HedgeOptions) *Hedged {
	t.Helper()
	h := Hedge(f, o)
	for range 2 * experience {
		h.learn(0, 10*time.Millisecond)
	}
	return h
}

func TestAReadThatIsLateIsAskedTwiceAndTheFirstAnswerWins(t *testing.T) {
	for name, c := range map[string]struct {
		first, second time.Duration
		wantTime      time.Duration
		won           int64
	}{
		"the second wins": {time.Hour, 10 * time.Millisecond, 25 * time.Millisecond, 1},
		"the first wins":  {15 * time.Millisecond, time.Hour, 16 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{content: []byte("abc"), act: takes(c.first, c.second)}
				h := trained(t, f, HedgeOptions{})
				p := make([]byte, 3)
				begun := time.Now()
				n, err := h.ReadAt(t.Context(), "a", p, 0)
				if n != 3 || err != nil || string(p) != "abc" {
					t.Fatalf("%d, %v, %q", n, err, p)
				}
				if d := time.Since(begun); d > c.wantTime {
					t.Errorf("it took %s", d)
				}
				synctest.Wait() // the loser has ended
				if s := h.Stats(); s != (HedgeStats{Reads: 1, Hedges: 1, Won: c.won}) {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestAReadInTimeIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{content: []byte("abc"), act: takes(9 * time.Millisecond)}
		h := trained(t, f, HedgeOptions{})
		for range 100 {
			h.ReadAt(t.Context(), "a", make([]byte, 3), 0)
		}
		if f.count() != 100 || h.Stats().Hedges != 0 {
			t.Errorf("%d requests, %+v", f.count(), h.Stats())
		}
	})
}

func TestWithoutExperienceOnlyTheLongestTimeIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{content: []byte("abc"), act: takes(900 * time.Millisecond)}
		Hedge(f, HedgeOptions{Longest: time.Second}).ReadAt(t.Context(), "a", make([]byte, 3), 0)
		if f.count() != 1 {
			t.Errorf("%d requests", f.count())
		}
	})
}

func TestAnErrorOfOneRequestIsNoneOfTheRead(t *testing.T) {
	for name, broken := range map[string]int{"first": 1, "second": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{content: []byte("abc"), act: func(ctx context.Context, call int) error {
					if call == broken {
						time.Sleep(30 * time.Millisecond)
						return errBroken
					}
					return takes(100*time.Millisecond)(ctx, call)
				}}
				p := make([]byte, 3)
				if n, err := trained(t, f, HedgeOptions{}).ReadAt(t.Context(), "a", p, 0); n != 3 || err != nil || string(p) != "abc" {
					t.Errorf("%d, %v, %q", n, err, p)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := &fake{act: func(context.Context, int) error { time.Sleep(30 * time.Millisecond); return errBroken }}
		if _, err := trained(t, f, HedgeOptions{}).ReadAt(t.Context(), "a", make([]byte, 3), 0); err != errBroken {
			t.Errorf("when both fail: %v", err)
		}
	})
}

func TestAMissingObjectIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{act: func(ctx context.Context, call int) error {
			if call == 2 {
				return backend.ErrNotExist
			}
			return takes(time.Hour)(ctx, call)
		}}
		if _, err := trained(t, f, HedgeOptions{}).ReadAt(t.Context(), "a", make([]byte, 3), 0); err != backend.ErrNotExist {
			t.Error(err)
		}
	})
}

func TestACancelledReadEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		f := &fake{act: takes(time.Hour)}
		begun := time.Now()
		_, err := trained(t, f, HedgeOptions{}).ReadAt(ctx, "a", make([]byte, 3), 0)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 21*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

func TestAStoreThatIsAlwaysLateIsNotAskedTwiceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{content: []byte("abc"), act: takes(100 * time.Millisecond)}
		h := trained(t, f, HedgeOptions{Share: 0.05, Burst: 10, Longest: 20 * time.Millisecond})
		for range 1000 {
			h.ReadAt(t.Context(), "a", make([]byte, 3), 0)
		}
		if s := h.Stats(); s.Hedges < 50 || s.Hedges > 60 || s.Hedges+s.Denied != 1000 {
			t.Errorf("%+v", s)
		}
	})
}

// A store of which one read in fifty takes a hundred times as long: what hedging does to the slowest ones.
func TestHedgingCutsTheTail(t *testing.T) {
	measure := func(hedge bool) (p99 time.Duration, requests int) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			random := rand.New(rand.NewPCG(1, 2))
			f := &fake{content: make([]byte, 100), act: func(ctx context.Context, _ int) error {
				mu.Lock()
				d := time.Duration(10+random.IntN(10)) * time.Millisecond
				if random.IntN(50) == 0 {
					d *= 100
				}
				mu.Unlock()
				return takes(d)(ctx, 1)
			}}
			var b backend.Bucket = f
			if hedge {
				b = Hedge(f, HedgeOptions{})
			}
			var times []time.Duration
			for range 5000 {
				begun := time.Now()
				b.ReadAt(t.Context(), "a", make([]byte, 100), 0)
				times = append(times, time.Since(begun))
			}
			slices.Sort(times)
			p99, requests = times[len(times)*99/100], f.count()
		})
		return p99, requests
	}
	bare, n := measure(false)
	hedged, m := measure(true)
	t.Logf("p99 %s with %d requests, hedged %s with %d", bare, n, hedged, m)
	if hedged > bare/10 || m > n*106/100 {
		t.Errorf("p99 %s with %d requests, hedged %s with %d", bare, n, hedged, m)
	}
}

func TestPercentileIsThatOfTheLatencies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.SliceOfN(rapid.IntRange(1, 20_000), experience, memory).Draw(t, "milliseconds")
		q := rapid.Float64Range(0.01, 1).Draw(t, "q")
		var l latencies
		for _, m := range ms {
			l.add(time.Duration(m) * time.Millisecond)
		}
		slices.Sort(ms)
		i := max(0, int(q*float64(len(ms))+0.999999)-1)
		exact := time.Duration(ms[min(i, len(ms)-1)]) * time.Millisecond
		if got := l.percentile(q, 0); got < exact*99/100 || got > exact*13/10 {
			t.Fatalf("percentile %f is %s, exactly %s", q, got, exact)
		}
	})
}

func TestOldLatenciesAreForgotten(t *testing.T) {
	var l latencies
	for range 5 * memory {
		l.add(time.Second)
	}
	for range 5 * memory {
		l.add(time.Millisecond)
	}
	if p := l.percentile(0.95, 0); p > 2*time.Millisecond {
		t.Errorf("%s", p)
	}
}

func BenchmarkHedgedRead(b *testing.B) {
	h := Hedge(&fake{content: make([]byte, 100)}, HedgeOptions{})
	p := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		h.ReadAt(context.Background(), "a", p, 0)
	}
}
