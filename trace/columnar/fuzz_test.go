package columnar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

func FuzzRoundTrip(f *testing.F) {
	r := shop(f, 20)
	f.Add(r.values[0])
	f.Add(bytes.Join(r.values[:3], []byte{0xff, 0xfe}))
	f.Add([]byte{})
	f.Add([]byte("\x0a\x80\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		values := bytes.Split(data, []byte{0xff, 0xfe})
		roundTrip(t, make([][16]byte, len(values)), values)
		if len(r.keys) >= len(values) {
			roundTrip(t, r.keys[:len(values)], values)
		}
	})
}

// memory is what a decoder may take for a page of so many bytes that says it has so much content. The numbers are those of FORMAT.md: content is
// believed up to 256 times the length and 64 KiB; a decoder makes 8 numbers a byte of that at most, of 8 bytes in slices that grow; for each
// span, of which there are no more than bytes, it keeps less than 4 KiB, and 1 KiB for each of 8,192 columns and their patterns. Texts are
// in blocks of zstd, of which one has three bytes at least and 128 KiB of text at most.
func memory(length, content, blob int) int {
	content = min(content, maxRatio*length+ratioSlack)
	return min(blob, (length/3+1)<<17) + 8*8*3*content + length<<12 + 2*maxColumns<<10
}

// readAll reads the whole page.
func readAll(t *testing.T, page []byte, content, blob int) (values [][]byte) {
	var p Page
	var err error
	fuzztest.Bounded(t, memory(len(page), content, blob), func() { err = p.Parse(page, nil) })
	keys, size, keysErr := Keys(page)
	if keysErr != nil && (err == nil || !errors.Is(keysErr, ErrCorrupt)) {
		t.Fatalf("Keys: %v, Parse: %v", keysErr, err)
	}
	if err == nil && (len(keys) != keySize*p.Len() || size < 0 || size > MaxContent) {
		t.Fatalf("%d bytes of %d keys, values of %d bytes", len(keys), p.Len(), size)
	}
	var v []byte
	for i := 0; err == nil && i < min(p.Len(), 200); i++ {
		fuzztest.Bounded(t, memory(len(page), content, blob), func() { v, err = p.Value(v[:0], i) })
		if err == nil {
			values = append(values, bytes.Clone(v))
		}
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	// What is read does not depend on the order in which it is asked for.
	for i := len(values) - 1; i >= max(0, len(values)-3); i-- {
		if v, err := p.Value(nil, i); err != nil || !bytes.Equal(v, values[i]) {
			t.Fatalf("value %d is %x, and going back %x, %v", i, values[i], v, err)
		}
	}
	return values
}

func FuzzParse(f *testing.F) {
	r := shop(f, 20)
	var e Encoder
	for _, n := range []int{0, 1, 3} {
		b, err := e.Append(nil, r.keys[:n], r.values[:n])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var header [5]uint64
		for i, rest := 0, data[min(1, len(data)):]; i < len(header); i++ {
			v, n := binary.Uvarint(rest)
			header[i], rest = min(v, MaxContent), rest[max(n, 0):]
		}
		readAll(t, data, int(header[1]), int(header[4]))
	})
}

// The streams of a page with a header that is right, and texts that need no zstd: what decisions can do.
func FuzzStreams(f *testing.F) {
	r := shop(f, 20)
	var e Encoder
	for _, n := range []int{1, 3} {
		if _, err := e.Append(nil, r.keys[:n], r.values[:n]); err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(n), uint32(len(bytes.Join(r.values[:n], nil))), e.coded, e.raw, e.blob)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithSingleSegment(true), zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, count uint8, content uint32, coded, raw, blob []byte) {
		if len(coded)+len(raw)+len(blob) > 1<<16 {
			return
		}
		content = min(content, 1<<20)
		page := []byte{version}
		for _, v := range []int{int(count), int(content), len(coded), len(raw), len(blob)} {
			page = binary.AppendUvarint(page, uint64(v))
		}
		page = append(page, make([]byte, int(count)*keySize)...)
		page = append(append(page, coded...), raw...)
		page = z.EncodeAll(blob, page)
		values := readAll(t, page, int(content), len(blob))
		if len(bytes.Join(values, nil)) > 1<<20 {
			return // a value may repeat its texts; writing all of that is for FuzzRoundTrip
		}
		roundTrip(t, make([][16]byte, len(values)), values)
	})
}
