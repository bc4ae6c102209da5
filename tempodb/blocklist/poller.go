package blocklist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// Options says how a Poller polls. The zero value reads and never writes.
type Options struct {
	// Owner is asked with each poll whether this process writes the index. Nil is never.
	Owner func() bool
	// Lists has every poll list, as an owner's does, and look at every folder without meta.json: for who is not to miss what was just
	// written. It writes no index.
	Lists bool
	// Writer names this process in the index, for a person to read.
	Writer string
	// Interval is the time between polls of Run, give or take a tenth; 30 s if zero.
	Interval time.Duration
	// Stale is how old an index may be for a reader to believe it; ten times Interval if zero. An owner writes an
	// index that says the same again when the last is a third as old.
	Stale time.Duration
	// Concurrency is how many metas are read at once; 16 if zero.
	Concurrency int
	// Now tells the time; time.Now if nil.
	Now func() time.Time
	// Logger is told of polls that fail; slog.Default if nil.
	Logger *slog.Logger
}

// maxVanished is how many blocks that a new index lacks are looked for one by one. More of them are found by listing.
const maxVanished = 16

// Poller keeps the list of a tenant's blocks. It may be used concurrently.
type Poller struct {
	bucket  backend.Bucket
	tenant  string
	options Options

	list  atomic.Pointer[List]
	asOf  atomic.Pointer[time.Time]
	stats stats

	mu    sync.Mutex    // of added
	added []*block.Meta // what Add gives a poll

	poll sync.Mutex // one at a time; of all below
	// seen is the header of the index object that was last read or written; nil before. since is when it was first seen.
	// applied is set if list has been made of just that.
	seen    *Header
	since   time.Time
	applied bool
	written *List     // the list that seen is of, if this process wrote it
	listed  time.Time // when it was last listed
}

// Stats counts what a Poller has done.
type Stats struct {
	Polls, Errors          int64
	Listings, MetaReads    int64
	IndexReads             int64 // requests
	IndexWrites, Fallbacks int64 // Fallbacks are listings by a reader
}

type stats struct {
	polls, errors, listings, metaReads, indexReads, indexWrites, fallbacks atomic.Int64
}

// NewPoller returns the poller of tenant. It knows no blocks until its first poll.
func NewPoller(bucket backend.Bucket, tenant string, o Options) (*Poller, error) {
	if err := block.CheckTenant(tenant); err != nil {
		return nil, err
	}
	o.Interval = cmp.Or(o.Interval, 30*time.Second)
	o.Stale = cmp.Or(o.Stale, 10*o.Interval)
	o.Concurrency = cmp.Or(o.Concurrency, 16)
	if o.Owner == nil {
		o.Owner = func() bool { return false }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := &Poller{bucket: bucket, tenant: tenant, options: o}
	p.list.Store(newList(tenant).finish())
	return p, nil
}

// List returns the blocks as they are known now: empty before the first poll.
func (p *Poller) List() *List { return p.list.Load() }

// AsOf returns a time on this process's clock: blocks that could be read at that time are in List, or are damaged there, or are deleted. It is when the
// latest listing began that looked at every folder, zero before there was one. No index moves it, however new: when its owner listed only the owner's clock
// knows, and clocks differ. What changes List after that takes no block out of it that is still needed.
func (p *Poller) AsOf() time.Time {
	if t := p.asOf.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Stats returns what the poller has done so far.
func (p *Poller) Stats() Stats {
	s := &p.stats
	return Stats{
		Polls: s.polls.Load(), Errors: s.errors.Load(), Listings: s.listings.Load(), MetaReads: s.metaReads.Load(),
		IndexReads: s.indexReads.Load(), IndexWrites: s.indexWrites.Load(), Fallbacks: s.fallbacks.Load(),
	}
}

// Add makes blocks that this process has written part of the list at once: they are live, their Parents superseded.
func (p *Poller) Add(metas ...*block.Meta) (*List, Diff) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.added = append(p.added, metas...)
	before := p.list.Load()
	s := situation{tenant: p.tenant, prev: before, added: metas, now: p.options.Now()}
	list := s.next(nil)
	p.list.Store(list)
	return list, before.diff(list)
}

// Poll finds out which blocks there are, and returns them and what has changed since the last poll or Add. With an error too the list is good: it is
// the one before, or, if only the index can't be written or a block not be found, the new one.
func (p *Poller) Poll(ctx context.Context) (*List, Diff, error) { return p.look(ctx, p.options.Lists) }

// Look is Poll, and lists whatever the index says, as Options.Lists has every poll do: without an error the list has every block that could be read
// when Look was called.
func (p *Poller) Look(ctx context.Context) (*List, Diff, error) { return p.look(ctx, true) }

func (p *Poller) look(ctx context.Context, lists bool) (*List, Diff, error) {
	p.poll.Lock()
	defer p.poll.Unlock()
	p.stats.polls.Add(1)
	list, diff, err := p.pollOnce(ctx, lists)
	if err != nil {
		p.stats.errors.Add(1)
		err = fmt.Errorf("poll the blocks of tenant %s: %w", p.tenant, err)
	}
	return list, diff, err
}

func (p *Poller) pollOnce(ctx context.Context, eager bool) (*List, Diff, error) {
	owner := p.options.Owner()
	p.mu.Lock()
	s := situation{tenant: p.tenant, prev: p.list.Load(), eager: eager, now: p.options.Now()}
	given := len(p.added) // what is added from here on may be missed
	p.mu.Unlock()

	found, err := p.lookAtIndex(ctx, s.prev, s.now)
	if err != nil {
		return s.prev, Diff{}, err
	}
	lists := owner || eager
	if !lists && found.believed && found.index == nil {
		p.remember(found)
		return s.prev, Diff{}, nil
	}
	s.index = found.index
	s.listing = lists || !found.believed
	if !s.listing && len(s.wanted()) > maxVanished {
		s.listing = true
	}
	if s.listing {
		if !lists {
			p.stats.fallbacks.Add(1)
		}
		if s.listed, s.marks, err = p.listFolders(ctx); err != nil {
			return s.prev, Diff{}, err
		}
	}
	read, err := p.readMetas(ctx, s.wanted())
	if err != nil {
		return s.prev, Diff{}, err
	}
	recent := s.now.Sub(p.listed) <= p.options.Stale
	if s.listing && someNewlyMissing(read, s.prev, recent) {
		// A block that was listed is not there. If that is because it was deleted meanwhile, its parents were deleted
		// before, and what was read of them is old.
		again, marks, err := p.listFolders(ctx)
		if err != nil {
			return s.prev, Diff{}, err
		}
		maps.Copy(s.marks, marks)
		s.listed = slices.DeleteFunc(s.listed, func(id block.ID) bool {
			_, there := slices.BinarySearch(again, id)
			return !there
		})
	}
	if len(s.prev.Retired) > 0 {
		again, err := p.readMetas(ctx, s.returning(s.next(read)))
		if err != nil {
			return s.prev, Diff{}, err
		}
		maps.Copy(read, again)
	}
	list, diff := p.apply(&s, read, given)
	if s.sawAll() {
		p.asOf.Store(&s.now) // after the list
	}
	if err := unsure(&s, read); err != nil {
		return list, diff, err // the next poll takes this index for new once more
	}
	p.remember(found)
	p.applied = !s.listing || owner
	if s.listing {
		p.listed = s.now
	}
	if owner {
		err = p.writeIndex(ctx, list, s.now)
	}
	return list, diff, err
}

// someNewlyMissing reports whether a block has no meta.json that was not known to be unfinished from a recent
// listing: then it can't have been finished, superseded and deleted since.
func someNewlyMissing(read map[block.ID]reading, prev *List, recent bool) bool {
	for id, r := range read {
		known := recent && slices.ContainsFunc(prev.Unfinished, func(u Unfinished) bool { return u.ID == id })
		if r.missing() && !known {
			return true
		}
	}
	return false
}

// unsure returns an error if it is not known whether a block that an index lacks is there. It is taken to be.
func unsure(s *situation, read map[block.ID]reading) error {
	for id, r := range read {
		if !s.listing && r.err != nil && !r.missing() {
			return fmt.Errorf("block %s, which the index does not know: %w", id, r.err)
		}
	}
	return nil
}

// apply makes the next list, with what other methods have given meanwhile.
func (p *Poller) apply(s *situation, read map[block.ID]reading, given int) (*List, Diff) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.list.Load()
	s.added, p.added = p.added[given:], nil
	list := s.next(read)
	p.list.Store(list)
	return list, before.diff(list)
}

