package tempodb

import (
	"errors"
	"slices"
	"testing"
	"time"

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
