package tempodb

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/index"
)

func TestAValueThatTheCodecRefusesIsInNobodysWay(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	bad := []byte("\xff\xff")
	if err := db.Append(t.Context(), []Entry{{key(1), bad}}); err == nil {
		t.Fatal("a value that can't be indexed was acknowledged")
	}
	if err := db.Cut(t.Context()); err != nil { // of nothing
		t.Fatal(err)
	}
	if err := db.Append(t.Context(), []Entry{{key(2), note(5, 1)}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Append(t.Context(), []Entry{{key(2), bad}}); err == nil {
		t.Fatal("a value that can't be indexed was acknowledged")
	}
	check := func(db *DB, when string) {
		t.Helper()
		if _, err := db.Get(t.Context(), nil, key(1)); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: the key that has nothing else: %v", when, err)
		}
		if _, err := db.Summary(t.Context(), nil, key(1)); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: its summary: %v", when, err)
		}
		if value, err := db.Get(t.Context(), nil, key(2)); err != nil || len(lines(value)) != 1 {
			t.Errorf("%s: the key that has a good value too: %q, %v", when, lines(value), err)
		}
		var keys []Key
		err := db.EachSummary(t.Context(), index.Everything, func(k Key, _ []byte) error { keys = append(keys, k); return nil })
		if err != nil || len(keys) != 1 || keys[0] != key(2) {
			t.Errorf("%s: summaries of %x, %v", when, keys, err)
		}
	}
	check(db, "in the log")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	check(db, "after reopening")
	// What the log had of it was perhaps acknowledged by another program: it is kept for a person to look at.
	kept, err := filepath.Glob(filepath.Join(dir, "recent", "refused", "*.record"))
	if err != nil || len(kept) != 2 {
		t.Errorf("set aside: %q, %v", kept, err)
	}
	for _, path := range kept {
		if record, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(record, bad) {
			t.Errorf("%s: %x, %v", path, record, err)
		}
	}
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(db, "in a block")
	if s := db.Stats(); s.Blocks != 1 || s.Segments != 0 || s.Unindexed != 2 {
		t.Errorf("%+v", s)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
