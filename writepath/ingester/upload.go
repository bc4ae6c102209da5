package ingester

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/page"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// The pauses between two tries to copy a block, and how long a try may take.
const (
	shortestPause = time.Second
	longestPause  = 30 * time.Second
	longestTry    = 10 * time.Minute
)

// uploads are the local blocks, and how far their copying is.
type uploads struct {
	surveying sync.Mutex // held by survey, before mu

	mu      sync.Mutex
	blocks  map[blockName]*upload
	waiting int64         // bytes of blocks that are not copied
	running int           // copies that are going on
	change  chan struct{} // closed and replaced when a block was copied or is gone
	wake    chan struct{} // wakes the loop
	copied  int64
	bytes   int64
	failed  int64
	dropped int64
	last    error // the last failure; nil after a success

	// After a failure nothing is tried until then, and then one block alone: most often the store is down for all.
	quietUntil time.Time
	quiet      time.Duration // how long that was the last time; 0 after a success
}

// upload is a local block.
type upload struct {
	name    blockName
	bytes   int64
	db      *tempodb.DB
	parents []block.ID

	running bool
	next    time.Time // of the next try
	pause   time.Duration
	// copied is when the block was known to be in the object store; the zero time if it is not known to be.
	copied time.Time
	// doubtful is that it must be looked for again, see confirm.
	doubtful bool
	err      error // of the last try
}

func (u *uploads) init() {
	u.blocks = make(map[blockName]*upload)
	u.change = make(chan struct{})
	u.wake = make(chan struct{}, 1)
}

// changed lets those who wait for a change look again. u.mu is held.
func (u *uploads) changed() {
	close(u.change)
	u.change = make(chan struct{})
}

func (u *uploads) nudge() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// adopt takes over the blocks that an earlier process has left: those that it copied are kept from now on as if they had been copied now.
func (i *Ingester) adopt(store *tracedb.Store) {
	i.survey(store)
	i.shortenLedger()
}

// shortenLedger forgets the copied blocks that are here no more.
func (i *Ingester) shortenLedger() {
	there := make(map[blockName]bool)
	i.uploads.mu.Lock()
	for name, u := range i.uploads.blocks {
		there[name] = true
		for _, parent := range u.parents {
			there[blockName{name.tenant, parent}] = true
		}
	}
	i.uploads.mu.Unlock()
	if err := i.ledger.keep(func(b blockName) bool { return there[b] }); err != nil {
		i.log.Warn("the list of copied blocks can't be shortened", "error", err)
	}
}

// survey finds out which blocks there are. One at a time: what an older look did not see must not count as gone after a newer one has.
func (i *Ingester) survey(store *tracedb.Store) {
	u := &i.uploads
	u.surveying.Lock()
	defer u.surveying.Unlock()
	there := make(map[blockName]bool)
	type found struct {
		db    *tempodb.DB
		metas []*block.Meta
	}
	all := make(map[string]found)
	store.Each(func(tenant string, db *tempodb.DB) { all[tenant] = found{db, db.Blocks()} })
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	for tenant, f := range all {
		for _, m := range f.metas {
			name := blockName{tenant, m.ID}
			there[name] = true
			if u.blocks[name] != nil {
				continue
			}
			b := &upload{name: name, bytes: m.Bytes(), db: f.db, parents: m.Parents}
			if i.wasCopied(b) {
				b.copied = now
			} else {
				u.waiting += b.bytes
			}
			u.blocks[name] = b
		}
	}
	gone := false
	for name, b := range u.blocks {
		if !there[name] && !b.running {
			if b.copied.IsZero() {
				u.waiting -= b.bytes
			}
			delete(u.blocks, name)
			gone = true
		}
	}
	if gone {
		u.changed()
	}
}

// wasCopied reports whether the list of copied blocks has the block, or the one that it was salvaged from: that one is whole in the object store, and what was saved
// of it would take its place there.
func (i *Ingester) wasCopied(b *upload) bool {
	return i.ledger.contains(b.name) ||
		slices.ContainsFunc(b.parents, func(id block.ID) bool { return i.ledger.contains(blockName{b.name.tenant, id}) })
}

