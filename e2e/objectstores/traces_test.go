package objectstores

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/e2e/cluster/faults"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

const tenant = "shop"

// spanBytes are a span's resource, scope and span messages.
type spanBytes [3]string

// spans returns the spans of a trace. One that is there twice is an error.
func spans(data []byte) (map[spanBytes]bool, error) {
	all := make(map[spanBytes]bool)
	err := trace.Walk(data, func(resource, scope, span []byte) error {
		s := spanBytes{string(resource), string(scope), string(span)}
		if all[s] {
			return fmt.Errorf("span %x is there twice", span)
		}
		all[s] = true
		return nil
	})
	return all, err
}

// shop is traces that are written and asked for while their store is beset.
type shop struct {
	t      *testing.T
	store  *tracedb.Store
	writer *writepath.Writer
	reader *readpath.Reader

	mu    sync.Mutex
	ids   []trace.ID
	acked map[trace.ID]map[spanBytes]bool
	sent  map[trace.ID]map[spanBytes]bool // or about to be

	again, answers, refused atomic.Int64
}

// write sends a request until it is acknowledged.
func (s *shop) write(r workload.Request) error {
	var splitter trace.Splitter
	fragments, _, err := splitter.Split(r.Data)
	if err != nil {
		return err
	}
	parts := make(map[trace.ID]map[spanBytes]bool)
	for _, f := range fragments {
		if parts[f.TraceID], err = spans(f.Data); err != nil {
			return err
		}
	}
	note := func(in map[trace.ID]map[spanBytes]bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for id, part := range parts {
			if in[id] == nil {
				in[id] = make(map[spanBytes]bool)
			}
			for span := range part {
				in[id][span] = true
			}
		}
	}
	note(s.sent)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := s.writer.Write(ctx, tenant, r.Data)
		cancel()
		if err == nil {
			break
		}
		if s.again.Add(1) > 1000 {
			return err
		}
	}
	note(s.acked)
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range parts {
		s.ids = append(s.ids, id)
	}
	return nil
}

// ask asks for a trace.
func (s *shop) ask(rng *rand.Rand) {
	s.mu.Lock()
	if len(s.ids) == 0 {
		s.mu.Unlock()
		return
	}
	id := s.ids[rng.IntN(len(s.ids))]
	var due []spanBytes
	for span := range s.acked[id] {
		due = append(due, span)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	data, err := s.reader.Trace(ctx, tenant, id)
	if errors.Is(err, readpath.ErrTraceNotFound) {
		s.t.Errorf("trace %s: %v", id, err)
	}
	there, bad := spans(data)
	if bad != nil {
		s.t.Errorf("trace %s: %v", id, bad)
	}
	s.mu.Lock()
	for span := range there {
		if !s.sent[id][span] {
			s.t.Errorf("trace %s has a span that was never sent", id)
		}
	}
	s.mu.Unlock()
	if err != nil {
		s.refused.Add(1)
		return
	}
	s.answers.Add(1)
	for _, span := range due {
		if !there[span] {
			s.t.Errorf("trace %s: an acknowledged span is missing, of %d", id, len(due))
			return
		}
	}
}

// all compares every trace and every search with what was sent.
func (s *shop) all(w *workload.Workload) (found int) {
	ctx := context.Background()
	for id, want := range s.acked {
		data, err := s.reader.Trace(ctx, tenant, id)
		if err != nil {
			s.t.Fatalf("trace %s: %v", id, err)
		}
		there, err := spans(data)
		if err != nil || len(there) != len(want) {
			s.t.Fatalf("trace %s: %v, %d spans, want %d", id, err, len(there), len(want))
		}
		for span := range there {
			if !want[span] {
				s.t.Fatalf("trace %s has a span that was never sent", id)
			}
		}
		found += len(there)
	}
	for i, q := range workload.Queries() {
		query := &readpath.Query{Service: q.Service, Operation: q.Operation, DurationMin: q.DurationMin, Limit: 1 << 20}
		if q.Key != "" {
			query.Tags = map[string]string{q.Key: q.Value}
		}
		got, _, err := s.reader.FindTraceIDs(ctx, tenant, query)
		if err != nil {
			s.t.Fatalf("search %+v: %v", q, err)
		}
		var want []trace.ID
		for _, hit := range w.Truth().Answers[i] {
			want = append(want, hit.TraceID)
		}
		if !slices.Equal(got, want) {
			s.t.Errorf("search %+v: %d traces, want %d", q, len(got), len(want))
		}
	}
	return found
}

// TestTracesOnABesetStoreComeBackAsSent: what holds of a database holds of traces, through the paths that the plugin takes.
func TestTracesOnABesetStoreComeBackAsSent(t *testing.T) {
	eachRemote(t, func(t *testing.T, r *remote) {
		bucket, dir := r.through(t), t.TempDir()
		open := func() *tracedb.Store {
			for {
				s, err := tracedb.Open(context.Background(), tracedb.Options{Dir: dir, Bucket: bucket, CutBytes: 128 << 10})
				if err == nil {
					return s
				}
			}
		}
		s := &shop{t: t, store: open(), acked: make(map[trace.ID]map[spanBytes]bool), sent: make(map[trace.ID]map[spanBytes]bool)}
		s.writer, s.reader = writepath.NewWriter(s.store), readpath.NewReader(s.store)

		r.proxy.Spoil(0.25)
		stop := make(chan struct{})
		var group sync.WaitGroup
		for n := range 2 {
			group.Go(func() {
				rng := rand.New(rand.NewPCG(*seedFlag, uint64(n)))
				for {
					s.ask(rng)
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
				}
				if n%2 == 0 {
					if err := r.restart(func() {}); err != nil {
						t.Error(err)
					}
					continue
				}
				r.proxy.Down([]faults.Outage{faults.Silent, faults.Busy, faults.Refused}[n/2%3])
				time.Sleep(300 * time.Millisecond)
				r.proxy.Down(faults.None)
			}
		})
		traces := 600
		if long := faultTime(t, 0); long > 0 {
			traces = min(20_000, int(long/(20*time.Millisecond)))
		}
		w := workload.New(*seedFlag, traces)
		for request := range w.Requests() {
			if err := s.write(request); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				break
			}
		}
		close(stop)
		group.Wait()
		if t.Failed() {
			return
		}
		r.proxy.Spoil(0.02)
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
		s.store = open()
		s.reader = readpath.NewReader(s.store)
		r.proxy.Spoil(0)
		r.proxy.Settle()
		if err := s.store.Cut(t.Context()); err != nil {
			t.Error(err)
		}
		found := s.all(w)
		if err := errors.Join(s.store.Close(), bucket.client.Close()); err != nil {
			t.Error(err)
		}
		noGoroutines(t, r)
		t.Logf("%d traces, %d spans found; %d requests sent again, %d answers and %d errors meanwhile; proxy: %s",
			len(s.acked), found, s.again.Load(), s.answers.Load(), s.refused.Load(), r.proxy)
	})
}
