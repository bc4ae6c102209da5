// Package compact makes few blocks of many.
//
// [Plan] decides what is merged and [Retain] what is dropped: functions of the blocks' metas and the time, without
// I/O, which may be called concurrently. Two compactors that see the same blocks plan the same jobs under the same names, so that
// one can claim a job by putting an object of that name if there is none. testdata/scripts has what they decide, to be read.
package compact

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// PlanOptions says what is worth compacting. Zero values stand for defaults.
type PlanOptions struct {
	// Windows are the widths of time windows, ascending, each a multiple of the one before (if it is none it is made
	// one); 1 h, 6 h, 24 h if empty. A block is in the window in which its last row starts: the widest that is
	// settled, else the narrowest.
	Windows []time.Duration
	// Settle is the time after a window's end when it is settled: most of what belongs there has come. 15 min if zero.
	Settle time.Duration
	// Growth is how many times greater than its greatest input a job's output must be, as long as the window is not settled; 4 if
	// zero, and at least 2. In a settled window it is 2. This bounds how often the same bytes are written again.
	Growth int
	// MaxInputs is the number of blocks that one job merges; 16 if zero.
	MaxInputs int
	// MaxBytes and MaxRows bound a job's output, taken as the sum of its inputs; 2 GiB and 20 million if zero.
	MaxBytes, MaxRows int64
}

func (o PlanOptions) withDefaults() PlanOptions {
	o.Windows = slices.Clone(o.Windows)
	if len(o.Windows) == 0 {
		o.Windows = []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour}
	}
	unit := int64(1)
	for i, w := range o.Windows {
		unit *= max((int64(w)+unit-1)/unit, 1)
		o.Windows[i] = time.Duration(unit)
	}
	o.Settle = cmp.Or(o.Settle, 15*time.Minute)
	o.Growth = max(cmp.Or(o.Growth, 4), settledGrowth)
	o.MaxInputs = max(cmp.Or(o.MaxInputs, 16), 2)
	o.MaxBytes = cmp.Or(o.MaxBytes, 2<<30)
	o.MaxRows = cmp.Or(o.MaxRows, 20_000_000)
	return o
}

// settledGrowth is PlanOptions.Growth in a settled window: a little that comes late does not make what is there be written anew.
const settledGrowth = 2

// Job is blocks to be merged into one. One: its inputs are superseded as soon as a block is there that names them its parents.
type Job struct {
	// Name is made of the inputs' IDs and nothing else: whoever plans the same job calls it so.
	Name string
	// Inputs are the blocks, by ID.
	Inputs []*block.Meta
	// Window is where they all are.
	Window Window
	// Level is that of the output: one more than the greatest of the inputs.
	Level int
	// Bytes and Rows are the sums of the inputs'.
	Bytes, Rows int64
	// Siblings is set if inputs have parents in common, as when two compactors did the same work: what they
	// have twice is to be merged away, whatever the limits.
	Siblings bool
}

// Window is a range of time that blocks are compacted in, its end not included.
type Window struct {
	Begin, End int64 // Unix nanoseconds
	// Settled says that the window was over for PlanOptions.Settle.
	Settled bool
}

