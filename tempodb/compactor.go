package tempodb

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/blocklist"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// CompactorOptions says what a Compactor does. Bucket, Name and Codec are required.
type CompactorOptions struct {
	// Bucket holds the blocks, under the folder Name: a tenant's. There should be no cache in front of it.
	Bucket backend.Bucket
	Name   string
	// Codec says what values mean.
	Codec Codec
	// Writer names this process in claims, in the index of blocks and in reports, for a person to read; host and process number if empty.
	Writer string
	// Compaction says which blocks are merged; the zero value is good. All compactors of a tenant should be told the same.
	Compaction compact.PlanOptions
	// Retention is asked with each Retain which blocks are dropped; nil is none.
	Retention func() compact.RetainOptions
	// PollEvery is how often Run looks for new blocks and for work, give or take a tenth; 30 s if zero. Readers should poll about as often.
	PollEvery time.Duration
	// Grace is how long a block that was merged or dropped is still there for those who read it; half an hour, or 40 times PollEvery if that is more, if
	// zero. It must be at least 20 times PollEvery, longer than any query, and should be longer than any merge. If it is negative there is
	// none: for when nobody else uses the tenant's blocks.
	Grace time.Duration
	// Abandoned is the age at which a folder without meta.json is garbage: longer than any writer writes a block. 24 h if zero.
	Abandoned time.Duration
	// Owner is asked whether this process drops blocks, deletes them, and writes the tenant's index: one should at a time, but two do no
	// harm. Nil is always.
	Owner func() bool
	// Owns is asked by the name of a job whether this process does it, of several that share the work by it; nil is all that
	// nobody else does.
	Owns func(job string) bool
	// ClaimTTL is how long a job is left to a process that does not say any more that it is on it; 5 minutes if zero.
	ClaimTTL time.Duration
	// Slots, if it is not nil, bounds how many merges go on at once among the Compactors that it is given to: each puts a token in.
	Slots chan struct{}
	// Around, if it is not nil, is told when a merge begins, and what it returns when it ends and how: so that it can be traced.
	Around func(ctx context.Context, job *compact.Job) (context.Context, func(error))
	// Now tells the time; time.Now if nil.
	Now func() time.Time
	// Logger is told of what is done and what goes wrong; nil is silence.
	Logger *slog.Logger
}

const (
	defaultPollEvery = 30 * time.Second
	defaultGrace     = 30 * time.Minute
	defaultAbandoned = 24 * time.Hour
	defaultClaimTTL  = 5 * time.Minute

	// A reader believes an index that is ten polls old, looks a poll later, and may still be asking then.
	leastGracePolls, defaultGracePolls = 20, 40
)

