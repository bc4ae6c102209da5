package tempodb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

const damagedKeys = 50

// damagedBlock returns a database with a block of damagedKeys keys, of one of whose objects every 40th byte is wrong.
func damagedBlock(t *testing.T, object string) (*DB, string) {
	t.Helper()
	dir := t.TempDir()
	db := open(t, dir)
	for n := range damagedKeys {
		if err := db.Append(t.Context(), []Entry{{Key{1, byte(n)}, note(int64(n), 1, fmt.Sprint("n=", n%5))}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := db.metas()[0].ID
	path := filepath.Join(dir, "blocks", "notes", string(id), object)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(content); i += 40 {
		content[i] ^= 1
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return db, dir
}

func fives(n int) *index.Query {
	q := everything()
	q.Where = index.Equal([]byte("n"), fmt.Append(nil, n))
	return q
}

func TestWhatIsDamagedBesideTheDataCostsNoAnswerAndIsSetAside(t *testing.T) {
	for _, object := range []string{"search", "filter", "summary", "index"} {
		t.Run(object, func(t *testing.T) {
			db, _ := damagedBlock(t, object)
			check := func(when string) {
				t.Helper()
				hits, err := db.Search(t.Context(), fives(2))
				if err != nil || len(hits) != damagedKeys/5 {
					t.Errorf("%s: %d hits, %v", when, len(hits), err)
				}
				terms, err := db.Terms(t.Context(), []byte("n"), nil)
				if want := []string{"0", "1", "2", "3", "4"}; err != nil || !slices.Equal(terms, want) {
					t.Errorf("%s: terms %q, %v", when, terms, err)
				}
				for n := range damagedKeys {
					if _, err := db.Get(t.Context(), nil, Key{1, byte(n)}); err != nil {
						t.Errorf("%s: key %d: %v", when, n, err)
					}
					if summary, err := db.Summary(t.Context(), nil, Key{1, byte(n)}); err != nil || string(summary) != "1" {
						t.Errorf("%s: summary of key %d: %q, %v", when, n, summary, err)
					}
				}
			}
			check("damaged")
			if err := db.Salvage(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := db.Stats(); s.Salvaged != 1 || s.Blocks != 1 || len(s.Damage) != 0 {
				t.Errorf("after the salvage: %+v", s)
			}
			check("salvaged")
			if kept, err := block.ListQuarantine(t.Context(), db.opts.Bucket); err != nil || len(kept) != 1 {
				t.Errorf("quarantine: %v, %v", kept, err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestDamagedDataIsToldAndTheRestGoesOn(t *testing.T) {
	db, dir := damagedBlock(t, "data")
	_, err := db.Get(t.Context(), nil, Key{1, 7})
	var partial *PartialError
	if !errors.As(err, &partial) || !page.IsCorrupt(err) {
		t.Fatalf("a key in a damaged page: %v", err)
	}
	if err := db.Append(t.Context(), []Entry{{key(200), note(1, 1)}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Salvage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Get(t.Context(), nil, key(200)); err != nil {
		t.Errorf("a key of another block: %v", err)
	}
	if s := db.Stats(); s.Salvaged != 1 {
		t.Errorf("after the salvage: %+v", s)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir) // the quarantine is no database
	if _, err := db.Get(t.Context(), nil, key(200)); err != nil {
		t.Errorf("after reopening: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestABlockWhoseMetaIsDamagedComesBack(t *testing.T) {
	db, dir := damagedBlock(t, "meta.json")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	if err := db.Salvage(t.Context()); err != nil {
		t.Fatal(err)
	}
	hits, err := db.Search(t.Context(), fives(2))
	if err != nil || len(hits) != damagedKeys/5 {
		t.Errorf("%d hits, %v", len(hits), err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestACompactionThatMeetsDamageSetsItAsideAndGoesOn(t *testing.T) {
	db, _ := damagedBlock(t, "search")
	for n := range 4 {
		for k := range damagedKeys {
			if err := db.Append(t.Context(), []Entry{{Key{2, byte(n), byte(k)}, note(int64(n), 1, "n=2")}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := db.Stats(); s.Salvaged != 1 || s.Blocks >= 5 {
		t.Errorf("after the compaction: %+v", s)
	}
	hits, err := db.Search(t.Context(), fives(2))
	if want := damagedKeys/5 + 4*damagedKeys; err != nil || len(hits) != want {
		t.Errorf("%d hits of %d, %v", len(hits), want, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
