package blocklist

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// The entries of a page, with right checksums around them.
func FuzzEntries(f *testing.F) {
	for _, metas := range [][]*block.Meta{nil, metasOf(0, 1), {metaOf(1), metaOf(5, 1, 2)}} {
		content := mustIndex(f, listOf(metas...), Header{})
		h, length, err := ParseHeader(content)
		if err != nil {
			f.Fatal(err)
		}
		var entries []byte
		if len(h.pages) > 0 {
			if entries, err = page.Decode(nil, content[length:], 0); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(entries)
	}
	f.Fuzz(func(t *testing.T, entries []byte) {
		if len(entries) > maxIndexPage {
			return
		}
		content := sealed(entries)
		var x *Index
		var err error
		// A block in memory is some times as large as its entry: a map of objects.
		fuzztest.Bounded(t, 200*len(entries), func() { x, err = ParseIndex(content, nil) })
		if err != nil {
			if !page.IsCorrupt(err) {
				t.Fatal(err)
			}
			return
		}
		// What can be read can be listed, and written again.
		s := situation{tenant: tenant, prev: newList(tenant).finish(), index: x, now: epoch}
		l := s.next(nil)
		reapSteps(l, ReapOptions{Now: epoch})
		again, err := AppendIndex(nil, l, x.Header)
		if err != nil {
			t.Fatal(err)
		}
		y, err := ParseIndex(again, nil)
		if err != nil || len(y.present) != len(x.present) || len(y.Damaged) != len(x.Damaged) {
			t.Fatal(err)
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte{})
	f.Add(mustIndex(f, listOf(), Header{}))
	f.Add(mustIndex(f, listOf(metasOf(0, 3)...), Header{Seq: 9, Writer: "w", Listed: epoch}))
	f.Fuzz(func(t *testing.T, content []byte) {
		// Make the header's checksum right, or nothing else would be reached.
		content = bytes.Clone(content)
		if n := len(content); n >= indexPrefix {
			copy(content, indexMagic)
			binary.LittleEndian.PutUint32(content[len(indexMagic):], indexVersion)
			if length := indexPrefix + int(binary.LittleEndian.Uint16(content[len(indexMagic)+4:])) + 8; length <= n {
				clear(content[len(indexMagic)+6 : indexPrefix])
				binary.LittleEndian.PutUint64(content[length-8:], xxhash.Sum64(content[:length-8]))
			}
		}
		var x *Index
		var err error
		fuzztest.Bounded(t, 400*len(content), func() { x, err = ParseIndex(content, nil) })
		if h, length, bad := ParseHeader(content); (err == nil) && (bad != nil || h.Body() != int64(len(content)-length) || x.Seq != h.Seq) {
			t.Fatalf("an index is taken whose header is %+v, %v", h, bad)
		}
		if err != nil && !page.IsCorrupt(err) {
			t.Fatal(err)
		}
	})
}

func FuzzMarkNames(f *testing.F) {
	for _, name := range []string{
		markName(idOf(1), epoch), string(idOf(1)), string(idOf(1)) + ".dropped.", string(idOf(1)) + ".dropped.20260102T030405Z.dropped.20260102T030405Z", IndexObject, "claims/",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if id, at, ok := parseMark(name); ok && markName(id, at) != name {
			t.Errorf("%q is read as %q", name, markName(id, at))
		}
	})
}
