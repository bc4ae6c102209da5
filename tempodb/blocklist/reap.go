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
	"github.com/jaeger-tempo/tempo/tempodb/page"
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
// that its poller has listed, which an owner's is, and no older than a poll: what was dropped since may have made blocks void.
//
// A superseded block is deleted only after the meta of a block that supersedes it has been read again, a void one after those of the
// blocks that serve in its place. Reap may be called by two processes at once: what it would delete too much is gone already.
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
	inParallel(o.Concurrency, uselessMarks(list, o), func(id block.ID) {
		name := list.Tenant + "/" + markName(id, list.marks[id])
		if err := bucket.Delete(ctx, name); err != nil {
			r.fail(fmt.Errorf("object %s: %w", name, err))
		}
	})
	return deleted, errors.Join(r.errs...)
}

// reapStep is the deletion of one block.
type reapStep struct {
	id   block.ID
	meta *block.Meta // if there is one
	kind reapKind
	// after are the blocks that must be gone before: those that it keeps from serving.
	after []block.ID
	// witnesses are the blocks of which one must still be there, of a superseded one: those that supersede it. Of a void one
	// they are those that serve in its place, and all must be there.
	witnesses []block.ID
}

type reapKind uint8

const (
	reapSuperseded reapKind = iota + 1
	reapDropped
	reapRest      // what is left of a block whose deletion did not come to its end
	reapAbandoned // garbage of a writer
	reapVoid
)

// reapSteps returns what is to be deleted, in waves: all of one may be deleted at once when the wave before is gone.
func reapSteps(l *List, o ReapOptions) [][]reapStep {
	steps := make(map[block.ID]*reapStep)
	for _, r := range l.Retired {
		if o.Now.Sub(r.Since) < o.Grace || r.Cause == Orphaned {
			continue
		}
		s := &reapStep{id: r.Meta.ID, meta: r.Meta, kind: reapDropped}
		switch r.Cause {
		case Superseded:
			s.kind, s.witnesses = reapSuperseded, l.heirsOf(s.id)
		case Void:
			s.kind = reapVoid
			for _, id := range r.Meta.Parents {
				if !l.kin.dropped[id] && !l.kin.void[id] {
					s.witnesses = append(s.witnesses, id)
				}
			}
		}
		slices.Sort(s.witnesses)
		steps[s.id] = s
	}
	for _, d := range l.Damaged {
		if d.Superseded && page.IsCorrupt(d.Err) && o.Now.Sub(d.Since) >= o.Grace {
			// It can't be read, and need not be any more.
			steps[d.ID] = &reapStep{id: d.ID, kind: reapSuperseded, witnesses: l.heirsOf(d.ID)}
		}
	}
	for _, u := range l.Unfinished {
		if _, dropped := l.marks[u.ID]; dropped || len(l.kin.heirs[u.ID]) > 0 {
			// It was whole once. If it still has no meta.json its deletion has begun, which is after its own parents'.
			steps[u.ID] = &reapStep{id: u.ID, kind: reapRest}
		} else if abandoned(u.ID, o) {
			steps[u.ID] = &reapStep{id: u.ID, kind: reapAbandoned}
		}
	}
	before := l.goneBefore()
	// A block's wave is the one after those of the blocks that go before. Unless all of these can be deleted, nor can it.
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
		for _, first := range before[id] {
			fw := wave(first)
			if fw < 0 {
				w = never
				break
			}
			w = max(w, fw+1)
		}
		s.after = before[id]
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

// heirsOf returns which blocks supersede one, ascending.
func (l *List) heirsOf(id block.ID) (ids []block.ID) {
	for _, heir := range l.kin.heirs[id] {
		ids = append(ids, heir.ID)
	}
	slices.Sort(ids)
	return ids
}

// abandoned reports whether a folder without meta.json is so old that nobody writes it any more.
func abandoned(id block.ID, o ReapOptions) bool { return id.Time().Before(o.Now.Add(-o.Abandoned)) }

// goneBefore returns of each block those that must be deleted before it, since they would serve again without it: what it
// supersedes; what is void for being made of it, or beside which it has to serve; and what counts as dropped because it is.
func (l *List) goneBefore() map[block.ID][]block.ID {
	before := make(map[block.ID][]block.ID)
	for id, heirs := range l.kin.heirs {
		for _, heir := range heirs {
			before[heir.ID] = append(before[heir.ID], id)
		}
	}
	for id, r := range l.retired {
		if via, ok := l.kin.via[id]; ok {
			before[via] = append(before[via], id)
		}
		if r.Cause == Void {
			for _, parent := range r.Meta.Parents {
				before[parent] = append(before[parent], id)
				for via, ok := l.kin.via[parent]; ok; via, ok = l.kin.via[via] {
					before[via] = append(before[via], id)
				}
			}
		}
	}
	for id, ids := range before {
		slices.Sort(ids)
		before[id] = slices.Compact(ids)
	}
	return before
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
	r.gone[s.id] = done
	r.mu.Unlock()
	if err != nil {
		r.fail(err)
	}
}

func (r *reaper) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errs) < maxReapErrors {
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
	case reapVoid:
		for _, id := range s.witnesses {
			if _, err := r.meta(ctx, id); err != nil {
				return false, fmt.Errorf("void block %s of tenant %s is kept: block %s, which is to serve in its place, can't be read: %w", s.id, r.tenant, id, err)
			}
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

// witness makes sure that a block which stands for the step's is there now.
func (r *reaper) witness(ctx context.Context, s reapStep) (there bool, err error) {
	for _, id := range s.witnesses {
		m, e := r.meta(ctx, id)
		if e == nil && (slices.Contains(m.Parents, s.id) || s.meta != nil && areTwins(m, s.meta)) {
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

// meta reads a meta once in a Reap, and makes sure that the block's data is there: until a block's parents are gone nobody deletes it.
func (r *reaper) meta(ctx context.Context, id block.ID) (*block.Meta, error) {
	r.mu.Lock()
	m := r.metas[id]
	r.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := block.ReadMeta(ctx, r.bucket, r.tenant, id)
	if err == nil {
		hollow, _, failed := block.Hollow(ctx, r.bucket, r.tenant, id)
		if err = failed; hollow {
			err = fmt.Errorf("block %s has a meta.json, but no data: move its folder away", id)
		}
	}
	if err == nil {
		r.mu.Lock()
		r.metas[id] = m
		r.mu.Unlock()
	}
	return m, err
}
