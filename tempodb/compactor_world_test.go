package tempodb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/blocklist"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
)

// sharedTenant is whose blocks a bucket has that many share.
const sharedTenant = "shared"

// testClock is a time that a test moves. It begins now, since blocks take their IDs' time from the real clock.
type testClock struct {
	mu  sync.Mutex
	add time.Duration
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.add)
}

func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add += d
}

// process is a bucket as one process has it. Each operation is shown to at, which may do something in between, and the process may die
// at it: then that operation and all later ones fail, though the one that it dies at may have been carried out.
type process struct {
	backend.Bucket
	at func(op, name string)

	mu     sync.Mutex
	ops    int // so far
	dieAt  int // the operation that it dies at; 0 is none
	behind bool
	dead   bool
}

var errDead = errors.New("the process is dead")

// do does an operation.
func (p *process) do(op, name string, act func() error) error {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return errDead
	}
	p.ops++
	dying := p.ops == p.dieAt
	p.dead = dying
	p.mu.Unlock()
	if p.at != nil && !dying {
		p.at(op, name)
	}
	if dying && !p.behind {
		return errDead
	}
	err := act()
	if dying {
		return errDead
	}
	return err
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

func (p *process) ReadAt(ctx context.Context, name string, b []byte, off int64) (n int, err error) {
	err = p.do("read", name, func() error { n, err = p.Bucket.ReadAt(ctx, name, b, off); return err })
	return n, err
}

func (p *process) Size(ctx context.Context, name string) (size int64, err error) {
	err = p.do("size", name, func() error { size, err = p.Bucket.Size(ctx, name); return err })
	return size, err
}

func (p *process) List(ctx context.Context, dir string, fn func(string) error) error {
	return p.do("list", dir, func() error { return p.Bucket.List(ctx, dir, fn) })
}

func (p *process) Delete(ctx context.Context, name string) error {
	return p.do("delete", name, func() error { return p.Bucket.Delete(ctx, name) })
}

func (p *process) CreateIfAbsent(ctx context.Context, name string, content []byte) (created bool, err error) {
	err = p.do("claim", name, func() error { created, err = backend.CreateIfAbsent(ctx, p.Bucket, name, content); return err })
	return created, err
}

func (p *process) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	w, err := p.Bucket.Create(ctx, name)
	return &processWriter{w, p, name}, err
}

type processWriter struct {
	backend.ObjectWriter
	p    *process
	name string
}

func (w *processWriter) Commit() error { return w.p.do("put", w.name, w.ObjectWriter.Commit) }

// withoutClaims is a bucket that can't put an object only if there is none.
type withoutClaims struct{ backend.Bucket }

const (
	worldPoll  = 30 * time.Second
	worldGrace = 20 * time.Minute
	worldTTL   = 5 * time.Minute
)

// everyThree has any three blocks of about the same size be merged.
var everyThree = compact.PlanOptions{Windows: []time.Duration{10_000 * time.Hour}, Growth: 2, MaxInputs: 3}

