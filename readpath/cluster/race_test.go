package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
)

// acknowledged returns what is acknowledged now.
func (c *cluster) acknowledged() naive {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// holds makes sure that answers have all of before, which was acknowledged before they were asked for. What was written since they may have.
func (c *cluster) holds(ctx context.Context, s *Store, before naive) error {
	db, err := s.Database(ctx, tenant)
	if err != nil {
		return err
	}
	byKey := before.values()
	for key, values := range byKey {
		got, err := db.Get(ctx, nil, key)
		if err != nil {
			return err
		}
		have, err := spansOf(got)
		if err != nil {
			return err
		}
		for _, value := range values {
			want, err := spansOf(value)
			if err != nil {
				return err
			}
			if _, found := slices.BinarySearch(have, want[0]); !found {
				return fmt.Errorf("key %x: %d spans, and this one is missing: %s", key, len(have), want[0])
			}
		}
		summary, err := db.Summary(ctx, nil, key)
		if err != nil {
			return err
		}
		if err := counts(summary, values); err != nil {
			return fmt.Errorf("summary of key %x: %w", key, err)
		}
	}
	hits, err := db.Search(ctx, &index.Query{Start: index.Everything, Duration: index.Everything})
	if err != nil {
		return err
	}
	for _, want := range before.search(&index.Query{Start: index.Everything, Duration: index.Everything}, "") {
		if !slices.ContainsFunc(hits, func(h index.Hit) bool { return h.Key == want.Key && h.Start >= want.Start }) {
			return fmt.Errorf("search does not find %x", want.Key)
		}
	}
	return db.EachSummary(ctx, index.Everything, func(key tempodb.Key, summary []byte) error {
		defer delete(byKey, key)
		return counts(summary, byKey[key])
	})
}

func counts(summary []byte, values [][]byte) error {
	s, err := trace.ParseSummary(summary)
	if err != nil {
		return err
	}
	distinct := make(map[string]bool)
	for _, v := range values {
		distinct[string(v)] = true
	}
	if s.Spans < len(distinct) {
		return fmt.Errorf("%d spans of %d", s.Spans, len(distinct))
	}
	return nil
}

// Replicas cut, upload and drop at any moment of any question, as early as they may: there is no time at which something is in neither place.
func TestNoQuestionMissesWhatMovesFromIngestersToBlocks(t *testing.T) {
	for _, kept := range []time.Duration{0, 5 * time.Millisecond} {
		for _, compacting := range []bool{false, true} {
			t.Run(fmt.Sprint(kept, compacting), func(t *testing.T) {
				c := newCluster(t.TempDir(), kept)
				s := mustOpen(t, c, Options{PollEvery: 10 * time.Millisecond})
				var movers sync.WaitGroup
				moves := make(chan struct{}, 8)
				for i, r := range c.replicas {
					movers.Go(func() {
						pick := picker(uint64(i))
						for range moves {
							if err := c.upload(t.Context(), r, func() bool { return pick(3) > 0 }); err != nil {
								t.Error(err)
								return
							}
							r.drop()
						}
					})
				}
				if compacting {
					movers.Go(func() {
						for range moves {
							if err := c.compact(t.Context()); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				pick, whole := picker(9), 0
				for range 12 {
					var spans []span
					for range 1 + pick(4) {
						spans = append(spans, c.drawSpan(pick))
					}
					c.write(pick(6), spans...)
					for range 3 {
						moves <- struct{}{} // while the questions are asked
					}
					err := c.holds(t.Context(), s, c.acknowledged())
					var partial *tempodb.PartialError
					switch {
					case err == nil:
						whole++
					case compacting && errors.As(err, &partial): // blocks are deleted here while they are read, which no compactor does
					default:
						t.Fatal(err)
					}
				}
				close(moves)
				movers.Wait()
				t.Logf("%d of 12 whole; %+v", whole, s.Stats())
			})
		}
	}
}