// tend copies and drops blocks, and sees to it that memory and disk suffice, until Close.
func (i *Ingester) tend(store *tracedb.Store) {
	ticker := time.NewTicker(i.o.Tick)
	defer ticker.Stop()
	empty := make(map[*tempodb.DB]time.Time)
	for {
		i.survey(store)
		i.relieve(store)
		i.copyDue()
		i.dropDue()
		i.giveUpIdle(store, empty)
		select {
		case <-i.life.Done():
			return
		case <-ticker.C:
		case <-i.uploads.wake:
		}
	}
}

// copyDue begins to copy the oldest blocks that are due.
func (i *Ingester) copyDue() {
	u := &i.uploads
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	atOnce := i.o.Uploads
	if u.quiet > 0 {
		atOnce = 1
	}
	if u.running >= atOnce || now.Before(u.quietUntil) {
		return
	}
	var due []*upload
	for _, b := range u.blocks {
		if !b.running && (b.copied.IsZero() || b.doubtful) && !now.Before(b.next) {
			due = append(due, b)
		}
	}
	slices.SortFunc(due, func(a, b *upload) int {
		return cmp.Or(cmp.Compare(a.name.id, b.name.id), cmp.Compare(a.name.tenant, b.name.tenant))
	})
	for _, b := range due[:min(len(due), atOnce-u.running)] {
		b.running = true
		u.running++
		i.done.Go(func() { i.copy(b) })
	}
}

// copy copies a block, or finds out that it is there.
func (i *Ingester) copy(b *upload) {
	ctx, cancel := context.WithTimeout(i.life, longestTry)
	defer cancel()
	err := i.tryCopy(ctx, b)
	if page.IsCorrupt(err) && ctx.Err() == nil {
		// The others go on. What is saved of it is a block of its own, which the next survey finds.
		bad, failed := b.db.Inspect(ctx, b.name.id)
		i.losses.look(b.name.tenant, b.db)
		if failed != nil {
			err = errors.Join(err, failed)
		} else if bad {
			err = fmt.Errorf("it is set aside: %w", err)
		}
	}
	if !page.IsCorrupt(err) && i.life.Err() == nil {
		i.losses.store(err == nil)
	}
	u := &i.uploads
	u.mu.Lock()
	defer u.mu.Unlock()
	defer u.nudge()
	b.running = false
	u.running--
	now := time.Now()
	if b.err = err; err != nil {
		if i.life.Err() != nil {
			return
		}
		u.failed++
		u.last = err
		b.pause = min(max(2*b.pause, shortestPause), longestPause)
		b.next = now.Add(b.pause)
		if !page.IsCorrupt(err) {
			u.quiet = min(max(2*u.quiet, shortestPause), longestPause)
			u.quietUntil = now.Add(u.quiet)
		}
		i.log.Warn("block can't be copied to the object store; it stays here, and is tried again", "tenant", b.name.tenant, "block", b.name.id, "in", b.pause, "waiting_bytes", u.waiting, "error", err)
		return
	}
	u.last, u.quiet, u.quietUntil = nil, 0, time.Time{}
	b.pause = 0
	if b.doubtful { // it was there, or is there again
		b.copied, b.doubtful = now, false
		return
	}
	b.copied = now
	if b.doubtful = now.Sub(b.name.id.Time()) > youngAge; b.doubtful {
		b.next = now.Add(min(confirmAfter, i.o.Keep/2))
	}
	u.copied++
	u.bytes += b.bytes
	u.waiting -= b.bytes
	u.changed()
	i.log.Info("block copied to the object store", "tenant", b.name.tenant, "block", b.name.id, "bytes", b.bytes)
}

// A block that is younger than youngAge when its copying ends can't be taken for garbage while it is copied: see block.RemoveGarbage. Of an older one somebody may just
// have begun to delete what looked like an abandoned part of it, so it is looked for again after confirmAfter.
const (
	youngAge     = 6 * time.Hour
	confirmAfter = time.Minute
)

