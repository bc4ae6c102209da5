package ingester_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// flaky is an object store that fails while it is down, and remembers what was written to it.
type flaky struct {
	backend.Bucket
	down atomic.Bool

	mu      sync.Mutex
	created []string
}

var errDown = errors.New("the store is down")

func (f *flaky) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	if f.down.Load() {
		return nil, errDown
	}
	f.mu.Lock()
	f.created = append(f.created, name)
	f.mu.Unlock()
	return f.Bucket.Create(ctx, name)
}

func (f *flaky) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if f.down.Load() {
		return 0, errDown
	}
	return f.Bucket.ReadAt(ctx, name, p, off)
}

func (f *flaky) Size(ctx context.Context, name string) (int64, error) {
	if f.down.Load() {
		return 0, errDown
	}
	return f.Bucket.Size(ctx, name)
}

// cut makes a block of what a tenant has.
func (n *node) cut(tenant string) {
	n.t.Helper()
	n.Each(func(name string, db *tempodb.DB) {
		if name == tenant {
			if err := db.Cut(n.t.Context()); err != nil {
				n.t.Fatal(err)
			}
		}
	})
}

// local returns the blocks that a tenant has here.
func (n *node) local(tenant string) (ids []block.ID) {
	n.Each(func(name string, db *tempodb.DB) {
		if name == tenant {
			for _, m := range db.Blocks() {
				ids = append(ids, m.ID)
			}
		}
	})
	return ids
}

