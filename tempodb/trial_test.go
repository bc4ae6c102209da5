package tempodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// trial drives a database and a model through the same random steps: puts, cuts, compactions, retention, crashes, restarts, a store that
// fails, and questions. After each step both must give the same answers.
//
// The model knows of each line one of three things: that it must be there, that it may be there (its put was cut off by a crash, or the block
// it was in was dropped and could not be deleted), or that it must not.
type trial struct {
	*generator
	*model
	ctx  context.Context
	seed uint64
	root string // the database is in a folder of it, another one after each crash
	dir  string

	db     *DB
	bucket *flakyBucket
	// background lets the database cut and compact by itself too. Without it a seed repeats all that happens.
	background bool
	sync       wal.Sync

	undecided []content // puts that were not acknowledged: each is there whole or not at all
	zombies   content   // what was dropped with blocks that are still in the store
	faulty    bool
	folders   int

	step  int
	said  []string // the last steps
	tally *tally
}

// tally counts what trials have done.
type tally struct {
	steps, puts, cuts, compactions, retained, crashes, crashesWithin, restarts, faults, questions, partial, torn atomic.Int64
}

func (c *tally) String() string {
	return fmt.Sprintf("%d steps: %d puts, %d blocks cut, %d compactions, %d blocks retired, %d crashes between steps (%d of them tore a record) and %d within, %d restarts, %d times of faults, %d questions (%d answered in part)",
		c.steps.Load(), c.puts.Load(), c.cuts.Load(), c.compactions.Load(), c.retained.Load(), c.crashes.Load(), c.torn.Load(), c.crashesWithin.Load(),
		c.restarts.Load(), c.faults.Load(), c.questions.Load(), c.partial.Load())
}

// failure is what a trial panics with.
type failure struct{ error }

