// Package instrument wraps buckets: Count counts what is asked of a store, Hedge asks a second time where an answer is late, Retry asks
// again where it failed. Each takes any backend.Bucket and is one. Each is a backend.Claimer too, whose claims are
// errors.ErrUnsupported where the bucket below has none.
//
//	counted := instrument.Count(store, instrument.CountOptions{Kind: instrument.LastElement("data", "index")})
//	hedged := instrument.Hedge(counted, instrument.HedgeOptions{})
//	bucket := instrument.Retry(hedged, instrument.RetryOptions{})
//	registry.MustRegister(counted.Collector())
//
// In this order each wrapper sees what it should: Count what the store was really asked, hedges and retries included;
// Hedge single attempts, so that it knows how long one takes; Retry only what both attempts failed at.
//
// What is decided (how long to wait, whether to try again, when a read is late) is decided by functions of their arguments:
// backoff, again, latencies, budget. Time and chance come in at the edge.
//
// All wrappers may be used by any number of goroutines.
package instrument

import (
	"context"
	"errors"
	"io"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// repeatable is what an ObjectWriter may be whose Commit can be called again after it failed, since it still has the bytes.
type repeatable interface{ Repeatable() bool }

// definite says whether an error is the store's answer, and not a failure to get one.
func definite(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, backend.ErrNotExist) || errors.Is(err, backend.ErrName)
}

// ended returns ctx's error if it is done, so that a wait that was cut short says why.
func ended(ctx context.Context, err error) error {
	if done := ctx.Err(); done != nil && !errors.Is(err, done) {
		return errors.Join(done, err)
	}
	return err
}
