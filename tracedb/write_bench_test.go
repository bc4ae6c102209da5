package tracedb

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
)

// arrived is shop-like data as it comes: pieces of traces.
type arrived struct {
	requests [][]byte
	pieces   []trace.Fragment
	keys     [][16]byte // ascending
	values   [][][]byte // by key
	spans    int
}

func arrive(tb testing.TB, traces int) *arrived {
	a := &arrived{}
	byKey := map[[16]byte][][]byte{}
	var s trace.Splitter
	for request := range workload.New(1, traces).Requests() {
		a.requests = append(a.requests, bytes.Clone(request.Data))
		fragments, _, err := s.Split(request.Data)
		if err != nil {
			tb.Fatal(err)
		}
		for _, f := range fragments {
			f.Data = bytes.Clone(f.Data)
			a.pieces = append(a.pieces, f)
			byKey[f.TraceID] = append(byKey[f.TraceID], f.Data)
		}
		a.spans += request.Spans
	}
	for key := range byKey {
		a.keys = append(a.keys, key)
	}
	slices.SortFunc(a.keys, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	for _, key := range a.keys {
		a.values = append(a.values, byKey[key])
	}
	return a
}

// BenchmarkWrite takes 60,000 spans the way of a write, each step by itself.
func BenchmarkWrite(b *testing.B) {
	a := arrive(b, 3000)
	var merged [][]byte
	for _, values := range a.values {
		value, err := Codec{}.Merge(nil, values...)
		if err != nil {
			b.Fatal(err)
		}
		merged = append(merged, value)
	}
	step := func(name string, fn func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				fn(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(a.spans), "ns/span")
		})
	}
	check := func(b *testing.B, err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	var splitter trace.Splitter
	step("split", func(b *testing.B) {
		for _, request := range a.requests {
			_, _, err := splitter.Split(request)
			check(b, err)
		}
	})
	var m *index.Memory
	fill := func(b *testing.B) {
		m = index.NewMemory()
		owners := map[trace.ID]uint32{}
		for _, key := range a.keys {
			owners[key] = uint32(len(owners))
		}
		for _, p := range a.pieces {
			m.Own(owners[p.TraceID])
			check(b, Codec{}.Index(p.Data, m))
		}
	}
	step("index", fill)
	var buf []byte
	step("merge", func(b *testing.B) {
		for _, values := range a.values {
			var err error
			buf, err = Codec{}.Merge(buf[:0], values...)
			check(b, err)
		}
	})
	step("summarize", func(b *testing.B) {
		for _, value := range merged {
			var err error
			buf, err = Codec{}.Summarize(buf[:0], value)
			check(b, err)
		}
	})
	step("pack", func(b *testing.B) {
		const page = 256 << 10
		var keys, values [][]byte
		size := 0
		pack := func() {
			var err error
			buf, err = Codec{}.Pack(buf[:0], keys, values)
			check(b, err)
			keys, values, size = keys[:0], values[:0], 0
		}
		for i, value := range merged {
			if size+len(value) > page {
				pack()
			}
			keys, values, size = append(keys, a.keys[i][:]), append(values, value), size+len(value)
		}
		pack()
	})
	step("search-object", func(b *testing.B) {
		if m == nil {
			fill(b)
		}
		check(b, index.Write(io.Discard, m, a.keys))
	})
}
