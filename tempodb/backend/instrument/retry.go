package instrument

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// RetryOptions bound how often and how long something is tried again.
type RetryOptions struct {
	// Tries is how often something is tried, the first time included. 6 if zero.
	Tries int
	// Within is the time after the first try began in which another may begin. 1 min if zero.
	Within time.Duration
	// First is the mean wait before the second try; it doubles with each further one, up to Longest. 50 ms and 5 s if zero. A wait is
	// up to twice as long as its mean, or shorter, by chance: those who failed together must not come back together.
	First, Longest time.Duration
	// TryTime is the time for one try of ReadAt, Size, Delete and CreateIfAbsent, after which it counts as failed. 20 s if zero. The
	// stores limit the time of uploads themselves.
	TryTime time.Duration
	// ListTime is the same for List, which may take a request for each thousand names. Six times TryTime if zero.
	ListTime time.Duration
	// Random returns numbers in [0,1). The global generator if nil.
	Random func() float64
	// OnRetry, if not nil, is told of each failed try that is followed by another, and how long the wait is. It must not block.
	OnRetry func(op Op, name string, err error, wait time.Duration)
}

func (o RetryOptions) withDefaults() RetryOptions {
	o.Tries = cmp.Or(o.Tries, 6)
	o.Within = cmp.Or(o.Within, time.Minute)
	o.First = cmp.Or(o.First, 50*time.Millisecond)
	o.Longest = cmp.Or(o.Longest, 5*time.Second)
	o.TryTime = cmp.Or(o.TryTime, 20*time.Second)
	o.ListTime = cmp.Or(o.ListTime, 6*o.TryTime)
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}

// Retry returns b with another try of what failed: ReadAt, Size and Delete; List, as long as it has not given a name to its caller (it keeps them
// until it has all); Commit, where the writer still has the object; CreateIfAbsent. What is not tried again: answers (no such object, the end of it, a
// bad name), errors that say they are permanent by a method Permanent, and anything whose context is done.
//
// The last error comes back as it was, with the number of tries.
func Retry(b backend.Bucket, o RetryOptions) backend.Bucket {
	return &retrying{Bucket: b, o: o.withDefaults()}
}

type retrying struct {
	backend.Bucket
	o RetryOptions
}

// backoff returns the wait before try number n (the second is 1), for u in [0,1).
func (o RetryOptions) backoff(n int, u float64) time.Duration {
	mean := o.First
	for i := 1; i < n && mean < o.Longest; i++ {
		mean *= 2
	}
	return time.Duration(2 * u * float64(min(mean, o.Longest)))
}

// again decides whether something is tried again that has been tried n times and failed with err, the last time after spent since
// the first try began, if the next one would begin after wait.
func (o RetryOptions) again(n int, spent, wait time.Duration, err error) bool {
	var p interface{ Permanent() bool }
	switch {
	case definite(err), errors.Is(err, errors.ErrUnsupported), errors.As(err, &p) && p.Permanent():
		return false
	default:
		return n < o.Tries && spent+wait < o.Within
	}
}

