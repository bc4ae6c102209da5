package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

const (
	version    = 1
	footerSize = 8
	magic      = 0x746c6966 // "filt"

	shardHeader = 16
)

// Filter answers from a filter object. It may be used concurrently.
type Filter struct {
	r      io.ReaderAt
	keys   int
	shards []page.Ref
	loaded []shard // all shards after Load, else nil
}

// Open reads the directory of the filter object of size bytes. The shards will be read from r when asked for.
// Damage is a *page.CorruptError.
func Open(r io.ReaderAt, size int64) (*Filter, error) {
	f, err := open(r, size)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	return f, nil
}

func open(r io.ReaderAt, size int64) (*Filter, error) {
	corrupt := func(reason string) (*Filter, error) {
		return nil, corruption(r, "filter", max(0, size-footerSize), reason)
	}
	if size < footerSize+page.Overhead {
		return corrupt(fmt.Sprintf("object of %d bytes is too short for a filter", size))
	}
	var footer [footerSize]byte
	if n, err := r.ReadAt(footer[:], size-footerSize); n < footerSize {
		if err == io.EOF {
			return corrupt("object is shorter than it should be")
		}
		return nil, fmt.Errorf("read footer: %w", err)
	}
	if binary.LittleEndian.Uint32(footer[4:]) != magic {
		return corrupt("does not end like a filter")
	}
	length := int64(binary.LittleEndian.Uint32(footer[:]))
	if length < page.Overhead || length > size-footerSize {
		return corrupt("its directory can't be as long as its footer says")
	}
	ref := page.Ref{Offset: size - footerSize - length, Length: length}
	content, err := page.Read(nil, r, ref)
	if err != nil {
		return nil, err
	}
	f := &Filter{r: r}
	if err := f.parseDirectory(content, ref.Offset); err != nil {
		return nil, corruption(r, "filter directory", ref.Offset, err.Error())
	}
	return f, nil
}

// Reading returns the same filter read through another reader of the same object: such as one
// that ends with a request's context.
func (f *Filter) Reading(r io.ReaderAt) *Filter {
	g := *f
	g.r = r
	return &g
}

// Keys returns the number of keys in the filter.
func (f *Filter) Keys() int { return f.keys }

// Loaded reports whether MayContain reads nothing.
func (f *Filter) Loaded() bool { return f.loaded != nil }

// Bytes returns about how much memory the filter takes.
func (f *Filter) Bytes() int64 {
	const filter, ref, loaded = 128, 16, 40
	n := filter + ref*int64(cap(f.shards)) + loaded*int64(cap(f.loaded))
	for i := range f.loaded {
		n += shardHeader + int64(cap(f.loaded[i].prints))
	}
	return n
}

