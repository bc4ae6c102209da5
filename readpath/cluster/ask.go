package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// asked is what can be asked of an ingester. client.Client is one.
type asked interface {
	Values(ctx context.Context, tenant string, keys []tempodb.Key, fn func(i int, value []byte) error) (client.Source, error)
	Search(ctx context.Context, tenant string, q *index.Query) ([]index.Hit, client.Source, error)
	Terms(ctx context.Context, tenant string, field, prefix []byte, fn func(value []byte) error) (client.Source, error)
	Summaries(ctx context.Context, tenant string, starts index.Range, fn func(key tempodb.Key, summary []byte) error) (client.Source, error)
}

// answer is what one ingester said.
type answer[T any] struct {
	value  T
	source client.Source
	at     time.Time // when all of it was here
	err    error
}

// question is what one ingester is asked. What it returns beside an error is true, if not whole.
type question[T any] func(ctx context.Context, of asked) (T, client.Source, error)

// ask asks all ingesters of a set at the same time and returns what they said. lost says whose answer is missing, if the others do not suffice. The error is
// that of a context which is done.
func ask[T any](ctx context.Context, s *Store, set *ring.ReadSet, q question[T]) (answers []answer[T], lost []error, err error) {
	type outcome struct {
		i int
		answer[T]
	}
	began := time.Now()
	outcomes := make(chan outcome, len(set.Ask))
	calls := make([]*call, len(set.Ask))
	for i := range set.Ask {
		// Apart from ctx, whose end does not end a probe.
		life, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.Timeout)
		unhook := context.AfterFunc(s.life, cancel)
		c := &call{member: s.health.of(set.Ask[i].Address, set), cancel: cancel}
		calls[i] = c
		s.work.Go(func() {
			defer unhook()
			defer cancel()
			o := outcome{i: i}
			var of asked
			if of, o.err = s.dial(set.Ask[i].Address); o.err == nil {
				o.value, o.source, o.err = q(life, of)
			}
			o.at = time.Now()
			c.ended(o.err, o.source.KeptFor)
			outcomes <- o
		})
	}
	defer func() {
		for _, c := range calls {
			c.stop()
		}
	}()
	s.stats.asked.Add(int64(len(set.Ask)))
	p := newPanel(set, s.options.Patience)
	failures := make([]error, len(set.Ask))
	said := make([]*answer[T], len(set.Ask))
	var patience <-chan time.Time // of who waits though enough have answered
	giveUp := func() {
		for _, i := range p.open() {
			calls[i].giveUp()
			failures[i] = errLagging
			p.fail(i)
			s.stats.lagging.Add(1)
		}
	}
	for len(p.open()) > 0 {
		select {
		case o := <-outcomes:
			failures[o.i] = verdict(o.source, o.err)
			if failures[o.i] == nil {
				p.answer(o.i, o.at.Sub(began))
			} else {
				p.fail(o.i)
				s.stats.failed.Add(1)
			}
			said[o.i] = &o.answer
		case <-patience:
			giveUp()
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		open := p.open()
		switch {
		case len(open) == 0 || !p.enough():
		case !slices.ContainsFunc(open, func(i int) bool { return !calls[i].member.isLagging() }):
			giveUp()
		case patience == nil:
			timer := time.NewTimer(p.patience() - time.Since(began))
			defer timer.Stop()
			patience = timer.C
		}
	}
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	for _, a := range said { // in the order of the set, whoever was first
		if a != nil {
			answers = append(answers, *a)
		}
	}
	if p.enough() {
		return answers, nil, nil
	}
	return answers, s.lost(set, failures), nil
}

var (
	errLagging    = errors.New("it did not answer while others did")
	errIncomplete = errors.New("it may have lost some of what it acknowledged, and its peers have not uploaded that for sure yet")
)

// verdict is what is wrong with an answer.
func verdict(source client.Source, err error) error {
	if err == nil && !source.Complete {
		return errIncomplete
	}
	return err
}

// lost says of whom an answer is missing, and why.
func (s *Store) lost(set *ring.ReadSet, failures []error) (lost []error) {
	for i, err := range failures {
		if err != nil {
			lost = append(lost, fmt.Errorf("ingester at %s: %w", set.Ask[i].Address, err))
		}
	}
	for _, silent := range set.Silent {
		lost = append(lost, fmt.Errorf("ingester at %s has not been heard of since %s", silent.Address, silent.Heartbeat.UTC().Format(time.RFC3339)))
	}
	if lost == nil {
		lost = append(lost, ring.ErrNoInstances)
	}
	return lost
}