func (x *trial) fail(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// must fails on an error, unless the store is failing.
func (x *trial) must(err error) {
	if err == nil || x.faulty && errors.Is(err, errFlaky) {
		return
	}
	x.fail("%w", err)
}

func (x *trial) say(format string, args ...any) {
	const remembered = 50
	if len(x.said) == remembered {
		x.said = x.said[1:]
	}
	x.said = append(x.said, fmt.Sprintf("%6d  ", x.step)+fmt.Sprintf(format, args...))
}

// runTrial goes through so many random steps below dir, or until ctx ends. Its error has the last steps.
func runTrial(ctx context.Context, dir string, seed uint64, steps int, tally *tally) (err error) {
	x := &trial{
		ctx: context.WithoutCancel(ctx), seed: seed, root: dir, model: newModel(), zombies: make(content), tally: tally,
		generator: &generator{Rand: rand.New(rand.NewPCG(seed, 0))},
	}
	x.background = x.IntN(3) == 0
	x.sync = pick(x.generator, wal.SyncNever, wal.SyncNever, wal.SyncAlways, wal.SyncInterval)
	defer func() {
		what := recover()
		if what != nil {
			f, ours := what.(failure)
			if !ours {
				panic(what)
			}
			err = fmt.Errorf("seed %d (background %v, sync %v), step %d: %w\nthe last steps:\n%s",
				seed, x.background, x.sync, x.step, f.error, strings.Join(x.said, "\n"))
		}
		if x.db != nil {
			err = errors.Join(err, x.db.Close())
		}
	}()
	x.dir = x.folder()
	x.open()
	for ; x.step < steps && ctx.Err() == nil; x.step++ {
		x.random()
		tally.steps.Add(1)
		if x.step%250 == 249 {
			x.heal()
			x.everything()
		}
	}
	x.heal()
	x.reopen()
	x.everything()
	return nil
}

func (x *trial) folder() string {
	x.folders++
	return filepath.Join(x.root, fmt.Sprintf("crash%d", x.folders))
}

func (x *trial) options() Options {
	b, err := local.New(filepath.Join(x.dir, "blocks"))
	x.must(err)
	x.bucket = newFlakyBucket(b, rand.New(rand.NewPCG(x.seed, x.Uint64())))
	o := Options{
		Dir: filepath.Join(x.dir, "recent"), Bucket: x.bucket, Name: "lines", Codec: lineCodec{}, Sync: x.sync, NoCompaction: true,
		Compaction: compact.PlanOptions{MaxInputs: 2 + x.IntN(6), Growth: 2},
	}
	if x.background {
		o.NoCompaction, o.CutBytes, o.CutAge = false, 16<<10<<x.IntN(4), 300*time.Millisecond
	}
	return o
}

func (x *trial) open() {
	var err error
	x.db, err = Open(x.ctx, x.options())
	x.must(err)
}

func (x *trial) close() {
	x.must(x.db.Close())
	stats := x.db.Stats()
	x.tally.cuts.Add(stats.Cuts)
	x.tally.compactions.Add(stats.Compactions)
	x.tally.retained.Add(stats.Retained)
	if stats.Unindexed > 0 {
		x.fail("%d records of the log could not be indexed", stats.Unindexed)
	}
	x.must(x.bucket.Bucket.(*local.Bucket).Close())
}

func (x *trial) random() {
	switch n := x.IntN(1000); {
	case n < 380:
		x.put()
	case n < 540:
		x.get()
	case n < 680:
		x.search()
	case n < 730:
		x.terms()
	case n < 790:
		x.summary()
	case n < 810:
		x.eachSummary()
	case n < 880:
		x.cut()
	case n < 910:
		x.compact()
	case n < 925:
		x.retain(nil)
	case n < 930:
		x.readBlocks()
	case n < 950:
		x.reopen()
	case n < 970:
		x.crash()
	case n < 990:
		x.crashWithin()
	default:
		if x.faulty {
			x.heal()
		} else {
			x.break_()
		}
	}
}

func (x *trial) put() {
	entries, means := x.generator.put(false)
	x.tally.puts.Add(1)
	size := 0
	for i := range entries {
		size += len(entries[i].Value)
	}
	x.say("put %d entries, %d bytes", len(entries), size)
	if x.append(entries) {
		x.addAll(means)
	} else {
		x.undecided = append(x.undecided, means)
	}
}

// append appends, and says whether that was acknowledged. It must be, unless so much waits for a store that fails that there is no more room.
func (x *trial) append(entries []Entry) (acknowledged bool) {
	ctx := x.ctx
	if x.faulty {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		ctx = short
	}
	appending := appendAnyway
	if x.faulty {
		appending = (*DB).Append
	}
	err := appending(x.db, ctx, entries)
	if err != nil && (!x.faulty || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrBehind)) {
		x.fail("append: %w", err)
	}
	return err == nil
}

// appendAnyway is DB.Append, and appends again what was held back, of which nothing was appended: the machine is busy with other things.
func appendAnyway(db *DB, ctx context.Context, entries []Entry) error {
	for {
		if err := db.Append(ctx, entries); !errors.Is(err, ErrBehind) {
			return err
		}
	}
}

// told says whether an answer claims to be whole. It fails where it must be.
func (x *trial) told(err error) (whole bool) {
	x.tally.questions.Add(1)
	if err == nil || errors.Is(err, ErrNotFound) {
		return true
	}
	var part *PartialError
	if !x.faulty || !errors.As(err, &part) && !errors.Is(err, errFlaky) {
		x.fail("%w", err)
	}
	x.tally.partial.Add(1)
	return false
}

func (x *trial) get() {
	k := x.key()
	x.say("get %x", k)
	x.getKey(k)
}

func (x *trial) getKey(k Key) {
	value, err := x.db.Get(x.ctx, []byte("before"), k)
	whole := x.told(err)
	rest, kept := strings.CutPrefix(string(value), "before")
	got, want := lines([]byte(rest)), x.lines(k)
	_, known := x.content[k]
	switch {
	case !kept:
		x.fail("get %x: what was in the slice before is gone", k)
	case whole && known == errors.Is(err, ErrNotFound):
		x.fail("get %x: %v; the model has %d lines of it, known %v", k, err, len(want), known)
	case whole && !slices.Equal(got, want):
		x.fail("get %x: %s", k, difference(got, want))
	case !whole && len(slices.Compact(slices.Clone(got))) != len(got):
		x.fail("get %x, in part: a line is there twice: %q", k, got)
	}
	for _, line := range got {
		if !x.has(k, line) {
			x.fail("get %x: the line %.200q is not to be there", k, line)
		}
	}
}

