package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/cache"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// counted is a bucket with a cache in front, whose requests are counted by object.
type counted struct {
	*cache.Bucket
	counts *instrument.Counted
	before instrument.Counts
}

func withCache(t testing.TB, bucket backend.Bucket, o cache.Options) (*counted, *cache.Cache) {
	t.Helper()
	c, err := cache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	counts := instrument.Count(bucket, instrument.CountOptions{Kind: instrument.LastElement(append([]string{metaObject}, objectNames...)...)})
	return &counted{Bucket: c.Over(counts, "here"), counts: counts, before: counts.Counts()}, c
}

// took returns the requests since it was called last, such as "data:2 index:1", in the order of the kinds, then "other" and "meta.json".
func (c *counted) took() string {
	now := c.counts.Counts()
	diff := now.Since(c.before)
	c.before = now
	var took []string
	for _, kind := range append(append([]string(nil), objectNames...), "other", metaObject) {
		if n := diff[instrument.Key{Op: instrument.OpRead, Kind: kind}].Requests; n > 0 {
			took = append(took, fmt.Sprintf("%s:%d", kind, n))
		}
	}
	return strings.Join(took, " ")
}

// incompressible are entries whose pages take some frames each.
func incompressible(seed uint64, n int) []entry {
	return randomEntries(rand.New(rand.NewPCG(seed, 3)), n, 20_000)
}

func mustGet(t testing.TB, b *Block, e entry) {
	t.Helper()
	value, found, err := b.Get(ctx, nil, e.key)
	if err != nil || !found || !bytes.Equal(value, e.value) {
		t.Fatalf("key %x: found %v, right %v, %v", e.key, found, bytes.Equal(value, e.value), err)
	}
}

func TestThroughACacheAQuestionReadsOnlyWhatNobodyHasRead(t *testing.T) {
	store := newMemory()
	entries := incompressible(1, 200) // some 15 pages
	m := write(t, store, entries, WriterOptions{})
	bucket, _ := withCache(t, store, cache.Options{})
	block := mustOpen(t, bucket.Bucket, m.ID)
	absent := entries[0].key
	absent[15] ^= 0xff
	search := func(term string, want bool) func() {
		return func() {
			hits, err := block.Search(ctx, everything(index.Equal([]byte("term"), []byte(term)), 20))
			if err != nil || len(hits) > 0 != want {
				t.Fatal(term, hits, err)
			}
		}
	}
	steps := []struct {
		what string
		do   func()
		want string
	}{
		{"open", func() {}, "meta.json:1"},
		{"a key that is not there", func() {
			if _, found, err := block.Get(ctx, nil, absent); found || err != nil {
				t.Fatal(found, err)
			}
		}, "filter:1"},
		{"the first value", func() { mustGet(t, block, entries[3]) }, "data:1 index:1"},
		{"again", func() { mustGet(t, block, entries[3]) }, ""},
		{"a value of another page", func() { mustGet(t, block, entries[150]) }, "data:1"},
		{"again", func() { mustGet(t, block, entries[150]) }, ""},
		{"a search that finds nothing", search("t9", false), "search:1"},
		{"a search", search("t3", true), ""},
		{"the same by another Block", func() {
			block = New(bucket.Bucket, m, lines{})
			mustGet(t, block, entries[3])
			search("t3", true)()
		}, ""},
		{"a summary", func() {
			if _, found, err := block.Summary(ctx, nil, entries[9].key); !found || err != nil {
				t.Fatal(found, err)
			}
		}, "summary:1"},
		{"a summary nearby", func() {
			if _, found, err := block.Summary(ctx, nil, entries[10].key); !found || err != nil {
				t.Fatal(found, err)
			}
		}, ""},
	}
	for _, s := range steps {
		s.do()
		if got := bucket.took(); got != s.want {
			t.Errorf("%s: %q, want %q", s.what, got, s.want)
		}
	}
}