// MayContain reports whether key may have been added: always if it was, hardly ever if it was not.
// It reads one shard, nothing after Load.
func (f *Filter) MayContain(key [16]byte) (bool, error) {
	if len(f.shards) == 0 {
		return false, nil
	}
	hash := xxhash.Sum64(key[:])
	i := shardOf(hash, len(f.shards))
	if f.loaded != nil {
		return f.loaded[i].contains(hash), nil
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	s, err := f.readShard(i, buf)
	if err != nil {
		return false, err
	}
	return s.contains(hash), nil
}

// Load reads and verifies all shards and keeps them. It is called before the filter is used concurrently.
func (f *Filter) Load() error {
	loaded := make([]shard, len(f.shards))
	for i := range loaded {
		var err error
		if loaded[i], err = f.readShard(i, new([]byte)); err != nil {
			return err
		}
	}
	f.loaded = loaded
	return nil
}

// Check reads and verifies the whole object.
func (f *Filter) Check() error {
	var buf []byte
	for i := range f.shards {
		if _, err := f.readShard(i, &buf); err != nil {
			return err
		}
	}
	return nil
}

// readShard reads a shard into buf. It is valid as long as buf is left alone.
func (f *Filter) readShard(i int, buf *[]byte) (s shard, err error) {
	if *buf, err = page.Read((*buf)[:0], f.r, f.shards[i]); err != nil {
		return s, fmt.Errorf("filter shard %d: %w", i, err)
	}
	if s, err = parseShard(*buf); err != nil {
		return s, fmt.Errorf("filter shard %d: %w", i, corruption(f.r, "filter shard", f.shards[i].Offset, err.Error()))
	}
	return s, nil
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// A shard is a binary fuse filter: an array of fingerprints in segments. A key has a place in each of three
// neighbouring segments, and the three fingerprints there make, xored, the key's own. It is asked where it
// was read, without unpacking.
type shard struct {
	seed          uint64
	segmentLength uint32 // a power of two
	segmentCount  uint32 // of segments a key's first place can be in; there are two more
	prints        []byte // two bytes each, little endian
}

func parseShard(b []byte) (s shard, err error) {
	if len(b) == 0 {
		return s, nil
	}
	if len(b) < shardHeader {
		return s, errors.New("is cut short")
	}
	s = shard{
		seed:          binary.LittleEndian.Uint64(b),
		segmentLength: binary.LittleEndian.Uint32(b[8:]),
		segmentCount:  binary.LittleEndian.Uint32(b[12:]),
		prints:        b[shardHeader:],
	}
	length, count := uint64(s.segmentLength), uint64(s.segmentCount)
	if length == 0 || length&(length-1) != 0 || count == 0 || (count+2)*length*2 != uint64(len(s.prints)) {
		return s, fmt.Errorf("%d segments of %d fingerprints can't be in %d bytes", count, length, len(s.prints))
	}
	return s, nil
}

func (s *shard) contains(hash uint64) bool {
	if len(s.prints) == 0 {
		return false
	}
	// murmur3's finaliser, seeded
	h := hash + s.seed
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33

	length, mask := s.segmentLength, s.segmentLength-1
	hi, _ := bits.Mul64(h, uint64(length)*uint64(s.segmentCount))
	first := uint32(hi)
	second := (first + length) ^ uint32(h>>18)&mask
	third := (first + 2*length) ^ uint32(h)&mask
	return uint16(h^h>>32) == s.print(first)^s.print(second)^s.print(third)
}

func (s *shard) print(i uint32) uint16 { return binary.LittleEndian.Uint16(s.prints[2*int(i):]) }

func appendDirectoryHead(dst []byte, keys, shards int) []byte {
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(keys))
	return binary.AppendUvarint(dst, uint64(shards))
}

func appendFooter(dst []byte, length int64) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(length))
	return binary.LittleEndian.AppendUint32(dst, magic)
}

// parseDirectory reads the content of the directory page, which begins at end of the object.
func (f *Filter) parseDirectory(b []byte, end int64) error {
	if len(b) == 0 || b[0] != version {
		return errors.New("has an unknown version; a newer program may read it")
	}
	b = b[1:]
	number := func() (int64, error) {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > uint64(end)<<8 {
			return 0, errors.New("is cut short or has too large a number")
		}
		b = b[n:]
		return int64(v), nil
	}
	keys, err := number()
	if err != nil {
		return err
	}
	shards, err := number()
	if err != nil {
		return err
	}
	if shards > int64(len(b)) || shards == 0 && keys > 0 { // a length takes a byte at least
		return fmt.Errorf("lists fewer shards than the %d it says", shards)
	}
	offset := int64(0)
	f.keys, f.shards = int(keys), make([]page.Ref, shards)
	for i := range f.shards {
		length, err := number()
		if err != nil {
			return err
		}
		if length < page.Overhead || length > end-offset {
			return fmt.Errorf("says shard %d takes %d bytes", i, length)
		}
		f.shards[i] = page.Ref{Offset: offset, Length: length}
		offset += length
	}
	if len(b) > 0 || offset != end {
		return fmt.Errorf("its shards end at %d, it begins at %d", offset, end)
	}
	return nil
}

func corruption(r io.ReaderAt, what string, offset int64, reason string) error {
	e := &page.CorruptError{What: what, Offset: offset, Reason: reason}
	if n, ok := r.(interface{ Name() string }); ok {
		e.Object = n.Name()
	}
	return e
}