// remote returns the blocks that a tenant has in the object store.
func remote(t testing.TB, bucket backend.Bucket, tenant string) []block.ID {
	t.Helper()
	ids, err := block.List(context.Background(), bucket, tenant)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// readable returns how many traces with a span of a user the blocks of the object store answer with.
func readable(t *testing.T, bucket backend.Bucket, tenant, user string) int {
	t.Helper()
	return len(search(t, bucket, tenant, tracedb.Attribute{Key: "user"}.Is(user)))
}

// traces returns the traces in the object store.
func traces(t *testing.T, bucket backend.Bucket, tenant string) map[tempodb.Key]bool {
	t.Helper()
	return search(t, bucket, tenant, nil)
}

func search(t *testing.T, bucket backend.Bucket, tenant string, where *index.Expr) map[tempodb.Key]bool {
	t.Helper()
	found := make(map[tempodb.Key]bool)
	for _, id := range remote(t, bucket, tenant) {
		b, err := block.Open(t.Context(), bucket, tenant, id, tracedb.Codec{})
		if err != nil {
			t.Fatal(err)
		}
		hits, err := b.Search(t.Context(), &index.Query{Where: where, Start: index.Everything, Duration: index.Everything})
		if err != nil {
			t.Fatal(err)
		}
		for _, hit := range hits {
			found[hit.Key] = true
		}
	}
	return found
}

func TestABlockIsCopiedKeptForAWhileAndDropped(t *testing.T) {
	o := options(t)
	o.Keep = 300 * time.Millisecond
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	begin := time.Now()
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := readable(t, o.Blocks, "a", "ann"); got != 1 {
		t.Errorf("%d traces in the object store after a flush", got)
	}
	if got := n.spansOf("a", 1); got != 1 && time.Since(begin) < o.Keep {
		t.Errorf("%d spans here right after", got)
	}
	until(t, "the block is dropped", func() bool { return n.Stats().KeptBlocks == 0 })
	if took := time.Since(begin); took < o.Keep {
		t.Errorf("dropped after %v, though it is kept for %v", took, o.Keep)
	}
	if got := n.spansOf("a", 1); got != 0 {
		t.Errorf("%d spans of a block that is dropped", got)
	}
	if got := readable(t, o.Blocks, "a", "ann"); got != 1 {
		t.Errorf("%d traces in the object store", got)
	}
	if s := n.Stats(); s.Copied != 1 || s.Dropped != 1 || s.WaitingBlocks != 0 || s.WaitingBytes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestWhileTheStoreIsDownEverythingIsHereAndItIsCopiedOnceItIsBack(t *testing.T) {
	o := options(t)
	store := &flaky{Bucket: o.Blocks}
	store.down.Store(true)
	o.Blocks, o.Keep = store, time.Millisecond
	n := start(t, o)
	for id := range uint64(5) {
		n.store(group("a", id+1, spans(id+1, 1, "ann")), group("b", id+1, spans(id+1, 1, "ann")))
		n.cut("a")
		n.cut("b")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flush while the store is down: %v", err)
	}
	until(t, "several tries", func() bool { return n.Stats().CopyErrors >= 2 })
	if ids, source := n.find("a", "ann", 0); len(ids) != 5 || !source.GetComplete() {
		t.Errorf("%d of 5 traces are found, by %v", len(ids), source)
	}
	if s := n.Stats(); s.WaitingBlocks != 10 || !errors.Is(s.LastFailure, errDown) || s.Oldest.IsZero() {
		t.Errorf("%+v", s)
	}
	// So it stays over a restart.
	n.stop()
	n = start(t, o)
	if got := n.spansOf("b", 3); got != 1 {
		t.Errorf("%d spans after a restart", got)
	}
	store.down.Store(false)
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"a", "b"} {
		if got := readable(t, o.Blocks, tenant, "ann"); got != 5 {
			t.Errorf("%d of 5 traces in the object store", got)
		}
	}
}

func TestTheOldestBlocksAreCopiedFirst(t *testing.T) {
	o := options(t)
	store := &flaky{Bucket: o.Blocks}
	store.down.Store(true)
	o.Blocks, o.Uploads = store, 1
	n := start(t, o)
	for id := range uint64(4) {
		n.store(group(string(rune('d'-id)), 1, spans(1, 1, "ann")))
		n.cut(string(rune('d' - id)))
	}
	store.down.Store(false)
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, name := range store.created {
		if tenant, ok := strings.CutSuffix(name, "/meta.json"); ok {
			order = append(order, tenant[:1])
		}
	}
	if len(order) != 4 {
		t.Fatalf("copied %q", order)
	}
	// Flush begins with the oldest of those that are not being tried already.
	if !slices.Equal(order[1:], slices.DeleteFunc([]string{"d", "c", "b", "a"}, func(s string) bool { return s == order[0] })) {
		t.Errorf("copied in the order %q", order)
	}
}

func TestABlockThatWasCopiedAndThenMergedIsNotCopiedAgain(t *testing.T) {
	o := options(t)
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.stop()
	// A compactor has merged it, or retention has dropped it.
	ids := remote(t, o.Blocks, "a")
	if len(ids) != 1 {
		t.Fatal(ids)
	}
	if err := block.Delete(t.Context(), o.Blocks, "a", ids[0]); err != nil {
		t.Fatal(err)
	}
	o.Keep = 200 * time.Millisecond
	begin := time.Now()
	n = start(t, o)
	if got := n.spansOf("a", 1); got != 1 && time.Since(begin) < o.Keep {
		t.Errorf("%d spans after a restart, which is to keep the block from then on", got)
	}
	until(t, "the block is dropped", func() bool { return len(n.local("a")) == 0 })
	if took := time.Since(begin); took < o.Keep {
		t.Errorf("dropped %v after the restart, though it is kept for %v", took, o.Keep)
	}
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ids := remote(t, o.Blocks, "a"); len(ids) > 0 {
		t.Errorf("it is there again: %v", ids)
	}
}

// As if the process was killed between copying a block and noting it.
func TestACopyThatWasNotNotedIsRecognised(t *testing.T) {
	o := options(t)
	store := &flaky{Bucket: o.Blocks}
	o.Blocks = store
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.stop()
	uploaded := filepath.Join(o.Dir, "uploaded")
	if err := os.WriteFile(uploaded, []byte("a 01ARZ3NDEKTSV4RRFFQ69G5FA"), 0o600); err != nil { // a line cut short
		t.Fatal(err)
	}
	before := len(store.created)
	n = start(t, o)
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := len(store.created); after != before {
		t.Errorf("copied again: %q", store.created[before:])
	}
	content, err := os.ReadFile(uploaded)
	if id := n.local("a")[0]; err != nil || string(content) != "a "+string(id)+"\n" {
		t.Errorf("noted: %q, %v", content, err)
	}
}

func TestWhatIsTooOldIsNotCopied(t *testing.T) {
	o := options(t)
	store := &flaky{Bucket: o.Blocks}
	store.down.Store(true)
	o.Blocks = store
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	n.cut("a")
	n.stop()
	o.Retention = func(string) time.Duration { return time.Nanosecond } // it was down for long
	n = start(t, o)
	until(t, "the block is dropped", func() bool { return len(n.local("a")) == 0 })
	store.down.Store(false)
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ids := remote(t, o.Blocks, "a"); len(ids) > 0 {
		t.Errorf("copied: %v", ids)
	}
	if s := n.Stats(); !s.Whole {
		t.Errorf("what retention drops is no loss: %+v", s)
	}
}

func TestADamagedBlockIsSetAsideAndStopsNoOther(t *testing.T) {
	o := options(t)
	store := &flaky{Bucket: o.Blocks}
	store.down.Store(true)
	o.Blocks = store
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	n.cut("a")
	n.store(group("a", 2, spans(2, 1, "bob")))
	n.cut("a")
	bad := n.local("a")[0]
	damage(t, filepath.Join(o.Dir, "blocks", "a", string(bad), "data"))
	if s := n.Stats(); !s.Whole {
		t.Fatalf("%+v", s)
	}
	store.down.Store(false)
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := remote(t, o.Blocks, "a"); len(got) != 1 || got[0] == bad {
		t.Errorf("copied: %v, of which %s is damaged", got, bad)
	}
	if got := readable(t, o.Blocks, "a", "bob"); got != 1 {
		t.Errorf("%d traces of the sound block in the object store", got)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "blocks", "quarantine", "a", string(bad), "report.json")); err != nil {
		t.Errorf("the damaged block is not in the quarantine: %v", err)
	}
	// Its span was acknowledged, and is here no more.
	if _, source := n.find("a", "ann", 0); source.GetComplete() {
		t.Error("an answer that lacks a span counts as complete")
	}
	n.stop()
	n = start(t, o)
	if _, source := n.find("a", "ann", 0); source.GetComplete() {
		t.Error("an answer that lacks a span counts as complete after a restart")
	}
}

