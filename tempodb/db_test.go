package tempodb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

type fataler interface {
	Helper()
	Fatal(...any)
}

func open(t fataler, dir string, change ...func(*Options)) *DB {
	t.Helper()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: filepath.Join(dir, "recent"), Bucket: bucket, Name: "notes", Codec: noteCodec{}, NoCompaction: true}
	for _, c := range change {
		c(&o)
	}
	db, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func key(n int) Key { return Key{0: byte(n * 37), 15: byte(n)} }

func everything() *index.Query {
	return &index.Query{Start: index.Everything, Duration: index.Everything}
}

func TestWhatIsAppendedIsFoundAtOnceAndAfterReopening(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	check := func(db *DB, when string) {
		t.Helper()
		value, err := db.Get(t.Context(), nil, key(1))
		if want := []string{"5 1 color=red", "9 2 color=blue"}; err != nil || !slices.Equal(lines(value), want) {
			t.Fatalf("%s: got %q, %v, want %q", when, lines(value), err, want)
		}
		q := everything()
		q.Where = index.Equal([]byte("color"), []byte("red"))
		hits, err := db.Search(t.Context(), q)
		if want := []index.Hit{{Key: key(1), Start: 5}}; err != nil || !slices.Equal(hits, want) {
			t.Fatalf("%s: got %v, %v, want %v", when, hits, err, want)
		}
		terms, err := db.Terms(t.Context(), []byte("color"), nil)
		if want := []string{"blue", "green", "red"}; err != nil || !slices.Equal(terms, want) {
			t.Fatalf("%s: got %q, %v, want %q", when, terms, err, want)
		}
		summary, err := db.Summary(t.Context(), nil, key(1))
		if err != nil || string(summary) != "2" {
			t.Fatalf("%s: summary %q, %v", when, summary, err)
		}
		if _, err := db.Get(t.Context(), nil, key(3)); !errors.Is(err, ErrNotFound) {
			t.Fatalf("%s: %v for a key that was never appended", when, err)
		}
	}
	for _, e := range []Entry{
		{key(1), note(5, 1, "color=red")},
		{key(2), note(7, 1, "color=green")},
		{key(1), note(9, 2, "color=blue")},
		{key(1), note(5, 1, "color=red")}, // sent twice
	} {
		if err := db.Append(t.Context(), []Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	check(db, "in the log")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	check(db, "after reopening")
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := db.Stats(); s.Blocks != 1 || s.RecentKeys != 0 {
		t.Fatalf("after the cut: %+v", s)
	}
	check(db, "in a block")
	if err := db.Append(t.Context(), []Entry{{key(1), note(5, 1, "color=red")}}); err != nil {
		t.Fatal(err)
	}
	check(db, "in a block and again in the log")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	check(db, "after reopening again")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// history drives a DB and a map through the same random steps.
type history struct {
	dir  string
	db   *DB
	want map[Key][]string
}

func (h *history) step(t *rapid.T) {
	switch rapid.IntRange(0, 9).Draw(t, "step") {
	case 0:
		if err := h.db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
	case 1:
		if err := h.db.Close(); err != nil {
			t.Fatal(err)
		}
		h.db = open(t, h.dir)
	case 2:
		if err := h.db.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	default:
		var entries []Entry
		for range rapid.IntRange(1, 4).Draw(t, "entries") {
			k := key(rapid.IntRange(0, 7).Draw(t, "key"))
			start, duration := rapid.Int64Range(0, 30).Draw(t, "start"), rapid.Int64Range(0, 3).Draw(t, "duration")
			term := "t=" + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "term")
			entries = append(entries, Entry{k, note(start, duration, term)})
			h.want[k] = append(h.want[k], fmt.Sprint(start, " ", duration, " ", term))
		}
		if err := h.db.Append(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
	}
}

func (h *history) check(t *rapid.T) {
	q := everything()
	q.Limit = rapid.IntRange(0, 4).Draw(t, "limit")
	q.Start.Min = rapid.Int64Range(0, 30).Draw(t, "from")
	term := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "sought")
	q.Where = index.Equal([]byte("t"), []byte(term))
	var hits []index.Hit
	within := make(map[Key]string)
	for k, all := range h.want {
		all = slices.Compact(slices.Sorted(slices.Values(all)))
		value, err := h.db.Get(t.Context(), nil, k)
		if err != nil || !slices.Equal(lines(value), all) {
			t.Fatalf("key %x: got %q, %v, want %q", k, lines(value), err, all)
		}
		latest := int64(-1)
		for _, line := range all {
			var start, duration int64
			var of string
			if _, err := fmt.Sscan(line, &start, &duration, &of); err != nil {
				t.Fatal(err)
			}
			if start >= q.Start.Min {
				within[k] = fmt.Sprint(len(all))
				if of == "t="+term {
					latest = max(latest, start)
				}
			}
		}
		if latest >= 0 {
			hits = append(hits, index.Hit{Key: k, Start: latest})
		}
	}
	got, err := h.db.Search(t.Context(), q)
	if want := index.MergeHits(q.Limit, hits); err != nil || !slices.Equal(got, want) {
		t.Fatalf("search: got %v, %v, want %v", got, err, want)
	}
	var last Key
	err = h.db.EachSummary(t.Context(), q.Start, func(k Key, summary []byte) error {
		if within[k] != string(summary) || compareKeys(k, last) < 0 {
			t.Fatalf("summary of %x: %q, want %q", k, summary, within[k])
		}
		delete(within, k)
		last = k
		return nil
	})
	if err != nil || len(within) > 0 {
		t.Fatalf("summaries: %v; left out: %v", err, within)
	}
}

func TestDatabaseAgreesWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "tempodb")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		h := &history{dir: dir, db: open(t, dir), want: make(map[Key][]string)}
		defer func() { _ = h.db.Close() }()
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			h.step(t)
		}
		h.check(t)
	})
}

