package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// An object that lies in the place of another, as after a restore gone wrong or by a cache that mixes them up, is sound in
// itself. So every page is bound to its object by a salt, and the search object, whose pages are not, by a seal at its end.

// salt returns a number that no other object has.
func salt(id ID, object string) uint64 { return xxhash.Sum64String(string(id) + "/" + object) }

// pageSalt returns the salt of an object's pages; none of the search object, which package index reads page by page as it likes.
func pageSalt(id ID, object string) uint64 {
	if object == searchObject {
		return 0
	}
	return salt(id, object)
}

// sealBytes is the length of the seal.
const sealBytes = 8

func appendSeal(dst []byte, id ID, object string) []byte {
	return binary.LittleEndian.AppendUint64(dst, salt(id, object))
}

// sealedReader reads an object without its seal, which it looks at whenever the end is read: package index begins there.
type sealedReader struct {
	r    *reader
	size int64 // without the seal
	name string
	seal uint64
}

// Name returns the object's name.
func (s *sealedReader) Name() string { return s.name }

// ReadAt reads from the object.
func (s *sealedReader) ReadAt(p []byte, off int64) (int, error) {
	if off < s.size-int64(len(p)) {
		return s.r.ReadAt(p, off)
	}
	if off >= s.size {
		return 0, io.EOF
	}
	n := int(s.size - off)
	buf := make([]byte, n+sealBytes)
	got, err := s.r.ReadAt(buf, off)
	copied := copy(p, buf[:min(got, n)])
	corrupt := func(offset int64, reason string) error {
		return &page.CorruptError{Object: s.name, What: "seal", Offset: offset, Reason: reason}
	}
	switch {
	case got < len(buf) && errors.Is(err, io.EOF):
		return copied, corrupt(off+int64(got), fmt.Sprintf("the object ends before the %d bytes it should have", s.size+sealBytes))
	case got < len(buf):
		return copied, err
	}
	if seal := binary.LittleEndian.Uint64(buf[n:]); seal != s.seal {
		return copied, corrupt(s.size, fmt.Sprintf("is %016x, should be %016x: the object is of another block, or changed", seal, s.seal))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// ReadAgain implements page.Rereader.
func (s *sealedReader) ReadAgain(p []byte, off int64) (int, error) { return s.r.ReadAgain(p, off) }
