package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/trace"
)

// readResult is what the phase read measured.
type readResult struct {
	Open           time.Duration
	Lookups        int
	P50, P99       time.Duration
	ReadsPerLookup float64
	BytesPerLookup float64
	Searches       []searchResult
}

// searchResult is the time of the searches of one kind.
type searchResult struct {
	Kind      string
	Queries   int
	Summaries time.Duration // p50
	Whole     time.Duration // p50
}

// warmups is how often a search is repeated before it is measured.
const warmups = 3

func read(o *options) (any, error) {
	t, err := readTruth(o)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	store, bucket, err := openStore(o.store(), storeOptions{})
	if err != nil {
		return nil, err
	}
	r := readResult{Open: time.Since(begin), Lookups: o.Lookups}
	ctx := context.Background()
	reader := readpath.NewReader(store)
	if err := verify(ctx, reader, t.Traces); err != nil { // and warms up
		return nil, err
	}
	if err := r.lookup(ctx, reader, bucket, t.Traces); err != nil {
		return nil, err
	}
	if err := r.search(ctx, reader, t, o.Searches); err != nil {
		return nil, err
	}
	return r, store.Close()
}

// verify reads every trace and compares its number of spans with what was sent.
func verify(ctx context.Context, reader *readpath.Reader, traces []workload.Part) error {
	for _, t := range traces {
		data, err := reader.Trace(ctx, tenant, trace.ID(t.TraceID))
		if err != nil {
			return fmt.Errorf("trace %x: %w", t.TraceID, err)
		}
		if err := hasSpans(data, t.Spans); err != nil {
			return fmt.Errorf("trace %x: %w", t.TraceID, err)
		}
	}
	return nil
}

func (r *readResult) lookup(ctx context.Context, reader *readpath.Reader, c *instrument.Counted, traces []workload.Part) error {
	rng := rand.New(rand.NewPCG(1, 2))
	took := make([]time.Duration, 0, r.Lookups)
	before := c.Counts()
	for range r.Lookups {
		id := traces[rng.IntN(len(traces))].TraceID
		begin := time.Now()
		_, err := reader.Trace(ctx, tenant, trace.ID(id))
		took = append(took, time.Since(begin))
		if err != nil {
			return fmt.Errorf("trace %x: %w", id, err)
		}
	}
	read := c.Counts().Since(before).Op(instrument.OpRead)
	r.ReadsPerLookup = float64(read.Requests) / float64(r.Lookups)
	r.BytesPerLookup = float64(read.Bytes) / float64(r.Lookups)
	r.P50, r.P99 = percentile(took, 50), percentile(took, 99)
	return nil
}

func (r *readResult) search(ctx context.Context, reader *readpath.Reader, t *truth, each int) error {
	type times struct{ summaries, whole []time.Duration }
	byKind := map[string]*times{}
	for i, q := range workload.Queries() {
		k := byKind[q.Kind]
		if k == nil {
			k = &times{}
			byKind[q.Kind] = k
			r.Searches = append(r.Searches, searchResult{Kind: q.Kind})
		}
		r.Searches[slices.IndexFunc(r.Searches, func(s searchResult) bool { return s.Kind == q.Kind })].Queries++
		for n := range warmups + each {
			var found, foundWhole []trace.ID
			begin := time.Now()
			_, err := reader.FindSummaries(ctx, tenant, query(q), func(id trace.ID, _ *trace.Summary) error {
				found = append(found, id)
				return nil
			})
			summaries := time.Since(begin)
			begin = time.Now()
			errWhole := reader.FindTraces(ctx, tenant, query(q), func(id trace.ID, _ []byte, missing error) error {
				foundWhole = append(foundWhole, id)
				return missing
			})
			whole := time.Since(begin)
			if err := errors.Join(err, errWhole, compare(found, t.Answers[i]), compare(foundWhole, t.Answers[i])); err != nil {
				return fmt.Errorf("search %+v: %w", q, err)
			}
			if n >= warmups {
				k.summaries = append(k.summaries, summaries)
				k.whole = append(k.whole, whole)
			}
		}
	}
	for i, s := range r.Searches {
		k := byKind[s.Kind]
		r.Searches[i].Summaries, r.Searches[i].Whole = percentile(k.summaries, 50), percentile(k.whole, 50)
	}
	return nil
}

func query(q workload.Query) *readpath.Query {
	r := &readpath.Query{Service: q.Service, Operation: q.Operation, DurationMin: q.DurationMin, Limit: limit}
	if q.Key != "" {
		r.Tags = map[string]string{q.Key: q.Value}
	}
	return r
}

// compare checks an answer: the newest traces, newest first.
func compare(got []trace.ID, want []workload.Hit) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d traces, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != trace.ID(want[i].TraceID) {
			return fmt.Errorf("trace %d is %x, want %x", i, got[i], want[i].TraceID)
		}
	}
	return nil
}
