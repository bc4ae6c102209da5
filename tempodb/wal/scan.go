package wal

import (
	"bytes"
	"cmp"
	"hash/crc32"
	"io"
	"slices"
)

const (
	// scanWindow is what a scan reads at once. A longer record is read whole.
	scanWindow = 1 << 20
	// sector is the unit that a disk writes wholly or not at all.
	sector = 512
	// readUnit is how much is given up where the disk cannot read.
	readUnit = 4096
)

// scanner walks over one segment file: all records that can be verified, in order, and the gaps between
// them. It holds one window of the file, or the largest record if that is longer, and trusts no length
// that the checksum of a header in this file does not cover.
type scanner struct {
	r    io.ReaderAt
	size int64

	window []byte // the file's bytes from winOff on
	winOff int64

	salt       [saltSize]byte
	durable    int64  // a later record says that all before this was durable
	unreadable []span // read as zeros
	gaps       []gap
}

type span struct{ from, to int64 }

// gap is a stretch without a valid record.
type gap struct {
	span
	// known is the end of the last record in the gap whose header was good; it lies in the file.
	known int64
	// cut is true where the file ends inside of a record.
	cut bool
}

// scanResult is what a scan found. Damages lack segment and file.
type scanResult struct {
	id      uint64 // as the file says; 0 if it does not
	version uint32
	records int64
	bytes   int64
	end     int64 // of the last record with a payload
	damages []Damage
}

// scan reads a segment of the given size and calls fn, which may be nil, for each record's payload and its
// offset. The payload is valid until fn returns. The only errors are those of fn; a version that is too new
// is in the result, and nothing was read of such a file.
func scan(r io.ReaderAt, size int64, fn func(off int64, payload []byte) error) (scanResult, error) {
	s := &scanner{r: r, size: size}
	var res scanResult
	head, ok := s.readHeader(&res)
	if !ok {
		return res, nil
	}
	s.salt = head.salt
	err := s.records(&res, fn)
	s.classify(&res)
	return res, err
}

// readHeader finds the segment's header in one of its two places. Without it no record can be verified.
func (s *scanner) readHeader(res *scanResult) (segmentHeader, bool) {
	var head segmentHeader
	var found, written bool
	for _, at := range []int64{0, secondHeader} {
		have := min(segmentHeaderSize, max(0, s.size-at))
		var b []byte
		if have > 0 {
			b = s.view(at, have)
		}
		h, ver, ok := decodeSegmentHeader(b)
		switch {
		case ok && ver > version:
			res.version = ver
			return head, false
		case ok && ver == version && !found:
			head, found = h, true
			res.id, res.version = h.id, ver
		case ok && ver == version && h == head:
		case have < segmentHeaderSize:
			s.addGap(gap{span: span{at, at + have}, cut: true})
			written = written || (at == 0 && !zero(b))
		default:
			s.addGap(gap{span: span{at, at + segmentHeaderSize}, known: at + segmentHeaderSize})
			written = written || !zero(b) || s.isUnreadable(span{at, at + have})
		}
	}
	if found {
		return head, true
	}
	switch {
	case s.size < segmentHeaderSize && written:
		res.damages = []Damage{{Bytes: s.size, Kind: TornTail}}
	case written:
		res.damages = []Damage{{Bytes: s.size, Kind: Corrupt}}
	}
	return head, false
}

// records reads all records behind the header, and notes the gaps.
func (s *scanner) records(res *scanResult, fn func(int64, []byte) error) error {
	off := int64(firstRecord)
	for off+recordHeaderSize <= s.size {
		h, ok := decodeRecordHeader(s.view(off, recordHeaderSize), &s.salt, off)
		if !ok {
			next := s.nextMagic(off + 1)
			s.addGap(gap{span: span{off, next}})
			off = next
			continue
		}
		if h.back != unknownBack {
			s.durable = max(s.durable, off-int64(h.back))
		}
		start := off + recordHeaderSize
		end := start + int64(h.length)
		if end > s.size {
			s.addGap(gap{span: span{off, s.size}, cut: true})
			return nil
		}
		payload := s.view(start, int64(h.length))
		if crc32.Checksum(payload, castagnoli) != h.crc {
			// The header was good, so no other record begins before the end of this one.
			s.addGap(gap{span: span{off, end}, known: end})
			off = end
			continue
		}
		if h.kind == kindData {
			if fn != nil {
				if err := fn(start, payload); err != nil {
					return err
				}
			}
			res.records++
			res.bytes += int64(h.length)
			res.end = end
		}
		off = end
	}
	if off < s.size {
		s.addGap(gap{span: span{off, s.size}, cut: true})
	}
	return nil
}