func TestQueriesSeeEverythingWhileBlocksAreCut(t *testing.T) {
	db := open(t, t.TempDir(), func(o *Options) { o.CutBytes = 4 << 10; o.Sync = wal.SyncNever })
	const writers, cuts = 4, 3
	var written atomic.Int64
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			// Until enough blocks were cut meanwhile.
			for i := 0; db.Stats().Cuts < cuts; i++ {
				k := Key{byte(w), byte(i), byte(i >> 8), byte(i >> 16)}
				if err := db.Append(t.Context(), []Entry{{k, note(int64(i), 1, fmt.Sprintf("id=%d-%d", w, i), "pad="+strings.Repeat("x", 100))}}); err != nil {
					t.Error(err)
					return
				}
				q := everything()
				q.Where = index.Equal([]byte("id"), fmt.Appendf(nil, "%d-%d", w, i))
				if hits, err := db.Search(t.Context(), q); err != nil || len(hits) != 1 {
					t.Errorf("right after the append of %x: search gives %v, %v", k, hits, err)
				}
				earlier := i / 2
				if _, err := db.Get(t.Context(), nil, Key{byte(w), byte(earlier), byte(earlier >> 8), byte(earlier >> 16)}); err != nil {
					t.Errorf("append before %x: %v", k, err)
				}
				written.Add(1)
			}
		})
	}
	group.Wait()
	hits, err := db.Search(t.Context(), everything())
	if err != nil || int64(len(hits)) != written.Load() {
		t.Errorf("%d keys found of %d, %v", len(hits), written.Load(), err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Append(t.Context(), []Entry{{}}); !errors.Is(err, ErrClosed) {
		t.Errorf("append after Close: %v", err)
	}
	if _, err := db.Search(t.Context(), everything()); !errors.Is(err, ErrClosed) {
		t.Errorf("search after Close: %v", err)
	}
}

// failingBucket refuses to create and delete objects while it is broken.
type failingBucket struct {
	backend.Bucket
	mu     sync.Mutex
	broken bool
}

func (b *failingBucket) set(broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = broken
}

func (b *failingBucket) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return nil, errors.New("no space")
	}
	return b.Bucket.Create(ctx, name)
}

func (b *failingBucket) Delete(ctx context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return errors.New("no answer")
	}
	return b.Bucket.Delete(ctx, name)
}

