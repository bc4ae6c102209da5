package tempodb_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/cache"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// A wiki on TempoDB: a document is a key, and each time that somebody saves it a revision is appended. This is all that the
// database must be told about it.

// Revision is a document as it was saved once.
type Revision struct {
	Saved time.Time `json:"saved"` // first, so that revisions in JSON sort by time
	Tags  []string  `json:"tags"`
	Text  string    `json:"text"`
}

// documentKey makes a key of a document's name.
func documentKey(name string) tempodb.Key {
	sum := sha256.Sum256([]byte(name))
	return tempodb.Key(sum[:16])
}

// encode makes a value of one revision: a line of JSON.
func encode(r Revision) []byte {
	line, err := json.Marshal(r)
	if err != nil {
		log.Fatal(err)
	}
	return append(line, '\n')
}

// wiki is the codec of documents. A value is some revisions, each a line.
type wiki struct{}

// Merge puts revisions together, oldest first. One that comes twice is there once: that makes it harmless to append or merge anything again.
func (wiki) Merge(dst []byte, values ...[]byte) ([]byte, error) {
	var revisions [][]byte
	for _, value := range values {
		revisions = slices.AppendSeq(revisions, bytes.Lines(value))
	}
	slices.SortFunc(revisions, bytes.Compare)
	for _, line := range slices.CompactFunc(revisions, bytes.Equal) {
		dst = append(dst, line...)
	}
	return dst, nil
}

// Index makes a row of each revision: when it was saved, and its tags.
func (wiki) Index(value []byte, s index.Sink) error {
	for line := range bytes.Lines(value) {
		var r Revision
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		s.Row(r.Saved.UnixNano(), 0)
		for _, tag := range r.Tags {
			s.Term([]byte("tag"), []byte(tag))
		}
	}
	return nil
}

// Summarize says what a list of documents shows: the newest text, and how often the document was saved.
func (wiki) Summarize(dst, value []byte) ([]byte, error) {
	revisions := slices.Collect(bytes.Lines(value))
	var newest Revision
	if err := json.Unmarshal(revisions[len(revisions)-1], &newest); err != nil {
		return dst, err
	}
	return fmt.Appendf(dst, "%s (saved %d times)", newest.Text, len(revisions)), nil
}

// openWiki opens a database in dir: its log in one folder, its blocks in another. Any other store will do for the blocks.
func openWiki(ctx context.Context, dir string) *tempodb.DB {
	blocks, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		log.Fatal(err)
	}
	db, err := tempodb.Open(ctx, tempodb.Options{
		Dir:          filepath.Join(dir, "recent"),
		Bucket:       blocks,
		Name:         "wiki",
		Codec:        wiki{},
		NoCompaction: true, // these examples say themselves when
	})
	if err != nil {
		log.Fatal(err)
	}
	return db
}

// save appends a revision. When it returns the revision is on disk and in every answer.
func save(ctx context.Context, db *tempodb.DB, name, text string, day int, tags ...string) {
	r := Revision{Saved: time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC), Tags: tags, Text: text}
	err := db.Append(ctx, []tempodb.Entry{{Key: documentKey(name), Value: encode(r)}})
	if err != nil {
		log.Fatal(err)
	}
}

func temporary() string {
	dir, err := os.MkdirTemp("", "wiki")
	if err != nil {
		log.Fatal(err)
	}
	return dir
}

