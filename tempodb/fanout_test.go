package tempodb

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

func TestInParallelCallsEachOnceAndNotAllAtTheSameTime(t *testing.T) {
	for _, n := range []int{0, 1, 2, atOnce, 10 * atOnce} {
		calls := make([]atomic.Int64, n)
		var now, most atomic.Int64
		inParallel(n, func(i int) {
			at := now.Add(1)
			for m := most.Load(); at > m && !most.CompareAndSwap(m, at); m = most.Load() {
			}
			calls[i].Add(1)
			now.Add(-1)
		})
		for i := range calls {
			if calls[i].Load() != 1 {
				t.Errorf("%d of %d was called %d times", i, n, calls[i].Load())
			}
		}
		if most.Load() > atOnce || now.Load() != 0 {
			t.Errorf("%d at the same time, %d left", most.Load(), now.Load())
		}
	}
}

// A store of many blocks, of which each has keys of its own and shares one with the block before.
func TestQuestionsReadOnlyTheBlocksThatMatter(t *testing.T) {
	const blocks, perBlock = 40, 5
	dir := t.TempDir()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	counted := instrument.Count(bucket, instrument.CountOptions{Kind: path.Base})
	db := open(t, dir, func(o *Options) { o.Bucket = counted })
	defer db.Close()
	id := func(block, i int) Key { return Key{0: byte(block * 67), 1: byte(i * 31), 14: byte(block), 15: byte(i)} }
	var ascending []Key
	for b := range blocks {
		var entries []Entry
		for i := range perBlock {
			entries = append(entries, Entry{id(b, i), note(int64(1000*b+i), 1, "color=red", fmt.Sprintf("block=%d", b))})
			ascending = append(ascending, id(b, i))
		}
		if b > 0 {
			entries = append(entries, Entry{id(b-1, 0), note(int64(1000*b), 1, "late=yes")})
		}
		if err := db.Append(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		if err := db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(ascending, compareKeys)
	requests := func(ask func(ctx context.Context) error) map[string]int64 {
		t.Helper()
		before := counted.Counts()
		if err := ask(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := map[string]int64{}
		for k, tally := range counted.Counts().Since(before) {
			n[k.Kind] += tally.Requests
		}
		return n
	}
	search := func(where *index.Expr, want ...Key) func(context.Context) error {
		return func(ctx context.Context) error {
			q := everything()
			q.Where, q.Limit = where, 3
			hits, err := db.Search(ctx, q)
			var got []Key
			for _, h := range hits {
				got = append(got, h.Key)
			}
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("found %x, want %x", got, want)
			}
			return err
		}
	}
	red := index.Equal([]byte("color"), []byte("red"))
	old := index.Equal([]byte("block"), []byte("0"))
	newest := search(red, id(blocks-1, 4), id(blocks-1, 3), id(blocks-1, 2))

	if n := requests(newest); n["search"] == 0 || n["search"] > 4 || len(n) != 1 {
		t.Errorf("a search that the newest block satisfies: %v", n)
	}
	oldest := search(old, id(0, 4), id(0, 3), id(0, 2))
	requests(oldest) // opens all
	// One block has the term. A filter takes one in 256 for it.
	if n := requests(oldest); n["search"] > 8 || len(n) != 1 {
		t.Errorf("a search that the oldest block satisfies: %v", n)
	}

	get := func(key Key, want int) func(context.Context) error {
		return func(ctx context.Context) error {
			value, err := db.Get(ctx, nil, key)
			if err == nil && len(lines(value)) != want {
				err = fmt.Errorf("value %q, want %d lines", value, want)
			}
			return err
		}
	}
	requests(get(id(3, 1), 1)) // reads the filters
	if n := requests(get(id(7, 1), 1)); n["data"] != 1 || n["filter"] != 0 || n["summary"] != 0 {
		t.Errorf("a key in one block: %v", n)
	}
	if n := requests(get(id(7, 0), 2)); n["data"] != 2 || n["filter"] != 0 || n["summary"] != 0 {
		t.Errorf("a key in two blocks: %v", n)
	}
	summary := func(key Key, want string) func(context.Context) error {
		return func(ctx context.Context) error {
			got, err := db.Summary(ctx, []byte("before "), key)
			if err == nil && string(got) != "before "+want {
				err = fmt.Errorf("summary %q, want %q", got, want)
			}
			return err
		}
	}
	requests(summary(id(9, 2), "1"))
	if n := requests(summary(id(9, 1), "1")); n["summary"] != 1 || len(n) != 1 {
		t.Errorf("the summary of a key in one block: %v", n)
	}
	if n := requests(summary(id(7, 0), "2")); n["data"] != 2 || n["summary"] != 0 {
		t.Errorf("the summary of a key in two blocks: %v", n)
	}

	var got []Key
	n := requests(func(ctx context.Context) error {
		got = got[:0]
		return db.EachSummary(ctx, index.Everything, func(key Key, summary []byte) error {
			got = append(got, key)
			want := "1"
			if key[15] == 0 && key[14] != blocks-1 {
				want = "2"
			}
			if string(summary) != want {
				return fmt.Errorf("summary of %x: %q, want %q", key, summary, want)
			}
			return nil
		})
	})
	if !slices.Equal(got, ascending) {
		t.Errorf("summaries of %x, want %x", got, ascending)
	}
	if n["data"] != 2*(blocks-1) {
		t.Errorf("all summaries: %v; want the values of the %d keys that are in two blocks, and no others", n, blocks-1)
	}
}

func TestSummariesEndWithTheCallersError(t *testing.T) {
	db := open(t, t.TempDir())
	defer db.Close()
	for i := range 2 * batchKeys {
		if err := db.Append(t.Context(), []Entry{{Key{byte(i >> 8), byte(i)}, note(int64(i), 1)}}); err != nil {
			t.Fatal(err)
		}
		if i == batchKeys {
			if err := db.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, after := range []int{0, batchWhole, batchKeys + 1, 2*batchKeys - 1} {
		n := 0
		enough := fmt.Errorf("enough after %d", after)
		err := db.EachSummary(t.Context(), index.Everything, func(Key, []byte) error {
			if n++; n > after {
				return enough
			}
			return nil
		})
		if err != enough || n != after+1 {
			t.Errorf("%v after %d, want %v", err, n, enough)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.EachSummary(ctx, index.Everything, func(Key, []byte) error { return nil }); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}
