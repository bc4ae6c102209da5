package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/place"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// merged is a merge that compact has done.
type merged struct {
	Block   block.ID   `json:"block"`
	Inputs  []block.ID `json:"inputs"`
	Spans   int64      `json:"spans"`
	Bytes   int64      `json:"bytes"`
	Seconds float64    `json:"seconds"`
}

// compact merges until nothing is due that nobody else is at.
func (p *program) compact(ctx context.Context, json bool) error {
	c, done, err := p.openCompactor(ctx, nil)
	if err != nil {
		return err
	}
	defer done()
	all := []merged{}
	due := c.Stats().Backlog.Jobs
	progress := newProgress(p.stderr, "compact")
	defer progress.end()
	for {
		progress.show(float64(len(all))/float64(max(due, len(all)+1)), fmt.Sprintf("%s of about %d", many(len(all), "merge"), max(due, len(all))))
		begun := time.Now()
		m, err := c.CompactOne(ctx)
		if err != nil {
			return fromStore(err)
		}
		if m == nil {
			break
		}
		all = append(all, merged{Block: m.ID, Inputs: m.Parents, Spans: m.Rows, Bytes: m.Bytes(), Seconds: time.Since(begun).Seconds()})
		if !json {
			progress.end()
			fmt.Fprintf(p.stdout, "%s  %s merged: %s spans, %s, in %s\n", m.ID, many(len(m.Parents), "block"), formatCount(m.Rows), formatBytes(m.Bytes()), formatAge(time.Since(begun)))
		}
	}
	progress.end()
	if err := c.Reap(ctx); err != nil {
		return fromStore(err)
	}
	s := c.Stats()
	if json {
		return printJSON(p.stdout, map[string]any{"merges": all, "blocks": s.Blocks, "retired": s.Retired})
	}
	fmt.Fprintf(p.stdout, "%s; %s, and %d that were merged or dropped and wait to be deleted\n", many(len(all), "merge"), many(s.Blocks, "block"), s.Retired)
	return nil
}

// retain drops what is too old or too much.
func (p *program) retain(ctx context.Context, o compact.RetainOptions, json bool) error {
	c, done, err := p.openCompactor(ctx, func() compact.RetainOptions { return o })
	if err != nil {
		return err
	}
	defer done()
	if err := errors.Join(c.Retain(ctx), c.Reap(ctx)); err != nil {
		return fromStore(err)
	}
	s := c.Stats()
	if json {
		return printJSON(p.stdout, map[string]any{"dropped": s.Dropped, "blocks": s.Blocks, "retired": s.Retired})
	}
	fmt.Fprintf(p.stdout, "%s dropped; %s, and %d that were merged or dropped and wait to be deleted\n", many(int(s.Dropped), "block"), many(s.Blocks, "block"), s.Retired)
	return nil
}

// openCompactor opens the store for writing. The store of one process is locked for as long; nobody else reads it, so nothing has to stay for readers.
func (p *program) openCompactor(ctx context.Context, retention func() compact.RetainOptions) (*tempodb.Compactor, func(), error) {
	if _, err := p.openBlocks(ctx); err != nil { // a tenant without blocks is told as for all commands
		return nil, nil, err
	}
	grace := time.Duration(0)
	release := func() {}
	if at, err := p.flags.place(); err == nil && at.Scheme == place.File {
		if info, err := os.Stat(filepath.Join(at.Path, "blocks")); err == nil && info.IsDir() {
			lock, err := daemon.LockDir(at.Path, "tempo-cli", daemon.NewLog("warn", p.stderr))
			if err != nil {
				return nil, nil, storeError{err}
			}
			release, grace = lock.Release, -1
		}
	}
	b, err := p.flags.openStore(ctx, p.env)
	if err != nil {
		release()
		return nil, nil, err
	}
	done := func() {
		_ = b.Close() // what was written is committed
		release()
	}
	bucket := count(b)
	c, err := tempodb.OpenCompactor(ctx, tempodb.CompactorOptions{
		Bucket: tryAgain(bucket), Name: p.flags.tenant, Codec: tracedb.Codec{}, Grace: grace, Retention: retention,
	})
	if err != nil {
		done()
		return nil, nil, fromStore(err)
	}
	p.counted = bucket
	return c, done, nil
}
