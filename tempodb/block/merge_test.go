package block

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// mergedLines is lines that can be merged: each different line is kept once.
type mergedLines struct{ lines }

func (mergedLines) Merge(dst []byte, values ...[]byte) ([]byte, error) {
	seen := make(map[string]bool)
	for _, value := range values {
		for line := range bytes.Lines(value) {
			if !seen[string(line)] {
				seen[string(line)] = true
				dst = append(dst, line...)
			}
		}
	}
	return dst, nil
}

// packedLines packs pages, as lengths before keys and values, and counts what it is asked.
type packedLines struct {
	mergedLines
	packed, unpacked, merged, indexed *atomic.Int64
}

func newPackedLines() packedLines {
	return packedLines{packed: new(atomic.Int64), unpacked: new(atomic.Int64), merged: new(atomic.Int64), indexed: new(atomic.Int64)}
}

func (p packedLines) Merge(dst []byte, values ...[]byte) ([]byte, error) {
	p.merged.Add(1)
	return p.mergedLines.Merge(dst, values...)
}

func (p packedLines) Index(value []byte, s index.Sink) error {
	p.indexed.Add(1)
	return p.mergedLines.Index(value, s)
}

func (p packedLines) Pack(dst []byte, keys, values [][]byte) ([]byte, error) {
	p.packed.Add(1)
	for i := range keys {
		for _, part := range [][]byte{keys[i], values[i]} {
			dst = append(binary.AppendUvarint(dst, uint64(len(part))), part...)
		}
	}
	return dst, nil
}

func (p packedLines) Find(dst, packed, key []byte) (value []byte, found bool, err error) {
	err = p.Each(packed, func(k, v []byte) (bool, error) {
		if bytes.Equal(k, key) {
			dst, found = append(dst, v...), true
		}
		return !found, nil
	})
	return dst, found, err
}

func (p packedLines) Each(packed []byte, fn func(key, value []byte) (bool, error)) error {
	p.unpacked.Add(1)
	return eachPacked(packed, fn)
}

func eachPacked(packed []byte, fn func(key, value []byte) (bool, error)) error {
	for len(packed) > 0 {
		var parts [2][]byte
		for i := range parts {
			length, n := binary.Uvarint(packed)
			if n <= 0 || length > uint64(len(packed)-n) {
				return errors.New("packed records make no sense")
			}
			parts[i], packed = packed[n:n+int(length)], packed[n+int(length):]
		}
		if more, err := fn(parts[0], parts[1]); !more || err != nil {
			return err
		}
	}
	return nil
}

func (packedLines) Keys(packed []byte, fn func(key []byte)) (values int64, err error) {
	err = eachPacked(packed, func(key, value []byte) (bool, error) {
		fn(key)
		values += int64(len(value))
		return true, nil
	})
	return values, err
}