// Plan returns the jobs that are due among a tenant's live blocks, the one first that takes away a block for the fewest
// bytes. No two jobs share a block, and none mixes windows. What it returns depends on the blocks, not on their order. When
// all jobs are done, others may be due; that comes to an end: each leaves fewer blocks.
func Plan(blocks []*block.Meta, now time.Time, o PlanOptions) []Job {
	o = o.withDefaults()
	windows := make(map[Window][]*block.Meta)
	for _, m := range blocks {
		w := o.window(m, now)
		windows[w] = append(windows[w], m)
	}
	var jobs []Job
	for w, blocks := range windows {
		if len(blocks) > 1 {
			jobs = append(jobs, o.planWindow(w, blocks)...)
		}
	}
	slices.SortFunc(jobs, func(a, b Job) int {
		return cmp.Or(
			cmp.Compare(a.cost(), b.cost()),
			cmp.Compare(b.Window.Begin, a.Window.Begin),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return jobs
}

// cost is the number of bytes to be read for each block that there is less then.
func (j *Job) cost() int64 { return j.Bytes / int64(len(j.Inputs)-1) }

// window returns the window that a block is in.
func (o *PlanOptions) window(m *block.Meta, now time.Time) Window {
	settled := now.Add(-o.Settle).UnixNano()
	for i := len(o.Windows) - 1; ; i-- {
		w := windowAt(m.MaxStart, int64(o.Windows[i]))
		w.Settled = w.End <= settled
		if w.Settled || i == 0 {
			return w
		}
	}
}

// windowAt returns the window of a width that t is in.
func windowAt(t, width int64) Window {
	into := t % width
	if into < 0 {
		into += width
	}
	w := Window{Begin: math.MinInt64, End: math.MaxInt64}
	if t >= math.MinInt64+into {
		w.Begin = t - into
	}
	if w.Begin <= math.MaxInt64-width {
		w.End = w.Begin + width
	}
	return w
}

// planWindow returns the jobs of a window.
func (o *PlanOptions) planWindow(w Window, blocks []*block.Meta) []Job {
	jobs, blocks := o.siblings(w, blocks)
	slices.SortFunc(blocks, func(a, b *block.Meta) int {
		return cmp.Or(cmp.Compare(a.Bytes(), b.Bytes()), cmp.Compare(a.Level, b.Level), cmp.Compare(a.ID, b.ID))
	})
	growth := int64(settledGrowth)
	if !w.Settled {
		growth = int64(o.Growth)
	}
	for begin := 0; begin < len(blocks); {
		n := o.run(blocks[begin:], growth)
		if n > 1 {
			jobs = append(jobs, newJob(w, blocks[begin:begin+n]))
		}
		begin += max(n, 1)
	}
	return jobs
}

// run returns how many of the first blocks, in ascending order of size, make a job: as many as may and grow enough.
func (o *PlanOptions) run(blocks []*block.Meta, growth int64) (n int) {
	var bytes, rows int64
	for i, m := range blocks[:min(len(blocks), o.MaxInputs)] {
		size := m.Bytes()
		if size > o.MaxBytes-bytes || m.Rows > o.MaxRows-rows {
			break
		}
		bytes, rows = bytes+size, rows+m.Rows
		if i > 0 && bytes/growth >= size {
			n = i + 1
		}
	}
	return n
}

// siblings returns jobs for blocks that have parents in common, and the other blocks.
func (o *PlanOptions) siblings(w Window, blocks []*block.Meta) (jobs []Job, others []*block.Meta) {
	// The blocks are joined to families: family leads from a block to another of the same, in the end to the one that stands for all.
	family := make([]int, len(blocks))
	head := func(i int) int {
		for family[i] != i {
			family[i] = family[family[i]]
			i = family[i]
		}
		return i
	}
	childOf := make(map[block.ID]int)
	for i, m := range blocks {
		family[i] = i
		for _, parent := range m.Parents {
			if sibling, ok := childOf[parent]; ok {
				family[head(i)] = head(sibling)
			} else {
				childOf[parent] = i
			}
		}
	}
	families := make(map[int][]*block.Meta)
	for i, m := range blocks {
		families[head(i)] = append(families[head(i)], m)
	}
	for _, members := range families {
		if len(members) == 1 {
			others = append(others, members[0])
			continue
		}
		slices.SortFunc(members, byID)
		job := newJob(w, members[:min(len(members), o.MaxInputs)])
		job.Siblings = true
		jobs = append(jobs, job)
	}
	return jobs, others
}

func byID(a, b *block.Meta) int { return cmp.Compare(a.ID, b.ID) }

func newJob(w Window, inputs []*block.Meta) Job {
	j := Job{Inputs: slices.Clone(inputs), Window: w}
	slices.SortFunc(j.Inputs, byID)
	ids := make([]block.ID, len(j.Inputs))
	for i, m := range j.Inputs {
		j.Bytes, j.Rows = j.Bytes+m.Bytes(), j.Rows+m.Rows
		j.Level = max(j.Level, m.Level+1)
		ids[i] = m.ID
	}
	j.Name = JobName(ids)
	return j
}

// JobName returns the name of the job that merges the blocks given, in whatever order: 32 hexadecimal digits.
func JobName(ids []block.ID) string {
	ids = slices.Sorted(slices.Values(ids))
	h := sha256.New()
	for _, id := range ids {
		fmt.Fprintf(h, "%s\n", id)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Backlog is how much compaction is due.
type Backlog struct {
	// Jobs is the number of jobs until none is due any more, Bytes what they read.
	Jobs  int
	Bytes int64
	// Blocks is the number of blocks that there are less then, Rounds how often jobs wait for the output of others.
	Blocks, Rounds int
}

// Due returns how much is to be done until Plan finds nothing more at the time given, if no blocks come and no
// bytes are merged away.
func Due(blocks []*block.Meta, now time.Time, o PlanOptions) (b Backlog) {
	left := blocks
	for {
		jobs := Plan(left, now, o)
		if len(jobs) == 0 {
			return b
		}
		b.Rounds++
		for i := range jobs {
			b.Jobs++
			b.Bytes += jobs[i].Bytes
			b.Blocks += len(jobs[i].Inputs) - 1
		}
		left = simulate(left, jobs)
	}
}

// simulate returns the blocks there are when the jobs are done.
func simulate(blocks []*block.Meta, jobs []Job) []*block.Meta {
	merged := make(map[block.ID]bool)
	var outputs []*block.Meta
	for _, j := range jobs {
		outputs = append(outputs, j.output())
		for _, m := range j.Inputs {
			merged[m.ID] = true
		}
	}
	return append(slices.DeleteFunc(slices.Clone(blocks), func(m *block.Meta) bool { return merged[m.ID] }), outputs...)
}

// output is what Plan looks at of the block that a job makes. Its ID is the job's name.
func (j *Job) output() *block.Meta {
	m := &block.Meta{
		ID: block.ID(j.Name), Level: j.Level, Rows: j.Rows,
		MinStart: math.MaxInt64, MaxStart: math.MinInt64, MaxEnd: math.MinInt64,
		Objects: map[string]block.Object{"data": {Bytes: j.Bytes}},
	}
	for _, in := range j.Inputs {
		m.Parents = append(m.Parents, in.ID)
		m.MinStart, m.MaxStart, m.MaxEnd = min(m.MinStart, in.MinStart), max(m.MaxStart, in.MaxStart), max(m.MaxEnd, in.MaxEnd)
	}
	return m
}
