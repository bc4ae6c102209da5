package columnar

import (
	"encoding/binary"
	"math/bits"
)

// coder is a binary arithmetic coder and a stream of raw bits, for both directions: a method is given the
// value to be written and returns it; when the coder decodes, it passes over what it is given and returns
// what was read. So what is written and what is read is described once, in one order, by one piece of code.
type coder struct {
	decoding bool
	failed   bool // the input is not what an encoder writes; what is read from then on is zeros

	// The interval that the bits coded so far have left. Its bounds share no leading byte.
	low, high uint32
	code      uint32 // decoding: the input's number within the interval
	coded     []byte // what is written or read
	at        int    // decoding: the next byte of it, may be behind its end

	raw     []byte // as coded, of the raw bits
	rawAt   int
	pending uint64 // bits of raw that are not written or have been read ahead, the first one lowest
	count   uint   // of them
}

// startEncoding makes c write to the ends of two buffers.
func (c *coder) startEncoding(coded, raw []byte) {
	*c = coder{high: 1<<32 - 1, coded: coded, raw: raw}
}

// startDecoding makes c read what was written to two buffers.
func (c *coder) startDecoding(coded, raw []byte) {
	*c = coder{decoding: true, high: 1<<32 - 1, coded: coded, raw: raw}
	for range 4 {
		c.code = c.code<<8 | uint32(c.next())
	}
}

// finish writes what is pending.
func (c *coder) finish() {
	c.coded = binary.BigEndian.AppendUint32(c.coded, c.high)
	for c.count > 0 {
		c.raw = append(c.raw, byte(c.pending))
		c.pending >>= 8
		c.count -= min(c.count, 8)
	}
}

// A prob is an adaptive probability that a bit is one: 22 bits of it, and below them the number of bits it
// has learned from, up to its limit. It learns fast at first and then ever slower.
type prob uint32

const (
	probCount = 10
	// learned is how many bits a probability remembers, about.
	learned = 60
)

// even is the probability that knows nothing.
const even prob = 1 << 31

// chance returns a probability of about n/64 that is as sure as if it had learned from a few bits.
func chance(n uint32) prob { return prob(n<<26 | 2) }

// rates are the parts of an error, in 1/65536, by which a probability that has seen n bits moves.
var rates = func() (r [1 << probCount]uint32) {
	for n := range r {
		r[n] = uint32(65536 / (float64(min(n, learned)) + 1.6))
	}
	return r
}()

// middle returns the last number of the part of an interval that a one takes, with the probability p of it.
func (p prob) middle(low, high uint32) uint32 {
	return low + uint32(uint64(high-low)*uint64(p>>(probCount+6))>>16)
}

// learn returns p after a bit.
func (p prob) learn(bit uint32) prob {
	v, n := uint32(p>>probCount), uint32(p)&(1<<probCount-1)
	rate := uint64(rates[n])
	one, zero := v+uint32(uint64(1<<22-1-v)*rate>>16), v-uint32(uint64(v)*rate>>16)
	if bit != 0 {
		zero = one
	}
	if n < learned {
		n++
	}
	return prob(zero<<probCount | n)
}

// bit codes a bit with the probability p, which learns from it.
func (c *coder) bit(p *prob, bit uint32) uint32 {
	bit, c.low, c.high = c.decide(p, bit, c.low, c.high)
	return bit
}

// tree codes a number of n bits, the highest first, each with a probability that depends on those before
// it. There are 1<<n of them, the first unused.
func (c *coder) tree(probs []prob, n int, v uint32) uint32 {
	low, high := c.low, c.high
	at := uint32(1)
	for n--; n >= 0; n-- {
		var bit uint32
		bit, low, high = c.decide(&probs[at], v>>n&1, low, high)
		at = at<<1 | bit
	}
	c.low, c.high = low, high
	return at - uint32(len(probs))
}

// decide codes a bit in the interval from low to high, and returns what it leaves of that.
func (c *coder) decide(p *prob, bit, low, high uint32) (_, _, _ uint32) {
	middle := p.middle(low, high)
	if c.decoding {
		bit = 0
		if c.code <= middle {
			bit = 1
		}
	}
	*p = p.learn(bit)
	if bit != 0 {
		high = middle
	} else {
		low = middle + 1
	}
	for (low^high)>>24 == 0 {
		if c.decoding {
			c.code = c.code<<8 | uint32(c.next())
		} else {
			c.coded = append(c.coded, byte(high>>24))
		}
		low <<= 8
		high = high<<8 | 0xff
	}
	return bit, low, high
}

// next reads a byte. Behind the end there are zeros; an encoder's output needs none of them.
func (c *coder) next() byte {
	i := c.at
	c.at++
	if i < len(c.coded) {
		return c.coded[i]
	}
	if i > len(c.coded)+8 {
		c.failed = true
	}
	return 0
}

// is codes a truth.
func (c *coder) is(p *prob, truth bool) bool {
	bit := uint32(0)
	if truth {
		bit = 1
	}
	return c.bit(p, bit) != 0
}

// bits codes the n lowest bits of v as they are; v has no others. n is at most 64.
func (c *coder) bits(n uint, v uint64) uint64 {
	if n > 32 {
		low := c.bits(32, v&(1<<32-1))
		return c.bits(n-32, v>>32)<<32 | low
	}
	if !c.decoding {
		c.pending |= v << c.count
		for c.count += n; c.count >= 8; c.count -= 8 {
			c.raw = append(c.raw, byte(c.pending))
			c.pending >>= 8
		}
		return v
	}
	if c.count < n {
		for c.count <= 56 && c.rawAt < len(c.raw) {
			c.pending |= uint64(c.raw[c.rawAt]) << c.count
			c.rawAt++
			c.count += 8
		}
		if c.count < n {
			c.failed = true
			return 0
		}
	}
	v = c.pending & (1<<n - 1)
	c.pending >>= n
	c.count -= n
	return v
}

// number is a model of whole numbers: their lengths are learned, small ones wholly; the lower bits of
// greater ones are taken for noise.
type number struct {
	length [64]prob
	low    [32]prob
}

// smallBits is the length up to which a number is learned wholly.
const smallBits = 5

var newNumber = func() (m number) {
	for i := range m.length {
		m.length[i] = even
	}
	for i := range m.low {
		m.low[i] = even
	}
	return m
}()

// number codes a number.
func (c *coder) number(m *number, v uint64) uint64 {
	n := c.tree(m.length[:], 6, uint32(min(bits.Len64(v), 63)))
	switch {
	case n <= 1:
		return uint64(n)
	case n == 63: // or 64
		return c.bits(64, v)
	case n <= smallBits:
		at := uint32(1)
		probs := m.low[1<<(n-1):]
		for n--; n > 0; n-- {
			at = at<<1 | c.bit(&probs[at], uint32(v>>(n-1))&1)
		}
		return uint64(at)
	}
	return 1<<(n-1) | c.bits(uint(n-1), v&(1<<(n-1)-1))
}

// signed codes a number that may be negative; sign is the chance that it is.
func (c *coder) signed(m *number, sign *prob, v int64) int64 {
	magnitude := uint64(v)
	if v < 0 {
		magnitude = -magnitude
	}
	magnitude = c.number(m, magnitude)
	if magnitude != 0 && c.is(sign, v < 0) {
		return -int64(magnitude)
	}
	return int64(magnitude)
}
