package instrument

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

func TestWaitsDoubleUpToTheLongestAndSpread(t *testing.T) {
	o := RetryOptions{First: 100 * time.Millisecond, Longest: 500 * time.Millisecond}
	for n, ms := range map[int]int{1: 100, 2: 200, 3: 400, 4: 500, 5: 500, 60: 500} {
		want := time.Duration(ms) * time.Millisecond
		if got := o.backoff(n, 0.5); got != want {
			t.Errorf("mean wait before try %d: %s, want %s", n+1, got, want)
		}
		if lo, hi := o.backoff(n, 0), o.backoff(n, 1); lo != 0 || hi != 2*want {
			t.Errorf("wait before try %d: from %s to %s", n+1, lo, hi)
		}
	}
}

func TestWhatIsTriedAgain(t *testing.T) {
	o := RetryOptions{Tries: 3, Within: time.Minute}
	for _, c := range []struct {
		name  string
		n     int
		spent time.Duration
		err   error
		want  bool
	}{
		{"a failure", 1, 0, errBroken, true},
		{"a failure of the last try but one", 2, 0, errBroken, true},
		{"a failure of the last try", 3, 0, errBroken, false},
		{"a failure when time is up", 1, time.Minute, errBroken, false},
		{"an answer that was cut", 1, 0, io.ErrUnexpectedEOF, true},
		{"a try that took too long", 1, 0, context.DeadlineExceeded, true},
		{"no such object", 1, 0, fmt.Errorf("a: %w", backend.ErrNotExist), false},
		{"a bad name", 1, 0, fmt.Errorf("a: %w", backend.ErrName), false},
		{"the object's end", 1, 0, io.EOF, false},
		{"no permission", 1, 0, fmt.Errorf("a: %w", permanentError{}), false},
		{"unsupported", 1, 0, fmt.Errorf("a: %w", errors.ErrUnsupported), false},
	} {
		if got := o.again(c.n, c.spent, time.Second, c.err); got != c.want {
			t.Errorf("%s is tried again: %v, want %v", c.name, got, c.want)
		}
	}
}

// operations are all that Retry tries again, on an object "name".
var operations = map[Op]func(ctx context.Context, b backend.Bucket) error{
	OpRead: func(ctx context.Context, b backend.Bucket) error {
		_, err := b.ReadAt(ctx, "name", make([]byte, 3), 0)
		return err
	},
	OpSize: func(ctx context.Context, b backend.Bucket) error { _, err := b.Size(ctx, "name"); return err },
	OpList: func(ctx context.Context, b backend.Bucket) error {
		return b.List(ctx, "name", func(string) error { return nil })
	},
	OpDelete: func(ctx context.Context, b backend.Bucket) error { return b.Delete(ctx, "name") },
	OpClaim: func(ctx context.Context, b backend.Bucket) error {
		_, err := backend.CreateIfAbsent(ctx, b, "name", []byte("me"))
		return err
	},
	OpWrite: func(ctx context.Context, b backend.Bucket) error {
		w, err := b.Create(ctx, "name")
		if err != nil {
			return err
		}
		w.Write([]byte("abc"))
		return w.Commit()
	},
}

func eachOperation(t *testing.T, test func(t *testing.T, op Op, do func(ctx context.Context, b backend.Bucket) error)) {
	for op, do := range operations {
		t.Run(string(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, op, do) })
		})
	}
}

