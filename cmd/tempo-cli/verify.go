package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/inspect"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// verified is the outcome of verifying a block.
type verified struct {
	ID block.ID `json:"id"`
	OK bool     `json:"ok"`
	// Gone is whether it was deleted since it was listed: by a compaction, say.
	Gone   bool     `json:"gone,omitempty"`
	Spans  int64    `json:"spans"`
	Bytes  int64    `json:"bytes"`
	Damage []damage `json:"damage,omitempty"`
}

// damage is a place that is not what was written.
type damage struct {
	// Object is its name in the block.
	Object string `json:"object"`
	Offset int64  `json:"offset"`
	What   string `json:"what"`
	Reason string `json:"reason"`
}

func (p *program) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [ID...]",
		Short: "Read blocks whole and check every byte",
		Long: `Read blocks whole and check every byte: lengths and checksums of objects and pages, and that the objects agree.
Each damage is told with object and offset. Exit code 3 says that there is some.

  tempo-cli blocks verify --all
  tempo-cli blocks verify 01M826G85SRYJWMRVVZCP3X78E -o json`,
	}
	output := outputFlag(cmd, "table", "json")
	all := cmd.Flags().Bool("all", false, "all blocks of the tenant, also those that wait to be deleted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && !*all || len(args) > 0 && *all {
			return usage("verify what? Give IDs of blocks, or --all")
		}
		ids, size, err := p.toVerify(cmd.Context(), args)
		if err != nil {
			return err
		}
		bar := newProgress(p.stderr, "verify")
		defer bar.end()
		var outcome []verified
		var done, bad int64
		var whole int64
		for _, n := range size {
			whole += n
		}
		for i, id := range ids {
			before := p.counted.Counts().Op(instrument.OpRead).Bytes
			p.bucket = watched{p.bucket, func() {
				read := float64(p.counted.Counts().Op(instrument.OpRead).Bytes - before)
				part := min(read/verifyPasses, float64(size[id])) // of this block
				bar.show((float64(done)+part)/float64(max(whole, 1)), fmt.Sprintf("block %d of %d, %s", i+1, len(ids), formatBytes(whole)))
			}}
			v, err := p.verify(cmd.Context(), id)
			p.bucket = p.bucket.(watched).Bucket
			if err != nil {
				return fromStore(err)
			}
			done += size[id]
			if outcome = append(outcome, v); len(v.Damage) > 0 {
				bad++
			}
			if !output.json() {
				bar.end()
				p.printVerified(&v)
			}
		}
		bar.end()
		if output.json() {
			if err := printJSON(p.stdout, map[string]any{"blocks": orEmpty(outcome), "damaged": bad}); err != nil {
				return err
			}
		}
		if bad > 0 {
			return damagedError("%d of %s damaged", bad, many(len(ids), "block"))
		}
		return nil
	}
	return cmd
}

// verifyPasses is about how often verifying reads each byte: once for the objects' checksums, once for their pages, and the
// greater part once more for what is in them.
const verifyPasses = 2.8

// watched calls seen with each read.
type watched struct {
	backend.Bucket
	seen func()
}

func (w watched) ReadAt(ctx context.Context, name string, b []byte, off int64) (int, error) {
	w.seen()
	return w.Bucket.ReadAt(ctx, name, b, off)
}

// toVerify returns the blocks that are meant, and the size of each.
func (p *program) toVerify(ctx context.Context, args []string) ([]block.ID, map[block.ID]int64, error) {
	var ids []block.ID
	for _, arg := range args {
		id, err := parseBlockID(arg)
		if err != nil {
			return nil, nil, err
		}
		ids = append(ids, id)
	}
	set, err := p.openBlocks(ctx)
	if err != nil {
		return nil, nil, err
	}
	size := make(map[block.ID]int64)
	list, _ := listBlocks(set.Blocks(), time.Now())
	for _, b := range list {
		if b.State != stateUnfinished {
			size[b.ID] = b.Bytes
		}
	}
	if len(args) == 0 {
		ids = slices.Sorted(maps.Keys(size))
	}
	for _, id := range ids {
		if _, known := size[id]; !known {
			return nil, nil, no("block %s of tenant %s: %w in %s", id, p.flags.tenant, errNoBlock, p.flags.store)
		}
	}
	return ids, size, nil
}

