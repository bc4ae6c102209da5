package filter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/FastFilter/xorfilter"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

func write(t testing.TB, keys [][16]byte) []byte {
	t.Helper()
	b := NewBuilder()
	for _, k := range keys {
		b.Add(k)
	}
	var object bytes.Buffer
	if err := b.Write(&object); err != nil {
		t.Fatal(err)
	}
	return object.Bytes()
}

func mustOpen(t testing.TB, object []byte) *Filter {
	t.Helper()
	f, err := Open(bytes.NewReader(object), int64(len(object)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func randomKeys(rng *rand.Rand, n int) [][16]byte {
	keys := make([][16]byte, n)
	for i := range keys {
		binary.LittleEndian.PutUint64(keys[i][:], rng.Uint64())
		binary.LittleEndian.PutUint64(keys[i][8:], rng.Uint64())
	}
	return keys
}

func TestKeysAddedAreNeverDenied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		n := rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 10, 100, 1000, 3000}).Draw(t, "keys")
		keys := randomKeys(rng, n)
		if rapid.Bool().Draw(t, "counted") { // as bad as trace IDs get
			for i := range keys {
				keys[i] = [16]byte{15: byte(i), 14: byte(i >> 8)}
			}
		}
		for range rapid.IntRange(0, 20).Draw(t, "duplicates") {
			if n > 0 {
				keys = append(keys, keys[rng.IntN(n)])
			}
		}
		b := NewBuilder()
		for _, k := range keys {
			b.Add(k)
		}
		var object bytes.Buffer
		if err := b.Write(&object); err != nil {
			t.Fatal(err)
		}
		f, err := Open(bytes.NewReader(object.Bytes()), int64(object.Len()))
		if err != nil || f.Keys() != n {
			t.Fatalf("%d keys of %d, %v", f.Keys(), n, err)
		}
		ask := func() {
			for _, k := range keys {
				if maybe, err := f.MayContain(k); err != nil || !maybe {
					t.Fatalf("key %x: %v, %v", k, maybe, err)
				}
			}
		}
		ask()
		if err := f.Load(); err != nil {
			t.Fatal(err)
		}
		ask()
		if n == 0 {
			if maybe, err := f.MayContain([16]byte{}); maybe || err != nil {
				t.Fatal("an empty filter says", maybe, err)
			}
		}
	})
}

type countingReader struct {
	io.ReaderAt
	reads int
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	return c.ReaderAt.ReadAt(p, off)
}

func TestManyShardsAreAskedOneAtATime(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	keys := randomKeys(rng, 3*shardKeys+17)
	object := write(t, keys)
	r := &countingReader{ReaderAt: bytes.NewReader(object)}
	f, err := Open(r, int64(len(object)))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.shards) != 4 {
		t.Fatalf("%d shards", len(f.shards))
	}
	if perKey := float64(len(object)) / float64(len(keys)); perKey > 2.5 { // 2.25 to 2.46: whole segments
		t.Errorf("%.2f bytes a key", perKey)
	}
	r.reads = 0
	for i := 0; i < len(keys); i += 997 {
		if maybe, err := f.MayContain(keys[i]); err != nil || !maybe {
			t.Fatal(maybe, err)
		}
	}
	if want := (len(keys) + 996) / 997; r.reads != want {
		t.Errorf("%d reads for %d questions", r.reads, want)
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	if err := f.Load(); err != nil {
		t.Fatal(err)
	}
	wrong, asked := 0, 500_000
	for _, k := range randomKeys(rng, asked) {
		if maybe, _ := f.MayContain(k); maybe {
			wrong++
		}
	}
	if wrong > asked/65536*4 {
		t.Errorf("%d of %d keys that were not added are taken for ones that were", wrong, asked)
	}
}

// Our own probe and the library that builds the shards must mean the same.
func TestProbeAgreesWithTheLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, n := range []int{1, 2, 7, 50, 5000} {
		hashes := make([]uint64, n)
		for i := range hashes {
			hashes[i] = rng.Uint64()
		}
		var b xorfilter.BinaryFuseBuilder
		content, err := appendShard(nil, &b, hashes)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseShard(content)
		if err != nil {
			t.Fatal(err)
		}
		library, err := xorfilter.NewBinaryFuse[uint16](hashes)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 200_000 {
			h := rng.Uint64()
			if i < n {
				h = hashes[i]
			}
			if s.contains(h) != library.Contains(h) {
				t.Fatalf("%d keys, hash %x: %v", n, h, s.contains(h))
			}
		}
	}
}

func TestNoFlippedByteDeniesAKey(t *testing.T) {
	keys := randomKeys(rand.New(rand.NewPCG(1, 1)), 200)
	whole := write(t, keys)
	check := func(object []byte) {
		t.Helper()
		f, err := Open(bytes.NewReader(object), int64(len(object)))
		if err != nil {
			if !page.IsCorrupt(err) {
				t.Fatal(err)
			}
			return
		}
		for _, k := range keys {
			if maybe, err := f.MayContain(k); err == nil && !maybe || err != nil && !page.IsCorrupt(err) {
				t.Fatal(maybe, err)
			}
		}
	}
	for i := range whole {
		object := bytes.Clone(whole)
		object[i] ^= byte(1 << (i % 8))
		check(object)
		check(whole[:i])
	}
}

func BenchmarkMayContain(b *testing.B) {
	keys := randomKeys(rand.New(rand.NewPCG(1, 1)), 4*shardKeys)
	object := write(b, keys)
	for _, load := range []bool{false, true} {
		b.Run(fmt.Sprintf("loaded=%v", load), func(b *testing.B) {
			f := mustOpen(b, object)
			if load {
				if err := f.Load(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if maybe, err := f.MayContain(keys[i*7919%len(keys)]); err != nil || !maybe {
					b.Fatal(maybe, err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	keys := randomKeys(rand.New(rand.NewPCG(1, 1)), 4*shardKeys)
	b.ReportAllocs()
	var object []byte
	for b.Loop() {
		object = write(b, keys)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(keys)), "ns/key")
	b.ReportMetric(float64(len(object))/float64(len(keys)), "bytes/key")
}

// The choice of the fingerprint: bytes a key against false answers.
func BenchmarkFingerprints(b *testing.B) {
	b.Run("bits=8", func(b *testing.B) { fingerprints[uint8](b, 1) })
	b.Run("bits=16", func(b *testing.B) { fingerprints[uint16](b, 2) })
}

func fingerprints[T xorfilter.Unsigned](b *testing.B, size int) {
	rng := rand.New(rand.NewPCG(1, 1))
	hashes := make([]uint64, shardKeys)
	for i := range hashes {
		hashes[i] = rng.Uint64()
	}
	f, err := xorfilter.NewBinaryFuse[T](hashes)
	if err != nil {
		b.Fatal(err)
	}
	wrong, asked := 0, 0
	for b.Loop() {
		asked++
		if f.Contains(rng.Uint64()) {
			wrong++
		}
	}
	b.ReportMetric(float64(size*len(f.Fingerprints))/shardKeys, "bytes/key")
	b.ReportMetric(1e6*float64(wrong)/float64(asked), "wrong/million")
}