func TestAThousandGetsOfOnePageAreOneRequest(t *testing.T) {
	store := newMemory()
	entries := incompressible(2, 100)
	m := write(t, store, entries, WriterOptions{})
	bucket, _ := withCache(t, store, cache.Options{})
	block := mustOpen(t, bucket.Bucket, m.ID)
	if err := block.Load(ctx); err != nil {
		t.Fatal(err)
	}
	bucket.took()
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			value, found, err := block.Get(ctx, nil, entries[50].key)
			if err != nil || !found || !bytes.Equal(value, entries[50].value) {
				t.Error(found, err)
			}
		})
	}
	all.Wait()
	if got := bucket.took(); got != "data:1" {
		t.Errorf("%q", got)
	}
}

func TestVerifyAndSalvageLookBeneathTheCache(t *testing.T) {
	store := newMemory()
	entries := incompressible(3, 60)
	m := write(t, store, entries, WriterOptions{})
	bucket, c := withCache(t, store, cache.Options{})
	block := mustOpen(t, bucket.Bucket, m.ID)
	for _, e := range entries {
		mustGet(t, block, e)
	}
	if err := block.Verify(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := Salvage(ctx, bucket.Bucket, tenant, m.ID, lines{}, SalvageOptions{}); !errors.Is(err, ErrSound) {
		t.Fatal(err)
	}
	data := bytes.Clone(store.objects[objectName(tenant, m.ID, dataObject)])
	data[len(data)/2] ^= 1
	store.objects[objectName(tenant, m.ID, dataObject)] = data
	for _, e := range entries {
		mustGet(t, block, e) // from the cache
	}
	if err := block.Verify(ctx); !page.IsCorrupt(err) || len(block.Damage()) == 0 {
		t.Fatalf("verify: %v; damage %v", err, block.Damage())
	}
	report, err := Salvage(ctx, bucket.Bucket, tenant, m.ID, lines{}, SalvageOptions{})
	if err != nil || report.Saved == 0 || report.LostCount != 1 {
		t.Fatal(report, err)
	}
	for k, s := range c.Stats().Memory.Kinds {
		if s.Frames != 0 {
			t.Errorf("%d frames of %s are left of the block that is gone", s.Frames, cache.Kind(k))
		}
	}
	// What was damaged when it was read first, and then repaired, is whole.
	store.objects[objectName(tenant, report.NewBlock, dataObject)][20] ^= 1
	saved := mustOpen(t, bucket.Bucket, report.NewBlock)
	if _, _, err := saved.Get(ctx, nil, entries[0].key); !page.IsCorrupt(err) {
		t.Fatal(err)
	}
	store.objects[objectName(tenant, report.NewBlock, dataObject)][20] ^= 1
	mustGet(t, saved, entries[0])
	bucket.took()
	mustGet(t, saved, entries[0])
	if got := bucket.took(); got != "" {
		t.Errorf("then read again: %s", got)
	}
}

// falsely is a bucket that changes what the first read of an object gives.
type falsely struct {
	*memory
	object string
	change func(p []byte, n int, off int64) (int, error)
	done   bool
}

func (f *falsely) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	n, err := f.memory.ReadAt(ctx, name, p, off)
	if filepath.Base(name) == f.object && !f.done {
		f.done = true
		return f.change(p, n, off)
	}
	return n, err
}

