package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// setAside is a line of quarantine list.
type setAside struct {
	Tenant   string    `json:"tenant"`
	ID       block.ID  `json:"id"`
	When     time.Time `json:"when"`
	Damage   int       `json:"damage"`
	Keys     int64     `json:"keys"`
	Saved    int64     `json:"saved"`
	NewBlock block.ID  `json:"newBlock,omitempty"`
	// Error is why the report can't be read.
	Error string `json:"error,omitempty"`
}

func (p *program) quarantineCommand() *cobra.Command {
	return group("quarantine", "List and explain blocks that were set aside for damage",
		p.quarantineListCommand(), p.quarantineViewCommand())
}

func (p *program) quarantineListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the blocks that were set aside, of all tenants",
		Long: `List the blocks that the compactor has set aside, since they were damaged: when, in how many places, and how many
of their traces could be saved into a new block. They lie under quarantine/ and stay until somebody deletes them.

  tempo-cli quarantine list --store=gs://traces/prod`,
		Args: noArguments,
	}
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.open(cmd.Context()); err != nil {
			return err
		}
		names, err := block.ListQuarantine(cmd.Context(), p.bucket)
		if err != nil {
			return fromStore(err)
		}
		all := make([]setAside, 0, len(names))
		for _, q := range names {
			r, err := block.ReadReport(cmd.Context(), p.bucket, q.Tenant, q.Block)
			if cmd.Context().Err() != nil {
				return cmd.Context().Err()
			}
			if err != nil {
				all = append(all, setAside{Tenant: q.Tenant, ID: q.Block, When: q.Block.Time(), Error: err.Error()})
				continue
			}
			all = append(all, setAside{q.Tenant, q.Block, r.When, r.DamageCount, r.Keys, r.Saved, r.NewBlock, ""})
		}
		if output.json() {
			return printJSON(p.stdout, map[string]any{"quarantine": all})
		}
		if len(all) == 0 {
			fmt.Fprintln(p.stdout, "nothing is in quarantine")
			return nil
		}
		t := newTable("ID", ">AGE", ">DAMAGED", ">KEYS", ">SAVED", "INTO", "TENANT")
		for _, q := range all {
			if q.Error != "" {
				t.add(string(q.ID), "", "", "", "", "(no report can be read)", q.Tenant)
				continue
			}
			t.add(string(q.ID), shortAge(time.Since(q.When)), formatCount(int64(q.Damage)), shortCount(q.Keys), shortCount(q.Saved), string(q.NewBlock), q.Tenant)
		}
		t.print(p.stdout)
		return nil
	}
	return cmd
}

func (p *program) quarantineViewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "view ID",
		Short: "Explain what was wrong with a block, and what became of it",
		Long: `Explain what was wrong with a block that was set aside: each damaged place, which traces were saved into which new
block, and which may be lost.

  tempo-cli quarantine view 01M826G85SRYJWMRVVZCP3X78E`,
		Args: oneArgument("block"),
	}
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := parseBlockID(args[0])
		if err != nil {
			return err
		}
		if err := p.open(cmd.Context()); err != nil {
			return err
		}
		r, err := block.ReadReport(cmd.Context(), p.bucket, p.flags.tenant, id)
		if errors.Is(err, backend.ErrNotExist) {
			return no("block %s of tenant %s is not in quarantine; quarantine list says what is", id, p.flags.tenant)
		}
		if err != nil {
			return fromStore(err)
		}
		if output.json() {
			return printJSON(p.stdout, r)
		}
		printReport(p.stdout, r)
		return nil
	}
	return cmd
}

// shownPlaces is how many places of a kind a report shows.
const shownPlaces = 20

func printReport(w io.Writer, r *block.SalvageReport) {
	fmt.Fprintf(w, "block %s of tenant %s was set aside on %s", r.Block, r.Tenant, r.When.UTC().Format(clock))
	if r.By != "" {
		fmt.Fprintf(w, " by %s", r.By)
	}
	fmt.Fprintf(w, "\n\n%s:\n", many(r.DamageCount, "damaged place"))
	for _, d := range r.Damage[:min(len(r.Damage), shownPlaces)] {
		fmt.Fprintln(w, cut(fmt.Sprintf("  %-9s offset %-11d %s: %s", d.Object, d.Offset, d.What, d.Reason), 3*width))
	}
	more(w, r.DamageCount)
	switch {
	case r.NewBlock == "":
		fmt.Fprintf(w, "\nNothing could be saved.\n")
	case r.Keys > 0:
		fmt.Fprintf(w, "\n%s of %s traces were saved into block %s.\n", formatCount(r.Saved), formatCount(r.Keys), r.NewBlock)
	default:
		fmt.Fprintf(w, "\n%s traces were saved into block %s; how many there were is not known.\n", formatCount(r.Saved), r.NewBlock)
	}
	if r.LostCount > 0 {
		fmt.Fprintf(w, "Traces may be lost whose ID is\n")
		for _, lost := range r.Lost[:min(len(r.Lost), shownPlaces)] {
			fmt.Fprintf(w, "  %s\n", lost)
		}
		more(w, r.LostCount)
	}
	if r.RefusedCount > 0 {
		fmt.Fprintf(w, "Not understood, though whole:\n")
		for _, refused := range r.Refused[:min(len(r.Refused), shownPlaces)] {
			fmt.Fprintln(w, cut(fmt.Sprintf("  %s: %s", refused.Key, refused.Reason), 2*width))
		}
		more(w, r.RefusedCount)
	}
	fmt.Fprintf(w, "\nKept under %s/%s/%s:\n", block.QuarantineFolder, r.Tenant, r.Block)
	names := make([]string, 0, len(r.Kept))
	for name := range r.Kept {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(w, "  %-9s %12s bytes\n", name, formatCount(r.Kept[name].Bytes))
	}
}

// more says that there are more than were shown.
func more(w io.Writer, n int) {
	if n > shownPlaces {
		fmt.Fprintf(w, "  … and %s more: -o json\n", formatCount(int64(n-shownPlaces)))
	}
}