func (p *Poller) listFolders(ctx context.Context) ([]block.ID, map[block.ID]time.Time, error) {
	p.stats.listings.Add(1)
	return listFolders(ctx, p.bucket, p.tenant)
}

// listFolders returns the IDs that have a folder, ascending, and when blocks were dropped.
func listFolders(ctx context.Context, bucket backend.Bucket, tenant string) ([]block.ID, map[block.ID]time.Time, error) {
	ids := []block.ID{}
	marks := make(map[block.ID]time.Time)
	err := bucket.List(ctx, tenant, func(name string) error {
		folder, ok := strings.CutSuffix(name, "/")
		if id, err := block.ParseID(folder); ok && err == nil {
			ids = append(ids, id)
		} else if id, at, ok := parseMark(name); ok {
			marks[id] = at // of several, the last
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list: %w", err)
	}
	return ids, marks, nil
}

// readMetas reads metas, the first ones first. The error is that of a context which is done.
func (p *Poller) readMetas(ctx context.Context, ids []block.ID) (map[block.ID]reading, error) {
	p.stats.metaReads.Add(int64(len(ids)))
	read := make(map[block.ID]reading, len(ids))
	var mu sync.Mutex
	inParallel(p.options.Concurrency, ids, func(id block.ID) {
		if ctx.Err() != nil {
			return
		}
		m, err := block.ReadMeta(ctx, p.bucket, p.tenant, id)
		mu.Lock()
		defer mu.Unlock()
		read[id] = reading{m, err}
	})
	return read, ctx.Err()
}

// inParallel calls fn with each item, up to n at once, and returns when all calls have.
func inParallel[T any](n int, items []T, fn func(T)) {
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(items)); i = next.Add(1) - 1 {
			fn(items[i])
		}
	}
	var wg sync.WaitGroup
	for range min(n, len(items)) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// Run polls until ctx is done, at once and then at intervals, and calls onChange after each poll that has changed something for a reader,
// with the list and what has changed. It returns when the poll under way and onChange have: who starts it in a goroutine cancels ctx and waits.
func (p *Poller) Run(ctx context.Context, onChange func(*List, Diff)) {
	for {
		list, diff, err := p.Poll(ctx)
		if err != nil && ctx.Err() == nil {
			p.options.Logger.Error("the blocks in the object store can't be polled; the list stays as it is until the next poll", "tenant", p.tenant, "error", err)
		}
		if !diff.Empty() {
			onChange(list, diff)
		}
		jitter := time.Duration((rand.Float64() - 0.5) / 5 * float64(p.options.Interval))
		timer := time.NewTimer(p.options.Interval + jitter)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// errIndexWrite is wrapped by the error of a poll that could not write the index.
var errIndexWrite = errors.New("the index of blocks can't be written; readers list by themselves")