// verify reads a block. The error is one of the store.
func (p *program) verify(ctx context.Context, id block.ID) (verified, error) {
	v := verified{ID: id}
	b, err := p.openBlock(ctx, id)
	if errors.Is(err, errNoBlock) {
		v.Gone = true
		return v, nil
	}
	if err != nil {
		var ok bool
		if v.Damage, ok = damages(err, v.Damage); !ok {
			return v, err
		}
		return v, nil
	}
	v.Spans, v.Bytes = b.Meta().Rows, b.Meta().Bytes()
	err = b.Verify(ctx)
	if ctx.Err() != nil {
		return v, ctx.Err()
	}
	if err == nil {
		v.OK = true
		return v, nil
	}
	if _, gone := p.openBlock(ctx, id); errors.Is(gone, errNoBlock) {
		v.Gone = true
		return v, nil
	}
	var ok bool
	if v.Damage, ok = damages(err, nil); !ok {
		return v, err
	}
	// Verify names the first of each object. The pages know of the others.
	for _, name := range slices.Sorted(maps.Keys(b.Meta().Objects)) {
		if !slices.ContainsFunc(v.Damage, func(d damage) bool { return d.Object == name && d.What != missingObject }) {
			continue
		}
		_, tail, err := inspect.Pages(ctx, p.bucket, b.Meta(), name, func(q inspect.Page, _ []byte) error {
			v.Damage, _ = damages(q.Damage, v.Damage)
			return nil
		})
		if v.Damage, ok = damages(err, v.Damage); !ok {
			return v, err
		}
		const footer = 64 // the longest of what stands after pages
		if err == nil && tail > footer {
			v.Damage = append(v.Damage, damage{name, b.Meta().Objects[name].Bytes - tail, "page", "its header makes no sense: the pages after it can't be found by their headers"})
		}
	}
	slices.SortFunc(v.Damage, func(a, b damage) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.What, b.What))
	})
	v.Damage = slices.CompactFunc(v.Damage, func(a, b damage) bool { return a.Object == b.Object && a.Offset == b.Offset && a.What == b.What })
	return v, nil
}

const missingObject = "missing object"

// damages appends what an error says of damage. It is not ok if it says something else.
func damages(err error, found []damage) (_ []damage, ok bool) {
	if err == nil {
		return found, true
	}
	if joined, several := err.(interface{ Unwrap() []error }); several {
		for _, err := range joined.Unwrap() {
			if found, ok = damages(err, found); !ok {
				return found, false
			}
		}
		return found, true
	}
	if corrupt, is := err.(*page.CorruptError); is {
		object := corrupt.Object
		if i := strings.LastIndexByte(object, '/'); i >= 0 {
			object = object[i+1:]
		}
		return append(found, damage{object, corrupt.Offset, corrupt.What, corrupt.Reason}), true
	}
	if inner := errors.Unwrap(err); inner != nil && (page.IsCorrupt(inner) || isJoined(inner)) {
		return damages(inner, found)
	}
	if errors.Is(err, backend.ErrNotExist) {
		object := "meta.json"
		for _, name := range []string{"data", "index", "filter", "search", "summary"} {
			if strings.Contains(err.Error(), "/"+name) {
				object = name
			}
		}
		return append(found, damage{object, 0, missingObject, "does not exist"}), true
	}
	return found, false
}

func isJoined(err error) bool {
	_, joined := err.(interface{ Unwrap() []error })
	return joined
}

func (p *program) printVerified(v *verified) {
	if v.OK {
		fmt.Fprintf(p.stdout, "%s  ok        %s spans, %s\n", v.ID, formatCount(v.Spans), formatBytes(v.Bytes))
		return
	}
	if v.Gone {
		fmt.Fprintf(p.stdout, "%s  gone      deleted since it was listed\n", v.ID)
		return
	}
	fmt.Fprintf(p.stdout, "%s  DAMAGED\n", v.ID)
	for _, d := range v.Damage {
		fmt.Fprintf(p.stdout, "  %-9s offset %-11d %s: %s\n", d.Object, d.Offset, d.What, cut(d.Reason, 300))
	}
}
