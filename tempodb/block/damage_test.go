package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// sample is a block with pages of several records and a big value.
type sample struct {
	bucket  *memory
	id      ID
	entries []entry
	extents []extent
}

// extent is a stretch of data and the entries that are in it.
type extent struct {
	begin, end int64
	entries    []entry
}

func newSample(t testing.TB, seed uint64, n int) sample {
	t.Helper()
	s := sample{bucket: newMemory(), entries: randomEntries(rand.New(rand.NewPCG(seed, 6)), n, 60)}
	s.entries[n/2].value = append(s.entries[n/2].value, "#"+strings.Repeat(fmt.Sprint(seed, "big "), 90)+"\n"...)
	s.id = write(t, s.bucket, s.entries, WriterOptions{PageBytes: 200, Compression: page.Raw}).ID
	table, err := mustOpen(t, s.bucket, s.id).dataTable(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = table.Pages(func(p page.PageInfo) error {
		s.extents = append(s.extents, extent{p.Ref.Offset - p.Chunks, p.Ref.Offset + p.Ref.Length, s.entries[p.Record : p.Record+p.Records]})
		return nil
	})
	if err != nil || len(s.extents) < 4 {
		t.Fatal(err, len(s.extents))
	}
	return s
}

func (s sample) object(name string) []byte { return s.bucket.objects[objectName(tenant, s.id, name)] }

// with returns the bucket with an object changed; nil is no object.
func (s sample) with(name string, content []byte) *memory {
	c := s.bucket.clone()
	c.objects[objectName(tenant, s.id, name)] = content
	if content == nil {
		delete(c.objects, objectName(tenant, s.id, name))
	}
	return c
}

// lost returns the keys in extents that differ from what was written, or are not there.
func (s sample) lost(bucket *memory) map[[16]byte]bool {
	whole, is := s.object(dataObject), bucket.objects[objectName(tenant, s.id, dataObject)]
	lost := make(map[[16]byte]bool)
	for _, e := range s.extents {
		if int64(len(is)) < e.end || !bytes.Equal(whole[e.begin:e.end], is[e.begin:e.end]) {
			for _, e := range e.entries {
				lost[e.key] = true
			}
		}
	}
	return lost
}

// answers asks the block everything and checks: every answer is right, if need be by the other way, or an error that names block,
// object and offset; and only what needs a damaged page is an error.
func (s sample) answers(t tb, bucket *memory) (damage []error) {
	t.Helper()
	changed := func(object string) bool {
		name := objectName(tenant, s.id, object)
		is, there := bucket.objects[name]
		return !there || !bytes.Equal(is, s.bucket.objects[name])
	}
	// failed says whether err is one, which it may be only if one of the objects is damaged.
	failed := func(err error, objects ...string) bool {
		t.Helper()
		if err == nil {
			return false
		}
		var c *page.CorruptError
		if !errors.As(err, &c) || !strings.Contains(err.Error(), string(s.id)) || !strings.Contains(err.Error(), "offset") {
			t.Fatalf("%v does not say what is damaged where", err)
		}
		for _, object := range objects {
			if changed(object) && c.Object == objectName(tenant, s.id, object) {
				damage = append(damage, err)
				return true
			}
		}
		t.Fatalf("%v: expected damage to one of %v", err, objects)
		return true
	}
	b, err := Open(ctx, bucket, tenant, s.id, lines{})
	if failed(err, metaObject) {
		return damage
	}
	lost := s.lost(bucket)
	var whole []entry
	for _, e := range s.entries {
		value, found, err := b.Get(ctx, []byte("kept "), e.key)
		if failed(err, dataObject) != lost[e.key] || string(value[:5]) != "kept " {
			t.Fatalf("get %x, %v lost: %v", e.key, lost[e.key], err)
		}
		if err == nil && (!found || !bytes.Equal(value[5:], e.value)) {
			t.Fatalf("get %x: %q, %v", e.key, value, found)
		}
		if sum, found, err := b.Summary(ctx, nil, e.key); !failed(err, summaryObject) && (!found || string(sum) != summaryOf(e.value)) {
			t.Fatalf("summary of %x: %q, %v", e.key, sum, found)
		}
		if !lost[e.key] {
			whole = append(whole, e)
		}
	}
	absent := s.entries[1].key
	absent[15]++
	if _, found, err := b.Get(ctx, nil, absent); found || failed(err, dataObject) && !lost[s.entries[1].key] && !lost[s.entries[2].key] {
		t.Fatalf("a key that is not there: %v, %v", found, err)
	}
	n := 0
	err = b.Scan(ctx, [16]byte{}, func(key [16]byte, value []byte) (bool, error) {
		if key != s.entries[n].key || !bytes.Equal(value, s.entries[n].value) {
			t.Fatalf("scan: %x", key)
		}
		n++
		return true, nil
	})
	if failed(err, dataObject) != (len(lost) > 0) || err == nil && n != len(s.entries) {
		t.Fatalf("scan: %d keys, %v", n, err)
	}
	n = 0
	told := false
	err = b.ScanAround(ctx, [16]byte{}, func(key [16]byte, value []byte) (bool, error) {
		if n == len(whole) || key != whole[n].key || !bytes.Equal(value, whole[n].value) {
			t.Fatalf("scan around damage: %x", key)
		}
		n++
		return true, nil
	}, func(err error) error {
		told = failed(err, dataObject)
		return nil
	})
	if err != nil || n != len(whole) || told != (len(lost) > 0) {
		t.Fatalf("scan around damage: %d keys of %d, %v", n, len(whole), err)
	}
	for _, term := range []string{"", "t0", "t3", "none"} {
		var where *index.Expr
		if term != "" {
			where = index.Equal([]byte("term"), []byte(term))
		}
		for _, limit := range []int{0, 2} {
			q := everything(where, limit)
			hits, err := b.Search(ctx, q)
			if !failed(err, searchObject) && !slices.Equal(hits, wantHits(s.entries, term, limit)) {
				t.Fatalf("search for %q: %d hits", term, len(hits))
			}
			if err == nil && len(lost) == 0 && !changed(indexObject) {
				continue
			}
			hits, err = b.SearchByScan(ctx, q)
			if failed(err, dataObject) != (len(lost) > 0) || !slices.Equal(hits, wantHits(whole, term, limit)) {
				t.Fatalf("search for %q by scan: %d hits, %v", term, len(hits), err)
			}
		}
	}
	for i, terms := range []func(context.Context, []byte, []byte, func([]byte) bool) error{b.Terms, b.TermsByScan} {
		var got, want []string
		err := terms(ctx, []byte("term"), []byte("t"), func(v []byte) bool { got = append(got, string(v)); return true })
		from := s.entries
		if i == 1 {
			from = whole
		}
		for _, e := range from {
			want = append(want, e.term)
		}
		slices.Sort(want)
		if !(failed(err, searchObject, dataObject) && i == 0) && !slices.Equal(got, slices.Compact(want)) {
			t.Fatalf("terms: %v, %v", got, err)
		}
	}
	if damaged := b.Damage(); len(damage) > 0 && len(damaged) == 0 {
		t.Fatalf("%v was not noted", damage[0])
	}
	if err := b.Verify(ctx); err == nil {
		if len(b.Damage()) > 0 {
			t.Fatalf("Verify finds nothing, but: %v", b.Damage()[0])
		}
	} else {
		for _, err := range flatten(err) {
			failed(err, objectNames...)
		}
	}
	return damage
}

func TestEveryByteOfEveryObjectFlipped(t *testing.T) {
	s := newSample(t, 5, 14)
	if damage := s.answers(t, s.bucket); len(damage) > 0 {
		t.Fatal(damage)
	}
	for _, object := range append([]string{metaObject}, objectNames...) {
		t.Run(object, func(t *testing.T) {
			t.Parallel()
			for i := range s.object(object) {
				bucket := s.with(object, flipped(s.object(object), i))
				damage := s.answers(t, bucket)
				// Of meta.json, white space and the letter case of names may change.
				if object == metaObject && len(damage) == 0 {
					continue
				}
				if len(damage) == 0 {
					t.Fatalf("byte %d: nobody notices", i)
				}
				// Of other objects than data it makes no difference where they are damaged.
				if object == dataObject || i%8 == 0 {
					s.salvaged(t, bucket, object)
				}
			}
		})
	}
}

// damages are what may become of an object.
func (s sample) damages(other sample, object string) map[string][]byte {
	whole := s.object(object)
	longer := append(bytes.Clone(whole), 0)
	zeros := bytes.Clone(whole)
	clear(zeros[len(zeros)/3 : len(zeros)/2])
	return map[string][]byte{
		"is missing":        nil,
		"is empty":          {},
		"has one byte":      whole[:1],
		"is half":           whole[:len(whole)/2],
		"lacks a byte":      whole[:len(whole)-1],
		"has a byte more":   longer,
		"has a hole":        zeros,
		"is another's":      other.object(object),
		"is another object": s.object(objectNames[(slices.Index(objectNames, object)+1)%len(objectNames)]),
	}
}

func TestObjectsCutShortMissingOrOfAnotherBlock(t *testing.T) {
	s, other := newSample(t, 5, 14), newSample(t, 6, 14)
	for _, object := range append([]string{metaObject}, objectNames...) {
		for name, content := range s.damages(other, object) {
			t.Run(object+" "+name, func(t *testing.T) {
				bucket := s.with(object, content)
				if object == metaObject && content == nil {
					if _, err := Salvage(ctx, bucket, tenant, s.id, lines{}, SalvageOptions{}); !errors.Is(err, backend.ErrNotExist) {
						t.Fatalf("a folder without meta.json: %v", err)
					}
					return
				}
				if damage := s.answers(t, bucket); len(damage) == 0 && object == metaObject {
					return // a line end
				}
				s.salvaged(t, bucket, object)
			})
		}
	}
}

// A Block whose object of the same length and shape is another block's.
func TestEqualObjectsOfAnotherBlockAreNoticed(t *testing.T) {
	bucket := newMemory()
	var ids [2]ID
	for i := range ids {
		var entries []entry
		for k := range byte(20) {
			entries = append(entries, entry{key: [16]byte{k, 1 + byte(i)}, value: fmt.Appendf(nil, "%d 1 x\n", 1001+i)})
		}
		ids[i] = write(t, bucket, entries, WriterOptions{Compression: page.Raw}).ID
	}
	for _, object := range objectNames {
		a, b := objectName(tenant, ids[0], object), objectName(tenant, ids[1], object)
		if len(bucket.objects[a]) != len(bucket.objects[b]) {
			t.Fatalf("%s: the blocks are not alike", object)
		}
		c := bucket.clone()
		c.objects[a] = bucket.objects[b]
		block := mustOpen(t, c, ids[0])
		for k := range byte(20) {
			value, found, err := block.Get(ctx, nil, [16]byte{k, 1})
			if !page.IsCorrupt(err) && (!found || string(value) != "1001 1 x\n") {
				t.Fatalf("%s: key %d: %q, %v, %v", object, k, value, found, err)
			}
		}
		if hits, err := block.Search(ctx, everything(nil, 0)); err == nil && (len(hits) != 20 || hits[0].Start != 1001) || object == searchObject && !page.IsCorrupt(err) {
			t.Fatalf("%s: %d hits, %v", object, len(hits), err)
		}
		if s, _, err := block.Summary(ctx, nil, [16]byte{3, 1}); string(s) != "9 bytes, 1 lines" && !page.IsCorrupt(err) {
			t.Fatalf("%s: summary %q, %v", object, s, err)
		}
	}
}

func TestDetoursAreCounted(t *testing.T) {
	s := newSample(t, 5, 14)
	for object, want := range map[string]Detours{filterObject: {Filter: 28}, indexObject: {Directory: 1}, searchObject: {Search: 2}} {
		b := mustOpen(t, s.with(object, nil), s.id)
		for range 2 {
			for _, e := range s.entries {
				if _, found, err := b.Get(ctx, nil, e.key); !found || err != nil {
					t.Fatal(found, err)
				}
			}
			if _, err := b.Search(ctx, everything(nil, 1)); err != nil {
				if _, err := b.SearchByScan(ctx, everything(nil, 1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := b.Detours(); got != want {
			t.Errorf("%s is missing: %+v", object, got)
		}
		if met := b.Damage(); len(met) != 1 || !strings.Contains(met[0].Error(), object) {
			t.Errorf("%s is missing: %v", object, met)
		}
	}
}

func TestDamageNotedIsBounded(t *testing.T) {
	bucket := newMemory()
	entries := randomEntries(rand.New(rand.NewPCG(5, 6)), 200, 30)
	m := write(t, bucket, entries, WriterOptions{PageBytes: 64, Compression: page.Raw})
	clear(bucket.objects[objectName(tenant, m.ID, dataObject)])
	b := mustOpen(t, bucket, m.ID)
	for _, e := range entries {
		if _, _, err := b.Get(ctx, nil, e.key); !page.IsCorrupt(err) {
			t.Fatal(err)
		}
	}
	if n := len(b.Damage()); n != maxDamage {
		t.Fatal(n)
	}
}

// A block that is deleted while somebody has it open is gone, not damaged.
func TestDeletedBlockIsNotDamaged(t *testing.T) {
	s := newSample(t, 5, 14)
	b := mustOpen(t, s.bucket, s.id)
	if err := Delete(ctx, s.bucket, tenant, s.id); err != nil {
		t.Fatal(err)
	}
	_, _, err := b.Get(ctx, nil, s.entries[0].key)
	if !errors.Is(err, backend.ErrNotExist) || page.IsCorrupt(err) || len(b.Damage()) > 0 {
		t.Fatalf("get: %v, %v", err, b.Damage())
	}
	if _, err := b.Search(ctx, everything(nil, 0)); !errors.Is(err, backend.ErrNotExist) {
		t.Fatalf("search: %v", err)
	}
}

func TestManyAskWhileTheDirectoryIsMadeAnew(t *testing.T) {
	bucket := newMemory()
	entries := randomEntries(rand.New(rand.NewPCG(5, 6)), 3000, 60)
	m := write(t, bucket, entries, WriterOptions{PageBytes: 64, Compression: page.Raw})
	name := objectName(tenant, m.ID, indexObject)
	// One leaf of several, and the root as it was.
	whole := bucket.objects[name]
	for _, at := range []int{20, len(whole) / 2, len(whole) - 3} {
		bucket.objects[name] = flipped(whole, at)
		clear(bucket.reads)
		b := mustOpen(t, bucket, m.ID)
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if _, _, err := b.Get(cancelled, nil, entries[0].key); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for worker := range 4 {
			group.Go(func() {
				for i := worker; i < len(entries); i += 40 {
					if value, found, err := b.Get(ctx, nil, entries[i].key); err != nil || !found || !bytes.Equal(value, entries[i].value) {
						t.Errorf("get %x: %v, %v", entries[i].key, found, err)
						return
					}
				}
			})
		}
		group.Wait()
		if got := b.Detours(); got.Directory != 1 {
			t.Fatalf("%+v", got)
		}
		if n := bucket.reads[dataObject]; n > 300+20 {
			t.Fatalf("%d reads of data for 300 keys", n)
		}
	}
}

// A scan that meets the damage to the directory on its way goes on where it was.
func TestScanGoesOnWhereTheDirectoryIsMadeAnew(t *testing.T) {
	bucket := newMemory()
	entries := randomEntries(rand.New(rand.NewPCG(5, 6)), 3000, 60)
	m := write(t, bucket, entries, WriterOptions{PageBytes: 64, Compression: page.Raw})
	name := objectName(tenant, m.ID, indexObject)
	whole := bucket.objects[name]
	// A page of data is damaged too, before the place where the directory is.
	bucket.objects[objectName(tenant, m.ID, dataObject)][20] ^= 1
	for _, at := range []int{20, len(whole) / 2, len(whole) - 3} {
		bucket.objects[name] = flipped(whole, at)
		for _, from := range []int{0, 2500} {
			b := mustOpen(t, bucket, m.ID)
			told, n := 0, from
			err := b.ScanAround(ctx, entries[from].key, func(key [16]byte, value []byte) (bool, error) {
				if from == 0 && n == 0 && key != entries[0].key {
					for n = 1; key != entries[n].key; n++ { // what is on the damaged page
					}
				}
				if key != entries[n].key || !bytes.Equal(value, entries[n].value) {
					t.Fatalf("directory damaged at %d: key %x, want %x", at, key, entries[n].key)
				}
				n++
				return true, nil
			}, func(error) error { told++; return nil })
			if err != nil || n != len(entries) || told != 1-min(from, 1) {
				t.Fatalf("directory damaged at %d: scan from %d to %d, damage %d times, %v", at, from, n, told, err)
			}
		}
	}
	b := mustOpen(t, bucket, m.ID)
	if err := b.Scan(ctx, entries[2990].key, func([16]byte, []byte) (bool, error) { return true, errFull }); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
	if err := b.ScanAround(ctx, [16]byte{}, func([16]byte, []byte) (bool, error) { return true, nil }, func(error) error { return errFull }); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
}
