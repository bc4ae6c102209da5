package tempodb

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

func TestAStoreThatFailsWhileItIsOpenedIsNotTakenForDamage(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	twoBlocks(t, db)
	o := db.opts
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	bucket := newFlakyBucket(o.Bucket, nil)
	o.Bucket = bucket
	bucket.fail(map[string]float64{"read": 1})
	if _, err := Open(t.Context(), o); !errors.Is(err, errFlaky) {
		t.Fatalf("opened, with blocks that can't be read now: %v", err)
	}
	bucket.fail(nil)
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if value, err := db.Get(t.Context(), nil, key(1)); err != nil || len(lines(value)) != 2 {
		t.Errorf("when the store is well again: %q, %v", lines(value), err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	// Damage is another matter: it does not pass.
	metas, err := filepath.Glob(filepath.Join(dir, "blocks", "notes", "*", "meta.json"))
	if err != nil || len(metas) != 2 {
		t.Fatal(metas, err)
	}
	if err := os.WriteFile(metas[0], []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.Bucket.(*flakyBucket).Bucket.(*local.Bucket).Close(); err != nil {
		t.Fatal(err)
	}
	db, err = Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if s := db.Stats(); s.Blocks != 1 || len(s.DamagedBlocks) != 1 {
		t.Errorf("with a damaged block: %+v", s)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatACrashLeavesOfABlockIsGoneAfterTheNextOpen(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	w, err := block.NewWriter(t.Context(), db.opts.Bucket, "notes", block.WriterOptions{Codec: noteCodec{}})
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	folder := filepath.Join(dir, "blocks", "notes", string(w.ID()))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "data"), []byte("begun"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
