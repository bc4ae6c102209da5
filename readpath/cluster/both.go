package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/tempodb"
)

// found is what ingesters and blocks say.
type found[I, B any] struct {
	ingesters []answer[I]
	blocks    B
	missing   []error // parts that could not be asked
}

// partial is the error of an answer from which parts are missing, nil if there are none.
func (s *Store) partial(missing []error) error {
	if len(missing) == 0 {
		return nil
	}
	s.stats.partial.Add(1)
	return &tempodb.PartialError{Parts: missing}
}

// both asks the ingesters and, in parallel, the blocks of a tenant; these once more if the list of them turns out to be older than what ingesters still have. what they are
// asked for is how that is traced.
func both[I, B any](ctx context.Context, d *database, what string, ingesters question[I], blocks func(context.Context, tempodb.Database) (B, error)) (_ *found[I, B], err error) {
	s := d.store
	span, ctx := tracing.Span(ctx, what, "tenant", d.tenant)
	defer func() { tracing.End(span, err) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := new(found[I, B])
	var (
		of       *following
		asOf     time.Time
		blockErr error
		asked    = make(chan struct{})
	)
	s.work.Go(func() {
		defer close(asked)
		if of, blockErr = s.tenants.follow(ctx, d.tenant); blockErr != nil {
			return
		}
		asOf = of.reader.AsOf() // before: the answer may be of a later list, not the other way round
		f.blocks, blockErr = blocks(ctx, s.blocksOf(of))
	})
	set, err := s.readSet()
	if err != nil {
		f.missing, err = append(f.missing, err), nil
	} else {
		f.ingesters, f.missing, err = ask(ctx, s, set, ingesters)
	}
	if err != nil {
		cancel()
	}
	<-asked
	if of != nil {
		defer s.tenants.release(of)
		defer func() { tracing.Tag(span, "blocks", len(of.reader.List().Live), "missing", len(f.missing)) }()
	}
	if err != nil {
		return nil, err
	}
	tracing.Tag(span, "ingesters", len(f.ingesters))
	if of != nil {
		switch kept, t := listNeeded(f.ingesters, asOf); {
		case !t.IsZero():
			if err := of.catchUp(ctx, s, t); err != nil {
				f.missing = append(f.missing, err)
				break
			}
			f.blocks, blockErr = blocks(ctx, s.blocksOf(of))
		case kept > 0:
			s.tenants.freshen(of, kept)
		}
	}
	var partial *tempodb.PartialError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(blockErr, &partial):
		f.missing = append(f.missing, partial.Parts...)
	case blockErr != nil:
		f.missing = append(f.missing, fmt.Errorf("blocks of tenant %s: %w", d.tenant, blockErr))
	}
	return f, nil
}

// catchUp lists the blocks as they are at t or later.
func (f *following) catchUp(ctx context.Context, s *Store, t time.Time) error {
	s.stats.looks.Add(1)
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if err := f.reader.CatchUp(ctx, t); err != nil {
		return fmt.Errorf("blocks of tenant %s, which ingesters may have dropped since they were listed last: %w", f.tenant, err)
	}
	f.reader.AsOf()
	return nil
}

// listNeeded says of when the list of blocks must be, zero if one as of asOf will do: what was a block in the bucket at that time no ingester has to have any more.
// An ingester that answered at time t has all that it has dropped after t-kept; what it has dropped before that was to be found in the bucket at t-kept. kept is the shortest
// time that one keeps blocks.
func listNeeded[T any](answers []answer[T], asOf time.Time) (kept time.Duration, t time.Time) {
	first := true
	for i := range answers {
		a := &answers[i]
		if a.err != nil {
			continue
		}
		if first || a.source.KeptFor < kept {
			kept, first = a.source.KeptFor, false
		}
		if age(asOf, a.at) <= a.source.KeptFor {
			continue
		}
		need := a.at.Add(-a.source.KeptFor)
		if !asOf.Before(need) {
			need = a.at // one of the clocks has stood still
		}
		if need.After(t) {
			t = need
		}
	}
	return kept, t
}