func (o CompactorOptions) withDefaults() (CompactorOptions, error) {
	if o.Bucket == nil || o.Name == "" || o.Codec == nil {
		return o, errors.New("options Bucket, Name and Codec are required")
	}
	if o.PollEvery <= 0 {
		o.PollEvery = defaultPollEvery
	}
	switch least := leastGracePolls * o.PollEvery; {
	case o.Grace < 0:
		o.Grace = 0
	case o.Grace == 0:
		o.Grace = max(defaultGrace, defaultGracePolls*o.PollEvery)
	case o.Grace < least:
		return o, fmt.Errorf("a grace period of %v is too short for readers that poll every %v: it must be %v at least", o.Grace, o.PollEvery, least)
	}
	if o.Abandoned <= 0 {
		o.Abandoned = defaultAbandoned
	}
	if o.ClaimTTL <= 0 {
		o.ClaimTTL = defaultClaimTTL
	}
	if o.Writer == "" {
		host, _ := os.Hostname() // only a name for a person
		o.Writer = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	if o.Owner == nil {
		o.Owner = func() bool { return true }
	}
	if o.Owns == nil {
		o.Owns = func(string) bool { return true }
	}
	if o.Retention == nil {
		o.Retention = func() compact.RetainOptions { return compact.RetainOptions{} }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// Compactor merges, drops and salvages the blocks of a tenant in a bucket that others write to and read from, also other Compactors. It may be
// killed at any moment. All its methods may be called concurrently.
//
// Run does all that is due, as it becomes due. The other methods are its steps.
type Compactor struct {
	opts   CompactorOptions
	poller *blocklist.Poller
	claims *claims
	upkeep upkeep // who holds working has it

	// working is held to merge, salvage and drop: one at a time. owning is held to drop and to delete, which is done by a list that was made since.
	working, owning sync.Mutex

	merging atomic.Pointer[compact.Job]
	stats   compactorCounters
}

// OpenCompactor returns the Compactor of a tenant. It has looked which blocks there are.
func OpenCompactor(ctx context.Context, o CompactorOptions) (*Compactor, error) {
	fail := func(err error) (*Compactor, error) {
		return nil, fmt.Errorf("open compactor of database %s: %w", o.Name, err)
	}
	o, err := o.withDefaults()
	if err != nil {
		return fail(err)
	}
	c := &Compactor{opts: o}
	c.poller, err = blocklist.NewPoller(o.Bucket, o.Name, blocklist.Options{
		Owner: o.Owner, Lists: true, Writer: o.Writer, Interval: o.PollEvery, Now: o.Now, Logger: o.Logger,
	})
	if err != nil {
		return fail(err)
	}
	c.claims = &claims{
		bucket: o.Bucket, folder: o.Name + "/" + claimsFolder, owner: o.Writer + " " + ulid.Make().String(), ttl: o.ClaimTTL, now: o.Now, logger: o.Logger,
		seen: make(map[string]sighting),
	}
	c.upkeep = upkeep{
		bucket: o.Bucket, name: o.Name, codec: o.Codec, plan: o.Compaction, salvage: block.SalvageOptions{By: o.Writer, Keep: true},
		now: o.Now, logger: o.Logger, holder: compactorHolder{c}, stats: &c.stats.upkeepCounters, avoided: make(map[block.ID]avoidance),
	}
	if err := c.Poll(ctx); err != nil {
		return fail(err)
	}
	return c, nil
}

// Run does what is due until ctx ends, and returns when all that it began has ended. What fails is told to the Logger, counted and tried again.
//
// If the ring or the like decides who owns what, Owner and Owns may change their answers at any time.
func (c *Compactor) Run(ctx context.Context) {
	var keeping sync.WaitGroup
	// A merge may take long. Meanwhile readers want a fresh index.
	keeping.Go(func() { c.every(ctx, c.Reap) })
	c.every(ctx, c.work)
	keeping.Wait()
}

func (c *Compactor) every(ctx context.Context, step func(context.Context) error) {
	for {
		if err := step(ctx); err != nil && ctx.Err() == nil {
			c.stats.errors.Add(1)
			c.opts.Logger.Error("the compactor can't do all that is due; it is tried again", "database", c.opts.Name, "in", c.opts.PollEvery, "error", err)
		}
		pause := time.NewTimer(c.opts.PollEvery + time.Duration((rand.Float64()-0.5)/5*float64(c.opts.PollEvery)))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// work drops, salvages and merges, in turn: what is too old is not merged.
func (c *Compactor) work(ctx context.Context) error {
	for {
		// What can't be salvaged keeps nothing else from being merged.
		err := errors.Join(c.Retain(ctx), c.Salvage(ctx))
		merged, failed := c.CompactOne(ctx)
		if err = errors.Join(err, failed); err != nil || merged == nil {
			return err
		}
	}
}

// Poll looks which blocks there are. The owner writes the index of blocks if it does not say so already.
func (c *Compactor) Poll(ctx context.Context) error {
	_, _, err := c.poller.Poll(ctx)
	return err
}

// List returns the blocks as they were found last.
func (c *Compactor) List() *blocklist.List { return c.poller.List() }

// Retain drops the blocks that are too old or too much, if this process is the owner. They answer no more, and are deleted by Reap
// when the grace period is over.
func (c *Compactor) Retain(ctx context.Context) error {
	limits := c.opts.Retention()
	if limits == (compact.RetainOptions{}) || !c.opts.Owner() {
		return nil
	}
	c.working.Lock()
	defer c.working.Unlock()
	c.owning.Lock()
	defer c.owning.Unlock()
	if err := c.Poll(ctx); err != nil {
		return err
	}
	return c.upkeep.retain(ctx, limits)
}

// Salvage sets aside the blocks given, and those whose meta.json is damaged: what is whole of a block goes on in a new one, and the block
// with a report goes to the quarantine (see block.Salvage). Blocks that are sound or not live are left alone. Damage that a
// merge meets is seen to without it.
func (c *Compactor) Salvage(ctx context.Context, ids ...block.ID) error {
	c.working.Lock()
	defer c.working.Unlock()
	if len(c.toSalvage(ids)) == 0 {
		return nil
	}
	if err := c.Poll(ctx); err != nil {
		return err
	}
	var errs []error
	for _, id := range c.toSalvage(ids) {
		_, err := c.upkeep.setAside(ctx, id)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.Poll(ctx))...)
}

// toSalvage returns which of the blocks given are live, and those that can't be because of damage.
func (c *Compactor) toSalvage(ids []block.ID) (bad []block.ID) {
	list := c.List()
	for _, id := range ids {
		if list.IsLive(id) {
			bad = append(bad, id)
		}
	}
	for _, d := range list.Damaged {
		if !d.Superseded && page.IsCorrupt(d.Err) {
			bad = append(bad, d.ID)
		}
	}
	return bad
}

// Reap looks which blocks there are, and, if this process is the owner, deletes those that were merged or dropped when their
// grace period is over, and what crashes have left.
func (c *Compactor) Reap(ctx context.Context) error {
	c.owning.Lock()
	defer c.owning.Unlock()
	if err := c.Poll(ctx); err != nil {
		return err
	}
	if !c.opts.Owner() {
		return nil
	}
	deleted, err := blocklist.Reap(ctx, c.opts.Bucket, c.List(), blocklist.ReapOptions{Now: c.opts.Now(), Grace: c.opts.Grace, Abandoned: c.opts.Abandoned})
	if len(deleted) > 0 {
		c.stats.reaped.Add(int64(len(deleted)))
		c.opts.Logger.Info("blocks deleted that had been merged or dropped, or were never finished", "database", c.opts.Name, "blocks", deleted)
		err = errors.Join(err, c.Poll(ctx))
	}
	return err
}

// Compact merges blocks until nothing is due that this process may do.
func (c *Compactor) Compact(ctx context.Context) error {
	for {
		if m, err := c.CompactOne(ctx); m == nil || err != nil {
			return err
		}
	}
}

// CompactOne does one merge, the most useful of those that this process may do, and returns the block that it has made; nil if there is none to be done.
func (c *Compactor) CompactOne(ctx context.Context) (*block.Meta, error) {
	c.working.Lock()
	defer c.working.Unlock()
	if s := c.opts.Slots; s != nil {
		select {
		case s <- struct{}{}:
			defer func() { <-s }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	// With each round the list is another. Others may be quicker for some time, but not for ever.
	for range 100 {
		m, again, err := c.try(ctx)
		if !again {
			return m, err
		}
	}
	return nil, fmt.Errorf("compact database %s: others are always quicker", c.opts.Name)
}

// try does the first job that can be claimed. again says that the blocks are not those that it was planned for, and that there is a new list.
func (c *Compactor) try(ctx context.Context) (made *block.Meta, again bool, err error) {
	busy, err := c.claims.busy(ctx)
	if err != nil {
		return nil, false, err
	}
	jobs := c.upkeep.jobs(busy)
	if c.claims.none.Load() && len(jobs) > 0 {
		// So that not all compactors do the same.
		h := fnv.New32a()
		_, _ = h.Write([]byte(c.claims.owner))
		at := int(h.Sum32()) % len(jobs)
		jobs = append(jobs[at:], jobs[:at]...)
	}
	for i := range jobs {
		job := &jobs[i]
		if !c.opts.Owns(job.Name) {
			continue
		}
		held, got, err := c.claims.take(ctx, job)
		if err != nil {
			return nil, false, err
		}
		if !got {
			c.stats.lost.Add(1)
			continue
		}
		return c.do(ctx, job, held)
	}
	return nil, false, nil
}

// do does a job that is claimed.
func (c *Compactor) do(ctx context.Context, job *compact.Job, held *claim) (made *block.Meta, again bool, err error) {
	working, end := held.keep(ctx)
	defer end()
	// Who had the claim before may have done it.
	if err := c.Poll(working); err != nil {
		return nil, false, err
	}
	list := c.List()
	for _, m := range job.Inputs {
		if !list.IsLive(m.ID) {
			c.stats.outrun.Add(1)
			return nil, true, nil
		}
	}
	c.merging.Store(job)
	defer c.merging.Store(nil)
	if around := c.opts.Around; around != nil {
		var done func(error)
		working, done = around(working, job)
		defer func() { done(err) }()
	}
	made, err = c.upkeep.merge(working, job)
	switch {
	case errors.Is(err, errNotLive), errors.Is(context.Cause(working), errClaimLost) && err != nil && ctx.Err() == nil:
		c.stats.outrun.Add(1)
		return nil, true, c.Poll(ctx)
	case err != nil:
		return nil, false, err
	case made == nil:
		return nil, true, c.Poll(ctx) // an input was set aside
	}
	return made, false, c.Poll(ctx)
}

// compactorHolder is a Compactor as the holder of blocks that are not its alone: they answer no more when others say so, and are
// deleted by Reap.
type compactorHolder struct{ *Compactor }

func (c compactorHolder) metas() []*block.Meta { return append([]*block.Meta(nil), c.List().Live...) }

func (c compactorHolder) inputs(ids []block.ID) ([]*block.Block, error) {
	list := c.List()
	inputs := make([]*block.Block, len(ids))
	for i, id := range ids {
		if !list.IsLive(id) {
			return nil, errNotLive
		}
		inputs[i] = block.New(c.opts.Bucket, list.Meta(id), c.opts.Codec)
	}
	return inputs, nil
}

func (c compactorHolder) stillLive(ctx context.Context, ids []block.ID) (bool, error) {
	if err := c.Poll(ctx); err != nil {
		return false, err
	}
	for _, id := range ids {
		if !c.List().IsLive(id) {
			return false, nil
		}
	}
	return true, nil
}

func (c compactorHolder) exchange(ctx context.Context, _ []block.ID, with *block.Meta) error {
	if with == nil {
		return c.Poll(ctx) // there is nothing in their place: they are gone
	}
	c.poller.Add(with) // it says itself what it supersedes
	return nil
}

func (c compactorHolder) drop(ctx context.Context, ids []block.ID) error {
	at := blocklist.Dropping{At: c.opts.Now(), By: c.opts.Writer, Reason: "retention"}
	// If some were marked, all shall know.
	return errors.Join(blocklist.Drop(ctx, c.opts.Bucket, c.opts.Name, ids, at), c.Poll(ctx))
}

func (compactorHolder) forgive(block.ID) {}
