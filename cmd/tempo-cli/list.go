package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/blocklist"
	"github.com/jaeger-tempo/tempo/tracedb"
)

func (p *program) tenantsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tenants",
		Short: "List the tenants of a store",
		Long: `List the tenants of a store: the folders that can be one's.

  tempo-cli tenants --store=s3://traces/prod`,
		Args: noArguments,
	}
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.open(cmd.Context()); err != nil {
			return err
		}
		tenants, err := p.tenants(cmd.Context())
		if err != nil {
			return err
		}
		if output.json() {
			return printJSON(p.stdout, map[string]any{"tenants": orEmpty(tenants)})
		}
		for _, tenant := range tenants {
			fmt.Fprintln(p.stdout, tenant)
		}
		return nil
	}
	return cmd
}

func (p *program) blocksCommand() *cobra.Command {
	return group("blocks", "List, view, verify blocks, and print what is in them",
		p.listCommand(), p.viewCommand(), p.verifyCommand(), p.catCommand())
}

// listed is a line of blocks list.
type listed struct {
	ID    block.ID `json:"id"`
	State string   `json:"state"`
	// Created is when the block was written, AgeSeconds how long ago that is.
	Created    time.Time  `json:"created"`
	AgeSeconds int64      `json:"ageSeconds"`
	MinStart   *time.Time `json:"minStart,omitempty"`
	MaxEnd     *time.Time `json:"maxEnd,omitempty"`
	Keys       int64      `json:"keys"`
	Spans      int64      `json:"spans"`
	Bytes      int64      `json:"bytes"`
	// BytesPerSpan is 0 of a block without spans.
	BytesPerSpan float64    `json:"bytesPerSpan"`
	Level        int        `json:"level"`
	Parents      []block.ID `json:"parents,omitempty"`
	SupersededBy []block.ID `json:"supersededBy,omitempty"`
	Error        string     `json:"error,omitempty"`
}

// States of a block beside those of blocklist.Cause.
const (
	stateLive       = "live"
	stateDamaged    = "damaged"
	stateUnfinished = "unfinished"
)

// totals are of the live blocks.
type totals struct {
	Blocks       int     `json:"blocks"`
	Keys         int64   `json:"keys"`
	Spans        int64   `json:"spans"`
	Bytes        int64   `json:"bytes"`
	BytesPerSpan float64 `json:"bytesPerSpan"`
	Retired      int     `json:"retired"`
	Damaged      int     `json:"damaged"`
	Unfinished   int     `json:"unfinished"`
}

func (p *program) listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List a tenant's blocks, the oldest first",
		Long: `List a tenant's blocks, the oldest first, with the time that their spans are of, how many traces (keys)
and spans they have, and their size. LEVEL is how often the data was compacted, and of how many blocks.

States: live blocks answer queries. Those of which a newer block names them as parents are superseded, those that
retention has dropped are dropped; both wait to be deleted. Of an unfinished one, meta.json is not there (yet),
of a damaged one it can't be read.

  tempo-cli blocks list --store=gs://traces/prod
  tempo-cli blocks list -o json | jq -r '.blocks[] | select(.level == 0).id'`,
		Args: noArguments,
	}
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		set, err := p.openBlocks(cmd.Context())
		if err != nil {
			return err
		}
		all, sum := listBlocks(set.Blocks(), time.Now())
		if output.json() {
			err = printJSON(p.stdout, struct {
				Tenant string   `json:"tenant"`
				Blocks []listed `json:"blocks"`
				Totals totals   `json:"totals"`
			}{p.flags.tenant, all, sum})
		} else {
			printBlocks(p.stdout, all, sum)
		}
		if err == nil && sum.Damaged > 0 {
			err = damagedError("%s damaged: blocks verify says more", many(sum.Damaged, "block"))
		}
		return err
	}
	return cmd
}