// difference says how two sorted lists differ, in not too many words.
func difference(got, want []string) string {
	short := func(all, without []string) string {
		var only []string
		for _, line := range all {
			if !slices.Contains(without, line) {
				only = append(only, fmt.Sprintf("%.100q", line))
			}
		}
		return fmt.Sprintf("%d: %s", len(only), strings.Join(only[:min(len(only), 8)], ", "))
	}
	return fmt.Sprintf("%d lines, want %d; missing %s; too many %s", len(got), len(want), short(want, got), short(got, want))
}

func (x *trial) search() {
	q, text := x.query()
	x.say("search %s", text)
	hits, err := x.db.Search(x.ctx, q)
	if x.told(err) {
		if want := x.model.search(q); !slices.Equal(hits, want) {
			x.fail("search %s: %d hits, want %d:\n%v\n%v", text, len(hits), len(want), hits, want)
		}
		return
	}
	all := *q
	all.Limit = 0
	right := make(map[Key]int64)
	for _, hit := range x.model.search(&all) {
		right[hit.Key] = hit.Start
	}
	for _, hit := range hits {
		if start, any := right[hit.Key]; !any || hit.Start > start {
			x.fail("search %s, in part: %v does not match", text, hit)
		}
	}
}

func (x *trial) terms() {
	field := pick(x.generator, fields...)
	prefix := x.value(field)
	prefix = prefix[:min(len(prefix), x.IntN(3))]
	x.say("terms %s %q", field, prefix)
	x.termsOf(field, prefix)
}

func (x *trial) termsOf(field, prefix string) {
	got, err := x.db.Terms(x.ctx, []byte(field), []byte(prefix))
	want := x.model.termsOf(field, prefix)
	if x.told(err) {
		if !slices.Equal(got, want) {
			x.fail("terms of %s that begin with %q: %s", field, prefix, difference(got, want))
		}
		return
	}
	for _, value := range got {
		if !slices.Contains(want, value) {
			x.fail("terms of %s, in part: %q is none", field, value)
		}
	}
}

func (x *trial) summary() {
	k := x.key()
	x.say("summary %x", k)
	summary, err := x.db.Summary(x.ctx, nil, k)
	_, known := x.content[k]
	if !x.told(err) {
		return
	}
	if known == errors.Is(err, ErrNotFound) || known && string(summary) != summaryOf(x.lines(k)) {
		x.fail("summary %x: %q, %v, want %q, known %v", k, summary, err, summaryOf(x.lines(k)), known)
	}
}

func (x *trial) eachSummary() {
	starts := x.interval(x.start)
	x.say("summaries of %v", starts)
	x.summariesOf(starts)
}

func (x *trial) summariesOf(starts index.Range) {
	want := x.within(starts)
	var last Key
	began := false
	wrong := ""
	got := make(map[Key]bool)
	err := x.db.EachSummary(x.ctx, starts, func(k Key, summary []byte) error {
		if began && compareKeys(last, k) >= 0 {
			x.fail("summaries of %v: %x comes after %x", starts, k, last)
		}
		last, began, got[k] = k, true, true
		w, within := want[k]
		_, known := x.content[k]
		switch {
		case within && w != string(summary):
			wrong = fmt.Sprintf("that of %x is %q, want %q", k, summary, w)
		case !within && (!known || x.hasRows(k) || starts != index.Everything):
			wrong = fmt.Sprintf("%x has no row within, but a summary %q", k, summary)
		}
		return nil
	})
	if !x.told(err) {
		return
	}
	if wrong != "" {
		x.fail("summaries of %v: %s", starts, wrong)
	}
	for k := range want {
		if !got[k] {
			x.fail("summaries of %v: that of %x is missing", starts, k)
		}
	}
}

func (m *model) hasRows(k Key) bool {
	for line := range m.content[k] {
		if m.row(line) != nil {
			return true
		}
	}
	return false
}

func (x *trial) cut() {
	x.say("cut")
	x.must(x.db.Cut(x.ctx))
}

