package index

import "math/bits"

// rowSet is a set of row ordinals as a bitmap. Its length is fixed by newRowSet.
type rowSet []uint64

func newRowSet(rows int) rowSet { return make(rowSet, (rows+63)/64) }

func (s rowSet) add(row uint32) { s[row>>6] |= 1 << (row & 63) }

func (s rowSet) has(row uint32) bool { return s[row>>6]&(1<<(row&63)) != 0 }

func (s rowSet) and(o rowSet) {
	for i := range s {
		s[i] &= o[i]
	}
}

func (s rowSet) or(o rowSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

// fill makes s the set of the rows 0 to n-1.
func (s rowSet) fill(n int) {
	for i := range s {
		s[i] = ^uint64(0)
	}
	s.trim(n)
}

// invert replaces s by its complement among the rows 0 to n-1.
func (s rowSet) invert(n int) {
	for i := range s {
		s[i] = ^s[i]
	}
	s.trim(n)
}

// trim removes the bits from n on, which stand for no row.
func (s rowSet) trim(n int) {
	if tail := n & 63; tail != 0 {
		s[len(s)-1] &= 1<<tail - 1
	}
}

func (s rowSet) empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// appendRows appends the rows of s to dst, ascending.
func (s rowSet) appendRows(dst []uint32) []uint32 {
	for i, w := range s {
		for w != 0 {
			dst = append(dst, uint32(i<<6+bits.TrailingZeros64(w)))
			w &= w - 1
		}
	}
	return dst
}

func trailingZeros(w uint64) int { return bits.TrailingZeros64(w) }
