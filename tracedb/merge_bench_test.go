package tracedb

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/trace"
)

type oneTrace struct {
	id    [16]byte
	value []byte
}

// shopTraces returns traces of the workload, merged, sorted by ID.
func shopTraces(tb testing.TB, n int) []oneTrace {
	parts := map[trace.ID][]byte{}
	var s trace.Splitter
	for request := range workload.New(1, n).Requests() {
		fragments, _, err := s.Split(request.Data)
		if err != nil {
			tb.Fatal(err)
		}
		for _, f := range fragments {
			parts[f.TraceID] = append(parts[f.TraceID], f.Data...)
		}
	}
	var traces []oneTrace
	for id, pieces := range parts {
		v, err := trace.Merge(nil, pieces)
		if err != nil {
			tb.Fatal(err)
		}
		traces = append(traces, oneTrace{id, v})
	}
	slices.SortFunc(traces, func(a, b oneTrace) int { return bytes.Compare(a.id[:], b.id[:]) })
	return traces
}

// shopBlocks writes blocks, each of the traces that it has.
func shopBlocks(tb testing.TB, bucket backend.Bucket, traces []oneTrace, blocks int, has func(input, i int) bool) (written []*block.Block) {
	for input := range blocks {
		w, err := block.NewWriter(tb.Context(), bucket, "shop", block.WriterOptions{Codec: Codec{}})
		if err != nil {
			tb.Fatal(err)
		}
		for i, t := range traces {
			if !has(input, i) {
				continue
			}
			if err := w.Add(t.id, t.value); err != nil {
				tb.Fatal(err)
			}
		}
		m, err := w.Finish(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		written = append(written, block.New(bucket, m, Codec{}))
	}
	return written
}

// BenchmarkMerge merges four blocks of 1,000 traces each, or of 4,000 where each has all.
func BenchmarkMerge(b *testing.B) {
	const inputs = 4
	traces := shopTraces(b, 4000)
	for _, c := range []struct {
		name string
		has  func(input, i int) bool
	}{
		{"disjoint", func(input, i int) bool { return i*inputs/len(traces) == input }},
		{"interleaved", func(input, i int) bool { return i%inputs == input }},
		{"replicas", func(int, int) bool { return true }},
	} {
		b.Run(c.name, func(b *testing.B) {
			bucket, err := local.New(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			blocks := shopBlocks(b, bucket, traces, inputs, c.has)
			var size, keys, spans int64
			for input, of := range blocks {
				for i, t := range traces {
					if c.has(input, i) {
						size += int64(len(t.value))
					}
				}
				keys, spans = keys+of.Meta().Keys, spans+of.Meta().Rows
			}
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				m, err := block.Merge(b.Context(), bucket, "shop", blocks, block.MergeOptions{Codec: Codec{}})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if m.Keys != int64(len(traces)) {
					b.Fatal(fmt.Errorf("%d keys, want %d", m.Keys, len(traces)))
				}
				if err := block.Delete(b.Context(), bucket, "shop", m.ID); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(keys)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
			b.ReportMetric(float64(spans)*float64(b.N)/b.Elapsed().Seconds(), "spans/s")
		})
	}
}
