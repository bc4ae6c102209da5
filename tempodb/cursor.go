package tempodb

import (
	"context"
	"slices"
	"sync"
)

// cursor walks the keys of one part, ascending, for a merge of parts. A goroutine reads ahead of it, a run of keys at a time: what an object store
// answers in tens of milliseconds is not to be waited for part by part.
type cursor struct {
	wanted  map[Key]bool // nil: all
	keeps   bool         // the part keeps summaries
	key     Key
	summary []byte // if it does; valid until next
	valid   bool
	err     error // of the scan, once valid is false

	run  *run // key is the one at at
	at   int
	runs chan *run // read; closed at the end of the scan
	free chan *run // to be filled
}

// run is some keys with their summaries.
type run struct {
	keys      []Key
	ends      []int // in summaries
	summaries []byte
}

const (
	runKeys = 128
	runs    = 2 // of a cursor
)

// walk is a merge of parts: it owns the goroutines of its cursors.
type walk struct {
	ctx     context.Context
	cancel  context.CancelFunc
	reading chan struct{} // bounds how many parts are read at the same time
	done    sync.WaitGroup
	heap    []*cursor // those at a key, the least on top
	all     []*cursor
	from    []*cursor
}

func newWalk(ctx context.Context) *walk {
	w := &walk{reading: make(chan struct{}, atOnce)}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

// stop ends the walk, whose goroutines are gone when it returns.
func (w *walk) stop() {
	w.cancel()
	w.done.Wait()
}

// add adds a part whose keys scan yields, with their summaries if it keeps them; wanted says which of them are, nil that all are.
func (w *walk) add(wanted map[Key]bool, keeps bool, scan func(ctx context.Context, yield func(Key, []byte) bool) error) {
	c := &cursor{wanted: wanted, keeps: keeps, runs: make(chan *run, runs), free: make(chan *run, runs)}
	for range runs {
		c.free <- new(run)
	}
	w.all = append(w.all, c)
	w.done.Go(func() {
		defer close(c.runs)
		c.err = c.read(w, scan)
	})
}

// read sends what scan yields as runs.
func (c *cursor) read(w *walk, scan func(context.Context, func(Key, []byte) bool) error) error {
	var r *run
	begin := func() bool {
		select {
		case r = <-c.free:
		case <-w.ctx.Done():
			return false
		}
		r.keys, r.ends, r.summaries = r.keys[:0], r.ends[:0], r.summaries[:0]
		select {
		case w.reading <- struct{}{}:
			return true
		case <-w.ctx.Done():
			return false
		}
	}
	send := func() {
		<-w.reading
		if len(r.keys) > 0 {
			c.runs <- r // there is room for all runs
		}
	}
	if !begin() {
		return w.ctx.Err()
	}
	holds := true
	err := scan(w.ctx, func(key Key, summary []byte) bool {
		r.keys = append(r.keys, key)
		r.summaries = append(r.summaries, summary...)
		r.ends = append(r.ends, len(r.summaries))
		if len(r.keys) < runKeys {
			return true
		}
		send()
		holds = false
		if !begin() {
			return false
		}
		holds = true
		return true
	})
	if holds {
		send()
	} else if err == nil {
		err = w.ctx.Err()
	}
	return err
}

// next goes on to the next key.
func (c *cursor) next() {
	if c.run != nil {
		if c.at++; c.at < len(c.run.keys) {
			c.set()
			return
		}
		c.free <- c.run // there is room for all runs
	}
	c.run, c.valid = <-c.runs
	if c.at = 0; c.valid {
		c.set()
	}
}

func (c *cursor) set() {
	c.key = c.run.keys[c.at]
	begin := 0
	if c.at > 0 {
		begin = c.run.ends[c.at-1]
	}
	c.summary = c.run.summaries[begin:c.run.ends[c.at]]
}

// each calls fn with each key that a part has and wants, ascending, and the cursors that stand there, until fn returns an error.
func (w *walk) each(fn func(key Key, from []*cursor) error) error {
	for _, c := range w.all {
		if c.next(); c.valid {
			w.heap = append(w.heap, c)
		}
	}
	for i := len(w.heap)/2 - 1; i >= 0; i-- {
		w.sift(i)
	}
	for len(w.heap) > 0 {
		key := w.heap[0].key
		w.from = w.from[:0]
		w.gather(0, key)
		if slices.ContainsFunc(w.from, func(c *cursor) bool { return c.wanted == nil || c.wanted[key] }) {
			if err := fn(key, w.from); err != nil {
				return err
			}
		}
		for range w.from {
			// The least is one of them until all have gone on.
			c := w.heap[0]
			if c.next(); !c.valid {
				last := len(w.heap) - 1
				w.heap[0] = w.heap[last]
				w.heap = w.heap[:last]
			}
			w.sift(0)
		}
	}
	return nil
}

// gather appends the cursors at key that are in the heap at i and below.
func (w *walk) gather(i int, key Key) {
	if i < len(w.heap) && w.heap[i].key == key {
		w.from = append(w.from, w.heap[i])
		w.gather(2*i+1, key)
		w.gather(2*i+2, key)
	}
}

// sift puts the cursor at i of the heap into its place below.
func (w *walk) sift(i int) {
	h := w.heap
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if compareKeys(h[child].key, h[least].key) < 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// errs returns the errors of the parts, after each.
func (w *walk) errs() (all []error) {
	for _, c := range w.all {
		if !c.valid && c.err != nil {
			all = append(all, c.err)
		}
	}
	return all
}