// ask asks a block for everything there is.
func (s sample) ask(t testing.TB, b *Block) {
	t.Helper()
	for _, e := range s.entries {
		value, found, err := b.Get(ctx, nil, e.key)
		if err != nil || !found || !bytes.Equal(value, e.value) {
			t.Errorf("get %x: %v, %v", e.key, found, err)
			return
		}
		summary, found, err := b.Summary(ctx, nil, e.key)
		if err != nil || !found || string(summary) != summaryOf(e.value) {
			t.Errorf("summary of %x: %q, %v, %v", e.key, summary, found, err)
			return
		}
	}
	absent := s.entries[0].key
	absent[15] ^= 0xff
	if _, found, err := b.Get(ctx, nil, absent); found || err != nil {
		t.Error(found, err)
	}
	hits, err := b.Search(ctx, everything(nil, 0))
	if err != nil || len(hits) != len(s.entries) {
		t.Errorf("%d hits, %v", len(hits), err)
	}
	terms := 0
	if err := b.Terms(ctx, []byte("term"), nil, func([]byte) bool { terms++; return true }); err != nil || terms == 0 {
		t.Errorf("%d terms, %v", terms, err)
	}
	if damage, detours := b.Damage(), b.Detours(); len(damage) > 0 || detours != (Detours{}) {
		t.Errorf("damage %v, %+v", damage, detours)
	}
}

// What the object store has is whole, so nobody shall hear of damage.
func TestAWrongBodyIsReadAgainBeforeItIsCalledDamage(t *testing.T) {
	s := newSample(t, 4, 30)
	for _, object := range objectNames {
		size := len(s.object(object))
		end := map[string]int{filterObject: 8, searchObject: 24 + sealBytes}[object] // which is in no page
		for at := 0; at < size; at++ {
			if at%(1+size/15) > 0 && at < size-end {
				continue
			}
			for how, change := range map[string]func(p []byte, n int, off int64) (int, error){
				"flipped": func(p []byte, n int, off int64) (int, error) {
					if i := int64(at) - off; i >= 0 && i < int64(n) {
						p[i] ^= 0x04
					}
					return n, nil
				},
				"cut short": func(_ []byte, n int, off int64) (int, error) {
					return max(0, min(n, at-int(off))), io.EOF
				},
			} {
				dir := t.TempDir()
				bucket := &falsely{memory: s.bucket, object: object, change: change}
				once, c := withCache(t, bucket, cache.Options{MemoryBytes: 1 << 20, FrameBytes: 4096, Disk: cache.DiskOptions{Dir: dir, Bytes: 1 << 20}})
				b := mustOpen(t, once.Bucket, s.id)
				s.ask(t, b)
				if !bucket.done {
					t.Fatalf("%s was not read", object)
				}
				once.took()
				s.ask(t, New(once.Bucket, b.Meta(), lines{}))
				if got := once.took(); got != "" {
					t.Fatalf("%s %s at %d: read again: %s", object, how, at, got)
				}
				// What lies on the disk was put right as well.
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				later, _ := withCache(t, s.bucket, cache.Options{MemoryBytes: 1 << 20, FrameBytes: 4096, Disk: cache.DiskOptions{Dir: dir, Bytes: 1 << 20}})
				s.ask(t, New(later.Bucket, b.Meta(), lines{}))
				if got := later.took(); got != "" {
					t.Fatalf("%s %s at %d: not on the disk: %s", object, how, at, got)
				}
			}
		}
	}
}

