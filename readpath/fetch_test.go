package readpath

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
)

func TestFetchYieldsInOrderAndHoldsFew(t *testing.T) {
	for n := range 10 {
		const ahead = 3
		ids := make([]int, n)
		for i := range ids {
			ids[i] = i
		}
		var held, most atomic.Int64
		var got []int
		err := fetch(t.Context(), ids, ahead, func(_ context.Context, id int) (int, error) {
			at := held.Add(1)
			for m := most.Load(); at > m && !most.CompareAndSwap(m, at); m = most.Load() {
			}
			return id * id, nil
		}, func(id, square int) error {
			if square != id*id {
				t.Errorf("%d comes with %d", id, square)
			}
			got = append(got, id)
			held.Add(-1)
			return nil
		})
		if err != nil || !slices.Equal(got, ids) || most.Load() > ahead {
			t.Errorf("%d ids: %v, %v, %d at the same time", n, got, err, most.Load())
		}
	}
}

func TestFetchEndsWithTheFirstErrorAndLeavesNothingRunning(t *testing.T) {
	ids := []int{0, 1, 2, 3, 4, 5}
	bad := errors.New("bad")
	for at := range ids {
		var running atomic.Int64
		yielded := 0
		err := fetch(t.Context(), ids, 4, func(ctx context.Context, id int) (int, error) {
			running.Add(1)
			defer running.Add(-1)
			if id == at {
				return 0, bad
			}
			if id > at {
				<-ctx.Done() // waits until the others are given up
			}
			return id, ctx.Err()
		}, func(int, int) error { yielded++; return nil })
		if !errors.Is(err, bad) || yielded != at || running.Load() != 0 {
			t.Errorf("get fails at %d: %v after %d, %d still running", at, err, yielded, running.Load())
		}
		err = fetch(t.Context(), ids, 4, func(_ context.Context, id int) (int, error) { return id, nil }, func(id, _ int) error {
			if id == at {
				return bad
			}
			return nil
		})
		if !errors.Is(err, bad) {
			t.Errorf("yield fails at %d: %v", at, err)
		}
	}
}

func TestKeysThatAreNotAnsweredAtOnceAreAskedForAgain(t *testing.T) {
	ids := make([]trace.ID, 11)
	for i := range ids {
		ids[i] = trace.ID{byte(i)}
	}
	for most := 1; most <= 4; most++ {
		var got []trace.ID
		err := fetchKeys(t.Context(), ids, 4, nil, func(_ context.Context, keys []tempodb.Key) (all []Outcome, _ error) {
			for _, key := range keys[:min(most, len(keys))] {
				all = append(all, Outcome{Value: key[:1]})
			}
			return all, nil
		}, func(id trace.ID, o Outcome) error {
			if o.Value[0] != id[0] {
				t.Errorf("%s comes with %d", id, o.Value)
			}
			got = append(got, id)
			return nil
		})
		if err != nil || !slices.Equal(got, ids) {
			t.Errorf("%d at once: %v, %v", most, got, err)
		}
	}
}