// writeWith is write with another codec. Without entries there is no block.
func writeWith(t tb, bucket backend.Bucket, codec Codec, entries []entry, o WriterOptions) *Block {
	t.Helper()
	o.Codec = codec
	w, err := NewWriter(ctx, bucket, tenant, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := w.Add(e.key, e.value); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return New(bucket, m, codec)
}

// sameAnswers asks both blocks everything.
func sameAnswers(t tb, got, want *Block) {
	t.Helper()
	g, w := got.Meta(), want.Meta()
	if g.Keys != w.Keys || g.Rows != w.Rows || g.MinKey != w.MinKey || g.MaxKey != w.MaxKey ||
		g.MinStart != w.MinStart || g.MaxStart != w.MaxStart || g.MaxEnd != w.MaxEnd {
		t.Fatalf("meta %+v, want %+v", g, w)
	}
	var entries []entry
	scan := func(b *Block, fn func(i int, key [16]byte, value []byte)) {
		i := 0
		err := b.Scan(ctx, [16]byte{}, func(key [16]byte, value []byte) (bool, error) {
			fn(i, key, value)
			i++
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	scan(want, func(_ int, key [16]byte, value []byte) {
		entries = append(entries, entry{key: key, value: bytes.Clone(value)})
	})
	scan(got, func(i int, key [16]byte, value []byte) {
		if i >= len(entries) || key != entries[i].key || !bytes.Equal(value, entries[i].value) {
			t.Fatalf("scan: key %d is %x with %d bytes", i, key, len(value))
		}
	})
	for _, e := range entries {
		if value, found, err := got.Get(ctx, nil, e.key); err != nil || !found || !bytes.Equal(value, e.value) {
			t.Fatalf("get %x: %d bytes, %t, %v", e.key, len(value), found, err)
		}
		if s, found, err := got.Summary(ctx, nil, e.key); err != nil || !found || string(s) != summaryOf(e.value) {
			t.Fatalf("summary of %x: %q, %t, %v", e.key, s, found, err)
		}
	}
	for i := range 8 {
		for _, limit := range []int{0, 5} {
			q := everything(index.Equal([]byte("term"), fmt.Appendf(nil, "t%d", i)), limit)
			a, err := got.Search(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			b, err := want.Search(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(a, b) {
				t.Fatalf("search for t%d: %d hits, want %d", i, len(a), len(b))
			}
		}
	}
	if err := got.Verify(ctx); err != nil {
		t.Fatal(err)
	}
}

// Inputs of all sorts: disjoint and interleaved in runs of all lengths, keys and values of several, values of more than a page,
// pages of other sizes and kinds than those that are written.
func TestMergeIsTheBlockOfAllThatTheInputsHave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		codecs := rapid.SampledFrom([]MergeCodec{mergedLines{}, newPackedLines()})
		codec := codecs.Draw(t, "codec")
		all := randomEntries(rng, rapid.SampledFrom([]int{1, 20, 120}).Draw(t, "keys"), rapid.SampledFrom([]int{0, 100, 3000}).Draw(t, "padding"))
		run := rapid.SampledFrom([]int{1, 3, 20, 50}).Draw(t, "run")
		several := rapid.SampledFrom([]float64{0, 0.1, 1}).Draw(t, "of several inputs")
		inputs := make([][]entry, rapid.IntRange(1, 4).Draw(t, "inputs"))
		turn := 0
		for i := range all {
			if i%run == 0 {
				turn = rng.IntN(len(inputs))
			}
			inputs[turn] = append(inputs[turn], all[i])
			e := &all[i]
			for other := range inputs {
				if other == turn || rng.Float64() >= several {
					continue
				}
				theirs := *e
				if rng.IntN(2) == 0 { // the same value, or one with another row
					theirs.value = fmt.Appendf(nil, "%d %d t%d\n", rng.IntN(1_000_000), rng.IntN(1000), rng.IntN(7))
				}
				inputs[other] = append(inputs[other], theirs)
			}
		}
		pageBytes := rapid.SampledFrom([]int{0, 500, 2000})
		level := rapid.SampledFrom([]page.Level{page.Raw, page.Raw, page.DefaultLevel}).Draw(t, "level")
		bucket := newMemory()
		var blocks []*Block
		values := map[[16]byte][][]byte{}
		for _, entries := range inputs {
			if len(entries) == 0 {
				continue
			}
			blocks = append(blocks, writeWith(t, bucket, codec, entries, WriterOptions{PageBytes: pageBytes.Draw(t, "its page"), Compression: level}))
			for _, e := range entries {
				values[e.key] = append(values[e.key], e.value)
			}
		}
		for i := range all {
			e := &all[i]
			var err error
			if e.value, err = codec.Merge(nil, values[e.key]...); err != nil {
				t.Fatal(err)
			}
		}
		o := MergeOptions{Codec: codec, MemoryBytes: rapid.SampledFrom([]int64{0, 1, 10_000}).Draw(t, "memory")}
		o.Writer.PageBytes, o.Writer.Compression = pageBytes.Draw(t, "page"), level
		m, err := Merge(ctx, bucket, tenant, blocks, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Parents) != len(blocks) || m.Level != 1 {
			t.Fatalf("%d parents, level %d", len(m.Parents), m.Level)
		}
		merged := New(bucket, m, codec)
		sameAnswers(t, merged, writeWith(t, newMemory(), codec, all, WriterOptions{Compression: page.Raw}))
		// And once more, with itself: nothing is there twice.
		again, err := Merge(ctx, bucket, tenant, append(blocks, merged), o)
		if err != nil {
			t.Fatal(err)
		}
		sameAnswers(t, New(bucket, again, codec), merged)
	})
}

// evenEntries fill pages of 1,000 bytes to the last byte, each with ten keys. Starts ascend.
func evenEntries(n int) []entry {
	entries := make([]entry, n)
	for i := range entries {
		e := &entries[i]
		binary.BigEndian.PutUint64(e.key[:], uint64(i))
		e.start, e.term = int64(i), "t1"
		e.value = fmt.Appendf(nil, "%08d 1 t1\n#", i)
		for len(e.value) < 83 {
			e.value = append(e.value, byte('a'+i%26))
		}
		e.value = append(e.value, '\n')
	}
	return entries
}

func TestMergeOfDisjointBlocksDecodesNoPage(t *testing.T) {
	all := evenEntries(1200)
	for _, c := range []struct {
		name string
		of   func(i int) int // the input of the page
	}{
		{"one after the other", func(i int) int { return i / 30 }},
		{"page by page in turns", func(i int) int { return i % 4 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			codec := newPackedLines()
			bucket := newMemory()
			inputs := make([][]entry, 4)
			for i := range 120 {
				inputs[c.of(i)] = append(inputs[c.of(i)], all[10*i:10*i+10]...)
			}
			var blocks []*Block
			for _, entries := range inputs {
				blocks = append(blocks, writeWith(t, bucket, codec, entries, WriterOptions{PageBytes: 1000}))
			}
			codec.packed.Store(0)
			codec.indexed.Store(0)
			m, err := Merge(ctx, bucket, tenant, blocks, MergeOptions{Codec: codec, Writer: WriterOptions{PageBytes: 1000}})
			if err != nil {
				t.Fatal(err)
			}
			if codec.unpacked.Load() > 0 || codec.packed.Load() > 0 || codec.indexed.Load() > 0 || codec.merged.Load() > 0 {
				t.Errorf("%d pages unpacked, %d packed, %d values indexed, %d merged",
					codec.unpacked.Load(), codec.packed.Load(), codec.indexed.Load(), codec.merged.Load())
			}
			sameAnswers(t, New(bucket, m, codec), writeWith(t, newMemory(), codec, all, WriterOptions{PageBytes: 1000}))
		})
	}
	t.Run("where a key lies between, its page is decoded and no other", func(t *testing.T) {
		codec := newPackedLines()
		bucket := newMemory()
		between := entry{key: [16]byte{7: 55, 8: 1}, value: []byte("1 1 t2\n")} // in the sixth page
		blocks := []*Block{
			writeWith(t, bucket, codec, all, WriterOptions{PageBytes: 1000}),
			writeWith(t, bucket, codec, []entry{between}, WriterOptions{PageBytes: 1000}),
		}
		if _, err := Merge(ctx, bucket, tenant, blocks, MergeOptions{Codec: codec, Writer: WriterOptions{PageBytes: 1000}}); err != nil {
			t.Fatal(err)
		}
		if n := codec.unpacked.Load(); n != 2 { // that of the key itself, too
			t.Errorf("%d pages unpacked, want 2", n)
		}
	})
}

func TestValuesThatAreEqualInAllInputsAreNeitherMergedNorIndexed(t *testing.T) {
	all := evenEntries(300)
	codec := newPackedLines()
	bucket := newMemory()
	var blocks []*Block
	for i := range 3 {
		blocks = append(blocks, writeWith(t, bucket, codec, all[10*i:], WriterOptions{PageBytes: 1000}))
	}
	codec.indexed.Store(0)
	m, err := Merge(ctx, bucket, tenant, blocks, MergeOptions{Codec: codec})
	if err != nil {
		t.Fatal(err)
	}
	if codec.merged.Load() > 0 || codec.indexed.Load() > 0 {
		t.Errorf("%d values merged, %d indexed", codec.merged.Load(), codec.indexed.Load())
	}
	sameAnswers(t, New(bucket, m, codec), writeWith(t, newMemory(), codec, all, WriterOptions{}))
}

// Whether the damaged page would have been copied or decoded: the error says where it is, and no block is left.
func TestDamagedInputEndsAMerge(t *testing.T) {
	codec := newPackedLines()
	bucket := newMemory()
	all := evenEntries(120)
	big := entry{key: [16]byte{0: 1}, value: []byte("1 1 t1\n#" + strings.Repeat("0123456789", 300) + "\n")}
	other := entry{key: [16]byte{7: 55, 8: 1}, value: []byte("1 1 t2\n")} // so that one page is decoded
	bad := writeWith(t, bucket, codec, append(all, big), WriterOptions{PageBytes: 1000})
	good := writeWith(t, bucket, codec, []entry{other}, WriterOptions{PageBytes: 1000})
	want := writeWith(t, newMemory(), codec, slices.Concat(all[:56], []entry{other}, all[56:], []entry{big}), WriterOptions{})
	for _, object := range []string{dataObject, summaryObject, searchObject, indexObject} {
		name := objectName(tenant, bad.meta.ID, object)
		content := bucket.objects[name]
		for i := 0; i < len(content); i += 1 + len(content)/40 {
			damaged := bucket.clone()
			damaged.objects[name] = flipped(content, i)
			inputs := []*Block{New(damaged, bad.meta, codec), New(damaged, good.meta, codec)}
			m, err := Merge(ctx, damaged, tenant, inputs, MergeOptions{Codec: codec, Writer: WriterOptions{PageBytes: 1000}})
			if object == indexObject && err == nil {
				sameAnswers(t, New(damaged, m, codec), want) // the directory is made anew
				continue
			}
			var c *page.CorruptError
			if !errors.As(err, &c) || c.Object != name || c.Offset > int64(i) || !strings.Contains(err.Error(), string(bad.meta.ID)) {
				t.Fatalf("byte %d of %s flipped: %v", i, object, err)
			}
			if object != searchObject && len(inputs[0].Damage()) == 0 {
				t.Fatalf("byte %d of %s flipped: %v, which the block does not know of", i, object, err)
			}
			if len(damaged.objects) != len(bucket.objects) {
				t.Fatalf("byte %d of %s flipped: %d objects, there were %d", i, object, len(damaged.objects), len(bucket.objects))
			}
		}
	}
}

// Objects that are each whole and do not belong together are found before a page is copied.
func TestSummariesOfOtherKeysEndAMerge(t *testing.T) {
	codec := newPackedLines()
	all := evenEntries(200)
	for name, theirs := range map[string][]entry{
		"fewer":  all[:190],
		"more":   evenEntries(210),
		"others": append(slices.Clone(all[:105]), append([]entry{{key: [16]byte{7: 104, 8: 1}, value: all[0].value}}, all[106:]...)...),
	} {
		bucket := newMemory()
		meta := *writeWith(t, bucket, codec, all, WriterOptions{PageBytes: 1000}).Meta()
		// Another block of the same ID has the summaries.
		from := newMemory()
		of := writeWith(t, from, codec, theirs, WriterOptions{PageBytes: 1000, ID: meta.ID})
		bucket.objects[objectName(tenant, meta.ID, summaryObject)] = from.objects[objectName(tenant, meta.ID, summaryObject)]
		meta.Summary = of.meta.Summary
		_, err := Merge(ctx, bucket, tenant, []*Block{New(bucket, &meta, codec)}, MergeOptions{Codec: codec, Writer: WriterOptions{PageBytes: 1000}})
		if !page.IsCorrupt(err) || !strings.Contains(err.Error(), string(meta.ID)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMergeEndsWithItsContext(t *testing.T) {
	bucket := newMemory()
	b := writeWith(t, bucket, mergedLines{}, evenEntries(1000), WriterOptions{PageBytes: 1000})
	cancelled, cancel := context.WithCancel(ctx)
	objects := len(bucket.objects)
	bucket.fail = func(do string) error {
		if do == "write data" {
			cancel()
		}
		return nil
	}
	if _, err := Merge(cancelled, bucket, tenant, []*Block{b}, MergeOptions{Codec: mergedLines{}}); !errors.Is(err, context.Canceled) || len(bucket.objects) != objects {
		t.Fatalf("%v, %d objects, there were %d", err, len(bucket.objects), objects)
	}
}

// heapWatch is a bucket that looks now and then how much memory is in use while an object is written.
type heapWatch struct {
	backend.Bucket
	written, looked int
	most            uint64
}

func (h *heapWatch) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	w, err := h.Bucket.Create(ctx, name)
	return &heapWatchWriter{w, h}, err
}

type heapWatchWriter struct {
	backend.ObjectWriter
	h *heapWatch
}

func (w *heapWatchWriter) Write(p []byte) (int, error) {
	if w.h.written += len(p); w.h.written-w.h.looked > 4<<20 {
		w.h.looked = w.h.written
		w.h.most = max(w.h.most, heap())
	}
	return w.ObjectWriter.Write(p)
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// Four blocks of 9 MiB, with values of all lengths up to 2 MiB, are merged with no more memory than the longest value, some pages and what is
// read ahead take.
func TestMemoryOfAMergeDoesNotGrowWithTheBlocks(t *testing.T) {
	for _, c := range []struct {
		name string
		of   func(i, n int) int
	}{
		{"disjoint", func(i, n int) int { return i * 4 / n }},
		{"interleaved", func(i, _ int) int { return i % 4 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			store, err := local.New(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			all := randomEntries(rng, 2000, 0)
			noise := make([]byte, 2<<20)
			for i := range noise {
				noise[i] = byte(rng.Uint32() | 0x80)
			}
			inputs := make([][]entry, 4)
			for i, e := range all {
				to := c.of(i, len(all))
				inputs[to] = append(inputs[to], e)
			}
			var blocks []*Block
			size := 0
			for _, entries := range inputs {
				w, err := NewWriter(ctx, store, tenant, WriterOptions{Codec: mergedLines{}})
				if err != nil {
					t.Fatal(err)
				}
				for i, e := range entries {
					length := 8 << 10
					if i%200 == 0 {
						length = len(noise)
					}
					at := rng.IntN(len(noise) - length + 1)
					value := append(append(append(e.value, '#'), noise[at:at+length]...), '\n')
					size += len(value)
					if err := w.Add(e.key, value); err != nil {
						t.Fatal(err)
					}
				}
				m, err := w.Finish(ctx)
				if err != nil {
					t.Fatal(err)
				}
				blocks = append(blocks, New(store, m, mergedLines{}))
			}
			before := heap()
			watch := &heapWatch{Bucket: store}
			m, err := Merge(ctx, watch, tenant, blocks, MergeOptions{Codec: mergedLines{}})
			if err != nil || m.Keys != 2000 {
				t.Fatal(m, err)
			}
			if used := int64(watch.most) - int64(before); watch.most == 0 || used > 16<<20 {
				t.Errorf("%d MiB of memory for %d MiB of values", used>>20, size>>20)
			} else {
				t.Logf("%d MiB of memory for %d MiB of values", used>>20, size>>20)
			}
			if err := New(store, m, mergedLines{}).Verify(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	const inputs = 4
	all := benchEntries(4000)
	for _, c := range []struct {
		name string
		has  func(input, i int) bool
	}{
		{"disjoint", func(input, i int) bool { return i*inputs/len(all) == input }},
		{"interleaved", func(input, i int) bool { return i%inputs == input }},
		{"equal", func(int, int) bool { return true }},
	} {
		b.Run(c.name, func(b *testing.B) {
			bucket := newMemory()
			var blocks []*Block
			var size, keys int64
			for input := range inputs {
				var entries []entry
				for i, e := range all {
					if c.has(input, i) {
						entries = append(entries, e)
						size += int64(len(e.value))
					}
				}
				keys += int64(len(entries))
				blocks = append(blocks, New(bucket, write(b, bucket, entries, WriterOptions{}), mergedLines{}))
			}
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				m, err := Merge(ctx, bucket, tenant, blocks, MergeOptions{Codec: mergedLines{}})
				if err != nil || m.Keys != int64(len(all)) {
					b.Fatal(m, err)
				}
				if err := Delete(ctx, bucket, tenant, m.ID); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(keys)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
		})
	}
}
