package inspect_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/inspect"
	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

func FuzzPages(f *testing.F) {
	m, bucket, _ := written(f)
	for _, object := range []string{"search", "summary", "filter"} {
		content := make([]byte, m.Objects[object].Bytes)
		if _, err := bucket.ReadAt(f.Context(), "t/"+string(m.ID)+"/"+object, content, 0); err != nil {
			f.Fatal(err)
		}
		f.Add(content[:min(len(content), 20_000)], false)
	}
	// Records that would be in a page, as the fuzzer can't make checksums.
	f.Add([]byte("\x00\x05\x01\x03abc\x00\x01x\x05\x02\x00yz"), true)
	f.Fuzz(func(t *testing.T, content []byte, wrap bool) {
		meta := &block.Meta{ID: "01M826G85SRYJWMRVVZCP3X78E", Tenant: "t", Objects: map[string]block.Object{}}
		if wrap {
			content = asPage(content)
		}
		meta.Objects["search"] = block.Object{Bytes: int64(len(content))}
		var fields []inspect.Field
		var err error
		// Content of zstd is 128 KiB for each block of three bytes at most; all but one of a page's terms may be one byte of it.
		fuzztest.Bounded(t, 64*len(content)+min(len(content)/3<<17, len(content)+page.MaxPage), func() {
			fields, err = inspect.Fields(t.Context(), memory{content: content}, meta)
		})
		if err != nil {
			return
		}
		var sum int64
		for _, f := range fields {
			sum += f.Bytes
		}
		if sum > int64(len(content)+len(fields)) {
			t.Errorf("fields take %d bytes of %d", sum, len(content))
		}
	})
}

// A page is to this package what it is to package page: as long, and whole or damaged.
func FuzzPage(f *testing.F) {
	f.Add(page.AppendPage(nil, []byte("short"), 0, page.DefaultLevel))
	f.Add(page.AppendPage(nil, bytes.Repeat([]byte("long "), 1000), 0, page.DefaultLevel))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) >= page.Overhead { // what a fuzzer can't make
			raw = bytes.Clone(raw)
			end := len(raw) - 8
			binary.LittleEndian.PutUint32(raw[6:], uint32(end-10))
			raw[1] = 0 // the kind that package page reads for everybody
			binary.LittleEndian.PutUint64(raw[end:], xxhash.Sum64(raw[:end]))
		}
		meta := &block.Meta{ID: "01M826G85SRYJWMRVVZCP3X78E", Tenant: "t", Objects: map[string]block.Object{"search": {Bytes: int64(len(raw))}}}
		want, bad := page.Decode(nil, raw, 0)
		n := 0
		var tail int64
		var err error
		// What is no content of zstd in the end may take what it claims, as far as so many bytes can hold it: 128 KiB for each block of three.
		justified := len(want)
		if bad != nil && len(raw) >= page.Overhead {
			justified = int(min(int64(binary.LittleEndian.Uint32(raw[2:])), int64(len(raw)/3)<<17, page.MaxPage))
		}
		fuzztest.Bounded(t, justified+64*len(raw), func() {
			_, tail, err = inspect.Pages(t.Context(), memory{content: raw}, meta, "search", func(p inspect.Page, content []byte) error {
				n++
				if (p.Damage == nil) != (bad == nil) || p.Damage == nil && !bytes.Equal(content, want) {
					t.Fatalf("damage is %v, package page says %v", p.Damage, bad)
				}
				return nil
			})
		})
		if err != nil || bad == nil && (n != 1 || tail != 0) {
			t.Fatalf("%d pages and %d bytes behind, %v; package page says %v", n, tail, err, bad)
		}
	})
}