// twoBlocks appends and cuts twice.
func twoBlocks(t *testing.T, db *DB) {
	t.Helper()
	for start := range int64(2) {
		if err := db.Append(t.Context(), []Entry{{key(1), note(start, 1, "color=red")}, {key(2 + int(start)), note(start, 1)}}); err != nil {
			t.Fatal(err)
		}
		if err := db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBlocksThatWereMergedAreNotServedAgainIfDeletingThemFailed(t *testing.T) {
	dir := t.TempDir()
	bucket := &failingBucket{}
	db := open(t, dir, func(o *Options) { bucket.Bucket = o.Bucket; o.Bucket = bucket })
	twoBlocks(t, db)
	blocks := db.view.Load().blocks
	// The output is written before anything is deleted: only then the store breaks.
	merged, err := block.Merge(t.Context(), bucket, "notes", blocks, block.MergeOptions{Codec: noteCodec{}})
	if err != nil {
		t.Fatal(err)
	}
	bucket.set(true)
	if err := db.exchange(t.Context(), []block.ID{blocks[0].Meta().ID, blocks[1].Meta().ID}, merged); err == nil {
		t.Fatal("a broken store deletes")
	}
	check := func(db *DB) {
		t.Helper()
		if s := db.Stats(); s.Blocks != 1 {
			t.Errorf("%d blocks are served", s.Blocks)
		}
		value, err := db.Get(t.Context(), nil, key(1))
		if err != nil || len(lines(value)) != 2 {
			t.Errorf("value %q, %v", lines(value), err)
		}
	}
	check(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	check(db)
	if ids, err := block.List(t.Context(), db.opts.Bucket, "notes"); err != nil || len(ids) != 1 {
		t.Errorf("blocks in the bucket after reopening: %v, %v", ids, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRetentionDropsWhatIsTooOld(t *testing.T) {
	db := open(t, t.TempDir(), func(o *Options) {
		o.Retention = func() compact.RetainOptions { return compact.RetainOptions{MaxAge: time.Hour} }
	})
	twoBlocks(t, db) // of 1970
	now := time.Now().UnixNano()
	if err := db.Append(t.Context(), []Entry{{key(9), note(now, 1)}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Get(t.Context(), nil, key(1)); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is too old: %v", err)
	}
	if _, err := db.Get(t.Context(), nil, key(9)); err != nil {
		t.Errorf("what is young: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsLostWhileTheObjectStoreIsDown(t *testing.T) {
	bucket := &failingBucket{broken: true}
	db := open(t, t.TempDir(), func(o *Options) { bucket.Bucket = o.Bucket; o.Bucket = bucket })
	if err := db.Append(t.Context(), []Entry{{key(1), note(5, 1, "color=red")}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Cut(t.Context()); err == nil {
		t.Fatal("a block was cut without an object store")
	}
	if err := db.Append(t.Context(), []Entry{{key(1), note(6, 1, "color=red")}}); err != nil {
		t.Fatal(err)
	}
	value, err := db.Get(t.Context(), nil, key(1))
	if err != nil || len(lines(value)) != 2 {
		t.Fatalf("while the store is down: %q, %v", lines(value), err)
	}
	bucket.set(false)
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := db.Stats(); s.Blocks != 2 || s.RecentKeys != 0 {
		t.Fatalf("after the store came back: %+v", s)
	}
	value, err = db.Get(t.Context(), nil, key(1))
	if err != nil || len(lines(value)) != 2 {
		t.Fatalf("after the store came back: %q, %v", lines(value), err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAppendWaitsWhileTooMuchIsToBeWritten(t *testing.T) {
	bucket := &failingBucket{broken: true}
	db := open(t, t.TempDir(), func(o *Options) {
		bucket.Bucket = o.Bucket
		o.Bucket, o.CutBytes, o.MaxWaiting, o.Sync = bucket, 1<<10, 2, wal.SyncNever
	})
	entry := []Entry{{key(1), note(5, 1, "pad="+strings.Repeat("x", 600))}}
	for db.waiting.Load() <= 2<<10 {
		if err := db.Append(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		_ = db.Cut(t.Context()) // seals, and fails
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Append(ctx, entry); !errors.Is(err, context.Canceled) {
		t.Fatalf("append to a full database: %v", err)
	}
	bucket.set(false)
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Append(t.Context(), entry); err != nil {
		t.Fatalf("append after the store came back: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestASegmentThatIsInABlockIsNotReplayed(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	if err := db.Append(t.Context(), []Entry{{key(1), note(5, 1)}}); err != nil {
		t.Fatal(err)
	}
	// The crash comes after the block is whole and before the log's part of it is removed.
	saved := filepath.Join(dir, "saved")
	if err := os.CopyFS(saved, os.DirFS(filepath.Join(dir, "recent"))); err != nil {
		t.Fatal(err)
	}
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "recent")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(saved, filepath.Join(dir, "recent")); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	if s := db.Stats(); s.RecentKeys != 0 || s.Blocks != 1 {
		t.Fatalf("after the crash: %+v", s)
	}
	if err := db.Append(t.Context(), []Entry{{key(2), note(6, 1)}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	if _, err := db.Get(t.Context(), nil, key(2)); err != nil {
		t.Fatalf("appended after the crash: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
