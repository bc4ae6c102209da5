package tempodb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/cache"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// farKey is one of the keys of a database that far writes: they are evenly spread.
func farKey(n int) (key Key) {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	binary.BigEndian.PutUint64(key[:], rng.Uint64())
	binary.BigEndian.PutUint64(key[8:], uint64(n))
	return key
}

// far writes a database of so many blocks of 200 keys each, and returns its bucket with counters.
func far(t testing.TB, blocks int) *instrument.Counted {
	t.Helper()
	var counted *instrument.Counted
	db := open(t, t.TempDir(), func(o *Options) {
		counted = instrument.Count(o.Bucket, instrument.CountOptions{Kind: instrument.LastElement("data", "index", "filter", "search", "summary")})
		o.Bucket = counted
	})
	for n := range blocks * 200 {
		text := make([]byte, 1000) // little of which can be compressed
		rng := rand.New(rand.NewPCG(uint64(n), 8))
		for i := range text {
			text[i] = 'a' + byte(rng.IntN(26))
		}
		terms := []string{fmt.Sprintf("block=%d", n/200), fmt.Sprintf("text=%s", text)}
		if err := db.Append(t.Context(), []Entry{{farKey(n), note(int64(n), 1, terms...)}}); err != nil {
			t.Fatal(err)
		}
		if n%200 == 199 {
			if err := db.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return counted
}

func read(t testing.TB, bucket backend.Bucket, change func(*ReaderOptions)) *Reader {
	t.Helper()
	o := ReaderOptions{Bucket: bucket, Name: "notes", Codec: noteCodec{}, PollEvery: -1}
	if change != nil {
		change(&o)
	}
	r, err := OpenReader(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestRequestsOfAReader(t *testing.T) {
	const blocks = 5
	store := far(t, blocks)
	r := read(t, store, nil)
	before := store.Counts()
	took := func() string {
		now := store.Counts()
		diff := now.Since(before)
		before = now
		var took []string
		for _, kind := range []string{"filter", "index", "data", "search", "summary", "other"} {
			if n := diff[instrument.Key{Op: instrument.OpRead, Kind: kind}].Requests; n > 0 {
				took = append(took, fmt.Sprintf("%s:%d", kind, n))
			}
		}
		if other := diff.Total().Requests - diff.Op(instrument.OpRead).Requests; other > 0 {
			took = append(took, fmt.Sprintf("not reads:%d", other))
		}
		return strings.Join(took, " ")
	}
	first, last := -1, -1 // keys of a block that are far apart, and in the range of all blocks
	for n := range 200 {
		switch farKey(n)[0] >> 4 {
		case 2:
			first = n
		case 13:
			last = n
		}
	}
	get := func(n int) func() error {
		return func() error { _, err := r.Get(t.Context(), nil, farKey(n)); return err }
	}
	search := func(block string, want int) func() error {
		return func() error {
			q := everything()
			q.Where = index.Equal([]byte("block"), []byte(block))
			hits, err := r.Search(t.Context(), q)
			if err == nil && len(hits) != want {
				err = fmt.Errorf("%d hits", len(hits))
			}
			return err
		}
	}
	for _, s := range []struct {
		what string
		do   func() error
		want string
	}{
		{"the first value: which block has it, where it lies, and its page", get(first), "filter:5 index:1 data:1"},
		{"again", get(first), ""},
		{"its summary", func() error { _, err := r.Summary(t.Context(), nil, farKey(first)); return err }, "summary:1"},
		{"of the same block another page", get(last), "data:1"},
		{"of another block", get(700), "index:1 data:1"},
		{"again", get(700), ""},
		{"a search that matches nowhere opens what tells it", search("9", 0), "search:5"},
		{"again", search("9", 0), ""},
	} {
		if err := s.do(); err != nil {
			t.Errorf("%s: %v", s.what, err)
		}
		if got := took(); got != s.want {
			t.Errorf("%s: %q, want %q", s.what, got, s.want)
		}
	}
	// A search that matches reads what lists the rows, of the block that matches, and no values.
	for _, again := range []bool{false, true} {
		if err := search("3", 200)(); err != nil {
			t.Error(err)
		}
		if got := took(); strings.Contains(got, " ") || got != "" && (again || !strings.HasPrefix(got, "search:")) {
			t.Errorf("a search, again %v: %s", again, got)
		}
	}
	// What is not kept open is found in the cache.
	if err := r.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	took()
	for _, b := range r.Blocks() {
		b.Release()
	}
	for _, do := range []func() error{get(first), get(last), get(700), search("3", 200), search("9", 0)} {
		if err := do(); err != nil {
			t.Error(err)
		}
	}
	if got := took(); got != "" {
		t.Errorf("of released blocks: %s", got)
	}
}

func TestAReaderHasACacheWhereItHelps(t *testing.T) {
	store := far(t, 1)
	shared, err := cache.New(cache.Options{MemoryBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		bucket backend.Bucket
		bytes  int64
		want   int64 // requests of the second Get of a value
		own    bool
	}{
		{"a store", store, 0, 0, true},
		{"a store, little memory", store, 1 << 20, 0, true},
		{"a store, none wanted", store, -1, 1, false},
		{"a store behind a cache", shared.Over(store, "s"), 0, 0, false},
		{"a directory", store.Bucket, 0, 0, false},
	} {
		r := read(t, c.bucket, func(o *ReaderOptions) { o.CacheBytes = c.bytes })
		if own := r.cache != nil; own != c.own {
			t.Errorf("%s: a cache of its own: %v", c.what, own)
		}
		for again := range 2 {
			before := store.Counts()
			if _, err := r.Get(t.Context(), nil, farKey(5)); err != nil {
				t.Fatal(err)
			}
			if n := store.Counts().Since(before).Total().Requests; again == 1 && n != c.want {
				t.Errorf("%s: %d requests", c.what, n)
			}
		}
		r.Close()
	}
	if err := shared.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenReader(t.Context(), ReaderOptions{Bucket: store, Name: "notes", Codec: noteCodec{}, CacheBytes: 1}); err == nil {
		t.Error("a cache of one byte")
	}
}

// dropAll drops all blocks, as retention does.
func dropAll(t *testing.T, db *DB) error {
	db.maintaining.Lock()
	defer db.maintaining.Unlock()
	var all []block.ID
	for _, m := range db.metas() {
		all = append(all, m.ID)
	}
	return db.exchange(t.Context(), all, nil)
}

func TestADatabaseReadsItsBlocksThroughTheCacheOfItsBucket(t *testing.T) {
	c, err := cache.New(cache.Options{MemoryBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var store *instrument.Counted
	db := open(t, t.TempDir(), func(o *Options) {
		store = instrument.Count(o.Bucket, instrument.CountOptions{})
		o.Bucket = c.Over(store, "here")
	})
	twoBlocks(t, db)
	for again := range 2 {
		before := store.Counts()
		if value, err := db.Get(t.Context(), nil, key(1)); err != nil || len(lines(value)) != 2 {
			t.Fatal(lines(value), err)
		}
		if n := store.Counts().Since(before).Total().Requests; again == 0 && n != 6 || again == 1 && n != 0 {
			t.Errorf("Get %d: %d requests", again, n)
		}
	}
	used := func() (frames int64) {
		for _, k := range c.Stats().Memory.Kinds {
			frames += k.Frames
		}
		return frames
	}
	if used() == 0 {
		t.Error("nothing is in the cache")
	}
	if err := dropAll(t, db); err != nil || used() != 0 {
		t.Errorf("%v; %d frames of blocks that were dropped", err, used())
	}
	if err := errors.Join(db.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsOpenOfBlocksIsBoundedAndGoesWithThem(t *testing.T) {
	shelf := block.NewShelf(20 << 10)
	db := open(t, t.TempDir(), func(o *Options) { o.Shelf = shelf })
	for n := range 60 {
		if err := db.Append(t.Context(), []Entry{{farKey(n), note(int64(n), 1, fmt.Sprintf("n=%d", n))}}); err != nil {
			t.Fatal(err)
		}
		if err := db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	q := everything()
	for n := range 60 {
		if value, err := db.Get(t.Context(), nil, farKey(n)); err != nil || len(lines(value)) != 1 {
			t.Fatal(lines(value), err)
		}
		q.Where = index.Equal([]byte("n"), fmt.Append(nil, n))
		if hits, err := db.Search(t.Context(), q); err != nil || len(hits) != 1 {
			t.Fatal(hits, err)
		}
		if used := shelf.Used(); used > 20<<10 {
			t.Fatalf("%d bytes", used)
		}
	}
	if shelf.Used() < 10<<10 {
		t.Errorf("%d bytes stand on the shelf", shelf.Used())
	}
	if err := dropAll(t, db); err != nil {
		t.Fatal(err)
	}
	if n, used := db.Stats().Blocks, shelf.Used(); n != 0 || used != 0 {
		t.Errorf("%d blocks, %d bytes", n, used)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