func (x *trial) compact() {
	x.say("compact %d blocks", len(x.db.view.Load().blocks))
	x.must(x.db.Compact(x.ctx))
}

// readBlocks asks a Reader, as another process would have one, which sees what is in blocks and nothing else.
func (x *trial) readBlocks() {
	if x.faulty || x.background || len(x.orphans()) > 0 {
		return
	}
	before := x.model
	defer func() { x.model = before }()
	x.model = &model{content: make(content), rows: before.rows}
	for _, b := range x.db.view.Load().blocks {
		x.addAll(x.readBlock(b.Meta().ID).content)
	}
	x.say("another process reads %d keys in blocks", len(x.content))
	r, err := OpenReader(x.ctx, ReaderOptions{Bucket: x.bucket, Name: "lines", Codec: lineCodec{}})
	x.must(err)
	defer r.Close()
	q, text := x.query()
	hits, err := r.Search(x.ctx, q)
	if want := x.model.search(q); err != nil || !slices.Equal(hits, want) {
		x.fail("a reader's search %s: %d hits, want %d, %v:\n%v\n%v", text, len(hits), len(want), err, hits, want)
	}
	for range 20 {
		k := x.key()
		value, err := r.Get(x.ctx, nil, k)
		_, known := x.content[k]
		if got, want := lines(value), x.lines(k); known == errors.Is(err, ErrNotFound) || known && (err != nil || !slices.Equal(got, want)) {
			x.fail("a reader's get %x: %v, known %v, %s", k, err, known, difference(got, want))
		}
	}
}

// everything compares all that can be asked for.
func (x *trial) everything() {
	x.say("everything, %d keys", len(x.content))
	for _, k := range x.keys() {
		x.getKey(k)
	}
	for _, k := range x.generator.keys[max(0, len(x.generator.keys)-100):] {
		x.getKey(k)
	}
	q := everything()
	hits, err := x.db.Search(x.ctx, q)
	if want := x.model.search(q); err != nil || !slices.Equal(hits, want) {
		x.fail("search for everything: %d hits, want %d, %v", len(hits), len(want), err)
	}
	for _, field := range append(fields, "serial") {
		x.termsOf(field, "")
	}
	x.summariesOf(index.Everything)
	for i, b := range x.db.view.Load().blocks {
		if !x.background && i < 3 {
			if err := b.Verify(x.ctx); err != nil {
				x.fail("verify: %w", err)
			}
		}
	}
}

// break_ has the store fail for a while.
func (x *trial) break_() {
	faults := make(map[string]float64)
	for _, op := range []string{"create", "write", "commit", "delete", "read", "size", "list"} {
		if x.IntN(2) == 0 {
			faults[op] = pick(x.generator, 0.05, 0.3, 1)
		}
	}
	x.say("the store fails: %v", faults)
	x.tally.faults.Add(1)
	x.faulty = true
	x.bucket.fail(faults)
}

// heal ends a time of faults. Nothing that was acknowledged is lost.
func (x *trial) heal() {
	if !x.faulty {
		return
	}
	x.say("the store is well again")
	x.bucket.fail(nil)
	x.faulty = false
}

// reopen closes the database and opens it again, at times while the store fails.
func (x *trial) reopen() {
	x.say("reopen")
	x.tally.restarts.Add(1)
	x.close()
	x.again()
}

// again opens the database after it was closed or has crashed.
func (x *trial) again() {
	if !x.faulty {
		x.open()
		x.settle()
		return
	}
	faults := x.bucket.faults
	o := x.options()
	x.bucket.fail(faults)
	db, err := Open(x.ctx, o)
	x.say("open while the store fails: %v", err)
	if err == nil {
		x.db = db
		if len(x.undecided) == 0 && len(x.zombies) == 0 {
			// What can't be read now must not be taken for what was never there.
			for _, k := range x.keys()[:min(len(x.content), 20)] {
				x.getKey(k)
			}
			x.search()
		}
		x.close()
	} else {
		x.must(err)
	}
	x.heal()
	x.open()
	x.settle()
}

