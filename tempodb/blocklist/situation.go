package blocklist

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

const (
	// A meta that can't be read is read again after firstRetry, then after twice as long, and so on.
	firstRetry, lastRetry = 10 * time.Second, 10 * time.Minute
	// A folder without meta.json is looked at again after the eighth part of its age: a young
	// one, which most likely is being written, with every poll.
	unfinishedShare, unfinishedRetry = 8, 5 * time.Minute
)

// situation is what a poll knows when it decides: what to read, and, with that read, what the blocks are.
type situation struct {
	tenant string
	// prev is what was known before.
	prev *List
	// index is what was read of the index object; nil if that is not new or not to be had.
	index *Index
	// listed are the folders found by listing, ascending. If listing is false there was none: which blocks there are
	// says index, or prev if that is nil too.
	listing bool
	listed  []block.ID
	// marks are when blocks were dropped, as found by that listing.
	marks map[block.ID]time.Time
	// eager has folders without meta.json be looked at whenever there is a listing.
	eager bool
	// added are blocks that this process has written meanwhile.
	added []*block.Meta
	now   time.Time

	past *lineage // of all that was known and is: see becameVoid
}

// reading is what came of reading a meta.json.
type reading struct {
	meta *block.Meta
	err  error
}

func (r reading) missing() bool { return errors.Is(r.err, backend.ErrNotExist) }

