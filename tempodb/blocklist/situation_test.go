package blocklist

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// The scripts in testdata/scripts play one process that keeps a list. Blocks are numbers; block n was begun n seconds after 03:00:00. The store
// is made of lines "5 parents=(1,2)", "6 unfinished", "7 damaged", "8 saved=5" for what was salvaged of 5,
// "9 merged=(1,2)" for a block that says it has what all have that are merged of the same. The commands:
//
//	store            what lies in the store from now on, but for the marks of dropped blocks
//	list at=T [drop=(…)]          a poll that lists, after blocks were dropped: what it reads, and the list after it
//	index at=T seq=N              another process lists all this, and what it would write is kept
//	poll at=T                     a poll that believes that index
//	poll at=T listing             a poll that knows that index, but lists
//	add at=T                      this process writes the blocks in the input
//	forget                        the process begins anew
//	unmark                        no block is marked as dropped any more
//	reap at=T grace=D [abandoned=D] what would be deleted of the list
//	overlapping from=N to=N       which blocks may hold rows of then
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := script{list: newList(tenant).finish(), marks: make(map[block.ID]time.Time)}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.do(t, d) })
	})
}

type script struct {
	store []scriptBlock
	marks map[block.ID]time.Time
	list  *List
	index *Index
}

type scriptBlock struct {
	meta  *block.Meta
	state string
}

func parseScriptBlocks(t *testing.T, input string) (blocks []scriptBlock) {
	levels := make(map[block.ID]int)
	for line := range strings.SplitSeq(strings.TrimSpace(input), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		b := scriptBlock{meta: metaOf(number(t, fields[0]))}
		for _, f := range fields[1:] {
			what, list, ok := strings.Cut(f, "=")
			if !ok {
				b.state = f
				continue
			}
			for p := range strings.SplitSeq(strings.Trim(list, "()"), ",") {
				id := idOf(number(t, p))
				b.meta.Parents = append(b.meta.Parents, id)
				b.meta.Level = max(b.meta.Level, levels[id])
			}
			if what != "saved" {
				b.meta.Level++
			}
			if what == "merged" {
				b.meta.MinStart, b.meta.MaxStart, b.meta.MaxEnd = 1, 2, 3
			}
		}
		levels[b.meta.ID] = b.meta.Level
		blocks = append(blocks, b)
	}
	return blocks
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *script) folders() (ids []block.ID) {
	ids = []block.ID{}
	for _, b := range s.store {
		ids = append(ids, b.meta.ID)
	}
	slices.Sort(ids)
	return ids
}

func (s *script) read(wanted []block.ID) map[block.ID]reading {
	read := make(map[block.ID]reading)
	for _, id := range wanted {
		r := reading{err: missing(string(id))}
		for _, b := range s.store {
			switch {
			case b.meta.ID != id:
			case b.state == "damaged":
				r = reading{err: errors.New("unreadable")}
			case b.state == "":
				r = reading{meta: b.meta}
			}
		}
		read[id] = r
	}
	return read
}