// settle finds out which of the lines that may be there are.
func (x *trial) settle() {
	x.nothingTwice()
	if len(x.undecided) > 0 || len(x.zombies) > 0 {
		x.learn()
	}
	if len(x.orphans()) == 0 {
		x.zombies = make(content)
	}
}

// nothingTwice fails if a database that was just opened serves what it has elsewhere: a block beside the one that it was merged into, or a
// segment of the log that is in a block. No answer would be wrong; but the same data would be written again and again.
func (x *trial) nothingTwice() {
	blocks := x.db.view.Load().blocks
	served := make(map[block.ID]bool)
	sources := make(map[string]bool)
	for _, b := range blocks {
		m := b.Meta()
		served[m.ID] = true
		for _, source := range m.Sources {
			sources[source] = true
		}
		if m.Level > 0 && len(m.Parents) == 0 || m.Level == 0 && len(m.Sources) == 0 {
			x.fail("block %s of level %d does not say where it comes from", m.ID, m.Level)
		}
	}
	if x.background {
		return // by now it may be about to change
	}
	for _, b := range blocks {
		for _, parent := range b.Meta().Parents {
			if served[parent] {
				x.fail("block %s is served beside %s, which it was merged into", parent, b.Meta().ID)
			}
		}
	}
	for _, segment := range x.db.log.Segments() {
		if sources[x.db.source(segment.ID)] {
			x.fail("segment %d of the log is served beside the block that it is in", segment.ID)
		}
	}
}

func (x *trial) learn() {
	may := make(content)
	may.addAll(x.zombies)
	for _, put := range x.undecided {
		may.addAll(put)
	}
	found := make(content)
	for k := range may {
		value, err := x.db.Get(x.ctx, nil, k)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		x.must(err)
		found.add(k, lines(value)...)
	}
	for k := range found {
		for line := range found[k] {
			if !x.has(k, line) && !may.has(k, line) {
				x.fail("after the restart: key %x has the line %.100q, which is not to be there", k, line)
			}
		}
	}
	for i, put := range x.undecided {
		there, lacking := 0, 0
		for k, lines := range put {
			for line := range lines {
				if strings.Contains(line, " serial=") {
					if found.has(k, line) {
						there++
					} else {
						lacking++
					}
				}
			}
		}
		if there > 0 && lacking > 0 {
			x.fail("after the restart: of put %d that was cut off there are %d entries and %d are not", i, there, lacking)
		}
	}
	x.addAll(found)
	x.undecided = nil
}

// orphans returns the whole blocks in the store that the database does not serve.
func (x *trial) orphans() []block.ID {
	ids, err := block.List(x.ctx, x.bucket.Bucket, "lines")
	x.must(err)
	return slices.DeleteFunc(ids, func(id block.ID) bool {
		return slices.ContainsFunc(x.db.view.Load().blocks, func(b *block.Block) bool { return b.Meta().ID == id })
	})
}

// blockContent is what retention needs to know of a block, found out by reading all of it.
type blockContent struct {
	id    block.ID
	bytes int64
	end   int64
	content
}

func (x *trial) readBlock(id block.ID) blockContent {
	b, err := block.Open(x.ctx, x.bucket.Bucket, "lines", id, lineCodec{})
	x.must(err)
	c := blockContent{id: id, bytes: b.Meta().Bytes(), content: make(content)}
	rows := 0
	x.must(b.Scan(x.ctx, Key{}, func(k [16]byte, value []byte) (bool, error) {
		c.add(k, lines(value)...)
		for line := range c.content[k] {
			if r := x.row(line); r != nil {
				if rows == 0 || r.end() > c.end {
					c.end = r.end()
				}
				rows++
			}
		}
		return true, nil
	}))
	written := b.Meta().Created.UnixNano()
	if rows == 0 || c.end > written {
		c.end = written
	}
	return c
}

