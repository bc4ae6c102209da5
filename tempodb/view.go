package tempodb

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// view is what queries ask: the heads, the active one last, and the blocks. It does not change; another takes its place. What it holds
// stays readable until it is retired, which waits for the queries that use it.
type view struct {
	heads  []*head
	blocks []*block.Block
	lacks  []error // parts that are known to be there and can't be asked: no answer is whole

	prior   atomic.Pointer[view] // the view before this one, until that is retired
	use     sync.RWMutex         // held for reading by queries
	retired bool
}

// queries answers queries from the current view, which whoever embeds it replaces. Queries may run concurrently with everything.
type queries struct {
	codec  Codec
	shelf  *block.Shelf
	view   atomic.Pointer[view]
	change sync.Mutex // held to replace view
	closed atomic.Bool
	made   madeSummaries
}

// acquire returns the current view, to be released.
func (s *queries) acquire() (*view, error) {
	for {
		if s.closed.Load() {
			return nil, ErrClosed
		}
		v := s.view.Load()
		v.use.RLock()
		if !v.retired {
			return v, nil
		}
		v.use.RUnlock() // it was replaced since it was loaded
	}
}

func (v *view) release() { v.use.RUnlock() }

// missing returns what is missing from every answer of v.
func (v *view) missing() partial { return partial{slices.Clone(v.lacks)} }

// retire returns when no query uses v or a view before it, and none will: what is in none of the later views may be removed.
func (v *view) retire() {
	if p := v.prior.Load(); p != nil {
		p.retire()
		v.prior.Store(nil)
	}
	v.use.Lock()
	v.retired = true
	v.use.Unlock()
}

// replace makes the view that change returns the current one and returns the one before, which is still to be retired. change is called
// with the current view and must not block.
func (s *queries) replace(change func(*view) *view) *view {
	s.change.Lock()
	defer s.change.Unlock()
	old := s.view.Load()
	next := change(old)
	next.prior.Store(old)
	s.serve(next)
	return old
}

// serve makes next the current view. What its blocks have open stands on the shelf; what those had that are not in it gives its room back. Who
// calls holds change, or is alone.
func (s *queries) serve(next *view) {
	in := make(map[*block.Block]bool, len(next.blocks))
	for _, b := range next.blocks {
		b.KeepOn(s.shelf)
		in[b] = true
	}
	if old := s.view.Swap(next); old != nil {
		for _, b := range old.blocks {
			if !in[b] {
				b.Release()
			}
		}
	}
}