// wanted returns the blocks whose meta.json has to be read, newest first: so that children are mostly read before their parents.
func (s *situation) wanted() []block.ID {
	var ids []block.ID
	if s.listing {
		retry := s.retries()
		for _, id := range s.listed {
			if s.known(id) == nil && !retry[id].After(s.now) {
				ids = append(ids, id)
			}
		}
	} else {
		// Live, and not in the index: gone, or the index is older than what is known here. The store knows.
		for _, m := range s.prev.Live {
			if s.index.present[m.ID] == nil {
				ids = append(ids, m.ID)
			}
		}
		// Retired, and not in the index, which has a parent of it live: without it that would come back.
		for _, r := range s.prev.Retired {
			if s.index.present[r.Meta.ID] == nil && slices.ContainsFunc(r.Meta.Parents, s.index.isLive) {
				ids = append(ids, r.Meta.ID)
			}
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids
}

// known returns the meta of a block if it has been read before, by this process or by the owner. Metas never change.
func (s *situation) known(id block.ID) *block.Meta {
	if m := s.prev.present[id]; m != nil {
		return m
	}
	if s.index != nil {
		return s.index.present[id]
	}
	return nil
}

// returning returns the blocks that a listing, of which next is what it comes to, makes serve again. Their deletion may have begun: then
// their folder is there, but their meta.json, which was read long ago, is not.
func (s *situation) returning(next *List) (ids []block.ID) {
	if !s.listing {
		return nil // the owner has looked
	}
	for _, r := range s.prev.Retired {
		if next.IsLive(r.Meta.ID) {
			ids = append(ids, r.Meta.ID)
		}
	}
	return ids
}

func (s *situation) retries() map[block.ID]time.Time {
	retry := make(map[block.ID]time.Time)
	for _, d := range s.prev.Damaged {
		retry[d.ID] = d.Retry
	}
	if !s.eager {
		for _, u := range s.prev.Unfinished {
			retry[u.ID] = u.Retry
		}
	}
	return retry
}

// sawAll reports whether every block is known that could be read when this poll began: no folder that was listed is left for later.
func (s *situation) sawAll() bool {
	if !s.listing {
		return false
	}
	return s.eager || !slices.ContainsFunc(s.prev.Unfinished, func(u Unfinished) bool { return u.Retry.After(s.now) })
}

// unchanged reports whether the next list is the one before, without the work of making it.
func (s *situation) unchanged(read map[block.ID]reading) bool {
	if !s.listing || s.prev.listed == nil || s.index != nil || len(read)+len(s.added) > 0 || !slices.Equal(s.listed, s.prev.listed) || !maps.Equal(s.marks, s.prev.marks) {
		return false
	}
	return !slices.ContainsFunc(s.prev.Retired, func(r Retired) bool { return r.Cause == Orphaned })
}

// next returns the blocks there are, given what came of reading those that were wanted.
func (s *situation) next(read map[block.ID]reading) *List {
	if s.unchanged(read) {
		return s.prev
	}
	s.past = nil
	l := newList(s.tenant)
	switch {
	case s.listing:
		l.listed, l.marks = s.listed, s.marks
		s.fromListing(l, read)
	case s.index != nil:
		s.fromIndex(l, read)
	default:
		l.listed, l.marks, l.Damaged, l.Unfinished = s.prev.listed, s.prev.marks, slices.Clone(s.prev.Damaged), slices.Clone(s.prev.Unfinished)
		maps.Copy(l.present, s.prev.present)
	}
	for _, m := range s.added {
		l.present[m.ID] = m
	}
	l.Damaged = slices.DeleteFunc(l.Damaged, func(d Damaged) bool { return l.present[d.ID] != nil })
	l.Unfinished = slices.DeleteFunc(l.Unfinished, func(u Unfinished) bool { return l.present[u.ID] != nil })
	s.retire(l)
	return l.finish()
}

func (s *situation) fromListing(l *List, read map[block.ID]reading) {
	damaged := make(map[block.ID]Damaged)
	if s.index != nil {
		for _, d := range s.index.Damaged {
			damaged[d.ID] = d
		}
	}
	for _, d := range s.prev.Damaged {
		damaged[d.ID] = d
	}
	retry := s.retries()
	for _, id := range s.listed {
		before, wasDamaged := damaged[id]
		r, wasRead := read[id]
		if m := s.known(id); m != nil && !r.missing() {
			l.present[id] = m
			continue
		}
		switch {
		case !wasRead && wasDamaged:
			l.Damaged = append(l.Damaged, before)
		case !wasRead:
			l.Unfinished = append(l.Unfinished, Unfinished{id, retry[id]})
		case r.err == nil:
			l.present[id] = r.meta
		case r.missing():
			pause := min(max(s.now.Sub(id.Time())/unfinishedShare, 0), unfinishedRetry)
			l.Unfinished = append(l.Unfinished, Unfinished{id, s.now.Add(pause)})
		default:
			if !wasDamaged {
				before = Damaged{ID: id, Since: s.now}
			}
			before.Err = r.err
			before.Retry = s.now.Add(min(firstRetry<<min(before.Tries, 10), lastRetry))
			before.Tries++
			l.Damaged = append(l.Damaged, before)
		}
	}
}

func (s *situation) fromIndex(l *List, read map[block.ID]reading) {
	for id, m := range s.index.present {
		l.present[id] = m
		if known := s.prev.present[id]; known != nil {
			l.present[id] = known // one copy in memory
		}
	}
	for id, r := range read {
		// If the store does not say that it is gone, it is there.
		if m := s.prev.present[id]; m != nil && !r.missing() {
			l.present[id] = m
		}
	}
	l.Damaged = slices.Clone(s.index.Damaged)
}

// retire decides which of the blocks that are there answer no more.
func (s *situation) retire(l *List) {
	others := make(map[block.ID]bool)
	for _, d := range l.Damaged {
		others[d.ID] = true
	}
	for _, u := range l.Unfinished {
		others[u.ID] = true
	}
	dropped, void := s.knownDropped(l)
	l.kin = newLineage(l.present, others, dropped, void)
	for i := range l.Damaged {
		l.Damaged[i].Superseded = len(l.kin.heirs[l.Damaged[i].ID]) > 0
	}
	for id, m := range l.present {
		before, was := s.before(id)
		r := Retired{Meta: m, Since: s.now}
		switch {
		case len(l.kin.heirs[id]) > 0:
			r.Cause = Superseded
		case dropped[id]:
			r.Cause = Dropped
			if at, marked := l.marks[id]; marked && !was {
				r.Since = at
			}
		case l.kin.void[id]:
			r.Cause = Void
		case l.kin.bared[id], before.Cause == Void:
			continue // what it was given up for is not what it seemed: it is needed now
		case was && s.listing && (before.Cause == Orphaned || s.becameVoid(l, id)):
			continue // two listings agree, or it is known why the child was deleted
		case was:
			// The child may have been deleted while this listing was made, after the parent, which is then no more
			// there. Otherwise the next listing finds the parent again.
			r.Cause = Orphaned
		default:
			continue
		}
		if was && before.Cause != Orphaned {
			r.Since = before.Since
		}
		l.retired[id] = r
	}
}

// becameVoid reports whether all that superseded a block has become void since, and is deleted already.
func (s *situation) becameVoid(l *List, id block.ID) bool {
	if s.past == nil {
		all := maps.Clone(s.prev.present)
		maps.Copy(all, l.present)
		dropped, void := s.knownDropped(l)
		s.past = newLineage(all, nil, dropped, void)
	}
	return s.past.bared[id] && len(s.past.heirs[id]) == 0
}

// knownDropped returns the blocks that are known to be dropped, and those that are known to be void without a look at what they are made of. Who
// lists has the marks; who does not takes the owner's word.
func (s *situation) knownDropped(l *List) (dropped, void map[block.ID]bool) {
	dropped, void = make(map[block.ID]bool), make(map[block.ID]bool)
	if s.listing {
		for id := range s.marks {
			dropped[id] = true
		}
		return dropped, void
	}
	for id := range l.present {
		switch before, _ := s.before(id); before.Cause {
		case Dropped:
			dropped[id] = true
		case Void:
			void[id] = true
		}
	}
	for id := range l.marks { // of blocks that are gone
		dropped[id] = true
	}
	return dropped, void
}

// before returns how a block was retired, as far as was known.
func (s *situation) before(id block.ID) (Retired, bool) {
	ours, known := s.prev.retired[id]
	if s.index == nil {
		return ours, known
	}
	theirs, said := s.index.retired[id]
	switch {
	case !said && !s.listing && s.index.present[id] != nil:
		return Retired{}, false // the owner has found it live again
	case !said:
		return ours, known
	case !known:
		return theirs, true
	}
	if theirs.Since.Before(ours.Since) {
		ours.Since = theirs.Since
	}
	if !s.listing {
		ours.Cause = theirs.Cause // the owner has the marks
	}
	return ours, true
}