// addGap notes a gap, as one with the gap before if they touch.
func (s *scanner) addGap(g gap) {
	if g.from >= g.to {
		return
	}
	if n := len(s.gaps); n > 0 && s.gaps[n-1].to == g.from {
		last := &s.gaps[n-1]
		last.to = g.to
		last.known = max(last.known, g.known)
		last.cut = last.cut || g.cut
		return
	}
	s.gaps = append(s.gaps, g)
}

// classify turns the gaps into damages.
//
// A gap is a torn tail if no later record claims that it was durable, and it looks as a write that did not
// finish looks: the file ends in it, or a sector of it was never written and reads as zeros. Zeros up to
// the end of the file are space reserved ahead, and no damage at all.
func (s *scanner) classify(res *scanResult) {
	for _, g := range s.gaps {
		d := Damage{Offset: g.from, Bytes: g.to - g.from, Kind: Corrupt}
		if g.from >= s.durable && !s.isUnreadable(g.span) {
			if g.to == s.size {
				d.Bytes = max(s.trimZeros(g.from, g.to), g.known) - g.from
			}
			if g.cut || s.hasEmptySector(g.from, g.from+d.Bytes) {
				d.Kind = TornTail
			}
		}
		if d.Bytes > 0 {
			res.damages = append(res.damages, d)
		}
	}
	slices.SortFunc(res.damages, func(a, b Damage) int { return cmp.Compare(a.Offset, b.Offset) })
}

// nextMagic returns the first offset from off on at which a record header may begin, or the file's size.
func (s *scanner) nextMagic(off int64) int64 {
	for off+recordHeaderSize <= s.size {
		b := s.viewSome(off, recordHeaderSize)
		if i := bytes.Index(b, recordMagic); i >= 0 {
			if off += int64(i); off+recordHeaderSize <= s.size {
				return off
			}
			break
		}
		off += int64(len(b) - len(recordMagic) + 1)
	}
	return s.size
}

// trimZeros returns the end of the last byte of [from, to) that is not zero, or from.
func (s *scanner) trimZeros(from, to int64) int64 {
	end := from
	for off := from; off < to; {
		b := s.viewSome(off, 1)
		b = b[:min(int64(len(b)), to-off)]
		if n := len(bytes.TrimRight(b, "\x00")); n > 0 {
			end = off + int64(n)
		}
		off += int64(len(b))
	}
	return end
}

// hasEmptySector reports whether the part of [from, to) in one of its sectors is all zeros.
func (s *scanner) hasEmptySector(from, to int64) bool {
	for off := from; off < to; {
		next := min(to, off/sector*sector+sector)
		if zero(s.view(off, next-off)) {
			return true
		}
		off = next
	}
	return false
}

func (s *scanner) isUnreadable(in span) bool {
	return slices.ContainsFunc(s.unreadable, func(u span) bool { return u.from < in.to && in.from < u.to })
}

// view returns n bytes of the file from off on, valid until the next call. They must lie in the file.
func (s *scanner) view(off, n int64) []byte {
	if off < s.winOff || off+n > s.winOff+int64(len(s.window)) {
		s.load(off, n)
	}
	return s.window[off-s.winOff:][:n]
}

// viewSome returns n bytes or more, as many as there are at hand.
func (s *scanner) viewSome(off, n int64) []byte {
	s.view(off, n)
	return s.window[off-s.winOff:]
}

// load fills the window from off on with n bytes or more. What cannot be read is noted, and zeros.
func (s *scanner) load(off, n int64) {
	n = min(max(n, scanWindow), s.size-off)
	if int64(cap(s.window)) < n {
		s.window = make([]byte, n)
	}
	s.window = s.window[:n]
	s.winOff = off
	done, _ := s.r.ReadAt(s.window, off)
	for at := off + int64(done); at < off+n; {
		next := min(off+n, at/readUnit*readUnit+readUnit)
		part := s.window[at-off : next-off]
		if got, _ := s.r.ReadAt(part, at); got < len(part) {
			clear(part)
			s.unreadable = append(s.unreadable, span{at, next})
		}
		at = next
	}
}

func zero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
