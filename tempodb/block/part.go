package block

import (
	"context"
	"sync/atomic"
)

// part is a part of the block that is opened at its first use, and kept while there is room for it on the shelf. If opening fails, the next
// use tries again.
type part[T any] struct {
	turn   chan struct{} // holds one who opens it
	opened atomic.Pointer[T]
	used   atomic.Bool // since the shelf looked
	spot   spot
}

func (p *part[T]) init() {
	p.turn = make(chan struct{}, 1)
	p.spot.part = p
}

// load returns what is open; nil if nothing is.
func (p *part[T]) load() *T {
	v := p.opened.Load()
	if v != nil && !p.used.Load() {
		p.used.Store(true)
	}
	return v
}

// get returns what is open, or opens it. As soon as open knows how many bytes there would be to keep, it calls keep, which says if they
// will be. Without a shelf there is room for everything.
func (p *part[T]) get(ctx context.Context, s *Shelf, open func(keep func(bytes int64) bool) (*T, error)) (*T, error) {
	if v := p.load(); v != nil {
		return v, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if v := p.load(); v != nil {
		return v, nil
	}
	v, err := open(func(bytes int64) bool { return s.take(&p.spot, bytes) })
	if err != nil {
		s.leave(&p.spot)
		return nil, err
	}
	p.used.Store(true)
	s.stand(&p.spot, func() { p.opened.Store(v) })
	return v, nil
}

func (p *part[T]) wasUsed() bool { return p.used.Swap(false) }

func (p *part[T]) drop() { p.opened.Store(nil) }
