package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
)

// job is a line of compact --dry-run.
type job struct {
	Name    string     `json:"name"`
	Begin   time.Time  `json:"windowBegin"`
	End     time.Time  `json:"windowEnd"`
	Settled bool       `json:"settled"`
	Level   int        `json:"level"`
	Inputs  []block.ID `json:"inputs"`
	Spans   int64      `json:"spans"`
	Bytes   int64      `json:"bytes"`
}

func (p *program) compactCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Merge blocks, or say which would be",
		Long: `Merge blocks into larger ones, by the rules of the compactor: those of one window of time, small ones first, until
nothing is due. It works beside compactors that run, with which it shares the work; what was merged stays readable for
half an hour for those who read it, and is deleted by whoever comes by then. In the storage.path of an embedded store
it works while that is not running, and deletes at once.

  tempo-cli compact --dry-run --store=gs://traces/prod     only say what is due
  tempo-cli compact --store=gs://traces/prod`,
		Args: noArguments,
	}
	output := outputFlag(cmd, "table", "json")
	dry := cmd.Flags().Bool("dry-run", false, "only say what would be done")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !*dry {
			return p.compact(cmd.Context(), output.json())
		}
		set, err := p.openBlocks(cmd.Context())
		if err != nil {
			return err
		}
		now := time.Now()
		jobs := []job{}
		for _, j := range compact.Plan(set.Blocks().Live, now, compact.PlanOptions{}) {
			x := job{Name: j.Name, Begin: utc(j.Window.Begin), End: utc(j.Window.End), Settled: j.Window.Settled, Level: j.Level, Spans: j.Rows, Bytes: j.Bytes}
			for _, m := range j.Inputs {
				x.Inputs = append(x.Inputs, m.ID)
			}
			jobs = append(jobs, x)
		}
		due := compact.Due(set.Blocks().Live, now, compact.PlanOptions{})
		if output.json() {
			return printJSON(p.stdout, map[string]any{"jobs": jobs, "backlog": map[string]any{
				"jobs": due.Jobs, "bytes": due.Bytes, "blocksLess": due.Blocks, "rounds": due.Rounds,
			}})
		}
		t := newTable("JOB", "WINDOW FROM", ">LONG", "SETTLED", ">BLOCKS", ">SPANS", ">BYTES", ">LEVEL")
		for _, j := range jobs {
			t.add(j.Name[:min(8, len(j.Name))], j.Begin.Format("2006-01-02 15:04"), shortAge(j.End.Sub(j.Begin)), []string{"no", "yes"}[b2i(j.Settled)],
				fmt.Sprint(len(j.Inputs)), shortCount(j.Spans), formatBytes(j.Bytes), fmt.Sprint(j.Level))
		}
		if len(jobs) > 0 {
			t.print(p.stdout)
			fmt.Fprintln(p.stdout)
		}
		live := len(set.Blocks().Live)
		fmt.Fprintf(p.stdout, "%s due now; %s until none is, reading %s: then %s of %d remain\n", many(len(jobs), "job"), many(due.Jobs, "job"), formatBytes(due.Bytes), many(live-due.Blocks, "block"), live)
		return nil
	}
	return cmd
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (p *program) retentionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retention",
		Short: "Drop old blocks, or say which would be",
		Long: `Drop the blocks of which all is older than --max-age, and the oldest that are too much for --max-bytes. They answer no
more at once, and are deleted half an hour later by the compactor that comes by then; in the storage.path of an
embedded store, which must not be running, at once.

  tempo-cli retention --dry-run --max-age=30d --max-bytes=500GiB     only say what would be dropped
  tempo-cli retention --max-age=30d`,
		Args: noArguments,
	}
	output := outputFlag(cmd, "table", "json")
	dry := cmd.Flags().Bool("dry-run", false, "only say what would be done")
	age := cmd.Flags().String("max-age", "", "how `long` a block is kept after its last span has ended: 12h, 30d")
	size := cmd.Flags().String("max-bytes", "", "how `much` is kept: 500GiB")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *age == "" && *size == "" {
			return usage("retention needs --max-age, --max-bytes or both")
		}
		var o compact.RetainOptions
		var err error
		if *age != "" {
			if o.MaxAge, err = parseAgo(*age); err != nil || o.MaxAge == 0 {
				return usage("--max-age=%s is no time span: write 12h or 30d", *age)
			}
		}
		if *size != "" {
			if o.MaxBytes, err = parseSize(*size); err != nil || o.MaxBytes == 0 {
				return usage("--max-bytes=%s is no size: write 500GiB", *size)
			}
		}
		set, err := p.openBlocks(cmd.Context())
		if err != nil {
			return err
		}
		if !*dry {
			return p.retain(cmd.Context(), o, output.json())
		}
		now := time.Now()
		list := set.Blocks()
		dropped := make(map[block.ID]bool)
		for _, id := range compact.Retain(list.Live, now, o) {
			dropped[id] = true
		}
		all, _ := listBlocks(list, now)
		drop := []listed{}
		var sum totals
		for _, b := range all {
			if dropped[b.ID] {
				drop = append(drop, b)
				sum.Blocks++
				sum.Keys += b.Keys
				sum.Spans += b.Spans
				sum.Bytes += b.Bytes
			}
		}
		if output.json() {
			return printJSON(p.stdout, map[string]any{"drop": drop, "bytes": sum.Bytes, "spans": sum.Spans})
		}
		t := newTable("ID", "SPANS FROM", "TO", ">SPANS", ">BYTES")
		for _, b := range drop {
			from, to := "", ""
			if b.MinStart != nil {
				from, to = b.MinStart.Format(clock), b.MaxEnd.Format(clock)
			}
			t.add(string(b.ID), from, to, formatCount(b.Spans), formatBytes(b.Bytes))
		}
		if len(drop) > 0 {
			t.print(p.stdout)
			fmt.Fprintln(p.stdout)
		}
		fmt.Fprintf(p.stdout, "%s of %d would be dropped: %s spans, %s\n", many(len(drop), "block"), len(list.Live), formatCount(sum.Spans), formatBytes(sum.Bytes))
		return nil
	}
	return cmd
}
