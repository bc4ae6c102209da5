package block

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Detours counts what a Block did in another way because of damage: the answers were right, but took more reads.
type Detours struct {
	// Filter is how many questions for a key went to the data without the filter.
	Filter int64
	// Directory is 1 if the directory of the data was lost, in part or whole, and made anew.
	Directory int64
	// Search is how many searches and lists of terms read the data.
	Search int64
}

// Detours returns the counts since Open.
func (b *Block) Detours() Detours {
	return Detours{b.detours.filter.Load(), b.detours.directory.Load(), b.detours.search.Load()}
}

// Damage returns what damage to the block was met since Open, each place once, in the order in which it was met; the first 64
// places.
func (b *Block) Damage() []error {
	b.damage.mu.Lock()
	defer b.damage.mu.Unlock()
	return append([]error(nil), b.damage.met...)
}

type detours struct{ filter, directory, search atomic.Int64 }

const maxDamage = 64

// damage is what was met of it.
type damage struct {
	mu   sync.Mutex
	met  []error
	seen map[place]bool
}

type place struct {
	object string
	offset int64
}

func placeOf(c *page.CorruptError) place { return place{c.Object, c.Offset} }

func (d *damage) note(c *page.CorruptError, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.met) >= maxDamage || d.seen[placeOf(c)] {
		return
	}
	if d.seen == nil {
		d.seen = make(map[place]bool)
	}
	d.seen[placeOf(c)] = true
	d.met = append(d.met, err)
}

// fail says of which block err is, and takes a note of damage.
func (b *Block) fail(err error) error {
	if err == nil {
		return nil
	}
	failed := fmt.Errorf("block %s of tenant %s: %w", b.meta.ID, b.meta.Tenant, err)
	var c *page.CorruptError
	if errors.As(err, &c) {
		b.damage.note(c, failed)
	}
	return failed
}

// missing says what it means that the object does not exist: damage, if there is the block; else the block was deleted.
func (o *blockObject) missing(ctx context.Context, err error) error {
	if _, gone := o.bucket.Size(ctx, objectName(o.meta.Tenant, o.meta.ID, metaObject)); gone != nil {
		return err
	}
	return &page.CorruptError{Object: o.name, What: "object", Reason: "is missing, while meta.json is there"}
}

// withData asks the table of data. If it turns out that a part of its directory is damaged, ask is called again with one
// that has a new directory.
func (b *Block) withData(ctx context.Context, ask func(*page.Table) error) error {
	t, err := b.dataTable(ctx)
	if err != nil {
		return err
	}
	if err = b.fail(ask(t)); !b.isDirectory(err) {
		return err
	}
	if t, err = b.rebuiltTable(ctx); err != nil {
		return err
	}
	return b.fail(ask(t))
}

// isDirectory reports whether err is damage to the directory of data.
func (b *Block) isDirectory(err error) bool {
	var c *page.CorruptError
	return errors.As(err, &c) && c.Object == b.objectName(indexObject)
}

// rebuilding is the way to a new directory.
type rebuilding struct {
	turn chan struct{} // holds one who rebuilds
	work *page.Rebuild
	done atomic.Pointer[page.Table]
}

// rebuiltTable returns the table of data with a new directory. To make it takes one pass over the pages of the damaged leaves; whose context ends
// meanwhile leaves what is done to the next.
func (b *Block) rebuiltTable(ctx context.Context) (*page.Table, error) {
	data, dir := b.open(ctx, dataObject), b.open(ctx, indexObject)
	if t := b.rebuilt.done.Load(); t != nil {
		return t.Reading(data, dir), nil
	}
	select {
	case b.rebuilt.turn <- struct{}{}:
		defer func() { <-b.rebuilt.turn }()
	case <-ctx.Done():
		return nil, b.fail(ctx.Err())
	}
	if t := b.rebuilt.done.Load(); t != nil {
		return t.Reading(data, dir), nil
	}
	if b.rebuilt.work == nil {
		b.detours.directory.Add(1)
		b.rebuilt.work = page.NewRebuild(b.meta.Objects[dataObject].Bytes, b.meta.Objects[indexObject].Bytes, packerOf(b.codec))
	}
	// What is damaged is so in the object store: caches were asked.
	t, err := b.rebuilt.work.Run(data.beneath(), dir.beneath())
	if err != nil {
		return nil, b.fail(err)
	}
	b.rebuilt.work = nil
	b.rebuilt.done.Store(t)
	return t.Reading(data, dir), nil
}
