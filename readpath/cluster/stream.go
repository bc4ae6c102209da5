package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// stream is the summaries of one member, or of the blocks, on their way: ascending by key, read ahead by a goroutine of its own.
type stream struct {
	runs chan *run // closed at the end; then source and err are there
	free chan *run
	run  *run
	at   int

	source client.Source
	err    error

	// What the merge knows of it.
	key     tempodb.Key
	summary []byte // valid until next
	valid   bool
	first   time.Time // when its first run was there, or its end
}

// run is some keys with their summaries.
type run struct {
	keys      []tempodb.Key
	ends      []int // in summaries
	summaries []byte
}

const (
	runKeys  = 128
	runBytes = 64 << 10
	runs     = 3 // of a stream
)

// begin starts to read what scan yields.
func (s *Store) begin(ctx context.Context, scan func(yield func(tempodb.Key, []byte) error) (client.Source, error)) *stream {
	st := &stream{runs: make(chan *run, runs), free: make(chan *run, runs)}
	for range runs {
		st.free <- new(run)
	}
	s.work.Go(func() {
		defer close(st.runs)
		var r *run
		send := func() {
			st.runs <- r // there is room for all
			r = nil
		}
		st.source, st.err = scan(func(key tempodb.Key, summary []byte) error {
			if r == nil {
				select {
				case r = <-st.free:
					r.keys, r.ends, r.summaries = r.keys[:0], r.ends[:0], r.summaries[:0]
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			r.keys = append(r.keys, key)
			r.summaries = append(r.summaries, summary...)
			r.ends = append(r.ends, len(r.summaries))
			if len(r.keys) == runKeys || len(r.summaries) >= runBytes {
				send()
			}
			return nil
		})
		if r != nil {
			send()
		}
	})
	return st
}

var errStalled = errors.New("it stopped to answer in the middle")

// next goes on to the next key and waits for it no longer than patience, zero meaning as long as ctx lasts.
func (st *stream) next(ctx context.Context, patience time.Duration) error {
	if st.run != nil {
		if st.at++; st.at < len(st.run.keys) {
			st.set()
			return nil
		}
		st.free <- st.run // there is room for all
		st.run = nil
	}
	st.valid = false
	select {
	case r, ok := <-st.runs: // most often it is there
		st.take(r, ok)
		return nil
	default:
	}
	var late <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case r, ok := <-st.runs:
		st.take(r, ok)
		return nil
	case <-late:
		return errStalled
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (st *stream) take(r *run, ok bool) {
	if st.first.IsZero() {
		st.first = time.Now()
	}
	if st.run, st.at, st.valid = r, 0, ok; ok {
		st.set()
	}
}

func (st *stream) set() {
	begin := 0
	if st.at > 0 {
		begin = st.run.ends[st.at-1]
	}
	st.key, st.summary, st.valid = st.run.keys[st.at], st.run.summaries[begin:st.run.ends[st.at]], true
}
