package blocklist

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// List is the blocks of a tenant as one poll found them. It is immutable and may be used concurrently.
type List struct {
	// Tenant is whose blocks they are.
	Tenant string
	// Live are the blocks that answer queries: newest first, by the start of their last row. Those
	// without rows, of which no time is known, come first of all.
	Live []*block.Meta
	// Retired are the blocks that answer no more and wait to be deleted, by ID.
	Retired []Retired
	// Damaged are the blocks whose meta.json can't be read, by ID: an answer may lack what they hold,
	// unless they are superseded.
	Damaged []Damaged
	// Unfinished are the folders without a meta.json, by ID. Only who lists knows them.
	Unfinished []Unfinished

	listed  []block.ID               // what was listed, nil if the list is from an index
	marks   map[block.ID]time.Time   // when blocks were dropped, if the list is from a listing; some are gone
	present map[block.ID]*block.Meta // live and retired
	retired map[block.ID]Retired     // the same as Retired
	extents []extent                 // of Live
	groups  []extent                 // of each groupSize of extents
	kin     *lineage                 // of present
}

// Retired is a block that answers no more queries.
type Retired struct {
	Meta *block.Meta
	// Since is when the owner first saw that it is retired.
	Since time.Time
	Cause Cause
}

// Cause is why a block is retired.
type Cause uint8

const (
	// Superseded by a block that has it among its Parents, or that was merged of the same ones.
	Superseded Cause = iota + 1
	// Dropped by retention: see Drop.
	Dropped
	// Orphaned is a block that was superseded by one that is not there any more. If the next listing
	// finds it so again it is live.
	Orphaned
	// Void is a block that was made of a dropped one. The others that it was made of serve in its place.
	Void
)

// String returns the cause in one word.
func (c Cause) String() string {
	switch c {
	case Superseded:
		return "superseded"
	case Dropped:
		return "dropped"
	case Orphaned:
		return "orphaned"
	case Void:
		return "void"
	}
	return "unknown"
}

// Damaged is a block whose meta.json can't be read.
type Damaged struct {
	ID block.ID
	// Err says why: a *page.CorruptError, or what the store answered. Of a block that an index
	// says is damaged, it is only the text.
	Err error
	// Since is when that was first found, Retry when it is read again, by who lists.
	Since, Retry time.Time
	// Tries is how often it was read, by this process.
	Tries int
	// Superseded is set if a block is there that has it among its Parents: then nothing is lacking.
	Superseded bool
}

// Unfinished is a folder without a meta.json: a block that is being written or deleted, or garbage.
type Unfinished struct {
	ID block.ID
	// Retry is when its meta.json is asked for again.
	Retry time.Time
}

// Diff is what a poll has changed.
type Diff struct {
	// Added are the blocks that are live now and were not.
	Added []*block.Meta
	// Removed are the blocks that were live and are not, ascending.
	Removed []block.ID
	// Damaged are the blocks that are damaged now and were not.
	Damaged []Damaged
	// Repaired are the blocks that were damaged and are not, or are gone.
	Repaired []block.ID
}

// Empty reports whether nothing has changed for a reader.
func (d Diff) Empty() bool {
	return len(d.Added)+len(d.Removed)+len(d.Damaged)+len(d.Repaired) == 0
}

// IsLive reports whether the block answers queries.
func (l *List) IsLive(id block.ID) bool {
	_, retired := l.retired[id]
	return !retired && l.present[id] != nil
}

// Meta returns the meta of a live or retired block, or nil.
func (l *List) Meta(id block.ID) *block.Meta { return l.present[id] }

// Bytes returns the length of all live blocks.
func (l *List) Bytes() (n int64) {
	for _, m := range l.Live {
		n += m.Bytes()
	}
	return n
}

// Overlapping returns the live blocks that may hold rows which start from from to to, both Unix nanoseconds and
// included, newest first. Blocks without rows are always among them.
func (l *List) Overlapping(from, to int64) iter.Seq[*block.Meta] {
	return l.within(extent{from, to, 0, math.MaxUint64})
}

// Holding is Overlapping, of the blocks whose range of keys has key in it.
func (l *List) Holding(key block.Key, from, to int64) iter.Seq[*block.Meta] {
	prefix := keyPrefix(key)
	return func(yield func(*block.Meta) bool) {
		for m := range l.within(extent{from, to, prefix, prefix}) {
			if bytes.Compare(m.MinKey[:], key[:]) <= 0 && bytes.Compare(key[:], m.MaxKey[:]) <= 0 && !yield(m) {
				return
			}
		}
	}
}

