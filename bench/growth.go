package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/writepath"
)

// growthResult is what questions to a store of so many blocks cost.
type growthResult struct {
	Blocks    int              `json:"blocks"`
	Spans     int64            `json:"spans"`
	Questions []questionResult `json:"questions"`
}

// questionResult is the time of a question, and what it asks of the bucket.
type questionResult struct {
	Name string `json:"name"`
	Warm cost   `json:"warm"` // asked before
	Cold cost   `json:"cold"` // the first question to a store that was just opened
}

// cost is that of one question: times of all that were asked, requests and bytes on average.
type cost struct {
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	CPU      time.Duration `json:"cpu_ns"` // of this process, on average: what else runs on the machine changes it little
	Requests float64       `json:"requests"`
	Bytes    float64       `json:"bytes"`
}

// grown is the directory of the store of o.Blocks blocks. Its workload is one of its own.
func (o *options) grown() *options {
	at := *o
	at.Dir = filepath.Join(o.Dir, "grown-"+strconv.Itoa(o.Blocks))
	return &at
}

// grow writes a store of o.Blocks blocks that have BlockTraces traces each, in the order of time.
func grow(o *options) (any, error) {
	at := o.grown()
	store, _, err := openStore(at.store(), storeOptions{Sync: wal.SyncNever, CutBytes: 1 << 40})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	writer := writepath.NewWriter(store)
	w := workload.New(o.Seed, o.Blocks*o.BlockTraces)
	seen := make(map[[16]byte]struct{})
	cuts := 0
	for r := range w.Requests() {
		if err := send(ctx, writer, r.Data); err != nil {
			return nil, err
		}
		for _, p := range r.Parts {
			seen[p.TraceID] = struct{}{}
		}
		if cuts+1 < o.Blocks && len(seen) >= (cuts+1)*o.BlockTraces {
			if err := store.Cut(ctx); err != nil {
				return nil, err
			}
			cuts++
		}
	}
	if err := store.Cut(ctx); err != nil {
		return nil, err
	}
	return nil, errors.Join(writeTruth(at, w.Truth()), store.Close())
}

// question asks one thing in several variants, and checks the answers.
type question struct {
	name string
	ask  []func(context.Context, *readpath.Reader) error
	// rounds is how often each variant is asked warm.
	rounds int
}

// coldAsks is how many variants of a question are asked cold, at most: each opens the store.
const coldAsks = 5

