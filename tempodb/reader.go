package tempodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/blocklist"
	"github.com/jaeger-tempo/tempo/tempodb/cache"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// ReaderOptions says what a Reader reads. Bucket, Name and Codec are required.
type ReaderOptions struct {
	// Bucket holds the blocks, under the folder Name.
	Bucket backend.Bucket
	// CacheBytes bounds the memory of a cache of the Reader's own for what it reads of blocks; DefaultCacheBytes if zero. There is none if
	// it is negative, if the Bucket has one, which may have more tiers and serve others too (cache.Cache.Over), nor over a directory
	// (local.Bucket), for which the operating system has one.
	CacheBytes int64
	// Shelf bounds the memory of what is kept open of blocks. Readers may share it; nil is one of block.DefaultShelfBytes.
	Shelf *block.Shelf
	// Name is the database's name in the bucket: a tenant's.
	Name string
	// Codec says what values mean.
	Codec Codec
	// PollEvery is about how long a new block takes to be seen; 30 s if zero. If it is negative only Poll looks, and a query that meets a block
	// which is gone.
	PollEvery time.Duration
	// Listing finds blocks by listing them, and so at once, also where there is an index of them that is fresh.
	Listing bool
	// Logger is told of polls that fail; nil is silence.
	Logger *slog.Logger
}

// DefaultCacheBytes is the memory of a Reader's cache.
const DefaultCacheBytes = 64 << 20

