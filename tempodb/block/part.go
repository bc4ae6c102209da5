package block

import (
	"sync"
	"sync/atomic"
)

// part is a part of the block that is opened at its first use and kept. If that fails, the next use tries again.
type part[T any] struct {
	mu     sync.Mutex
	opened atomic.Pointer[T]
}

func (p *part[T]) get(open func() (*T, error)) (*T, error) {
	if v := p.opened.Load(); v != nil {
		return v, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.opened.Load(); v != nil {
		return v, nil
	}
	v, err := open()
	if err != nil {
		return nil, err
	}
	p.opened.Store(v)
	return v, nil
}
