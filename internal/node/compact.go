package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jaeger-tempo/tempo/compactor"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// abandoned is the age at which the file of a writer that crashed is garbage, of a directory in place of an object store.
const abandoned = 24 * time.Hour

// Compact starts a compactor. It needs no directory.
func (n *Node) Compact(ctx context.Context) error {
	if dir := n.store.dir; dir != nil {
		if _, err := dir.RemoveStale(ctx, abandoned); err != nil {
			return fmt.Errorf("storage.blocks: %s: %w", n.store.at, err)
		}
	}
	settings, err := n.tenantSettings()
	if err != nil {
		return err
	}
	c := n.ringConfig(compactorsRing, 1, false)
	member, err := n.join(ctx, c, "")
	if err != nil {
		return err
	}
	n.closeLast(member.Leave) // it holds nothing
	id := n.cfg.Instance.Name()
	service, err := compactor.New(compactor.Options{
		Bucket: n.bucket, Codec: tracedb.Codec{}, Claims: n.store.claims,
		Owner: func(key string) bool {
			owner, err := member.Owner(key)
			return err == nil && owner.ID == id
		},
		Retention: settings.Retention,
		PollEvery: n.cfg.Reader.PollInterval, Grace: n.cfg.Compactor.Grace, Merges: n.cfg.Compactor.Merges,
		Writer: id, Logger: n.log.Logger,
	})
	if err != nil {
		return err
	}
	n.admin.Metrics.MustRegister(service.Collector())
	n.admin.Section("Blocks in "+n.store.at.String(), func() daemon.Table { return backlog(service) })
	n.ready = append(n.ready, service.Ready)

	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { service.Run(ctx) })
	n.closeLast(func() error {
		stop()
		running.Wait()
		return nil
	})
	return nil
}

func backlog(service *compactor.Compactor) daemon.Table {
	t := daemon.Table{Head: []string{"Tenant", "Blocks", "in them", "retired", "damaged", "Merges due", "to read", "Merging", "Merged here", "errors"}}
	service.Each(func(tenant string, s *tempodb.CompactorStats) {
		merging := ""
		if s.Merging != nil {
			merging = s.Merging.Name
		}
		t.Rows = append(t.Rows, []any{
			tenant, s.Blocks, daemon.Bytes(s.Bytes), s.Retired, daemon.BadIf(s.Damaged > 0, s.Damaged),
			s.Backlog.Jobs, daemon.Bytes(s.Backlog.Bytes), merging, s.Merges, daemon.BadIf(s.Errors > 0, s.Errors),
		})
	})
	return t
}
