package columnar

import (
	"bytes"
	"cmp"
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

func TestShop(t *testing.T) {
	r := shop(t, 1000)
	for _, page := range r.pages(256 << 10) {
		var e Encoder
		b, err := e.Append(nil, page.keys, page.values)
		if err != nil {
			t.Fatal(err)
		}
		var p Page
		if err := p.Parse(b); err != nil {
			t.Fatal(err)
		}
		for i := range page.values {
			v, err := p.Value(nil, i)
			if err != nil || !bytes.Equal(v, page.values[i]) {
				t.Fatalf("value %d: %v", i, err)
			}
		}
	}
}

var _ = cmp.Compare[int]
