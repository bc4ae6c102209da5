package tempodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// upkeep merges, drops and salvages the blocks of a database: of a DB, whose they are alone, and of a Compactor, which shares them
// with others. In what they differ is the holder's. Its methods are called by one at a time.
type upkeep struct {
	bucket backend.Bucket
	name   string
	codec  Codec
	plan   compact.PlanOptions
	// salvage says how blocks are salvaged.
	salvage block.SalvageOptions
	now     func() time.Time
	logger  *slog.Logger
	holder  holder
	stats   *upkeepCounters

	// avoided are blocks that can't be merged though nothing is found wrong with them.
	avoided map[block.ID]avoidance
}

// holder has the live blocks.
type holder interface {
	// metas returns what the live blocks are.
	metas() []*block.Meta
	// inputs returns live blocks to read from. An error that is errNotLive says that one of them is live no more.
	inputs(ids []block.ID) ([]*block.Block, error)
	// stillLive makes sure that they are, when something is wrong with one of them.
	stillLive(ctx context.Context, ids []block.ID) (bool, error)
	// exchange lets blocks answer no more, and a new one, if it is not nil, in their place: a merge of them, or what was salvaged of one. It
	// sees to it that they are deleted when nobody uses them.
	exchange(ctx context.Context, ids []block.ID, with *block.Meta) error
	// drop lets blocks answer no more, for good.
	drop(ctx context.Context, ids []block.ID) error
	// forgive takes back what was held against a block that turns out to be sound.
	forgive(id block.ID)
}

// errNotLive says that another process has merged or dropped a block meanwhile.
var errNotLive = errors.New("a block is live no more")

// avoidance is until when a block is not merged, and for how long that was the last time.
type avoidance struct {
	until time.Time
	pause time.Duration
}

const firstAvoidance, longestAvoidance = 10 * time.Minute, 24 * time.Hour

// upkeepCounters count what was done.
type upkeepCounters struct {
	merges, mergedRows, mergedBytes, dropped, salvaged, losses atomic.Int64
}

// jobs returns the merges that are due, the most useful first, without blocks that are busy elsewhere or to be avoided for now.
func (u *upkeep) jobs(busy map[block.ID]bool) []compact.Job {
	now := u.now()
	metas := slices.DeleteFunc(u.holder.metas(), func(m *block.Meta) bool {
		return busy[m.ID] || now.Before(u.avoided[m.ID].until)
	})
	return compact.Plan(metas, now, u.plan)
}

// retain drops what is too old or too much.
func (u *upkeep) retain(ctx context.Context, o compact.RetainOptions) error {
	drop := compact.Retain(u.holder.metas(), u.now(), o)
	if len(drop) == 0 {
		return nil
	}
	if err := u.holder.drop(ctx, drop); err != nil {
		return err
	}
	u.stats.dropped.Add(int64(len(drop)))
	u.logger.Info("blocks dropped by retention", "database", u.name, "blocks", drop)
	return nil
}

// merge does a job of compaction, and returns the block that it makes. It is nil, without an error, if an input turned out to be damaged and was set aside:
// the next plan is made of what is left of it.
func (u *upkeep) merge(ctx context.Context, job *compact.Job) (*block.Meta, error) {
	began := u.now()
	ids := make([]block.ID, len(job.Inputs))
	for i, m := range job.Inputs {
		ids[i] = m.ID
	}
	inputs, err := u.holder.inputs(ids)
	if err != nil {
		return nil, fmt.Errorf("compact blocks %v: %w", ids, err)
	}
	m, err := block.Merge(ctx, u.bucket, u.name, inputs, block.MergeOptions{Codec: u.codec})
	if page.IsCorrupt(err) || errors.Is(err, backend.ErrNotExist) {
		return nil, u.setBadAside(ctx, ids, fmt.Errorf("compact blocks %v: %w", ids, err))
	}
	if err != nil {
		return nil, fmt.Errorf("compact blocks %v: %w", ids, err)
	}
	for _, id := range ids {
		delete(u.avoided, id)
	}
	u.stats.merges.Add(1)
	u.stats.mergedRows.Add(m.Rows)
	u.stats.mergedBytes.Add(job.Bytes)
	u.logger.Info("blocks compacted", "database", u.name, "inputs", ids, "output", m.ID, "keys", m.Keys, "rows", m.Rows,
		"bytes", m.Bytes(), "seconds", u.now().Sub(began).Seconds())
	return m, u.holder.exchange(ctx, ids, m)
}

// setBadAside looks for what made a merge fail: damage, or an object that is not there.
func (u *upkeep) setBadAside(ctx context.Context, ids []block.ID, cause error) error {
	live, err := u.holder.stillLive(ctx, ids)
	if err != nil {
		return errors.Join(cause, err)
	}
	if !live {
		return fmt.Errorf("%w: %w", errNotLive, cause)
	}
	found := false
	for _, id := range ids {
		bad, err := u.setAside(ctx, id)
		if err != nil {
			return errors.Join(cause, err)
		}
		found = found || bad
	}
	if found {
		return nil
	}
	pause := time.Duration(0)
	for _, id := range ids {
		pause = max(pause, min(max(2*u.avoided[id].pause, firstAvoidance), longestAvoidance))
	}
	for _, id := range ids {
		u.avoided[id] = avoidance{u.now().Add(pause), pause}
	}
	return fmt.Errorf("damage that a salvage does not find, and the blocks are left alone for %v: %w", pause, cause)
}