func (i *Ingester) tryCopy(ctx context.Context, b *upload) (err error) {
	span, ctx := tracing.Span(ctx, "upload", "tenant", b.name.tenant, "block", string(b.name.id), "bytes", b.bytes)
	defer func() { tracing.End(span, err) }()
	there, err := block.Replicated(ctx, i.o.Blocks, i.local, b.name.tenant, b.name.id)
	if err != nil {
		return err
	}
	for _, parent := range b.parents {
		if there {
			break
		}
		// It was salvaged from a block that was copied just before a crash.
		if _, err := block.ReadMeta(ctx, i.o.Blocks, b.name.tenant, parent); err == nil {
			there = true
		}
	}
	if !there {
		if err := block.Replicate(ctx, i.o.Blocks, i.local, b.name.tenant, b.name.id); err != nil {
			return err
		}
	}
	return i.ledger.add(b.name)
}

// dropDue drops the blocks that have been in the object store for long enough.
func (i *Ingester) dropDue() {
	u := &i.uploads
	now := time.Now()
	due := make(map[*tempodb.DB][]block.ID)
	u.mu.Lock()
	for _, b := range u.blocks {
		if !b.running && !b.copied.IsZero() && !b.doubtful && now.Sub(b.copied) >= i.o.Keep {
			due[b.db] = append(due[b.db], b.name.id)
		}
	}
	u.mu.Unlock()
	for db, ids := range due {
		if err := db.Drop(i.life, ids); err != nil {
			if i.life.Err() == nil {
				i.log.Warn("copied blocks can't be dropped; tried again", "blocks", ids, "error", err)
			}
			continue
		}
		u.mu.Lock()
		u.dropped += int64(len(ids))
		u.mu.Unlock()
	}
	u.mu.Lock()
	here := len(u.blocks)
	u.mu.Unlock()
	if i.ledger.size() > 2*here+1000 {
		i.shortenLedger()
	}
}

// Flush makes blocks of all that was pushed before the call, and returns when they are in the object store. It tries at once and as long as
// ctx lasts; its error then says what was in the way.
func (i *Ingester) Flush(ctx context.Context) error {
	store := i.store.Load()
	if store == nil {
		return i.Ready()
	}
	var cuts errgroup.Group
	cuts.SetLimit(2)
	store.Each(func(_ string, db *tempodb.DB) {
		cuts.Go(func() error {
			err := db.Cut(ctx)
			if errors.Is(err, tempodb.ErrClosed) && i.life.Err() == nil {
				return nil // it was empty, and is given up
			}
			return err
		})
	})
	if err := cuts.Wait(); err != nil {
		return fmt.Errorf("flush ingester %s: %w", i.o.Instance, err)
	}
	i.survey(store)
	u := &i.uploads
	wanted := u.pending(func(*upload) bool { return true })
	flushed := make(map[blockName]bool)
	for _, b := range wanted {
		flushed[b.name] = true
	}
	for {
		u.mu.Lock()
		wanted = slices.DeleteFunc(wanted, func(b *upload) bool { return !b.copied.IsZero() || u.blocks[b.name] != b })
		change, last := u.change, u.last
		u.mu.Unlock()
		if len(wanted) == 0 {
			// What was saved of one that turned out to be damaged is a block of its own.
			i.survey(store)
			if wanted = u.pending(func(b *upload) bool {
				return slices.ContainsFunc(b.parents, func(id block.ID) bool { return flushed[blockName{b.name.tenant, id}] })
			}); len(wanted) == 0 {
				return nil
			}
			continue
		}
		select {
		case <-change:
		case <-i.life.Done():
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("flush ingester %s: %d blocks are not copied yet: %w", i.o.Instance, len(wanted), errors.Join(ctx.Err(), last))
		}
	}
}

// pending returns the blocks that are not copied and of which is holds; they are due at once.
func (u *uploads) pending(is func(*upload) bool) (pending []*upload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, b := range u.blocks {
		if b.copied.IsZero() && is(b) {
			b.next = time.Time{}
			pending = append(pending, b)
		}
	}
	u.quietUntil = time.Time{}
	u.nudge()
	return pending
}