func TestAFailureIsTriedAgainUntilItSucceeds(t *testing.T) {
	eachOperation(t, func(t *testing.T, op Op, do func(context.Context, backend.Bucket) error) {
		f := &fake{content: []byte("abc"), act: fails(3, errBroken)}
		var told []string
		b := Retry(f, RetryOptions{OnRetry: func(op Op, name string, err error, wait time.Duration) {
			told = append(told, fmt.Sprint(op, name, err))
		}})
		if err := do(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(told) != 3 || told[0] != fmt.Sprint(op, "name", errBroken) {
			t.Errorf("OnRetry was told %q", told)
		}
	})
}

func TestTriesAreBounded(t *testing.T) {
	eachOperation(t, func(t *testing.T, op Op, do func(context.Context, backend.Bucket) error) {
		f := &fake{act: fails(1000, errBroken)}
		err := do(t.Context(), Retry(f, RetryOptions{Tries: 4}))
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "tried 4 times") || f.count() != 4 {
			t.Errorf("after %d tries: %v", f.count(), err)
		}
		f = &fake{act: fails(1000, errBroken)}
		begun := time.Now()
		err = do(t.Context(), Retry(f, RetryOptions{Tries: 1000, Within: 10 * time.Second}))
		if !errors.Is(err, errBroken) || time.Since(begun) > 10*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

func TestATryThatIsStuckIsGivenUp(t *testing.T) {
	eachOperation(t, func(t *testing.T, op Op, do func(context.Context, backend.Bucket) error) {
		if op == OpWrite {
			t.Skip("uploads have limits of their own")
		}
		f := &fake{content: []byte("abc"), act: takes(time.Hour, time.Hour, 0)}
		begun := time.Now()
		if err := do(t.Context(), Retry(f, RetryOptions{TryTime: time.Second, ListTime: time.Second})); err != nil || f.count() < 3 {
			t.Errorf("after %d tries: %v", f.count(), err)
		}
		if d := time.Since(begun); d < 2*time.Second || d > 5*time.Second {
			t.Errorf("it took %s", d)
		}
	})
}

func TestNothingIsTriedAgainWhenTheContextIsDone(t *testing.T) {
	eachOperation(t, func(t *testing.T, op Op, do func(context.Context, backend.Bucket) error) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fake{act: func(context.Context, int) error { cancel(); return errBroken }}
		if err := do(ctx, Retry(f, RetryOptions{})); err == nil || f.count() != 1 {
			t.Errorf("after %d tries: %v", f.count(), err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f = &fake{act: fails(1000, errBroken)}
		err := do(ctx, Retry(f, RetryOptions{First: time.Hour, Longest: time.Hour, Within: 100 * time.Hour}))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errBroken) {
			t.Errorf("cancelled while it waits: %v", err)
		}
	})
}

func TestAListThatFailsOnItsWayGivesEachNameOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{names: []string{"a", "b"}, act: fails(2, errBroken)}
		var names []string
		err := Retry(f, RetryOptions{}).List(t.Context(), "", func(name string) error { names = append(names, name); return nil })
		if err != nil || !slices.Equal(names, []string{"a", "b"}) {
			t.Errorf("%q, %v", names, err)
		}
	})
}

func TestAnErrorOfTheCallerOfListIsNotTriedAgain(t *testing.T) {
	f := &fake{names: []string{"a", "b"}}
	calls := 0
	err := Retry(f, RetryOptions{}).List(t.Context(), "", func(string) error { calls++; return errBroken })
	if err != errBroken || calls != 1 {
		t.Errorf("after %d calls: %v", calls, err)
	}
}

func TestACommitThatCannotBeRepeatedIsNot(t *testing.T) {
	f := &fake{act: fails(1, errBroken)}
	below := &fakeWriter{f: f, ctx: t.Context()}
	w := &retryingWriter{ObjectWriter: below, r: Retry(f, RetryOptions{}).(*retrying), ctx: t.Context(), name: "a"}
	if err := w.Commit(); err != errBroken || f.count() != 1 || !below.aborted {
		t.Errorf("after %d tries: %v, aborted: %v", f.count(), err, below.aborted)
	}
}

func TestAClaimWhoseAnswerWasLostIsOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{act: fails(1, errBroken)} // makes it all the same
		created, err := backend.CreateIfAbsent(t.Context(), Retry(f, RetryOptions{}), "claim", []byte("me"))
		if !created || err != nil {
			t.Errorf("ours: %v, %v", created, err)
		}
		f = &fake{claim: []byte("you"), content: []byte("you"), act: fails(1, errBroken)}
		created, err = backend.CreateIfAbsent(t.Context(), Retry(f, RetryOptions{}), "claim", []byte("me!"))
		if created || err != nil {
			t.Errorf("another's: %v, %v", created, err)
		}
	})
}