func TestWhatIsSavedOfABlockThatWasCopiedDoesNotTakeItsPlace(t *testing.T) {
	o := options(t)
	n := start(t, o)
	for id := range uint64(50) {
		n.store(group("a", id+1, spans(id+1, 1, "ann")))
	}
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole := remote(t, o.Blocks, "a")
	damage(t, filepath.Join(o.Dir, "blocks", "a", string(whole[0]), "search"))
	n.stop()
	n = start(t, o)
	n.Each(func(_ string, db *tempodb.DB) {
		if bad, err := db.Inspect(t.Context(), whole[0]); err != nil || !bad {
			t.Fatalf("inspect: %v, %v", bad, err)
		}
	})
	saved := n.local("a")
	if len(saved) != 1 || saved[0] == whole[0] {
		t.Fatalf("here are %v after a salvage of %v", saved, whole)
	}
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := remote(t, o.Blocks, "a"); !slices.Equal(got, whole) {
		t.Errorf("in the object store are %v, want %v", got, whole)
	}
	if ids, source := n.find("a", "ann", 0); len(ids) != 50 || !source.GetComplete() {
		t.Errorf("%d traces, from %v: everything could be saved", len(ids), source)
	}
}

// damage flips a byte in the second half of what a file has before its zeros.
func damage(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.TrimRight(content, "\x00")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{^content[len(content)*3/4]}, int64(len(content)*3/4)); err != nil {
		t.Fatal(err)
	}
}

func TestAPartOfTheLogThatIsDamagedMakesAnswersIncomplete(t *testing.T) {
	o := options(t)
	o.Whole = 400 * time.Millisecond
	n := start(t, o)
	for id := range uint64(20) {
		n.store(group("a", id+1, spans(id+1, 1, "ann")))
	}
	n.stop()
	logs, err := filepath.Glob(filepath.Join(o.Dir, "log", "a", "wal", "*.wal"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	damage(t, logs[0])
	begin := time.Now()
	n = start(t, o)
	if ids, source := n.find("a", "ann", 0); source.GetComplete() && time.Since(begin) < o.Whole || len(ids) == 20 || len(ids) == 0 {
		t.Errorf("%d traces, from %v", len(ids), source)
	}
	until(t, "answers count again", func() bool { return n.Stats().Whole })
	if took := time.Since(begin); took < o.Whole {
		t.Errorf("answers count again after %v, of %v", took, o.Whole)
	}
	if _, source := n.find("a", "ann", 0); !source.GetComplete() {
		t.Error("an answer does not count after the time is over")
	}
}

func TestTheDatabaseOfAnIdleTenantIsGivenUpAndMadeAnew(t *testing.T) {
	o := options(t)
	o.Keep, o.Idle = time.Millisecond, 20*time.Millisecond
	n := start(t, o)
	folder := filepath.Join(o.Dir, "log", "a")
	for round := range uint64(3) {
		n.store(group("a", round+1, spans(round+1, 1, "ann")))
		if got := n.spansOf("a", round+1); got != 1 {
			t.Errorf("%d spans", got)
		}
		if err := n.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		until(t, "the folder is gone", func() bool {
			_, err := os.Stat(folder)
			return errors.Is(err, os.ErrNotExist)
		})
		if ids, source := n.find("a", "ann", 0); len(ids) > 0 || !source.GetComplete() {
			t.Errorf("%v, from %v", ids, source)
		}
	}
	if got := readable(t, o.Blocks, "a", "ann"); got != 3 {
		t.Errorf("%d of 3 traces in the object store", got)
	}
}

// Whoever writes while databases are given up all the time loses nothing.
func TestWhatIsPushedWhileADatabaseIsGivenUpIsKept(t *testing.T) {
	o := options(t)
	o.Keep, o.Idle, o.Tick = time.Nanosecond, time.Nanosecond, 100*time.Microsecond
	n := start(t, o)
	const many = 60
	for id := uint64(1); id <= many; id++ {
		n.store(group("a", id, spans(id, 1, "ann")))
		if id%3 == 0 {
			if err := n.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := readable(t, o.Blocks, "a", "ann"); got != many {
		t.Errorf("%d of %d traces in the object store", got, many)
	}
}

func TestAFlushHasCopiedWhatWasPushedBeforeIt(t *testing.T) {
	o := options(t)
	o.Tick = 50 * time.Microsecond // others look for blocks all the time
	n := start(t, o)
	for id := uint64(1); id <= 100; id++ {
		n.store(group("a", id, spans(id, 1, "ann")))
		if err := n.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(remote(t, o.Blocks, "a")); got != int(id) {
			t.Fatalf("after flush %d there are %d blocks", id, got)
		}
	}
}