func openCompactor(t testing.TB, bucket backend.Bucket, c *testClock, change func(*CompactorOptions)) *Compactor {
	t.Helper()
	o := CompactorOptions{
		Bucket: bucket, Name: sharedTenant, Codec: lineCodec{}, Writer: "test", Compaction: everyThree, PollEvery: worldPoll, Grace: worldGrace, ClaimTTL: worldTTL, Now: c.now,
	}
	if change != nil {
		change(&o)
	}
	compactor, err := OpenCompactor(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return compactor
}

// writeShared writes a block as an ingester's upload does.
func writeShared(ctx context.Context, bucket backend.Bucket, has content) (*block.Meta, error) {
	w, err := block.NewWriter(ctx, bucket, sharedTenant, block.WriterOptions{Codec: lineCodec{}, Sources: []string{"log/1"}})
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	for _, k := range has.keys() {
		if err := w.Add(k, appendLines(nil, has.lines(k))); err != nil {
			return nil, err
		}
	}
	return w.Finish(ctx)
}

// oneLine is the content of a block with a line of its own, whose row ends at hours after the dawn.
func oneLine(hours int, n int) content {
	c := make(content)
	c.add(key(n%5), fmt.Sprintf("%d 1 n=%d", dawn+int64(hours)*hour, n))
	return c
}

func mustWrite(t testing.TB, bucket backend.Bucket, has content) *block.Meta {
	t.Helper()
	m, err := writeShared(t.Context(), bucket, has)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// readAll returns all that a reader finds, having asked in every way.
func readAll(ctx context.Context, r *Reader) (content, error) {
	summaries := make(map[Key]string)
	err := r.EachSummary(ctx, everything().Start, func(k Key, summary []byte) error {
		summaries[k] = string(summary)
		return nil
	})
	if err != nil {
		return nil, err
	}
	found := make(content)
	for k, summary := range summaries {
		value, err := r.Get(ctx, nil, k)
		if err != nil {
			return nil, err
		}
		found.add(k, lines(value)...)
		if want := summaryOf(found.lines(k)); summary != want {
			return nil, fmt.Errorf("key %x: summary %q, of the value it is %q", k, summary, want)
		}
	}
	hits, err := r.Search(ctx, everything())
	if err != nil {
		return nil, err
	}
	m := &model{content: found, rows: make(map[string]*row)}
	if want := m.search(everything()); !slices.Equal(hits, want) {
		return nil, fmt.Errorf("search finds %d keys, there are %d", len(hits), len(want))
	}
	return found, nil
}

// readFresh returns what a reader finds that comes now and lists by itself.
func readFresh(ctx context.Context, bucket backend.Bucket) (content, error) {
	r, err := OpenReader(ctx, ReaderOptions{Bucket: bucket, Name: sharedTenant, Codec: lineCodec{}, PollEvery: -1, CacheBytes: -1, Listing: true})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(ctx, r)
}

func mustHave(t testing.TB, bucket backend.Bucket, want content) {
	t.Helper()
	got, err := readFresh(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	if d := contentDiffers(got, want); d != "" {
		t.Fatal(d)
	}
}

// contentDiffers says how; nothing if it does not.
func contentDiffers(got, want content) string {
	var out strings.Builder
	for _, k := range slices.Compact(slices.SortedFunc(func(yield func(Key) bool) {
		for k := range maps.Keys(got) {
			if !yield(k) {
				return
			}
		}
		for k := range maps.Keys(want) {
			if !yield(k) {
				return
			}
		}
	}, compareKeys)) {
		if a, b := got.lines(k), want.lines(k); !slices.Equal(a, b) {
			fmt.Fprintf(&out, "key %x: %s\n", k, difference(a, b))
		}
	}
	return out.String()
}

// finish lets a compactor that is alone do all that is left, also what only time brings.
func finish(ctx context.Context, c *Compactor, clock *testClock) error {
	for _, pass := range []time.Duration{2 * worldTTL, 0, worldGrace, worldGrace, 25 * time.Hour, worldGrace, 25 * time.Hour} {
		clock.pass(pass)
		if err := c.work(ctx); err != nil {
			return err
		}
		if err := c.Reap(ctx); err != nil {
			return err
		}
	}
	return nil
}

// garbage returns what is in a store beside live blocks, their index and the quarantine.
func garbage(ctx context.Context, store *backendtest.Memory) ([]string, error) {
	p, err := blocklist.NewPoller(store, sharedTenant, blocklist.Options{Lists: true})
	if err != nil {
		return nil, err
	}
	list, _, err := p.Poll(ctx)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, name := range store.Names() {
		rest, ours := strings.CutPrefix(name, sharedTenant+"/")
		folder, _, _ := strings.Cut(rest, "/")
		switch {
		case strings.HasPrefix(name, block.QuarantineFolder+"/"), rest == blocklist.IndexObject, ours && list.IsLive(block.ID(folder)):
		default:
			left = append(left, name)
		}
	}
	return left, nil
}

func mustFinish(t testing.TB, c *Compactor, clock *testClock, store *backendtest.Memory) {
	t.Helper()
	if err := finish(t.Context(), c, clock); err != nil {
		t.Fatal(err)
	}
	left, err := garbage(t.Context(), store)
	if err != nil || len(left) > 0 {
		t.Fatalf("left in the store: %v, %v", left, err)
	}
}

// damage makes every 40th byte of an object of a block wrong.
func damage(store *backendtest.Memory, id block.ID, object string) {
	store.Change(sharedTenant+"/"+string(id)+"/"+object, func(b []byte) []byte {
		for i := 0; i < len(b); i += 40 {
			b[i] ^= 1
		}
		return bytes.Clone(b)
	})
}
