package filter

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/FastFilter/xorfilter"
	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// shardKeys is the number of keys a shard has on average.
const shardKeys = 64 << 10

// Builder collects the keys of a filter: eight bytes of memory each. It is for one goroutine.
type Builder struct{ hashes []uint64 }

// NewBuilder returns a Builder without keys.
func NewBuilder() *Builder { return &Builder{} }

// Add adds a key. Adding one again changes nothing.
func (b *Builder) Add(key [16]byte) { b.hashes = append(b.hashes, xxhash.Sum64(key[:])) }

// Write writes the filter of the keys added to w, an object at its beginning.
func (b *Builder) Write(w io.Writer) error {
	slices.Sort(b.hashes)
	b.hashes = slices.Compact(b.hashes)
	shards := (len(b.hashes) + shardKeys - 1) / shardKeys
	pages := page.NewWriter(w, 0, page.Raw) // fingerprints do not compress
	directory := appendDirectoryHead(nil, len(b.hashes), shards)
	var fuse xorfilter.BinaryFuseBuilder
	var content []byte
	// The hashes are in order, and so are the shards they fall into.
	for shard, rest := 0, b.hashes; shard < shards; shard++ {
		n := 0
		for n < len(rest) && shardOf(rest[n], shards) == shard {
			n++
		}
		var err error
		if content, err = appendShard(content[:0], &fuse, rest[:n]); err != nil {
			return fmt.Errorf("filter shard %d of %d keys: %w", shard, n, err)
		}
		ref, err := pages.Write(content)
		if err != nil {
			return fmt.Errorf("filter shard %d: %w", shard, err)
		}
		directory = binary.AppendUvarint(directory, uint64(ref.Length))
		rest = rest[n:]
	}
	ref, err := pages.Write(directory)
	if err != nil {
		return fmt.Errorf("filter directory: %w", err)
	}
	if _, err := w.Write(appendFooter(nil, ref.Length)); err != nil {
		return fmt.Errorf("filter footer: %w", err)
	}
	return nil
}

// shardOf maps the hashes evenly and in ascending order to shards.
func shardOf(hash uint64, shards int) int {
	hi, _ := bits.Mul64(hash, uint64(shards))
	return int(hi)
}

// appendShard appends the binary fuse filter of hashes, which has no duplicates and may be changed.
func appendShard(dst []byte, b *xorfilter.BinaryFuseBuilder, hashes []uint64) ([]byte, error) {
	if len(hashes) == 0 {
		return dst, nil
	}
	f, err := xorfilter.BuildBinaryFuse[uint16](b, hashes)
	if err != nil {
		return dst, err
	}
	dst = binary.LittleEndian.AppendUint64(dst, f.Seed)
	dst = binary.LittleEndian.AppendUint32(dst, f.SegmentLength)
	dst = binary.LittleEndian.AppendUint32(dst, f.SegmentCount)
	for _, print := range f.Fingerprints {
		dst = binary.LittleEndian.AppendUint16(dst, print)
	}
	return dst, nil
}
