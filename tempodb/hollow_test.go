package tempodb

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// keepMeta leaves of a block its meta.json, as it is when that arrives after all else was deleted, and of the objects beside it those given.
func keepMeta(t *testing.T, folder string, others ...string) {
	t.Helper()
	objects, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.Name() != "meta.json" && !slices.Contains(others, o.Name()) {
			if err := os.Remove(filepath.Join(folder, o.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// onlyBlock returns the ID of the one block that a database serves.
func onlyBlock(t *testing.T, db *DB) block.ID {
	t.Helper()
	metas := db.metas()
	if len(metas) != 1 {
		t.Fatalf("%d blocks", len(metas))
	}
	return metas[0].ID
}

func TestTheLogIsNotDroppedForABlockWhoseDataIsGone(t *testing.T) {
	for what, others := range map[string][]string{"nothing but meta.json": nil, "search too": {"search"}} {
		t.Run(what, func(t *testing.T) {
			dir, before := t.TempDir(), t.TempDir()
			db := open(t, dir)
			if err := db.Append(t.Context(), []Entry{{key(1), note(1, 1, "color=red")}}); err != nil {
				t.Fatal(err)
			}
			if err := copyTree(before, dir); err != nil {
				t.Fatal(err)
			}
			if err := db.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
			id := onlyBlock(t, db)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			// The log is as it was before the cut.
			folder := filepath.Join("blocks", "notes", string(id))
			if err := os.CopyFS(filepath.Join(before, folder), os.DirFS(filepath.Join(dir, folder))); err != nil {
				t.Fatal(err)
			}
			keepMeta(t, filepath.Join(before, folder), others...)
			db = open(t, before)
			if value, err := db.Get(t.Context(), nil, key(1)); err != nil || len(lines(value)) != 1 {
				t.Errorf("%q, %v", lines(value), err)
			}
			if err := db.Salvage(t.Context()); err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(before, folder, "meta.json")); err == nil {
				t.Error("its meta.json is still there")
			}
		})
	}
}

func TestBlocksAreNotDroppedForOneWhoseDataIsGone(t *testing.T) {
	dir, before := t.TempDir(), t.TempDir()
	db := open(t, dir)
	twoBlocks(t, db)
	twoBlocks(t, db) // the same again: enough for a compaction
	if err := copyTree(before, dir); err != nil {
		t.Fatal(err)
	}
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := onlyBlock(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join("blocks", "notes", string(id))
	if err := os.CopyFS(filepath.Join(before, folder), os.DirFS(filepath.Join(dir, folder))); err != nil {
		t.Fatal(err)
	}
	keepMeta(t, filepath.Join(before, folder))
	db = open(t, before)
	if value, err := db.Get(t.Context(), nil, key(1)); err != nil || len(lines(value)) != 2 {
		t.Errorf("%q, %v", lines(value), err)
	}
	if n := db.Stats().Blocks; n != 4 {
		t.Errorf("%d blocks, want the 4 from before", n)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
