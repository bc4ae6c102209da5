package tempodb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// uncounted hides all that a codec can do but what a Codec must.
type uncounted struct{ Codec }

func TestABlockIsAsIfItsRowsWereListedOfItsValues(t *testing.T) {
	for name, codec := range map[string]Codec{"rows are counted": lineCodec{}, "rows are not counted": uncounted{lineCodec{}}} {
		t.Run(name, func(t *testing.T) {
			db := open(t, t.TempDir(), func(o *Options) { o.Codec, o.Sync = codec, wal.SyncNever })
			seen := 0
			rapid.Check(t, func(t *rapid.T) {
				appendAtRandom(t, db)
				if err := db.Cut(t.Context()); err != nil {
					t.Fatal(err)
				}
				blocks := db.view.Load().blocks
				for _, b := range blocks[seen:] {
					sameAsListed(t, db, b)
				}
				seen = len(blocks)
			})
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// appendAtRandom appends values of few keys; some lines, and some values, come again, and some values are refused.
func appendAtRandom(t *rapid.T, db *DB) {
	g := &generator{Rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
	var values [][]byte
	for range rapid.IntRange(0, 12).Draw(t, "appends") {
		var value []byte
		refused := false
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			value, refused = []byte("\xff\xff"), true
		case 1: // refused when some of it was listed
			value, refused = append(appendLine(nil, []byte(g.line())), 0xff), true
		case 2, 3:
			if len(values) > 0 {
				value = slices.Concat(values[g.IntN(len(values))], values[g.IntN(len(values))])
			}
		default:
			for range rapid.SampledFrom([]int{0, 1, 2, 5, 60}).Draw(t, "lines") {
				value = appendLine(value, []byte(g.line()))
			}
			values = append(values, value)
		}
		err := db.Append(t.Context(), []Entry{{key(rapid.IntRange(0, 4).Draw(t, "key")), value}})
		if refused != (err != nil) {
			t.Fatalf("append: %v", err)
		}
	}
}

// sameAsListed compares a block with one of the same keys and values whose rows were listed by the codec.
func sameAsListed(t *rapid.T, db *DB, b *block.Block) {
	m := b.Meta()
	bucket, err := local.New(filepath.Join(db.opts.Dir, "listed"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := block.NewWriter(t.Context(), bucket, m.Tenant, block.WriterOptions{Codec: db.opts.Codec, ID: m.ID, Sources: m.Sources})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	err = b.Scan(t.Context(), Key{}, func(key [16]byte, value []byte) (bool, error) { return true, w.Add(key, value) })
	if err != nil {
		t.Fatal(err)
	}
	want, err := w.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// All objects are compared by their checksums.
	got := *m
	got.Created = want.Created
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", *want); g != w {
		t.Fatalf("got  %s\nwant %s", g, w)
	}
}

func TestACutThatIsTriedAgainListsRowsOnce(t *testing.T) {
	var bucket *flakyBucket
	db := open(t, t.TempDir(), func(o *Options) {
		bucket = newFlakyBucket(o.Bucket, rand.New(rand.NewPCG(1, 2)))
		o.Bucket = bucket
	})
	var value []byte
	const rows = 100
	for i := range rows {
		value = append(value, note(int64(i), 1, "color=red")...)
	}
	for range 2 {
		if err := db.Append(t.Context(), []Entry{{key(1), value}}); err != nil {
			t.Fatal(err)
		}
	}
	bucket.fail(map[string]float64{"commit": 1}) // which comes when the block is written but for its last bytes
	size := int64(0)
	for range 10 {
		if err := db.Cut(t.Context()); !errors.Is(err, errFlaky) {
			t.Fatalf("cut: %v", err)
		}
		if hits, err := db.Search(t.Context(), everything()); err != nil || len(hits) != 1 || hits[0].Start != rows-1 {
			t.Errorf("found %v, %v while the block can't be written", hits, err)
		}
		now := db.Stats().IndexBytes
		if size != 0 && now != size {
			t.Fatalf("the index has grown from %d to %d bytes", size, now)
		}
		size = now
	}
	bucket.fail(nil)
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := db.view.Load().blocks[0].Meta(); m.Rows != rows {
		t.Errorf("a block of %d rows, from twice %d", m.Rows, rows)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// pedantCodec refuses to list a value that was merged.
type pedantCodec struct{ lineCodec }

func (pedantCodec) Merge(dst []byte, values ...[]byte) ([]byte, error) {
	dst, err := noteCodec{}.Merge(dst, values...)
	return appendLine(dst, []byte("merged")), err
}

func TestACodecThatRefusesWhatItMergedLosesNothing(t *testing.T) {
	db := open(t, t.TempDir(), func(o *Options) { o.Codec = pedantCodec{} })
	for range 2 {
		if err := db.Append(t.Context(), []Entry{{key(1), note(5, 1, "color=red")}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := db.Cut(t.Context()); err == nil {
			t.Fatal("a block was cut whose rows can't be listed")
		}
		q := everything()
		q.Where = index.Equal([]byte("color"), []byte("red"))
		if hits, err := db.Search(t.Context(), q); err != nil || len(hits) != 1 {
			t.Errorf("found %v, %v", hits, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
