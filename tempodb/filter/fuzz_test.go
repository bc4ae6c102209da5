package filter

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/FastFilter/xorfilter"
	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// The bytes of an object as they are.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{})
	f.Add(write(f, nil))
	f.Add(write(f, [][16]byte{{1}}))
	f.Add(write(f, randomKeys(rand.New(rand.NewPCG(1, 1)), 50)))
	f.Fuzz(func(t *testing.T, object []byte) {
		fuzztest.Bounded(t, 64*len(object), func() {
			filter, err := Open(bytes.NewReader(object), int64(len(object)))
			if err == nil {
				_, err = filter.MayContain([16]byte{1})
			}
			if err != nil && !page.IsCorrupt(err) {
				t.Fatal(err)
			}
		})
	})
}

// The contents of pages, with sound pages around them: a directory, which may be any bytes or the right one, and a shard.
func FuzzParse(f *testing.F) {
	var b xorfilter.BinaryFuseBuilder
	key := [16]byte{1}
	content, err := appendShard(nil, &b, []uint64{xxhash.Sum64(key[:]), 2, 3})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(appendDirectoryHead(nil, 3, 0), content, uint64(1))
	f.Add(binary.AppendUvarint(appendDirectoryHead(nil, 3, 1), uint64(len(content)+page.Overhead)), content, uint64(1))
	f.Add([]byte{}, content, uint64(1))
	f.Add([]byte{}, []byte{}, uint64(1))
	f.Fuzz(func(t *testing.T, directory, content []byte, hash uint64) {
		s, err := parseShard(content)
		if err == nil {
			s.contains(hash)
		}
		object := page.AppendPage(nil, content, 0, page.Raw)
		if len(directory) == 0 {
			directory = binary.AppendUvarint(appendDirectoryHead(nil, 3, 1), uint64(len(object)))
		}
		at := len(object)
		object = page.AppendPage(object, directory, int64(at), page.Raw)
		object = appendFooter(object, int64(len(object)-at))
		var filter *Filter
		var opened error
		fuzztest.Bounded(t, 64*len(object), func() {
			if filter, opened = Open(bytes.NewReader(object), int64(len(object))); opened == nil {
				opened = filter.Load()
			}
		})
		if opened != nil {
			if !page.IsCorrupt(opened) {
				t.Fatal(opened)
			}
			return
		}
		if len(filter.shards) > len(directory) {
			t.Fatal("more shards than the directory has bytes")
		}
		// Loaded or read when asked: the same answer.
		fresh, err := Open(bytes.NewReader(object), int64(len(object)))
		if err != nil || fresh.Check() != nil {
			t.Fatalf("what can be loaded is not sound: %v", err)
		}
		key := [16]byte(binary.LittleEndian.AppendUint64(make([]byte, 8), hash))
		a, err1 := filter.MayContain(key)
		b, err2 := fresh.MayContain(key)
		if a != b || err1 != nil || err2 != nil {
			t.Fatalf("loaded %v, %v; not loaded %v, %v", a, err1, b, err2)
		}
	})
}

// Whatever keys there are, the filter that is written of them has them all.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef"))
	f.Add(make([]byte, 48))
	f.Fuzz(func(t *testing.T, b []byte) {
		var keys [][16]byte
		for ; len(b) >= 16 && len(keys) < 1000; b = b[16:] {
			keys = append(keys, [16]byte(b))
		}
		filter := mustOpen(t, write(t, keys))
		for _, key := range keys {
			if may, err := filter.MayContain(key); !may || err != nil {
				t.Fatalf("%x is denied: %v", key, err)
			}
		}
	})
}
