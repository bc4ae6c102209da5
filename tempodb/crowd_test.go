package tempodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// crowd has many goroutines append to a database and ask it while blocks are cut, merged and dropped. What was acknowledged must be in every
// answer from then on, until it is so old that retention may have taken it.
type crowd struct {
	db   *DB
	seed uint64
	// pace is waited for before each append; nil is none.
	pace <-chan time.Time

	puts, questions atomic.Int64
	mu              sync.Mutex
	recent          []told // ring of what was acknowledged last
}

// told is a line that was acknowledged.
type told struct {
	key    Key
	line   string
	serial string
}

const (
	crowdWriters, crowdReaders = 3, 2
	crowdRecent                = 200 // what the least retention keeps for certain
)

// crowdOptions are those of a database that is to hold about so many bytes.
func crowdOptions(keep int64) func(*Options) {
	return func(o *Options) {
		o.Codec, o.NoCompaction, o.CutBytes = lineCodec{}, false, 32<<10
		o.Compaction = compact.PlanOptions{MaxInputs: 4, Growth: 2, MaxBytes: keep / 8}
		o.Retention = func() compact.RetainOptions { return compact.RetainOptions{MaxBytes: keep} }
	}
}

// run goes on until ctx ends or enough is true. It returns the first error of all goroutines.
func (c *crowd) run(ctx context.Context, enough func() bool) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var group sync.WaitGroup
	member := func(n int, act func(ctx context.Context, rng *rand.Rand, n int) error) {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(c.seed, uint64(n)))
			for i := 0; ctx.Err() == nil; i++ {
				// A query that has begun is not to be taken for wrong because the end has come.
				if err := act(context.WithoutCancel(ctx), rng, i); err != nil {
					end(fmt.Errorf("goroutine %d, round %d: %w", n, i, err))
					return
				}
				if enough() {
					end(nil)
					return
				}
				if c.pace != nil {
					select {
					case <-c.pace:
					case <-ctx.Done():
					}
				}
			}
		})
	}
	for w := range crowdWriters {
		member(w, func(ctx context.Context, rng *rand.Rand, i int) error {
			return c.write(ctx, rng, fmt.Sprint(w, "-", i))
		})
	}
	for r := range crowdReaders {
		member(100+r, c.read)
	}
	member(200, func(ctx context.Context, rng *rand.Rand, i int) error {
		switch rng.IntN(4) {
		case 0:
			return c.db.Cut(ctx)
		case 1:
			return c.db.Compact(ctx)
		case 2:
			return c.db.Retain(ctx)
		default:
			return c.summaries(ctx)
		}
	})
	group.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (c *crowd) write(ctx context.Context, rng *rand.Rand, serial string) error {
	line := fmt.Sprintf("%d %d serial=%s color=%d #%s", time.Now().UnixNano(), rng.IntN(1000), serial, rng.IntN(5), (&generator{Rand: rng}).ballast(rng.IntN(600)))
	what := told{key: Key{0: byte(rng.IntN(256)), 7: byte(rng.IntN(8))}, line: line, serial: serial}
	if err := appendAnyway(c.db, ctx, []Entry{{what.key, appendLine(nil, []byte(line))}}); err != nil {
		return err
	}
	c.puts.Add(1)
	c.mu.Lock()
	if len(c.recent) == crowdRecent {
		c.recent = slices.Delete(c.recent, 0, 1)
	}
	c.recent = append(c.recent, what)
	c.mu.Unlock()
	return c.ask(ctx, what, rng.IntN(4))
}

// read asks for something that was acknowledged a moment ago.
func (c *crowd) read(ctx context.Context, rng *rand.Rand, _ int) error {
	c.mu.Lock()
	var what told
	if len(c.recent) > crowdRecent/2 {
		what = c.recent[len(c.recent)-1-rng.IntN(crowdRecent/2)]
	}
	c.mu.Unlock()
	if what.line == "" {
		return nil
	}
	return c.ask(ctx, what, rng.IntN(4))
}

// ask asks for a line in one of several ways.
func (c *crowd) ask(ctx context.Context, what told, way int) error {
	c.questions.Add(1)
	switch way {
	case 0, 1:
		value, err := c.db.Get(ctx, nil, what.key)
		got := lines(value)
		if err != nil || !slices.Contains(got, what.line) || len(slices.Compact(slices.Clone(got))) != len(got) {
			return fmt.Errorf("get %x: %v, %d lines, without put %s or with one twice", what.key, err, len(got), what.serial)
		}
	case 2:
		q := everything()
		q.Where, q.Limit = index.And(index.Equal([]byte("serial"), []byte(what.serial)), index.Not(index.Equal([]byte("color"), []byte("7")))), 2
		hits, err := c.db.Search(ctx, q)
		if err != nil || len(hits) != 1 || hits[0].Key != what.key {
			return fmt.Errorf("search for put %s, %x: %v, %v", what.serial, what.key, hits, err)
		}
	default:
		values, err := c.db.Terms(ctx, []byte("serial"), []byte(what.serial))
		if err != nil || !slices.Contains(values, what.serial) {
			return fmt.Errorf("terms that begin with %s: %q, %v", what.serial, values, err)
		}
		if _, err := c.db.Summary(ctx, nil, what.key); err != nil {
			return fmt.Errorf("summary of %x: %w", what.key, err)
		}
	}
	return nil
}

// summaries walks over all keys; what was acknowledged before is among them. It asks within the walk too.
func (c *crowd) summaries(ctx context.Context) error {
	c.questions.Add(1)
	c.mu.Lock()
	missing := make(map[Key]bool)
	for _, what := range c.recent[len(c.recent)/2:] {
		missing[what.key] = true
	}
	c.mu.Unlock()
	n := 0
	err := c.db.EachSummary(ctx, index.Everything, func(k Key, _ []byte) error {
		delete(missing, k)
		if n++; n%100 == 0 {
			if _, err := c.db.Get(ctx, nil, k); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		return nil
	})
	if err != nil || len(missing) > 0 {
		return fmt.Errorf("walk over %d summaries: %v, %d keys missing", n, err, len(missing))
	}
	return nil
}

func TestAcknowledgedIsInEveryAnswerWhileBlocksAreCutMergedAndDropped(t *testing.T) {
	db := open(t, t.TempDir(), crowdOptions(160<<10))
	c := &crowd{db: db, seed: rand.Uint64()}
	err := c.run(t.Context(), func() bool {
		s := db.Stats()
		return s.Cuts >= 4 && s.Compactions >= 2 && s.Retained >= 1 && c.puts.Load() > 300
	})
	if err != nil {
		t.Error(err)
	}
	s := db.Stats()
	t.Logf("%d puts, %d questions, %d cuts, %d compactions, %d blocks dropped", c.puts.Load(), c.questions.Load(), s.Cuts, s.Compactions, s.Retained)
	noGarbage(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// noGarbage fails if the store, which has never failed, holds anything but the blocks that are served.
func noGarbage(t *testing.T, db *DB) {
	t.Helper()
	if err := db.maintain(t.Context()); err != nil {
		t.Error(err)
	}
	db.cutting <- struct{}{}
	defer func() { <-db.cutting }()
	db.maintaining.Lock()
	defer db.maintaining.Unlock()
	served := make(map[string]bool)
	for _, b := range db.view.Load().blocks {
		served[string(b.Meta().ID)+"/"] = true
	}
	err := db.opts.Bucket.List(t.Context(), db.opts.Name, func(name string) error {
		if !served[name] {
			_, err := block.ParseID(strings.TrimSuffix(name, "/"))
			t.Errorf("%s is left in the store (a block's name: %v)", name, err == nil)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