// listBlocks returns all blocks of a list by ID, and the totals of the live ones.
func listBlocks(l *blocklist.List, now time.Time) (all []listed, sum totals) {
	children := make(map[block.ID][]block.ID)
	add := func(m *block.Meta, state string) {
		b := listed{
			ID: m.ID, State: state, Created: m.Created, AgeSeconds: int64(now.Sub(m.Created) / time.Second),
			Keys: m.Keys, Spans: m.Rows, Bytes: m.Bytes(), Level: m.Level, Parents: m.Parents,
		}
		if m.Rows > 0 {
			from, to := utc(m.MinStart), utc(m.MaxEnd)
			b.MinStart, b.MaxEnd = &from, &to
			b.BytesPerSpan = float64(b.Bytes) / float64(m.Rows)
		}
		for _, parent := range m.Parents {
			children[parent] = append(children[parent], m.ID)
		}
		all = append(all, b)
	}
	for _, m := range l.Live {
		add(m, stateLive)
		sum.Keys += m.Keys
		sum.Spans += m.Rows
		sum.Bytes += m.Bytes()
	}
	if sum.Spans > 0 {
		sum.BytesPerSpan = float64(sum.Bytes) / float64(sum.Spans)
	}
	for _, r := range l.Retired {
		add(r.Meta, r.Cause.String())
	}
	for _, d := range l.Damaged {
		all = append(all, listed{ID: d.ID, State: stateDamaged, Created: d.ID.Time(), AgeSeconds: int64(now.Sub(d.ID.Time()) / time.Second), Error: d.Err.Error()})
	}
	for _, u := range l.Unfinished {
		all = append(all, listed{ID: u.ID, State: stateUnfinished, Created: u.ID.Time(), AgeSeconds: int64(now.Sub(u.ID.Time()) / time.Second)})
	}
	slices.SortFunc(all, func(a, b listed) int { return cmp.Compare(a.ID, b.ID) })
	for i := range all {
		all[i].SupersededBy = children[all[i].ID]
	}
	sum.Blocks, sum.Retired, sum.Damaged, sum.Unfinished = len(l.Live), len(l.Retired), len(l.Damaged), len(l.Unfinished)
	return all, sum
}

func printBlocks(w io.Writer, all []listed, sum totals) {
	t := newTable("ID", ">AGE", "SPANS FROM", ">FOR", ">KEYS", ">SPANS", ">BYTES", ">B/SPAN", "LEVEL", "STATE")
	for _, b := range all {
		from, length, level := "", "", ""
		if b.MinStart != nil {
			from, length = b.MinStart.Format("01-02 15:04"), shortAge(b.MaxEnd.Sub(*b.MinStart))
		}
		if level = fmt.Sprint(b.Level); len(b.Parents) > 0 {
			level += fmt.Sprintf(" of %d", len(b.Parents))
		}
		cells := []string{string(b.ID), shortAge(time.Duration(b.AgeSeconds) * time.Second), from, length,
			shortCount(b.Keys), shortCount(b.Spans), formatBytes(b.Bytes), fmt.Sprintf("%.1f", b.BytesPerSpan), level, b.State}
		if b.State == stateDamaged || b.State == stateUnfinished {
			for i := 4; i < 9; i++ {
				cells[i] = ""
			}
		}
		t.add(cells...)
	}
	t.print(w)
	fmt.Fprintf(w, "\n%s live: %s keys, %s spans, %s", many(sum.Blocks, "block"), formatCount(sum.Keys), formatCount(sum.Spans), formatBytes(sum.Bytes))
	if sum.Spans > 0 {
		fmt.Fprintf(w, ", %.1f bytes a span", sum.BytesPerSpan)
	}
	for _, other := range []struct {
		n    int
		what string
	}{{sum.Retired, "retired"}, {sum.Unfinished, stateUnfinished}, {sum.Damaged, stateDamaged}} {
		if other.n > 0 {
			fmt.Fprintf(w, "; %d %s", other.n, other.what)
		}
	}
	fmt.Fprintln(w)
}

// shortAge is a time span in one unit.
func shortAge(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// shortCount is a number in at most five characters.
func shortCount(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprint(n)
	case n < 999_500:
		return fmt.Sprintf("%.0fk", float64(n)/1e3)
	case n < 999_500_000:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1fG", float64(n)/1e9)
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", formatCount(int64(n)), what)
}

// orEmpty makes a nil list an empty one, which JSON tells apart.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// openBlock opens the store, and a block of the tenant.
func (p *program) openBlock(ctx context.Context, id block.ID) (*block.Block, error) {
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	b, err := block.Open(ctx, p.bucket, p.flags.tenant, id, tracedb.Codec{})
	if errors.Is(err, backend.ErrNotExist) {
		return nil, no("block %s of tenant %s: %w in %s", id, p.flags.tenant, errNoBlock, p.flags.store)
	}
	return b, fromStore(err)
}

// parseBlockID returns the ID that an argument is.
func parseBlockID(arg string) (block.ID, error) {
	id, err := block.ParseID(arg)
	if err != nil {
		return "", usage("%w: blocks list has the IDs", err)
	}
	return id, nil
}

var errNoBlock = errors.New("there is no such block")
