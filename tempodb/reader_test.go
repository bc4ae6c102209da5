package tempodb

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

func openReader(t *testing.T, db *DB) *Reader {
	t.Helper()
	r, err := OpenReader(t.Context(), ReaderOptions{Bucket: db.opts.Bucket, Name: db.opts.Name, Codec: noteCodec{}, PollEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestAReaderSeesTheBlocksOfAnotherProcess(t *testing.T) {
	db := open(t, t.TempDir())
	r := openReader(t, db)
	if _, err := r.Get(t.Context(), nil, key(1)); !errors.Is(err, ErrNotFound) {
		t.Fatalf("of an empty database: %v", err)
	}
	twoBlocks(t, db)
	twoBlocks(t, db) // the same again: enough for a compaction
	if err := r.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		value, err := r.Get(t.Context(), nil, key(1))
		if err != nil || len(lines(value)) != 2 {
			t.Errorf("%s: value %q, %v", when, lines(value), err)
		}
		q := everything()
		q.Where = index.Equal([]byte("color"), []byte("red"))
		hits, err := r.Search(t.Context(), q)
		if want := []index.Hit{{Key: key(1), Start: 1}}; err != nil || !slices.Equal(hits, want) {
			t.Errorf("%s: hits %v, %v", when, hits, err)
		}
		terms, err := r.Terms(t.Context(), []byte("color"), nil)
		if err != nil || !slices.Equal(terms, []string{"red"}) {
			t.Errorf("%s: terms %q, %v", when, terms, err)
		}
		summary, err := r.Summary(t.Context(), nil, key(1))
		if err != nil || string(summary) != "2" {
			t.Errorf("%s: summary %q, %v", when, summary, err)
		}
	}
	check("in blocks")
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := db.Stats().Blocks; n != 1 {
		t.Fatalf("%d blocks after the compaction", n)
	}
	// The reader has not polled since: its blocks are gone.
	check("after a compaction that it was not told of")
	if n := len(r.Blocks()); n != 1 {
		t.Errorf("%d blocks in the reader's list", n)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAClosedReaderAnswersNoMore(t *testing.T) {
	db := open(t, t.TempDir())
	r := openReader(t, db)
	r.Close()
	if _, err := r.Search(t.Context(), everything()); !errors.Is(err, ErrClosed) {
		t.Errorf("search: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// What a block holds whose meta.json is damaged nobody knows: no answer is whole, and all of them have what the other blocks hold.
func TestAReaderTellsOfABlockWhoseMetaIsDamaged(t *testing.T) {
	db := open(t, t.TempDir())
	twoBlocks(t, db)
	r := openReader(t, db)
	whole, err := r.Get(t.Context(), nil, key(1))
	if err != nil {
		t.Fatal(err)
	}
	bad := r.Blocks()[0].Meta().ID
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	name := db.opts.Name + "/" + string(bad) + "/meta.json"
	if err := db.opts.Bucket.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	w, err := db.opts.Bucket.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("{")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if r, err = OpenReader(t.Context(), ReaderOptions{Bucket: db.opts.Bucket, Name: db.opts.Name, Codec: noteCodec{}, PollEvery: -1, Listing: true}); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if d := r.List().Damaged; len(d) != 1 || d[0].ID != bad || len(r.Blocks()) != 1 {
		t.Fatalf("damaged %v, %d blocks answer", d, len(r.Blocks()))
	}
	check := func(what string, some bool, err error) {
		t.Helper()
		var partial *PartialError
		if !errors.As(err, &partial) || len(partial.Parts) != 1 || !strings.Contains(err.Error(), string(bad)) {
			t.Errorf("%s: %v", what, err)
		}
		if !some {
			t.Errorf("%s: nothing of the block that is whole", what)
		}
	}
	value, err := r.Get(t.Context(), nil, key(1))
	check("get", len(lines(value)) == 1 && len(value) < len(whole), err)
	_, err = r.Get(t.Context(), nil, key(99))
	check("get of what may be there", true, err)
	hits, err := r.Search(t.Context(), everything())
	check("search", len(hits) > 0, err)
	terms, err := r.Terms(t.Context(), []byte("color"), nil)
	check("terms", len(terms) > 0, err)
	summary, err := r.Summary(t.Context(), nil, key(1))
	check("summary", string(summary) == "1", err)
	n := 0
	err = r.EachSummary(t.Context(), index.Everything, func(Key, []byte) error { n++; return nil })
	check("each summary", n > 0, err)
}

func TestAReaderThatHasCaughtUpSeesEveryBlockOfThatTime(t *testing.T) {
	db := open(t, t.TempDir())
	r, err := OpenReader(t.Context(), ReaderOptions{Bucket: db.opts.Bucket, Name: db.opts.Name, Codec: noteCodec{}, PollEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := r.AsOf()
	twoBlocks(t, db)
	if err := r.CatchUp(t.Context(), first); err != nil || len(r.Blocks()) != 0 || r.AsOf() != first {
		t.Errorf("caught up with a time long ago: %v, %d blocks", err, len(r.Blocks()))
	}
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			now := time.Now()
			if err := r.CatchUp(t.Context(), now); err != nil || r.AsOf().Before(now) || len(r.Blocks()) != 2 {
				t.Errorf("caught up: %v, as of %v before, %d blocks", err, now.Sub(r.AsOf()), len(r.Blocks()))
			}
		})
	}
	callers.Wait()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// hung is a bucket that does not answer.
type hung struct {
	backend.Bucket
	hangs atomic.Bool
	lists atomic.Int64
}

func (b *hung) List(ctx context.Context, dir string, fn func(string) error) error {
	b.lists.Add(1)
	if b.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return b.Bucket.List(ctx, dir, fn)
}

func TestThoseWhoWaitForAListingShareItAndNobodyWaitsLongerThanItsContext(t *testing.T) {
	db := open(t, t.TempDir())
	twoBlocks(t, db)
	b := &hung{Bucket: db.opts.Bucket}
	r, err := OpenReader(t.Context(), ReaderOptions{Bucket: b, Name: db.opts.Name, Codec: noteCodec{}, PollEvery: -1, CacheBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	b.hangs.Store(true)
	before := b.lists.Load()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if err := r.CatchUp(ctx, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		cancel()
	}
	if n := b.lists.Load() - before; n != 1 {
		t.Errorf("%d listings for three who gave up", n)
	}
	waiting := make(chan error)
	go func() { waiting <- r.CatchUp(t.Context(), time.Now().Add(-time.Second)) }()
	r.Close()
	if err := <-waiting; err == nil {
		t.Error("caught up in a reader that is closed")
	}
	if err := r.CatchUp(t.Context(), time.Now()); !errors.Is(err, ErrClosed) {
		t.Errorf("after it was closed: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