// What is appended under a key comes back as one value; and it does so after the database was closed, or its process killed.
func Example() {
	ctx := context.Background()
	dir := temporary()
	defer os.RemoveAll(dir)

	db := openWiki(ctx, dir)
	save(ctx, db, "bread", "Flour, water, salt.", 1, "food")
	save(ctx, db, "bread", "Flour, water, salt, time.", 3, "food", "baking")
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}

	db = openWiki(ctx, dir)
	defer db.Close()
	value, err := db.Get(ctx, nil, documentKey("bread"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", value)
	_, err = db.Get(ctx, nil, documentKey("butter"))
	fmt.Println(err, errors.Is(err, tempodb.ErrNotFound))
	// Output:
	// {"saved":"2026-11-01T12:00:00Z","tags":["food"],"text":"Flour, water, salt."}
	// {"saved":"2026-11-03T12:00:00Z","tags":["food","baking"],"text":"Flour, water, salt, time."}
	// key not found true
}

// A search gives the keys with a row that meets all conditions, those with the newest such row first; a summary tells what a key is about
// without reading its value.
func ExampleDB_Search() {
	ctx := context.Background()
	dir := temporary()
	defer os.RemoveAll(dir)
	db := openWiki(ctx, dir)
	defer db.Close()
	save(ctx, db, "bread", "Flour, water, salt.", 1, "food")
	save(ctx, db, "soup", "Water, and what is there.", 2, "food")
	save(ctx, db, "bread", "Flour, water, salt, time.", 3, "food", "baking")
	save(ctx, db, "oven", "It is hot.", 4, "tools", "baking")

	show := func(what string, q index.Query) {
		hits, err := db.Search(ctx, &q)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(what)
		for _, hit := range hits {
			summary, err := db.Summary(ctx, nil, hit.Key)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("  %s %s\n", time.Unix(0, hit.Start).UTC().Format(time.DateOnly), summary)
		}
	}
	tag := []byte("tag")
	food := index.Equal(tag, []byte("food"))
	show("food:", index.Query{Where: food, Start: index.Everything, Duration: index.Everything})
	show("food, but not baking:", index.Query{
		Where: index.And(food, index.Not(index.Prefix(tag, []byte("bak")))),
		Start: index.Everything, Duration: index.Everything,
	})
	show("the newest since November 2nd:", index.Query{
		Start:    index.Range{Min: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC).UnixNano(), Max: index.Everything.Max},
		Duration: index.Everything,
		Limit:    1,
	})
	tags, err := db.Terms(ctx, tag, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("all tags: %q\n", tags)
	// Output:
	// food:
	//   2026-11-03 Flour, water, salt, time. (saved 2 times)
	//   2026-11-02 Water, and what is there. (saved 1 times)
	// food, but not baking:
	//   2026-11-02 Water, and what is there. (saved 1 times)
	//   2026-11-01 Flour, water, salt, time. (saved 2 times)
	// the newest since November 2nd:
	//   2026-11-04 It is hot. (saved 1 times)
	// all tags: ["baking" "food" "tools"]
}

// Recent data becomes blocks in the object store, and many small blocks become a few. The database does both by itself; nobody who
// asks sees a difference.
func ExampleDB_Compact() {
	ctx := context.Background()
	dir := temporary()
	defer os.RemoveAll(dir)
	db := openWiki(ctx, dir)
	defer db.Close()

	for n := range 4 {
		save(ctx, db, "bread", fmt.Sprintf("Attempt %d.", n), 1, "food")
		save(ctx, db, fmt.Sprintf("guest %d", n), "Was here.", 1)
		if err := db.Cut(ctx); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("blocks:", db.Stats().Blocks)
	if err := db.Compact(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("blocks, compacted:", db.Stats().Blocks)

	summary, err := db.Summary(ctx, nil, documentKey("bread"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", summary)
	// Output:
	// blocks: 4
	// blocks, compacted: 1
	// Attempt 3. (saved 4 times)
}

// EachSummary walks over all keys, or those with a row in some span of time, in the order of keys.
func ExampleDB_EachSummary() {
	ctx := context.Background()
	dir := temporary()
	defer os.RemoveAll(dir)
	db := openWiki(ctx, dir)
	defer db.Close()
	for day := range 10 {
		save(ctx, db, fmt.Sprintf("diary of November %d", day+1), "Nothing happened.", day+1)
	}

	week := index.Range{
		Min: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC).UnixNano(),
		Max: time.Date(2026, 11, 9, 0, 0, 0, 0, time.UTC).UnixNano() - 1,
	}
	documents := 0
	err := db.EachSummary(ctx, week, func(tempodb.Key, []byte) error {
		documents++
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(documents, "documents of that week")
	// Output: 7 documents of that week
}

// Another process reads the blocks through a cache. The second question for a document asks the bucket for nothing.
func ExampleReader() {
	ctx := context.Background()
	dir := temporary()
	defer os.RemoveAll(dir)
	db := openWiki(ctx, dir)
	defer db.Close()
	save(ctx, db, "bread", "Flour, water, salt, time.", 1, "food")
	if err := db.Cut(ctx); err != nil {
		log.Fatal(err)
	}

	store, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		log.Fatal(err)
	}
	counted := instrument.Count(store, instrument.CountOptions{})
	c, err := cache.New(cache.Options{MemoryBytes: 16 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	reader, err := tempodb.OpenReader(ctx, tempodb.ReaderOptions{
		Bucket: c.Over(counted, "wiki's blocks"), Name: "wiki", Codec: wiki{}, PollEvery: -1,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	for range 2 {
		before := counted.Counts()
		value, err := reader.Get(ctx, nil, documentKey("bread"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s%d requests\n", value, counted.Counts().Since(before).Total().Requests)
	}
	// Output:
	// {"saved":"2026-11-01T12:00:00Z","tags":["food"],"text":"Flour, water, salt, time."}
	// 3 requests
	// {"saved":"2026-11-01T12:00:00Z","tags":["food"],"text":"Flour, water, salt, time."}
	// 0 requests
}