// retain drops blocks by age or size, or does so with what is given in place of a plain call of Retain.
func (x *trial) retain(call func()) {
	// Nothing may come in between that makes other blocks of those that are looked at.
	if x.faulty {
		return
	}
	cutting := x.db.cutting // call may replace x.db
	cutting <- struct{}{}
	defer func() { <-cutting }()
	x.must(x.db.Compact(x.ctx))
	var blocks []blockContent
	for _, b := range x.db.view.Load().blocks {
		blocks = append(blocks, x.readBlock(b.Meta().ID))
	}
	slices.SortFunc(blocks, func(a, b blockContent) int {
		if a.end != b.end {
			return cmp.Compare(a.end, b.end)
		}
		return strings.Compare(string(a.id), string(b.id))
	})
	var limits compact.RetainOptions
	var total int64
	for i := range blocks {
		total += blocks[i].bytes
	}
	oldest := int64(0)
	if x.IntN(3) > 0 {
		oldest = dawn + span/2 + x.Int64N(span)
		limits.MaxAge = time.Since(time.Unix(0, oldest))
		oldest = time.Now().Add(-limits.MaxAge).UnixNano() // which is a little earlier or later, and so then will be Retain's
	}
	if x.IntN(2) == 0 && total > 0 {
		limits.MaxBytes = 1 + x.Int64N(total+total/4)
	}
	gone := 0
	for left := total; gone < len(blocks); gone++ {
		old := limits.MaxAge > 0 && blocks[gone].end < oldest
		much := limits.MaxBytes > 0 && left > limits.MaxBytes
		if !old && !much {
			break
		}
		left -= blocks[gone].bytes
	}
	x.say("retain: age %v bytes %d: %d of %d blocks go", limits.MaxAge, limits.MaxBytes, gone, len(blocks))

	set := func(o compact.RetainOptions) {
		x.db.maintaining.Lock()
		x.db.opts.Retention = func() compact.RetainOptions { return o }
		x.db.maintaining.Unlock()
	}
	set(limits)
	if call != nil {
		call()
	} else {
		x.must(x.db.Retain(x.ctx))
	}
	served := make(map[block.ID]bool)
	for _, b := range x.db.view.Load().blocks {
		served[b.Meta().ID] = true
	}
	for i, b := range blocks {
		if served[b.id] != (i >= gone) {
			x.fail("retain: block %s, number %d of %d by age, is served: %v; %d were to go", b.id, i, len(blocks), served[b.id], gone)
		}
	}
	set(compact.RetainOptions{})

	// Of what was in the blocks that went there is what other blocks and the recent data have.
	kept := x.recent()
	for _, b := range blocks[gone:] {
		kept.addAll(b.content)
	}
	lost := make(content)
	for k, lines := range x.content {
		for line := range lines {
			if !kept.has(k, line) {
				lost.add(k, line)
			}
		}
		if _, any := kept[k]; !any {
			lost.add(k)
		}
	}
	for k, lines := range kept {
		for line := range lines {
			if !x.has(k, line) {
				x.fail("key %x has the line %.100q in a part of the database, which is not to be there", k, line)
			}
		}
	}
	x.content = kept
	if call != nil || len(x.orphans()) > 0 {
		x.zombies.addAll(lost)
	}
}

// recent returns what is in no block yet.
func (x *trial) recent() content {
	c := make(content)
	for _, h := range x.db.view.Load().heads {
		for _, k := range h.sortedKeys() {
			values, err := h.appendValues(nil, k)
			x.must(err)
			c.add(k)
			for _, value := range values {
				c.add(k, lines(value)...)
			}
		}
	}
	return c
}

// crash ends the database without Close: it goes on with a copy of its files. A put was under way, of which the log has any part.
func (x *trial) crash() {
	before := activeSegment(x.db)
	entries, means := x.generator.put(true)
	tear := x.IntN(4) > 0
	if tear {
		x.append(entries)
		x.undecided = append(x.undecided, means)
	}
	after := activeSegment(x.db)
	to := x.folder()
	x.bucket.stand(func() { x.must(copyTree(to, x.dir)) })
	x.tally.crashes.Add(1)
	text := "between two records"
	if tear && after.Active {
		from := int64(0)
		if before.ID == after.ID {
			from = before.Bytes
		}
		at := from + x.Int64N(after.Bytes-from+1)
		zeros := x.IntN(2) == 0
		err := cutFile(filepath.Join(to, "recent", "wal", fmt.Sprintf("%016d.wal", after.ID)), at, zeros)
		if errors.Is(err, fs.ErrNotExist) { // it became a block before it was copied
			text = fmt.Sprintf("segment %d is a block already", after.ID)
		} else {
			x.must(err)
			text = fmt.Sprintf("segment %d cut at %d of %d to %d, zeros behind: %v", after.ID, at, from, after.Bytes, zeros)
			x.tally.torn.Add(1)
		}
	}
	x.say("crash: %s", text)
	x.leave(to)
}