// do calls try until it succeeds or is not to be tried again.
func (r *retrying) do(ctx context.Context, op Op, name string, try func() error) error {
	begun := time.Now()
	for n := 1; ; n++ {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		wait := r.o.backoff(n, r.o.Random())
		if !r.o.again(n, time.Since(begun), wait, err) {
			if n > 1 && !definite(err) {
				err = fmt.Errorf("%w (tried %d times in %s)", err, n, time.Since(begun).Round(time.Millisecond))
			}
			return err
		}
		if r.o.OnRetry != nil {
			r.o.OnRetry(op, name, err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ended(ctx, err)
		}
	}
}

// limited calls f with the time for one try.
func (r *retrying) limited(ctx context.Context, f func(ctx context.Context) error) error {
	return within(ctx, r.o.TryTime, f)
}

func within(ctx context.Context, d time.Duration, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

// ReadAt implements backend.Bucket.
func (r *retrying) ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	err = r.do(ctx, OpRead, name, func() error {
		return r.limited(ctx, func(ctx context.Context) error {
			n, err = r.Bucket.ReadAt(ctx, name, p, off)
			return err
		})
	})
	return n, err
}

// Size implements backend.Bucket.
func (r *retrying) Size(ctx context.Context, name string) (size int64, err error) {
	err = r.do(ctx, OpSize, name, func() error {
		return r.limited(ctx, func(ctx context.Context) error {
			size, err = r.Bucket.Size(ctx, name)
			return err
		})
	})
	return size, err
}

// List implements backend.Bucket. It keeps the names until it has all of them: a list that fails on its way begins anew.
func (r *retrying) List(ctx context.Context, dir string, fn func(name string) error) error {
	var names []string
	err := r.do(ctx, OpList, dir, func() error {
		names = names[:0]
		return within(ctx, r.o.ListTime, func(ctx context.Context) error {
			return r.Bucket.List(ctx, dir, func(name string) error {
				names = append(names, name)
				return nil
			})
		})
	})
	for i := 0; err == nil && i < len(names); i++ {
		if err = ctx.Err(); err == nil {
			err = fn(names[i])
		}
	}
	return err
}

// Delete implements backend.Bucket.
func (r *retrying) Delete(ctx context.Context, name string) error {
	return r.do(ctx, OpDelete, name, func() error {
		return r.limited(ctx, func(ctx context.Context) error { return r.Bucket.Delete(ctx, name) })
	})
}

// Create implements backend.Bucket. To begin an object asks nothing of a store.
func (r *retrying) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	w, err := r.Bucket.Create(ctx, name)
	if err != nil {
		return nil, err
	}
	return &retryingWriter{ObjectWriter: w, r: r, ctx: ctx, name: name}, nil
}

type retryingWriter struct {
	backend.ObjectWriter
	r    *retrying
	ctx  context.Context
	name string
}

// Commit implements backend.ObjectWriter. It is tried again where the writer below can do that: to put the same bytes under the same
// name twice does no harm, also if the first time succeeded and only the answer was lost.
func (w *retryingWriter) Commit() error {
	err := w.r.do(w.ctx, OpWrite, w.name, func() error {
		err := w.ObjectWriter.Commit()
		if rep, ok := w.ObjectWriter.(repeatable); err != nil && (!ok || !rep.Repeatable()) {
			return &unrepeatable{err}
		}
		return err
	})
	if err != nil {
		w.Abort()
	}
	var u *unrepeatable
	if errors.As(err, &u) {
		return u.error
	}
	return err
}

// Repeatable hides that of the writer below: Commit has done what can be done.
func (w *retryingWriter) Repeatable() bool { return false }

// unrepeatable is the error of a Commit that can't be called again.
type unrepeatable struct{ error }

func (*unrepeatable) Permanent() bool { return true }

func (u *unrepeatable) Unwrap() error { return u.error }

// CreateIfAbsent implements backend.Claimer. If a try failed, it may have made the claim nevertheless. When a later one then finds that there is
// a claim, it is read: it is ours if it has our content.
func (r *retrying) CreateIfAbsent(ctx context.Context, name string, content []byte) (created bool, err error) {
	unsure := false
	err = r.do(ctx, OpClaim, name, func() error {
		return r.limited(ctx, func(ctx context.Context) error {
			created, err = backend.CreateIfAbsent(ctx, r.Bucket, name, content)
			if err != nil {
				unsure = true
			}
			return err
		})
	})
	if err != nil || created || !unsure {
		return created && err == nil, err
	}
	size, err := r.Size(ctx, name)
	if errors.Is(err, backend.ErrNotExist) {
		return false, nil // it was another's, and is deleted already
	}
	if err != nil || size != int64(len(content)) {
		return false, err
	}
	there := make([]byte, len(content))
	if _, err := r.ReadAt(ctx, name, there, 0); err != nil && !definite(err) {
		return false, err
	}
	return bytes.Equal(there, content), nil
}