// extent is a range of starts and one of keys' first eight bytes.
type extent struct {
	minStart, maxStart int64
	minKey, maxKey     uint64
}

func (e *extent) meets(o *extent) bool {
	return e.maxStart >= o.minStart && e.minStart <= o.maxStart && e.maxKey >= o.minKey && e.minKey <= o.maxKey
}

// groupSize is the number of blocks that are passed over at once.
const groupSize = 64

// within goes through the extents that meet q. They are in descending order of maxStart: it ends where they
// are older than q. Groups in which nothing meets q, as those newer than it, are passed over.
func (l *List) within(q extent) iter.Seq[*block.Meta] {
	return func(yield func(*block.Meta) bool) {
		end := sort.Search(len(l.extents), func(i int) bool { return l.extents[i].maxStart < q.minStart })
		for begin := 0; begin < end; begin += groupSize {
			if !l.groups[begin/groupSize].meets(&q) {
				continue
			}
			for i := begin; i < min(begin+groupSize, end); i++ {
				if l.extents[i].meets(&q) && !yield(l.Live[i]) {
					return
				}
			}
		}
	}
}

func extentOf(m *block.Meta) extent {
	e := extent{m.MinStart, m.MaxStart, keyPrefix(m.MinKey), keyPrefix(m.MaxKey)}
	if m.Rows == 0 {
		e.minStart, e.maxStart = math.MinInt64, math.MaxInt64
	}
	return e
}

func keyPrefix(k block.Key) uint64 { return binary.BigEndian.Uint64(k[:8]) }

// newList returns an empty list to be filled and then finished.
func newList(tenant string) *List {
	return &List{Tenant: tenant, present: make(map[block.ID]*block.Meta), retired: make(map[block.ID]Retired), kin: &lineage{}}
}

// finish makes Live, Retired and what queries need out of present and retired, and puts all in order.
func (l *List) finish() *List {
	l.Live = make([]*block.Meta, 0, len(l.present)-len(l.retired))
	for id, m := range l.present {
		if _, retired := l.retired[id]; !retired {
			l.Live = append(l.Live, m)
		}
	}
	slices.SortFunc(l.Live, func(a, b *block.Meta) int {
		return cmp.Or(cmp.Compare(extentOf(b).maxStart, extentOf(a).maxStart), cmp.Compare(b.ID, a.ID))
	})
	l.extents = make([]extent, len(l.Live))
	for i, m := range l.Live {
		e := extentOf(m)
		l.extents[i] = e
		if i%groupSize == 0 {
			l.groups = append(l.groups, e)
			continue
		}
		g := &l.groups[len(l.groups)-1]
		g.minStart, g.maxStart = min(g.minStart, e.minStart), max(g.maxStart, e.maxStart)
		g.minKey, g.maxKey = min(g.minKey, e.minKey), max(g.maxKey, e.maxKey)
	}
	l.Retired = make([]Retired, 0, len(l.retired))
	for _, r := range l.retired {
		l.Retired = append(l.Retired, r)
	}
	slices.SortFunc(l.Retired, func(a, b Retired) int { return cmp.Compare(a.Meta.ID, b.Meta.ID) })
	slices.SortFunc(l.Damaged, func(a, b Damaged) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(l.Unfinished, func(a, b Unfinished) int { return cmp.Compare(a.ID, b.ID) })
	return l
}

func (l *List) damagedByID() map[block.ID]Damaged {
	byID := make(map[block.ID]Damaged, len(l.Damaged))
	for _, d := range l.Damaged {
		byID[d.ID] = d
	}
	return byID
}

// diff returns what has changed from l to next.
func (l *List) diff(next *List) (d Diff) {
	if l == next {
		return d
	}
	for _, m := range next.Live {
		if !l.IsLive(m.ID) {
			d.Added = append(d.Added, m)
		}
	}
	for _, m := range l.Live {
		if !next.IsLive(m.ID) {
			d.Removed = append(d.Removed, m.ID)
		}
	}
	slices.Sort(d.Removed)
	before, after := l.damagedByID(), next.damagedByID()
	for _, x := range next.Damaged {
		if _, known := before[x.ID]; !known {
			d.Damaged = append(d.Damaged, x)
		}
	}
	for _, x := range l.Damaged {
		if _, still := after[x.ID]; !still {
			d.Repaired = append(d.Repaired, x.ID)
		}
	}
	return d
}
