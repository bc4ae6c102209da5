package columnar

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/trace"
)

// rows are values sorted by key.
type rows struct {
	keys   [][16]byte
	values [][]byte
	spans  int
	bytes  int
}

var shopRows = map[int]*rows{}

// shop returns the traces of the workload, merged and sorted.
func shop(tb testing.TB, traces int) *rows {
	if r := shopRows[traces]; r != nil {
		return r
	}
	parts := map[trace.ID][]byte{}
	var s trace.Splitter
	for request := range workload.New(1, traces).Requests() {
		fragments, _, err := s.Split(request.Data)
		if err != nil {
			tb.Fatal(err)
		}
		for _, f := range fragments {
			parts[f.TraceID] = append(parts[f.TraceID], f.Data...)
		}
	}
	r := &rows{}
	for id := range parts {
		r.keys = append(r.keys, id)
	}
	slices.SortFunc(r.keys, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range r.keys {
		v, err := trace.Merge(nil, parts[id])
		if err != nil {
			tb.Fatal(err)
		}
		n, _ := trace.Spans(v)
		r.values = append(r.values, v)
		r.spans += n
		r.bytes += len(v)
	}
	shopRows[traces] = r
	return r
}

// pages cuts rows into pages of about size bytes.
func (r *rows) pages(size int) (pages []*rows) {
	for i := 0; i < len(r.values); {
		p := &rows{}
		for i < len(r.values) && (p.bytes == 0 || p.bytes+len(r.values[i]) <= size) {
			n, _ := trace.Spans(r.values[i])
			p.keys, p.values = append(p.keys, r.keys[i]), append(p.values, r.values[i])
			p.spans += n
			p.bytes += len(r.values[i])
			i++
		}
		pages = append(pages, p)
	}
	return pages
}

func (r *rows) concat() (b []byte) {
	for i, v := range r.values {
		b = append(append(b, r.keys[i][:]...), v...)
	}
	return b
}

// eachSize runs a benchmark for pages of several sizes, in bytes of rows, without and with a primer.
func eachSize(b *testing.B, fn func(b *testing.B, pages []*rows, spans int, primer *Primer)) {
	r := shop(b, 2000)
	primer, err := NewPrimer(encode(b, nil, r.pages(256 << 10)[0]))
	if err != nil {
		b.Fatal(err)
	}
	for _, primer := range []*Primer{nil, primer} {
		for _, size := range []int{32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10} {
			name := map[bool]string{false: "alone", true: "primed"}[primer != nil]
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				pages, spans := r.pages(size), 0
				if primer != nil {
					pages = pages[len(pages)/8+1:] // without what the primer has seen
				}
				for _, p := range pages {
					spans += p.spans
				}
				fn(b, pages, spans, primer)
			})
		}
	}
}

func perSpan(b *testing.B, spans int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(spans), "ns/span")
}

// BenchmarkAppend makes pages.
func BenchmarkAppend(b *testing.B) {
	eachSize(b, func(b *testing.B, pages []*rows, spans int, primer *Primer) {
		b.ReportAllocs()
		e := Encoder{Primer: primer}
		var dst []byte
		size := 0
		for b.Loop() {
			size = 0
			for _, p := range pages {
				var err error
				if dst, err = e.Append(dst[:0], p.keys, p.values); err != nil {
					b.Fatal(err)
				}
				size += len(dst)
			}
		}
		perSpan(b, spans)
		b.ReportMetric(float64(size)/float64(spans), "B/span")
	})
}

func encodeAll(b *testing.B, primer *Primer, pages []*rows) (encoded [][]byte) {
	for _, p := range pages {
		encoded = append(encoded, encode(b, primer, p))
	}
	return encoded
}

// BenchmarkValue reads one trace of a page, another one each time.
func BenchmarkValue(b *testing.B) {
	eachSize(b, func(b *testing.B, pages []*rows, spans int, primer *Primer) {
		encoded := encodeAll(b, primer, pages)
		b.ReportAllocs()
		var p Page
		var dst []byte
		n := 0
		for b.Loop() {
			n++
			k := n % len(encoded)
			if err := p.Parse(encoded[k], primer); err != nil {
				b.Fatal(err)
			}
			var err error
			if dst, err = p.Value(dst[:0], n*7%p.Len()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkValues reads all traces.
func BenchmarkValues(b *testing.B) {
	eachSize(b, func(b *testing.B, pages []*rows, spans int, primer *Primer) {
		encoded := encodeAll(b, primer, pages)
		total := 0
		for _, p := range pages {
			total += p.bytes
		}
		b.ReportAllocs()
		b.SetBytes(int64(total))
		var p Page
		var dst []byte
		for b.Loop() {
			for _, e := range encoded {
				if err := p.Parse(e, primer); err != nil {
					b.Fatal(err)
				}
				for i := range p.Len() {
					var err error
					if dst, err = p.Value(dst[:0], i); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		perSpan(b, spans)
	})
}

// BenchmarkRows is what the encoding is measured against: rows compressed with zstd.
func BenchmarkRows(b *testing.B) {
	eachSize(b, func(b *testing.B, pages []*rows, spans int, primer *Primer) {
		if primer != nil {
			b.Skip("rows have no primer")
		}
		var contents, encoded [][]byte
		size, total := 0, 0
		e := encoders.Get().(*zstd.Encoder)
		defer encoders.Put(e)
		for _, p := range pages {
			contents = append(contents, p.concat())
			encoded = append(encoded, e.EncodeAll(p.concat(), nil))
			size += len(encoded[len(encoded)-1])
			total += p.bytes
		}
		b.Run("append", func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				for _, c := range contents {
					dst = e.EncodeAll(c, dst[:0])
				}
			}
			perSpan(b, spans)
			b.ReportMetric(float64(size)/float64(spans), "B/span")
		})
		b.Run("value", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(total / len(pages)))
			d := decoders.Get().(*zstd.Decoder)
			defer decoders.Put(d)
			var dst []byte
			n := 0
			for b.Loop() {
				n++
				dst, _ = d.DecodeAll(encoded[n%len(encoded)], dst[:0])
			}
		})
	})
}
