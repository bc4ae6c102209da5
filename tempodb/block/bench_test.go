package block

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// benchEntries are keys with 20 rows and some 6 KiB each.
func benchEntries(n int) []entry {
	rng := rand.New(rand.NewPCG(1, 2))
	entries := randomEntries(rng, n, 0)
	for i := range entries {
		value := entries[i].value
		for range 20 {
			value = fmt.Appendf(value, "%d %d t%d\n#", rng.IntN(1_000_000), rng.IntN(1000), rng.IntN(1000))
			for range 40 {
				value = fmt.Appendf(value, "word%d ", rng.IntN(200))
			}
			value = append(value, '\n')
		}
		entries[i].value = value
	}
	return entries
}

func BenchmarkWrite(b *testing.B) {
	entries := benchEntries(2000)
	b.ReportAllocs()
	var m *Meta
	for b.Loop() {
		m = write(b, newMemory(), entries, WriterOptions{})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(m.Rows), "ns/row")
	for _, object := range objectNames {
		b.ReportMetric(float64(m.Objects[object].Bytes)/float64(m.Rows), object+"-bytes/row")
	}
}

func BenchmarkGet(b *testing.B) {
	entries := benchEntries(2000)
	bucket := newMemory()
	block := mustOpen(b, bucket, write(b, bucket, entries, WriterOptions{}).ID)
	ask := func(name string, get func(dst []byte, key [16]byte) ([]byte, bool, error), key func(i int) [16]byte, want bool) {
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				value, found, err := get(dst[:0], key(i))
				if err != nil || found != want {
					b.Fatal(found, err)
				}
				dst = value
			}
		})
	}
	there := func(i int) [16]byte { return entries[i*7919%len(entries)].key }
	absent := func(i int) [16]byte { key := there(i); key[15] ^= 0xff; key[14] ^= 0xff; return key }
	get := func(dst []byte, key [16]byte) ([]byte, bool, error) { return block.Get(ctx, dst, key) }
	summary := func(dst []byte, key [16]byte) ([]byte, bool, error) { return block.Summary(ctx, dst, key) }
	ask("value", get, there, true)
	ask("absent", get, absent, false)
	ask("summary", summary, there, true)
}

func BenchmarkVerify(b *testing.B) {
	bucket := newMemory()
	m := write(b, bucket, benchEntries(2000), WriterOptions{})
	b.SetBytes(m.Bytes())
	for b.Loop() {
		if err := mustOpen(b, bucket, m.ID).Verify(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDamaged is what ways around damage cost.
func BenchmarkDamaged(b *testing.B) {
	bucket := newMemory()
	entries := benchEntries(2000)
	m := write(b, bucket, entries, WriterOptions{})
	run := func(name string, do func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(m.Objects[dataObject].Bytes)
			b.ReportAllocs()
			for b.Loop() {
				do(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(m.Rows), "ns/row")
		})
	}
	lost := bucket.clone()
	delete(lost.objects, objectName(tenant, m.ID, indexObject))
	run("first get without directory", func(b *testing.B) {
		if _, found, err := mustOpen(b, lost, m.ID).Get(ctx, nil, entries[7].key); !found || err != nil {
			b.Fatal(found, err)
		}
	})
	run("search by scan", func(b *testing.B) {
		if hits, err := mustOpen(b, lost, m.ID).SearchByScan(ctx, everything(index.Equal([]byte("term"), []byte("t7")), 20)); len(hits) == 0 || err != nil {
			b.Fatal(hits, err)
		}
	})
	run("salvage", func(b *testing.B) {
		if _, err := Salvage(ctx, lost.clone(), tenant, m.ID, lines{}, SalvageOptions{}); err != nil {
			b.Fatal(err)
		}
	})
}
