package page

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

// terms are what a dictionary holds: many short keys, short values.
func terms(n int) []record {
	rng := rand.New(rand.NewPCG(1, 2))
	var records []record
	for i := range n {
		key := fmt.Appendf(nil, "http.url\x00https://shop.example/cart/%07d/items", i)
		records = append(records, record{key, binary.AppendUvarint(nil, rng.Uint64N(100_000))})
	}
	return records
}

// traces are what a block holds: random 16-byte keys, values of a few KiB.
func traces(n, size int) []record {
	rng := rand.New(rand.NewPCG(1, 2))
	var records []record
	for range n {
		key := binary.BigEndian.AppendUint64(nil, rng.Uint64())
		key = binary.BigEndian.AppendUint64(key, rng.Uint64())
		var value []byte
		for len(value) < size {
			value = fmt.Appendf(value, "service.name=%d http.method=GET ", rng.IntN(20))
			value = binary.BigEndian.AppendUint64(value, rng.Uint64())
		}
		records = append(records, record{key, value})
	}
	slices.SortFunc(records, func(a, b record) int { return bytes.Compare(a.key, b.key) })
	return records
}

type workload struct {
	name    string
	records []record
	options TableOptions
}

func workloads() []workload {
	return []workload{
		{"terms", terms(100_000), TableOptions{PageBytes: 32 << 10}},
		{"traces", traces(4000, 6000), TableOptions{}},
		{"big", traces(20, 2<<20), TableOptions{}},
	}
}

func size(records []record) (n int64) {
	for _, r := range records {
		n += int64(len(r.key) + len(r.value))
	}
	return n
}

func BenchmarkGet(b *testing.B) {
	for _, w := range workloads() {
		b.Run(w.name, func(b *testing.B) {
			table := mustOpen(b, writeTable(b, w.records, w.options))
			var dst []byte
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r := w.records[i*7919%len(w.records)]
				value, found, err := table.Get(dst[:0], r.key)
				if err != nil || !found {
					b.Fatal(found, err)
				}
				dst = value
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	for _, w := range workloads() {
		b.Run(w.name, func(b *testing.B) {
			table := mustOpen(b, writeTable(b, w.records, w.options))
			b.SetBytes(size(w.records))
			b.ReportAllocs()
			for b.Loop() {
				if err := table.Scan(nil, func(_, _ []byte) (bool, error) { return true, nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, w := range workloads() {
		for _, level := range []Level{Raw, Fastest, DefaultLevel} {
			b.Run(fmt.Sprintf("%s/level=%d", w.name, level), func(b *testing.B) {
				w.options.Level = level
				b.SetBytes(size(w.records))
				b.ReportAllocs()
				var stats TableStats
				for b.Loop() {
					t := NewTableWriter(io.Discard, 0, w.options)
					for _, r := range w.records {
						if err := t.Add(r.key, r.value); err != nil {
							b.Fatal(err)
						}
					}
					var err error
					if _, stats, err = t.Finish(nil, 0); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(stats.DirectoryEnd)/float64(stats.Uncompressed), "stored/byte")
			})
		}
	}
}

// Looking a key up in a page that is in memory, decompressed: what the front coding costs.
func BenchmarkLookUp(b *testing.B) {
	for _, w := range workloads()[:2] {
		b.Run(w.name, func(b *testing.B) {
			w.options.Level = Raw
			o := writeTable(b, w.records, w.options)
			table := mustOpen(b, o)
			n := int(table.root.records(0))
			content := o.data[headerSize : int(table.root.entries[0].length)-checksumSize]
			b.ReportMetric(float64(n), "records/page")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, found, ok := lookUp(content, w.records[i*7919%n].key); !found || !ok {
					b.Fatal(found, ok)
				}
			}
		})
	}
}