// growth asks the store that grow has left.
func growth(o *options) (any, error) {
	at := o.grown()
	t, err := readTruth(at)
	if err != nil {
		return nil, err
	}
	r := &growthResult{Blocks: o.Blocks}
	questions := askable(o, t)
	for i := range questions {
		q := &questions[i]
		result := questionResult{Name: q.name}
		if result.Cold, err = askCold(at, q); err != nil {
			return nil, fmt.Errorf("%s, cold: %w", q.name, err)
		}
		r.Questions = append(r.Questions, result)
	}
	store, bucket, err := openStore(at.store(), storeOptions{})
	if err != nil {
		return nil, err
	}
	store.Each(func(_ string, db *tempodb.DB) {
		s := db.Stats()
		r.Spans += s.BlockRows
		if s.Blocks != o.Blocks {
			err = fmt.Errorf("the store has %d blocks, want %d", s.Blocks, o.Blocks)
		}
	})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	reader := readpath.NewReader(store)
	for i := range questions {
		q := &questions[i]
		// The label tells the questions apart in a profile: go tool pprof -tagfocus
		pprof.Do(ctx, pprof.Labels("question", strings.ReplaceAll(q.name, ",", "")), func(ctx context.Context) {
			r.Questions[i].Warm, err = askWarm(ctx, reader, bucket, q)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return r, store.Close()
}

// askCold asks variants of q, each of a store that was just opened and has read nothing but the blocks' meta data.
func askCold(at *options, q *question) (cost, error) {
	var c cost
	var took []time.Duration
	for _, ask := range q.ask[:min(len(q.ask), coldAsks)] {
		store, bucket, err := openStore(at.store(), storeOptions{})
		if err != nil {
			return c, err
		}
		before := bucket.Counts()
		begin := time.Now()
		err = ask(context.Background(), readpath.NewReader(store))
		took = append(took, time.Since(begin))
		c.count(bucket, before)
		if err := errors.Join(err, store.Close()); err != nil {
			return c, err
		}
	}
	c.finish(took)
	return c, nil
}

func askWarm(ctx context.Context, reader *readpath.Reader, bucket *instrument.Counted, q *question) (c cost, err error) {
	for _, ask := range q.ask {
		if err := ask(ctx, reader); err != nil {
			return c, err
		}
	}
	var took []time.Duration
	before := bucket.Counts()
	used, err := cpu()
	if err != nil {
		return c, err
	}
	for range q.rounds {
		for _, ask := range q.ask {
			begin := time.Now()
			if err := ask(ctx, reader); err != nil {
				return c, err
			}
			took = append(took, time.Since(begin))
		}
	}
	total, err := cpu()
	c.CPU = (total - used) / time.Duration(len(took))
	c.count(bucket, before)
	c.finish(took)
	return c, err
}

// count adds what was read since before.
func (c *cost) count(bucket *instrument.Counted, before instrument.Counts) {
	sum := bucket.Counts().Since(before).Total()
	c.Requests += float64(sum.Requests)
	c.Bytes += float64(sum.Bytes)
}

func (c *cost) finish(took []time.Duration) {
	c.Requests /= float64(len(took))
	c.Bytes /= float64(len(took))
	c.P50, c.P99 = percentile(took, 50), percentile(took, 99)
}

// askable returns the questions to a store of the workload of t.
func askable(o *options, t *truth) []question {
	rng := rand.New(rand.NewPCG(o.Seed, 3))
	byID := question{name: "trace by ID", rounds: 1}
	for range o.Lookups / 5 {
		part := t.Traces[rng.IntN(len(t.Traces))]
		byID.ask = append(byID.ask, func(ctx context.Context, r *readpath.Reader) error {
			_, err := r.Trace(ctx, tenant, trace.ID(part.TraceID))
			return err
		})
	}
	unknown := question{name: "trace by ID, unknown", rounds: 1}
	for range o.Lookups / 5 {
		var id trace.ID
		binary.BigEndian.PutUint64(id[:], rng.Uint64())
		binary.BigEndian.PutUint64(id[8:], rng.Uint64())
		unknown.ask = append(unknown.ask, func(ctx context.Context, r *readpath.Reader) error {
			if _, err := r.Trace(ctx, tenant, id); !errors.Is(err, readpath.ErrTraceNotFound) {
				return fmt.Errorf("trace %s, which was never sent: %w", id, err)
			}
			return nil
		})
	}
	all := []question{byID, unknown}

	for i, q := range workload.Queries() {
		name := "search, " + q.Kind
		at := slices.IndexFunc(all, func(q question) bool { return q.name == name })
		if at < 0 {
			at = len(all)
			all = append(all, question{name: name, rounds: o.Searches})
		}
		all[at].ask = append(all[at].ask, asksFor(query(q), t.Answers[i]))
	}
	none := query(workload.Query{Service: "frontend", Key: "app.nothing", Value: "like that"})
	all = append(all, question{"search, no match", []func(context.Context, *readpath.Reader) error{asksFor(none, nil)}, o.Searches})

	services := slices.Sorted(maps.Keys(t.Operations))
	all = append(all, question{"services", []func(context.Context, *readpath.Reader) error{func(ctx context.Context, r *readpath.Reader) error {
		got, err := r.Services(ctx, tenant)
		if err == nil && !slices.Equal(got, services) {
			err = fmt.Errorf("got %q, want %q", got, services)
		}
		return err
	}}, o.Searches})
	operations := question{name: "operations of a service", rounds: o.Searches}
	for _, service := range services {
		want := t.Operations[service]
		operations.ask = append(operations.ask, func(ctx context.Context, r *readpath.Reader) error {
			got, err := r.Operations(ctx, tenant, service, nil)
			if err != nil {
				return err
			}
			names := make(map[string]bool)
			for _, op := range got {
				if _, known := want[op.Name]; !known {
					return fmt.Errorf("operation %q of %s was never sent", op.Name, service)
				}
				names[op.Name] = true
			}
			if len(names) != len(want) {
				return fmt.Errorf("%d operations of %s, want %d", len(names), service, len(want))
			}
			return nil
		})
	}
	return append(all, operations, question{"dependencies, of all time", []func(context.Context, *readpath.Reader) error{func(ctx context.Context, r *readpath.Reader) error {
		got, err := r.Dependencies(ctx, tenant, time.Time{}, time.Time{})
		if err == nil && len(got) == 0 {
			err = errors.New("there are none")
		}
		return err
	}}, 1})
}

// asksFor returns a search for summaries that must be those of want.
func asksFor(q *readpath.Query, want []workload.Hit) func(context.Context, *readpath.Reader) error {
	return func(ctx context.Context, r *readpath.Reader) error {
		var found []trace.ID
		_, err := r.FindSummaries(ctx, tenant, q, func(id trace.ID, _ *trace.Summary) error {
			found = append(found, id)
			return nil
		})
		return errors.Join(err, compare(found, want))
	}
}
