package ingester

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// relieve cuts the largest logs where all together are too much for memory, and says whether pushes can be taken.
func (i *Ingester) relieve(store *tracedb.Store) {
	var total, most int64
	var largest *tempodb.DB
	var tenant string
	store.Each(func(name string, db *tempodb.DB) {
		i.losses.look(name, db)
		bytes := db.RecentBytes()
		if total += bytes; bytes > most {
			largest, most, tenant = db, bytes, name
		}
	})
	if total > i.o.RecentBytes && largest != nil && i.cutting.CompareAndSwap(false, true) {
		i.done.Go(func() {
			defer i.uploads.nudge()
			defer i.cutting.Store(false)
			if err := largest.Cut(i.life); err != nil && i.life.Err() == nil {
				i.log.Warn("a log can't be cut though memory is short", "tenant", tenant, "error", err)
			}
		})
	}
	i.full.Store(i.whyFull(total))
}

// whyFull returns why nothing can be taken now, or nil.
func (i *Ingester) whyFull(recent int64) *limits.Refusal {
	i.uploads.mu.Lock()
	waiting, last := i.uploads.waiting, i.uploads.last
	i.uploads.mu.Unlock()
	if most := i.o.WaitingBytes; most > 0 && waiting > most {
		return limits.Refuse(codes.ResourceExhausted, reasonBehind, 10*time.Second, "ingester %s: blocks of %d MiB wait to be copied to the object store, more than %d; the last failure: %v",
			i.o.Instance, waiting>>20, most>>20, last)
	}
	if recent > 2*i.o.RecentBytes {
		return limits.Refuse(codes.ResourceExhausted, reasonBehind, 2*time.Second, "ingester %s: the logs hold %d MiB, more than can be cut in time", i.o.Instance, recent>>20)
	}
	free, err := diskFree(i.o.Dir)
	if err != nil {
		i.log.Warn("how much of the disk is free can't be told", "error", err)
		return nil
	}
	if free < i.o.Reserve {
		return limits.Refuse(codes.ResourceExhausted, reasonDisk, 10*time.Second, "ingester %s: its disk has %d MiB free, less than the %d that are kept to cut and copy what is there",
			i.o.Instance, free>>20, i.o.Reserve>>20)
	}
	return nil
}

// diskFree returns how many bytes of the file system of dir can be written.
func diskFree(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("file system of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // not the same type everywhere
}

// giveUpIdle closes the databases that have been empty for long. empty is since when which are.
func (i *Ingester) giveUpIdle(store *tracedb.Store, empty map[*tempodb.DB]time.Time) {
	now := time.Now()
	idle := make(map[string]*tempodb.DB)
	there := make(map[*tempodb.DB]bool)
	store.Each(func(tenant string, db *tempodb.DB) {
		there[db] = true
		if db.RecentBytes() > 0 || len(db.Blocks()) > 0 {
			delete(empty, db)
			return
		}
		if _, known := empty[db]; !known {
			empty[db] = now
		}
		if now.Sub(empty[db]) >= i.o.Idle {
			idle[tenant] = db
		}
	})
	for db := range empty {
		if !there[db] {
			delete(empty, db)
		}
	}
	for tenant, db := range idle {
		empty[db] = now // it is tried again after a while
		gone, err := store.GiveUp(tenant)
		if err != nil {
			i.log.Warn("the empty database of a tenant can't be closed and removed", "tenant", tenant, "error", err)
		}
		if gone {
			i.losses.forget(db)
			i.log.Info("the empty database of a tenant that was idle is closed and removed", "tenant", tenant)
		}
	}
}