func TestDamageInTheDiskTierOfTheCacheIsHealedSilently(t *testing.T) {
	s := newSample(t, 5, 100)
	dir := t.TempDir()
	o := cache.Options{MemoryBytes: 1 << 20, FrameBytes: 512, Disk: cache.DiskOptions{Dir: dir, Bytes: 1 << 20}}
	first, c := withCache(t, s.bucket, o)
	meta := mustOpen(t, first.Bucket, s.id).Meta()
	s.ask(t, New(first.Bucket, meta, lines{}))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 700; i < len(content); i += 1500 {
			content[i] ^= 0x10
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second, _ := withCache(t, s.bucket, o)
	s.ask(t, New(second.Bucket, meta, lines{}))
	if got := second.took(); got == "" {
		t.Error("nothing was damaged")
	}
}

// disjoint is a codec for blocks that have no keys in common.
type disjoint struct{ lines }

func (disjoint) Merge(dst []byte, _ ...[]byte) ([]byte, error) {
	return dst, errors.New("the same key in two blocks")
}

func TestAMergeLeavesTheCacheAsItIs(t *testing.T) {
	store := newMemory()
	hot := incompressible(6, 20)
	served := write(t, store, hot, WriterOptions{})
	var inputs []*Block
	bucket, c := withCache(t, store, cache.Options{MemoryBytes: 1 << 20})
	for seed := range uint64(3) {
		inputs = append(inputs, mustOpen(t, bucket.Bucket, write(t, store, incompressible(10+seed, 100), WriterOptions{}).ID))
	}
	block := mustOpen(t, bucket.Bucket, served.ID)
	for _, e := range hot {
		mustGet(t, block, e)
	}
	before := c.Stats().Memory.Kinds
	bucket.took()
	m, err := Merge(ctx, bucket.Bucket, tenant, inputs, MergeOptions{Codec: disjoint{}})
	if err != nil {
		t.Fatal(err)
	}
	if m.Keys != 300 {
		t.Fatalf("%d keys", m.Keys)
	}
	if got := bucket.took(); !strings.Contains(got, "data:") {
		t.Errorf("the merge read %q", got)
	}
	if after := c.Stats().Memory.Kinds; after != before {
		t.Errorf("before %+v, after %+v", before, after)
	}
	for _, e := range hot {
		mustGet(t, block, e)
	}
	if got := bucket.took(); got != "" {
		t.Errorf("read again: %s", got)
	}
}

func TestThroughACacheAMissingObjectIsWhatItIsWithout(t *testing.T) {
	s := newSample(t, 7, 50)
	lost, _ := withCache(t, s.with(dataObject, nil), cache.Options{})
	b := mustOpen(t, lost.Bucket, s.id)
	_, _, err := b.Get(ctx, nil, s.entries[0].key)
	if !page.IsCorrupt(err) || !strings.Contains(err.Error(), "is missing") || !strings.Contains(err.Error(), objectName(tenant, s.id, dataObject)) {
		t.Errorf("object gone: %v", err)
	}
	gone, _ := withCache(t, s.bucket, cache.Options{})
	b = mustOpen(t, gone.Bucket, s.id)
	if err := Delete(ctx, gone, tenant, s.id); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Get(ctx, nil, s.entries[0].key); !errors.Is(err, backend.ErrNotExist) || page.IsCorrupt(err) {
		t.Errorf("block gone: %v", err)
	}
}

// waiting is a bucket whose reads of the filter wait.
type waiting struct {
	*memory
	begun, end chan struct{}
}

func (w *waiting) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if filepath.Base(name) == filterObject {
		w.begun <- struct{}{}
		<-w.end
	}
	return w.memory.ReadAt(ctx, name, p, off)
}

func TestNobodyWaitsLongerThanItsContextForAnotherToOpenAPart(t *testing.T) {
	s := newSample(t, 9, 20)
	bucket := &waiting{s.bucket, make(chan struct{}), make(chan struct{})}
	b := mustOpen(t, bucket, s.id)
	var first sync.WaitGroup
	first.Go(func() { mustGet(t, b, s.entries[0]) })
	<-bucket.begun
	ended, end := context.WithCancel(ctx)
	end()
	if _, _, err := b.Get(ended, nil, s.entries[1].key); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(bucket.end)
	first.Wait()
}

func TestAnEndedContextEndsWhatIsReadThroughACache(t *testing.T) {
	s := newSample(t, 8, 50)
	bucket, _ := withCache(t, s.bucket, cache.Options{})
	b := mustOpen(t, bucket.Bucket, s.id)
	s.ask(t, b)
	ended, end := context.WithCancel(ctx)
	end()
	if _, _, err := b.Get(ended, nil, s.entries[0].key); !errors.Is(err, context.Canceled) {
		t.Errorf("get: %v", err)
	}
	if _, err := b.Search(ended, everything(nil, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("search: %v", err)
	}
	s.ask(t, b)
}