// Reader answers queries about the blocks of a database that other processes write. What is not in a block yet it does not see. An answer that may
// lack something, also because the meta.json of a block is damaged, comes with a *PartialError. A Reader may be used by any number of goroutines.
type Reader struct {
	asked  queries
	bucket backend.Bucket
	cache  *cache.Cache // nil if it has none of its own
	poller *blocklist.Poller

	follow sync.Mutex      // held to make the view that of a list
	shown  *blocklist.List // that the view is of

	looking sync.Mutex // of look
	look    *look      // nil if there is none
	life    context.Context
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// OpenReader opens a database for reading. When it returns the blocks that are there answer.
func OpenReader(ctx context.Context, o ReaderOptions) (*Reader, error) {
	if o.Bucket == nil || o.Name == "" || o.Codec == nil {
		return nil, errors.New("open database for reading: Bucket, Name and Codec are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Shelf == nil {
		o.Shelf = block.NewShelf(block.DefaultShelfBytes)
	}
	options := blocklist.Options{Interval: max(o.PollEvery, 0), Logger: o.Logger}
	if o.Listing {
		options.Stale = 1 // ns: no index is so fresh
	}
	poller, err := blocklist.NewPoller(o.Bucket, o.Name, options)
	if err != nil {
		return nil, fmt.Errorf("open database %s for reading: %w", o.Name, err)
	}
	r := &Reader{asked: queries{codec: o.Codec, shelf: o.Shelf}, bucket: o.Bucket, poller: poller}
	if o.needsCache() {
		if r.cache, err = cache.New(cache.Options{MemoryBytes: o.CacheBytes, Logger: o.Logger}); err != nil {
			return nil, fmt.Errorf("open database %s for reading: %w", o.Name, err)
		}
		r.bucket = r.cache.Over(o.Bucket, "")
	}
	r.asked.view.Store(&view{})
	if err := r.Poll(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s for reading: %w", o.Name, err), r.closeCache())
	}
	r.life, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	if o.PollEvery < 0 {
		return r, nil
	}
	r.done.Go(func() { poller.Run(r.life, func(*blocklist.List, blocklist.Diff) { r.show() }) })
	return r, nil
}

func (o *ReaderOptions) needsCache() bool {
	switch o.Bucket.(type) {
	case *cache.Bucket, *local.Bucket:
		return false
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	return o.CacheBytes > 0
}

func (r *Reader) closeCache() error {
	if r.cache == nil {
		return nil
	}
	return r.cache.Close()
}

// Poll looks now which blocks there are.
func (r *Reader) Poll(ctx context.Context) error {
	_, _, err := r.poller.Poll(ctx)
	if err == nil {
		r.show()
	}
	return err
}

// AsOf returns a time on this process's clock: questions that are asked from now on see every block that could be read at that time. It is zero
// while blocks were not listed yet, but found in an index.
func (r *Reader) AsOf() time.Time {
	asOf := r.poller.AsOf() // before the list is looked at, which may be newer
	r.show()
	return asOf
}

// CatchUp makes AsOf no earlier than t, and lists the blocks if it must. Callers at the same time share a listing where it is good for them, and its error.
func (r *Reader) CatchUp(ctx context.Context, t time.Time) error {
	for {
		r.looking.Lock()
		if r.asked.closed.Load() {
			r.looking.Unlock()
			return ErrClosed
		}
		l := r.look
		if l == nil {
			if asOf := r.poller.AsOf(); !asOf.IsZero() && !asOf.Before(t) {
				r.looking.Unlock()
				r.show()
				return nil
			}
			l = &look{began: time.Now(), done: make(chan struct{})}
			r.look = l
			// For all who wait for it, whatever becomes of the first.
			r.done.Go(func() { r.lookNow(l) })
		}
		r.looking.Unlock()
		select {
		case <-l.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if l.err != nil && !l.began.Before(t) {
			return l.err
		}
	}
}

// look is a CatchUp under way.
type look struct {
	began time.Time
	done  chan struct{} // closed when err is there
	err   error
}

func (r *Reader) lookNow(l *look) {
	if _, _, l.err = r.poller.Look(r.life); l.err == nil {
		r.show()
	}
	r.looking.Lock()
	r.look = nil
	r.looking.Unlock()
	close(l.done)
}

// show makes the view that of the newest list. Blocks that stay keep what is open of them.
func (r *Reader) show() {
	r.follow.Lock()
	defer r.follow.Unlock()
	list := r.poller.List()
	if list == r.shown {
		return
	}
	r.shown = list
	known := make(map[block.ID]*block.Block)
	for _, b := range r.asked.view.Load().blocks {
		known[b.Meta().ID] = b
	}
	next := &view{}
	for _, m := range list.Live {
		b := known[m.ID]
		if b == nil {
			b = block.New(r.bucket, m, r.asked.codec)
		}
		next.blocks = append(next.blocks, b)
	}
	for _, d := range list.Damaged {
		if !d.Superseded {
			next.lacks = append(next.lacks, fmt.Errorf("block %s of tenant %s: %w", d.ID, list.Tenant, d.Err))
		}
	}
	// A view of blocks alone needs no retiring: who deletes blocks waits for the readers of other processes in any case.
	r.asked.change.Lock()
	defer r.asked.change.Unlock()
	r.asked.serve(next)
}

// List returns the blocks as they were found last.
func (r *Reader) List() *blocklist.List { return r.poller.List() }

// Blocks returns the blocks that answer, the newest first. They stay usable after they have been replaced, while they are not deleted.
func (r *Reader) Blocks() []*block.Block { return slices.Clone(r.asked.view.Load().blocks) }

// ask asks, and asks once more after a poll where a block has gone meanwhile: compaction has put what it had elsewhere.
func ask[T any](ctx context.Context, r *Reader, query func() (T, error)) (T, error) {
	answer, err := query()
	if err == nil || !errors.Is(err, backend.ErrNotExist) || r.Poll(ctx) != nil {
		return answer, err
	}
	return query()
}

// Get is DB.Get.
func (r *Reader) Get(ctx context.Context, dst []byte, key Key) ([]byte, error) {
	return ask(ctx, r, func() ([]byte, error) { return r.asked.Get(ctx, dst, key) })
}

// Search is DB.Search.
func (r *Reader) Search(ctx context.Context, q *index.Query) ([]index.Hit, error) {
	return ask(ctx, r, func() ([]index.Hit, error) { return r.asked.Search(ctx, q) })
}

// Terms is DB.Terms.
func (r *Reader) Terms(ctx context.Context, field, prefix []byte) ([]string, error) {
	return ask(ctx, r, func() ([]string, error) { return r.asked.Terms(ctx, field, prefix) })
}

// Summary is DB.Summary.
func (r *Reader) Summary(ctx context.Context, dst []byte, key Key) ([]byte, error) {
	return ask(ctx, r, func() ([]byte, error) { return r.asked.Summary(ctx, dst, key) })
}

// EachSummary is DB.EachSummary, except that a block which has gone while it is being walked ends it with a *PartialError.
func (r *Reader) EachSummary(ctx context.Context, starts index.Range, fn func(key Key, summary []byte) error) error {
	return r.asked.EachSummary(ctx, starts, fn)
}

// Close ends the polls and gives the memory of the Reader's cache back. Queries that are under way may end with an error.
func (r *Reader) Close() {
	r.looking.Lock() // no look begins after this
	r.asked.closed.Store(true)
	r.looking.Unlock()
	r.stop()
	r.done.Wait()
	_ = r.closeCache() // of a cache in memory nothing is lost
}
