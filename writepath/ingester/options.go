package ingester

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// Options of an Ingester. Dir, Instance and Blocks are required.
type Options struct {
	// Dir is the directory of this ingester, which must be locked or otherwise be its alone.
	Dir string
	// Instance is the ID in the ring.
	Instance string
	// Blocks is the object store that all share.
	Blocks backend.Bucket
	// Ring is the ingester's place in the ring; nil if there is none.
	Ring Place
	// Known says that the ring knew this instance before it started: if Dir is empty, its data is lost.
	Known bool
	// Whole is how long after a loss the ingester's answers don't count; 1 h if zero. It must be as long as the ring's ForgetAfter.
	Whole time.Duration
	// Keep is how long a block stays here after it was copied to the object store; 15 minutes if zero.
	Keep time.Duration
	// Settled is from when on pushes are taken: readers must know of this ingester by then. The zero time is from the start.
	Settled time.Time
	// LeaveAfter is how long Leave waits before it gives up the place in the ring; Keep if zero. It must not be shorter than the Keep of any ingester.
	LeaveAfter time.Duration

	// Sync, SyncEvery, CutBytes and CutAge are as in tracedb.Options. CutAge is 5 minutes if zero.
	Sync      wal.Sync
	SyncEvery time.Duration
	CutBytes  int64
	CutAge    time.Duration
	// Retention is how old a tenant's data may become; nil, or zero, is for ever. Older blocks are not copied any more.
	Retention func(tenant string) time.Duration
	// Limits returns what a tenant may do. It is called at each push; nil is no limits.
	Limits func(tenant string) limits.Limits

	// RecentBytes is how much may be in the logs of all tenants before the largest are cut early; 512 MiB if zero. At twice as much pushes are refused.
	RecentBytes int64
	// WaitingBytes is how much may wait to be copied before pushes are refused; zero is as much as the disk holds.
	WaitingBytes int64
	// Reserve is how much of the disk must be free, or pushes are refused; 256 MiB if zero.
	Reserve int64
	// Uploads is how many blocks are copied at once; 4 if zero.
	Uploads int
	// Idle is how long a tenant's database may be empty before it is closed and its folder removed; 1 h if zero.
	Idle time.Duration
	// Tick is how often is looked for blocks to copy and to drop; 500 ms if zero.
	Tick time.Duration

	// Logger is told what happens; nil is silence.
	Logger *slog.Logger
}

// Place is a place in the ring: ring.Member.
type Place interface {
	// Retire lets nobody write here any more, Return takes that back.
	Retire(ctx context.Context) error
	Return(ctx context.Context) error
	// Active reports whether it is written to.
	Active() bool
	// Leave gives up the place.
	Leave() error
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" || o.Instance == "" || o.Blocks == nil {
		return o, errors.New("ingester: Dir, Instance and Blocks are required")
	}
	for _, c := range o.Instance {
		if c < ' ' || c == 0x7f {
			return o, fmt.Errorf("ingester: the instance ID %q must not have control characters", o.Instance)
		}
	}
	if o.Keep == 0 {
		o.Keep = 15 * time.Minute
	}
	if o.Whole == 0 {
		o.Whole = time.Hour
	}
	if o.LeaveAfter == 0 {
		o.LeaveAfter = o.Keep
	}
	if o.CutAge == 0 {
		o.CutAge = 5 * time.Minute
	}
	if o.RecentBytes == 0 {
		o.RecentBytes = 512 << 20
	}
	if o.Reserve == 0 {
		o.Reserve = 256 << 20
	}
	if o.Uploads == 0 {
		o.Uploads = 4
	}
	if o.Idle == 0 {
		o.Idle = time.Hour
	}
	if o.Tick == 0 {
		o.Tick = 500 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
