package cache

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// buffers are those of flights, kept by their size, which is a power of two, until the garbage collector wants them.
type buffers struct {
	pools [32]sync.Pool
}

type buffer struct {
	b    []byte
	room []byte
	refs atomic.Int32
}

// get returns a buffer of n bytes, which may hold anything.
func (p *buffers) get(n int) *buffer {
	order := bits.Len(uint(max(n, 1) - 1))
	b, _ := p.pools[order].Get().(*buffer)
	if b == nil {
		b = &buffer{room: make([]byte, 1<<order)}
	}
	b.b = b.room[:n]
	b.refs.Store(1)
	return b
}

// put ends a use of a buffer.
func (p *buffers) put(b *buffer) {
	if b.refs.Add(-1) == 0 {
		p.pools[bits.Len(uint(len(b.room)-1))].Put(b)
	}
}