// cutFile makes the rest of a file zeros, or nothing.
func cutFile(path string, at int64, zeros bool) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() < at {
		return err
	}
	if err := os.Truncate(path, at); err != nil || !zeros {
		return err
	}
	return os.Truncate(path, info.Size())
}

// activeSegment returns the log's segment that appends go to; not Active if there is none.
func activeSegment(db *DB) wal.SegmentInfo {
	segments := db.log.Segments()
	if len(segments) == 0 || !segments[len(segments)-1].Active {
		return wal.SegmentInfo{}
	}
	return segments[len(segments)-1]
}

// leave goes on with the database in another folder.
func (x *trial) leave(to string) {
	x.close()
	x.must(os.RemoveAll(x.dir))
	x.dir = to
	x.again()
}

// crashWithin has the database crash at a change of the object store during a cut, a compaction or a retention, with puts under way.
func (x *trial) crashWithin() {
	if x.faulty {
		return // changes that fail are none
	}
	to := x.folder()
	var mu sync.Mutex
	crashed, acknowledged := false, 0
	var puts []content
	snapshot := func() {
		mu.Lock()
		defer mu.Unlock()
		crashed, acknowledged = true, len(puts)
		if err := copyTree(to, x.dir); err != nil {
			panic(err)
		}
	}
	n, behind := 1+x.IntN(14), x.IntN(2) == 0
	x.tally.crashesWithin.Add(1)
	what := x.IntN(4)
	x.say("crash within %s, at change %d, behind it: %v", [...]string{"a cut", "a compaction", "a retention", "a cut with puts"}[what], n, behind)
	x.bucket.arm(n, behind, snapshot)
	switch what {
	case 0:
		x.must(x.db.Cut(x.ctx))
	case 1:
		x.must(x.db.Compact(x.ctx))
	case 2:
		x.retain(func() { x.must(x.db.Retain(x.ctx)) })
	default:
		type put struct {
			entries []Entry
			means   content
		}
		var drawn []put
		for range 8 {
			entries, means := x.generator.put(true)
			drawn = append(drawn, put{entries, means})
		}
		done := make(chan error, 1)
		go func() {
			for _, p := range drawn {
				if err := appendAnyway(x.db, x.ctx, p.entries); err != nil {
					done <- err
					return
				}
				mu.Lock()
				puts = append(puts, p.means)
				mu.Unlock()
			}
			done <- nil
		}()
		x.must(x.db.Cut(x.ctx))
		x.must(<-done)
		mu.Lock()
		if !crashed {
			acknowledged = len(puts)
		}
		for _, p := range drawn[acknowledged:] {
			x.undecided = append(x.undecided, p.means)
		}
		for _, p := range puts[:acknowledged] {
			x.addAll(p)
		}
		mu.Unlock()
	}
	x.bucket.arm(0, false, nil)
	if !crashed {
		x.bucket.stand(func() { x.must(copyTree(to, x.dir)) })
	}
	x.leave(to)
}

// copyTree copies a database's directory: the log first, since what was removed from it is in blocks.
func copyTree(to, from string) error {
	for _, part := range []string{"recent", "blocks"} {
		err := filepath.WalkDir(filepath.Join(from, part), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			target := filepath.Join(to, strings.TrimPrefix(path, from))
			if e.IsDir() {
				return os.MkdirAll(target, 0o700)
			}
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a segment that was removed, or an object that is being written
			}
			if err != nil {
				return err
			}
			return os.WriteFile(target, content, 0o600)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *trial) addAll(c content) { x.model.addAll(c) }

// keys of the model, not those drawn.
func (x *trial) keys() []Key { return slices.SortedFunc(maps.Keys(x.content), compareKeys) }
