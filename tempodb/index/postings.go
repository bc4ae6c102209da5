package index

import "encoding/binary"

// postings is a growing ascending list of ordinals. The first stands in the struct itself, so that
// the many terms that occur once need no further memory; the rest are uvarint differences in a chain of slices
// of a pool that all lists share. Nothing here holds a pointer: a million lists cost the garbage collector nothing.
type postings struct {
	count       uint32
	first, last uint32
	head        uint32 // where the first slice begins in the pool
	cur, end    uint32 // where the next byte goes, and where the current slice's bytes end
	level       uint8  // the current slice's size is sliceBytes[level]
}

// sliceBytes are the sizes of a chain's slices. Small first, since most lists are short; growing, so that long lists
// have few links. The last size repeats.
var sliceBytes = [...]uint32{4, 8, 16, 32, 64, 128, 256, 512}

// linkBytes follow each slice and tell where the next one begins.
const linkBytes = 4

// pool is the memory of the postings. Offsets are 32 bits wide: 4 GiB, far above what a segment's index needs.
type pool []byte

func (p *pool) slice(size uint32) uint32 {
	at := uint32(len(*p))
	*p = append(*p, make([]byte, size+linkBytes)...)
	return at
}

// add appends ordinal, which must not be smaller than the last; the last again is left out.
func (l *postings) add(p *pool, ordinal uint32) {
	if l.count == 0 {
		l.first, l.last, l.count = ordinal, ordinal, 1
		return
	}
	if ordinal == l.last {
		return
	}
	delta := ordinal - l.last
	l.last = ordinal
	l.count++
	if l.count == 2 {
		l.head = p.slice(sliceBytes[0])
		l.cur, l.end = l.head, l.head+sliceBytes[0]
	}
	for delta >= 0x80 {
		l.put(p, byte(delta)|0x80)
		delta >>= 7
	}
	l.put(p, byte(delta))
}

func (l *postings) put(p *pool, b byte) {
	if l.cur == l.end {
		if int(l.level) < len(sliceBytes)-1 {
			l.level++
		}
		next := p.slice(sliceBytes[l.level])
		binary.LittleEndian.PutUint32((*p)[l.end:], next)
		l.cur, l.end = next, next+sliceBytes[l.level]
	}
	(*p)[l.cur] = b
	l.cur++
}

// each calls fn with every ordinal, ascending.
func (l *postings) each(p pool, fn func(ordinal uint32)) {
	if l.count == 0 {
		return
	}
	fn(l.first)
	if l.count == 1 {
		return
	}
	ordinal, level := l.first, 0
	cur, end := l.head, l.head+sliceBytes[0]
	for range l.count - 1 {
		var delta uint32
		for shift := 0; ; shift += 7 {
			if cur == end {
				if level < len(sliceBytes)-1 {
					level++
				}
				cur = binary.LittleEndian.Uint32(p[end:])
				end = cur + sliceBytes[level]
			}
			b := p[cur]
			cur++
			delta |= uint32(b&0x7f) << shift
			if b < 0x80 {
				break
			}
		}
		ordinal += delta
		fn(ordinal)
	}
}
