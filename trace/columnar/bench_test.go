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

func TestSizes(t *testing.T) {
	r := shop(t, 4000)
	fmt.Println("spans", r.spans, "row bytes/span", r.bytes/r.spans)
	z, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	for _, size := range []int{64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20} {
		pages := r.pages(size)
		var e Encoder
		row, col, coded, raw, blob, zblob := 0, 0, 0, 0, 0, 0
		for _, p := range pages {
			row += len(z.EncodeAll(p.concat(), nil))
			b, err := e.Append(nil, p.keys, p.values)
			if err != nil {
				t.Fatal(err)
			}
			col += len(b)
			coded += len(e.coded)
			raw += len(e.raw)
			blob += len(e.blob)
			zblob += len(z.EncodeAll(e.blob, nil))
		}
		f := func(n int) float64 { return float64(n) / float64(r.spans) }
		fmt.Printf("%4dK pages %d spans/page %d: rows+zstd %.2f columnar %.2f = coded %.2f raw %.2f keys %.2f blob %.2f -> %.2f\n", size>>10, len(pages), r.spans/len(pages),
			f(row), f(col), f(coded), f(raw), f(16*len(r.keys)), f(blob), f(zblob))
	}
}

var sizes = []int{64 << 10, 128 << 10, 256 << 10, 512 << 10}

func eachSize(b *testing.B, fn func(b *testing.B, pages []*rows, spans int)) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			pages := shop(b, 1000).pages(size)
			spans := 0
			for _, p := range pages {
				spans += p.spans
			}
			fn(b, pages, spans)
		})
	}
}

func perSpan(b *testing.B, spans int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(spans), "ns/span")
}

func BenchmarkAppend(b *testing.B) {
	eachSize(b, func(b *testing.B, pages []*rows, spans int) {
		b.ReportAllocs()
		var e Encoder
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

func encodeAll(b *testing.B, pages []*rows) (encoded [][]byte) {
	var e Encoder
	for _, p := range pages {
		dst, err := e.Append(nil, p.keys, p.values)
		if err != nil {
			b.Fatal(err)
		}
		encoded = append(encoded, dst)
	}
	return encoded
}

// BenchmarkValue reads one trace of a page, another one each time.
func BenchmarkValue(b *testing.B) {
	eachSize(b, func(b *testing.B, pages []*rows, spans int) {
		encoded := encodeAll(b, pages)
		b.ReportAllocs()
		var p Page
		var dst []byte
		n := 0
		for b.Loop() {
			n++
			k := n % len(encoded)
			if err := p.Parse(encoded[k], nil); err != nil {
				b.Fatal(err)
			}
			var err error
			if dst, err = p.Value(dst[:0], n*7%p.Len()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkValues(b *testing.B) {
	eachSize(b, func(b *testing.B, pages []*rows, spans int) {
		encoded := encodeAll(b, pages)
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
				if err := p.Parse(e, nil); err != nil {
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
	eachSize(b, func(b *testing.B, pages []*rows, spans int) {
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