func (s *script) do(t *testing.T, d *datadriven.TestData) string {
	value := func(key string) string {
		for _, a := range d.CmdArgs {
			if a.Key == key && len(a.Vals) > 0 {
				return a.Vals[0]
			}
		}
		return ""
	}
	now := func() time.Time {
		at, err := time.Parse(time.DateTime, "2026-01-02 "+value("at"))
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	step := func(x situation, list *List) (*List, string) {
		x.tenant, x.prev, x.now = tenant, list, now()
		var wanted []block.ID
		if x.listing || x.index != nil {
			wanted = x.wanted()
		}
		read := s.read(wanted)
		if again := x.returning(x.next(read)); len(again) > 0 {
			maps.Copy(read, s.read(again))
			wanted = append(wanted, again...)
		}
		next := x.next(read)
		return next, "read:" + numbers(wanted) + "\n"
	}
	switch d.Cmd {
	case "store":
		s.store = parseScriptBlocks(t, d.Input)
		return ""
	case "forget":
		s.list = newList(tenant).finish()
		return ""
	case "unmark":
		clear(s.marks)
		return ""
	case "list", "poll", "add":
		x := situation{listing: d.Cmd == "list" || d.HasArg("listing")}
		switch d.Cmd {
		case "poll":
			x.index = s.index
		case "add":
			for _, b := range parseScriptBlocks(t, d.Input) {
				x.added = append(x.added, b.meta)
			}
		}
		for _, a := range d.CmdArgs {
			if a.Key == "drop" {
				for _, v := range a.Vals {
					s.marks[idOf(number(t, v))] = now()
				}
			}
		}
		if x.listing {
			x.listed, x.marks = s.folders(), maps.Clone(s.marks)
		}
		before := s.list
		next, read := step(x, before)
		s.list = next
		return read + describeList(next, now()) + describeDiff(before.diff(next))
	case "index":
		list, _ := step(situation{listing: true, listed: s.folders(), marks: maps.Clone(s.marks)}, newList(tenant).finish())
		content, err := AppendIndex(nil, list, Header{Seq: uint64(number(t, value("seq"))), Listed: now(), Writer: "another"})
		if err != nil {
			t.Fatal(err)
		}
		if s.index, err = ParseIndex(content, nil); err != nil {
			t.Fatal(err)
		}
		return describeList(list, now())
	case "reap":
		duration := func(key, unless string) time.Duration {
			d, err := time.ParseDuration(cmp.Or(value(key), unless))
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		o := ReapOptions{Now: now(), Grace: duration("grace", ""), Abandoned: duration("abandoned", "24h")}
		var out strings.Builder
		for i, wave := range reapSteps(s.list, o) {
			for _, step := range wave {
				kind := [...]string{"", "superseded", "dropped", "the rest", "abandoned", "void"}[step.kind]
				fmt.Fprintf(&out, "%d:%s %s", i+1, numbers([]block.ID{step.id}), kind)
				if step.kind == reapVoid {
					fmt.Fprintf(&out, ", if there are%s", numbers(step.witnesses))
				} else if len(step.witnesses) > 0 {
					fmt.Fprintf(&out, ", if there is one of%s", numbers(step.witnesses))
				}
				if len(step.after) > 0 {
					fmt.Fprintf(&out, ", after%s", numbers(step.after))
				}
				out.WriteString("\n")
			}
		}
		for _, id := range uselessMarks(s.list, o) {
			fmt.Fprintf(&out, "mark of%s\n", numbers([]block.ID{id}))
		}
		if out.Len() == 0 {
			return "nothing\n"
		}
		return out.String()
	case "overlapping":
		at := func(key string, unbounded int64) int64 {
			if !d.HasArg(key) {
				return unbounded
			}
			return epoch.Add(time.Duration(number(t, value(key))) * time.Second).UnixNano()
		}
		var ids []block.ID
		for m := range s.list.Overlapping(at("from", math.MinInt64), at("to", math.MaxInt64)) {
			ids = append(ids, m.ID)
		}
		return "blocks:" + numbers(ids) + "\n"
	}
	t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	return ""
}

func numbers(ids []block.ID) string {
	if len(ids) == 0 {
		return " none"
	}
	var out strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&out, " %d", int(id.Time().Sub(epoch)/time.Second))
	}
	return out.String()
}

func describeList(l *List, now time.Time) string {
	var out strings.Builder
	fmt.Fprintf(&out, "live:")
	for _, n := range liveNumbers(l) {
		fmt.Fprintf(&out, " %d", n)
	}
	out.WriteString("\n")
	for _, r := range l.Retired {
		fmt.Fprintf(&out, "%s:%s since %s\n", r.Cause, numbers([]block.ID{r.Meta.ID}), r.Since.Format(time.TimeOnly))
	}
	for _, d := range l.Damaged {
		fmt.Fprintf(&out, "damaged:%s since %s, %v", numbers([]block.ID{d.ID}), d.Since.Format(time.TimeOnly), d.Err)
		if d.Superseded {
			out.WriteString(", superseded")
		}
		if d.Tries > 0 {
			fmt.Fprintf(&out, ", again in %v", d.Retry.Sub(now))
		}
		out.WriteString("\n")
	}
	for _, u := range l.Unfinished {
		fmt.Fprintf(&out, "unfinished:%s, again in %v\n", numbers([]block.ID{u.ID}), max(u.Retry.Sub(now), 0))
	}
	return out.String()
}

func describeDiff(d Diff) string {
	var out strings.Builder
	for _, m := range d.Added {
		fmt.Fprintf(&out, " +%s", strings.TrimSpace(numbers([]block.ID{m.ID})))
	}
	for _, id := range d.Removed {
		fmt.Fprintf(&out, " -%s", strings.TrimSpace(numbers([]block.ID{id})))
	}
	for _, x := range d.Damaged {
		fmt.Fprintf(&out, " damaged%s", numbers([]block.ID{x.ID}))
	}
	for _, id := range d.Repaired {
		fmt.Fprintf(&out, " repaired%s", numbers([]block.ID{id}))
	}
	if out.Len() == 0 {
		return "changed: nothing\n"
	}
	return "changed:" + out.String() + "\n"
}
