package blocklist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// ReapOptions says what Reap may delete. Now must be set.
type ReapOptions struct {
	Now time.Time
	// Grace is how long a block has been retired before it is deleted: longer than anybody uses a list that is older; see the
	// package's promises.
	Grace time.Duration
	// Abandoned is the age at which a folder without meta.json is garbage: longer than any writer writes. 24 h if zero.
	Abandoned time.Duration
	// Concurrency is how many blocks are deleted at once; 8 if zero.
	Concurrency int
}

// Reap deletes the blocks of a list that have been retired for long enough, parents before their children, and garbage. It
// returns what it has deleted, also with an error; what failed, it tries again the next time. The list must be one
// that its poller has listed, which an owner's is.
//
// A superseded block is deleted only after the meta of a block that supersedes it has been read again. Reap may
// be called by two processes at once, and with an old list: what it would delete too much is gone already.
func Reap(ctx context.Context, bucket backend.Bucket, list *List, o ReapOptions) (deleted []block.ID, err error) {
	if list.listed == nil {
		return nil, fmt.Errorf("delete blocks of tenant %s: the list was read from an index; only who lists may delete", list.Tenant)
	}
	o.Abandoned, o.Concurrency = cmp.Or(o.Abandoned, 24*time.Hour), cmp.Or(o.Concurrency, 8)
	r := reaper{bucket: bucket, tenant: list.Tenant, gone: make(map[block.ID]bool), metas: make(map[block.ID]*block.Meta)}
	for _, wave := range reapSteps(list, o) {
		if err := ctx.Err(); err != nil {
			r.errs = append(r.errs, err)
			break
		}
		inParallel(o.Concurrency, wave, func(s reapStep) { r.do(ctx, s) })
		for _, s := range wave {
			if r.gone[s.id] {
				deleted = append(deleted, s.id)
			}
		}
	}
	return deleted, errors.Join(r.errs...)
}

// reapStep is the deletion of one block.
type reapStep struct {
	id   block.ID
	kind reapKind
	// after are the blocks that must be gone before: those of its parents that are there.
	after []block.ID
	// witnesses are the blocks that supersede it, one of which must still be there.
	witnesses []block.ID
}

type reapKind uint8

const (
	reapSuperseded reapKind = iota + 1
	reapDropped
	reapRest      // what is left of a block whose deletion did not come to its end
	reapAbandoned // garbage of a writer
)

// reapSteps returns what is to be deleted, in waves: all of one may be deleted at once when the wave before is gone.
func reapSteps(l *List, o ReapOptions) [][]reapStep {
	steps := make(map[block.ID]*reapStep)
	for _, r := range l.Retired {
		if o.Now.Sub(r.Since) < o.Grace || r.Cause == Orphaned {
			continue
		}
		s := &reapStep{id: r.Meta.ID, kind: reapDropped}
		if r.Cause == Superseded {
			s.kind = reapSuperseded
			for _, child := range l.parents[s.id] {
				s.witnesses = append(s.witnesses, child.ID)
			}
			slices.Sort(s.witnesses)
		}
		steps[s.id] = s
	}
	for _, u := range l.Unfinished {
		if len(l.parents[u.ID]) > 0 {
			// It was whole once. If it still has no meta.json its deletion has begun, which is after its own parents'.
			steps[u.ID] = &reapStep{id: u.ID, kind: reapRest}
		} else if u.ID.Time().Before(o.Now.Add(-o.Abandoned)) {
			steps[u.ID] = &reapStep{id: u.ID, kind: reapAbandoned}
		}
	}
	there := make(map[block.ID]bool)
	for _, d := range l.Damaged {
		there[d.ID] = true
	}
	for _, u := range l.Unfinished {
		there[u.ID] = true
	}
	// A block's wave is the one after those of its parents. Unless all of these can be deleted, nor can it.
	const never, looking = -1, -2
	waveOf := make(map[block.ID]int)
	var wave func(id block.ID) int
	wave = func(id block.ID) int {
		if w, known := waveOf[id]; known {
			return w // looking, if the blocks supersede each other in a circle
		}
		s := steps[id]
		if s == nil {
			return never
		}
		waveOf[id] = looking
		w := 0
		if m := l.present[id]; m != nil {
			for _, parent := range m.Parents {
				if parent == id || l.present[parent] == nil && !there[parent] {
					continue
				}
				pw := wave(parent)
				if pw < 0 {
					w = never
					break
				}
				w = max(w, pw+1)
				s.after = append(s.after, parent)
			}
		}
		waveOf[id] = w
		return w
	}
	var waves [][]reapStep
	for id, s := range steps {
		w := wave(id)
		if w < 0 {
			continue
		}
		for len(waves) <= w {
			waves = append(waves, nil)
		}
		waves[w] = append(waves[w], *s)
	}
	for _, steps := range waves {
		slices.SortFunc(steps, func(a, b reapStep) int { return cmp.Compare(a.id, b.id) })
	}
	return waves
}

// maxReapErrors is how many errors of one Reap are told: the others will be the same.
const maxReapErrors = 8

type reaper struct {
	bucket backend.Bucket
	tenant string

	mu    sync.Mutex
	gone  map[block.ID]bool
	metas map[block.ID]*block.Meta
	errs  []error
}

func (r *reaper) do(ctx context.Context, s reapStep) {
	done, err := r.delete(ctx, s)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone[s.id] = done
	if err != nil && len(r.errs) < maxReapErrors {
		r.errs = append(r.errs, err)
	}
}

func (r *reaper) delete(ctx context.Context, s reapStep) (done bool, err error) {
	r.mu.Lock()
	blocked := slices.ContainsFunc(s.after, func(id block.ID) bool { return !r.gone[id] })
	r.mu.Unlock()
	select {
	case <-ctx.Done():
		return false, nil // who called says so, once
	default:
	}
	if blocked {
		return false, nil
	}
	switch s.kind {
	case reapSuperseded:
		if there, err := r.witness(ctx, s); !there {
			return false, err
		}
	case reapRest, reapAbandoned:
		// Since the list was made it may have been finished, and then it may have parents.
		_, err := block.ReadMeta(ctx, r.bucket, r.tenant, s.id)
		if !errors.Is(err, backend.ErrNotExist) {
			return false, err
		}
	}
	if err := block.Delete(ctx, r.bucket, r.tenant, s.id); err != nil {
		return false, err
	}
	return true, nil
}

// witness makes sure that a block which has the step's among its parents is there now.
func (r *reaper) witness(ctx context.Context, s reapStep) (there bool, err error) {
	for _, id := range s.witnesses {
		m, e := r.meta(ctx, id)
		if e == nil && slices.Contains(m.Parents, s.id) {
			return true, nil
		}
		err = e
	}
	_, e := block.ReadMeta(ctx, r.bucket, r.tenant, s.id)
	switch {
	case errors.Is(e, backend.ErrNotExist):
		return false, nil // another process has deleted both
	case e != nil:
		return false, e
	}
	return false, fmt.Errorf("block %s of tenant %s is kept: no block that supersedes it can be read: %w", s.id, r.tenant, err)
}

// meta reads a meta once in a Reap: until a block's parents are gone nobody deletes it.
func (r *reaper) meta(ctx context.Context, id block.ID) (*block.Meta, error) {
	r.mu.Lock()
	m := r.metas[id]
	r.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := block.ReadMeta(ctx, r.bucket, r.tenant, id)
	if err == nil {
		r.mu.Lock()
		r.metas[id] = m
		r.mu.Unlock()
	}
	return m, err
}
