package compact

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// In the scripts a time is "HH:MM" of the first of January, or "DD HH:MM" written DD-HH:MM; bytes are 10K, 3M, 2G; and a
// block is a line: its name, then start=, minutes= of its rows (1), bytes= (1M), rows= (1), level=, parents=(a,b), created=.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		var blocks []*block.Meta
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "blocks":
				blocks = parseBlocks(t, d.Input)
				return ""
			case "plan":
				return describe(Plan(blocks, argTime(t, d, "now"), parsePlanOptions(t, d)))
			case "due":
				b := Due(blocks, argTime(t, d, "now"), parsePlanOptions(t, d))
				return fmt.Sprintf("%d jobs in %d rounds read %s; %d blocks less\n", b.Jobs, b.Rounds, size(b.Bytes), b.Blocks)
			case "run": // plan and do, until nothing is due
				var out strings.Builder
				for round := 1; ; round++ {
					jobs := Plan(blocks, argTime(t, d, "now"), parsePlanOptions(t, d))
					if len(jobs) == 0 {
						break
					}
					fmt.Fprintf(&out, "round %d\n%s", round, describe(jobs))
					after := simulate(blocks, jobs)
					for _, m := range after { // names that a person can read
						if i := slices.IndexFunc(jobs, func(j Job) bool { return block.ID(j.Name) == m.ID }); i >= 0 {
							m.ID = block.ID("[" + join(jobs[i].Inputs) + "]")
						}
					}
					blocks = after
				}
				fmt.Fprintf(&out, "left: %s\n", join(sorted(blocks)))
				return out.String()
			case "retain":
				var o RetainOptions
				if d.HasArg("age") {
					o.MaxAge = parseDuration(t, arg(d, "age"))
				}
				if d.HasArg("bytes") {
					o.MaxBytes = parseBytes(t, arg(d, "bytes"))
				}
				drop := Retain(blocks, argTime(t, d, "now"), o)
				if len(drop) == 0 {
					return "drop nothing\n"
				}
				out := "drop"
				for _, id := range drop {
					out += " " + string(id)
				}
				return out + "\n"
			}
			t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			return ""
		})
	})
}

func describe(jobs []Job) string {
	if len(jobs) == 0 {
		return "nothing is due\n"
	}
	var out strings.Builder
	for _, j := range jobs {
		begin, end := time.Unix(0, j.Window.Begin).UTC(), time.Unix(0, j.Window.End).UTC()
		fmt.Fprintf(&out, "%s +%s", begin.Format("02-15:04"), strings.TrimSuffix(end.Sub(begin).String(), "0m0s"))
		if j.Window.Settled {
			out.WriteString(" settled")
		}
		fmt.Fprintf(&out, ": %s -> level %d, %s", join(j.Inputs), j.Level, size(j.Bytes))
		if j.Siblings {
			out.WriteString(", siblings")
		}
		out.WriteString("\n")
	}
	return out.String()
}

func join(blocks []*block.Meta) string {
	var names []string
	for _, m := range blocks {
		names = append(names, string(m.ID))
	}
	return strings.Join(names, " ")
}

func sorted(blocks []*block.Meta) []*block.Meta {
	return slices.SortedFunc(slices.Values(blocks), byID)
}

func size(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%dG", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%dM", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

func arg(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return a.Vals[0]
		}
	}
	return ""
}

func argTime(t *testing.T, d *datadriven.TestData, key string) time.Time {
	return parseTime(t, arg(d, key))
}

func parseTime(t *testing.T, s string) time.Time {
	t.Helper()
	if !strings.Contains(s, "-") {
		s = "01-" + s
	}
	at, err := time.Parse("2006-01 02-15:04", "2026-01 "+s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func parseDuration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parseBytes(t *testing.T, s string) int64 {
	t.Helper()
	unit := map[byte]int64{'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}[s[len(s)-1]]
	if unit > 0 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n * max(unit, 1)
}

func parsePlanOptions(t *testing.T, d *datadriven.TestData) (o PlanOptions) {
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "windows":
			for _, w := range a.Vals {
				o.Windows = append(o.Windows, parseDuration(t, w))
			}
		case "max-inputs":
			o.MaxInputs = int(parseBytes(t, a.Vals[0]))
		case "max-bytes":
			o.MaxBytes = parseBytes(t, a.Vals[0])
		case "max-rows":
			o.MaxRows = parseBytes(t, a.Vals[0])
		case "growth":
			o.Growth = int(parseBytes(t, a.Vals[0]))
		}
	}
	return o
}

func parseBlocks(t *testing.T, input string) (blocks []*block.Meta) {
	for line := range strings.SplitSeq(strings.TrimSpace(input), "\n") {
		fields := strings.Fields(line)
		m := testBlock(fields[0], time.Time{}, 1<<20)
		m.Rows = 1
		length := time.Minute
		for _, f := range fields[1:] {
			key, value, _ := strings.Cut(f, "=")
			switch key {
			case "start":
				m.MinStart = parseTime(t, value).UnixNano()
			case "minutes":
				length = time.Duration(parseBytes(t, value)) * time.Minute
			case "bytes":
				m.Objects["data"] = block.Object{Bytes: parseBytes(t, value)}
			case "rows":
				m.Rows = parseBytes(t, value)
			case "level":
				m.Level = int(parseBytes(t, value))
			case "created":
				m.Created = parseTime(t, value)
			case "parents":
				for p := range strings.SplitSeq(strings.Trim(value, "()"), ",") {
					m.Parents = append(m.Parents, block.ID(p))
				}
			default:
				t.Fatalf("%q is nothing that a block has", f)
			}
		}
		m.MaxStart = m.MinStart + int64(length)
		m.MaxEnd = m.MaxStart
		if m.Rows == 0 {
			m.MinStart, m.MaxStart, m.MaxEnd = 0, 0, 0
		}
		if m.Created.IsZero() {
			m.Created = time.Unix(0, m.MaxEnd).UTC()
		}
		blocks = append(blocks, m)
	}
	return blocks
}

func testBlock(id string, start time.Time, bytes int64) *block.Meta {
	n := start.UnixNano()
	return &block.Meta{
		ID: block.ID(id), MinStart: n, MaxStart: n, MaxEnd: n, Rows: bytes / 50, Created: start,
		Objects: map[string]block.Object{"data": {Bytes: bytes}},
	}
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// drawBlocks draws blocks of three days, some far off, some with parents in common.
func drawBlocks(t *rapid.T) (blocks []*block.Meta) {
	n := rapid.IntRange(0, 60).Draw(t, "blocks")
	for i := range n {
		start := noon.Add(-time.Duration(rapid.IntRange(-60, 3*24*60).Draw(t, "age")) * time.Minute)
		m := testBlock(fmt.Sprintf("b%03d", i), start, rapid.Int64Range(0, 1<<rapid.IntRange(0, 31).Draw(t, "bits")).Draw(t, "bytes"))
		if rapid.IntRange(0, 20).Draw(t, "far") == 0 {
			m.MaxStart = rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, -1, 0}).Draw(t, "start")
		}
		for range rapid.IntRange(0, 2).Draw(t, "parents") {
			m.Parents = append(m.Parents, block.ID(fmt.Sprintf("p%d", rapid.IntRange(0, 30).Draw(t, "parent"))))
		}
		m.Level = rapid.IntRange(0, 3).Draw(t, "level")
		blocks = append(blocks, m)
	}
	return blocks
}

func drawPlanOptions(t *rapid.T) PlanOptions {
	return PlanOptions{
		Windows: rapid.SampledFrom([][]time.Duration{
			nil, {time.Hour}, {time.Hour, 90 * time.Minute, 24 * time.Hour}, {10 * time.Minute, time.Hour},
		}).Draw(t, "windows"),
		MaxInputs: rapid.IntRange(0, 20).Draw(t, "max inputs"),
		MaxBytes:  rapid.Int64Range(0, 1<<33).Draw(t, "max bytes"),
		MaxRows:   rapid.Int64Range(0, 1<<28).Draw(t, "max rows"),
		Growth:    rapid.IntRange(0, 6).Draw(t, "growth"),
	}
}

func TestAPlanKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks, options := drawBlocks(t), drawPlanOptions(t)
		jobs := Plan(blocks, noon, options)
		o := options.withDefaults()
		taken := make(map[block.ID]bool)
		for _, j := range jobs {
			if len(j.Inputs) < 2 || len(j.Inputs) > o.MaxInputs {
				t.Fatalf("a job of %d blocks", len(j.Inputs))
			}
			if !j.Siblings && (j.Bytes > o.MaxBytes || j.Rows > o.MaxRows) {
				t.Fatalf("a job of %d bytes, %d rows", j.Bytes, j.Rows)
			}
			var greatest int64
			for _, m := range j.Inputs {
				if taken[m.ID] {
					t.Fatalf("block %s is in two jobs", m.ID)
				}
				taken[m.ID] = true
				if w := o.window(m, noon); w != j.Window {
					t.Fatalf("block %s of window %v is in a job of %v", m.ID, w, j.Window)
				}
				if m.MaxStart < j.Window.Begin || m.MaxStart >= j.Window.End && m.MaxStart != math.MaxInt64 {
					t.Fatalf("block %s of %d is not in window %v", m.ID, m.MaxStart, j.Window)
				}
				greatest = max(greatest, m.Bytes())
			}
			if !j.Siblings && j.Bytes < 2*greatest {
				t.Fatalf("a job writes %d bytes of one block anew to add %d", greatest, j.Bytes-greatest)
			}
		}
		// Whoever plans, in whatever order the blocks are listed, finds the same.
		shuffled := slices.Clone(blocks)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
		again := Plan(shuffled, noon, options)
		if !slices.EqualFunc(jobs, again, func(a, b Job) bool {
			return a.Name == b.Name && slices.Equal(a.Inputs, b.Inputs) && a.Window == b.Window
		}) {
			t.Fatalf("the plan depends on the order of blocks:\n%s\n%s", describe(jobs), describe(again))
		}
	})
}

func TestPlanningComesToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks, o := drawBlocks(t), drawPlanOptions(t)
		before := len(blocks)
		for round := 0; ; round++ {
			jobs := Plan(blocks, noon, o)
			if len(jobs) == 0 {
				break
			}
			blocks = simulate(blocks, jobs)
			if len(blocks) >= before {
				t.Fatalf("%d blocks after a round, %d before", len(blocks), before)
			}
			before = len(blocks)
		}
		// What is left in a settled window without limits is few, each at least as great as all smaller ones together.
		free := PlanOptions{MaxBytes: math.MaxInt64, MaxRows: math.MaxInt64, MaxInputs: 1000}
		for jobs := Plan(blocks, noon, free); len(jobs) > 0; jobs = Plan(blocks, noon, free) {
			blocks = simulate(blocks, jobs)
		}
		free = free.withDefaults()
		windows := make(map[Window][]int64)
		for _, m := range blocks {
			w := free.window(m, noon)
			windows[w] = append(windows[w], m.Bytes())
		}
		for w, sizes := range windows {
			slices.Sort(sizes)
			var smaller int64
			for _, n := range sizes {
				if w.Settled && smaller > 0 && n <= smaller {
					t.Fatalf("blocks of %v are left in a window that is settled", sizes)
				}
				smaller += n
			}
		}
	})
}

func TestAJobsNameIsThatOfItsBlocks(t *testing.T) {
	a := JobName([]block.ID{"b", "a", "c"})
	if b := JobName([]block.ID{"c", "b", "a"}); a != b {
		t.Errorf("%s and %s", a, b)
	}
	if b := JobName([]block.ID{"a", "bc"}); a == b {
		t.Errorf("two jobs are called %s", a)
	}
	if len(a) != 32 {
		t.Errorf("%q", a)
	}
}

// A day of cuts, one a minute of 5 to 50 MB, compacted every five minutes, and then two days without.
func TestADayOfCuts(t *testing.T) {
	for _, test := range []struct {
		name  string
		scale int64
		late  bool
	}{{"small", 1, false}, {"small with late data", 1, true}, {"large", 10, false}} {
		t.Run(test.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 8))
			var blocks []*block.Meta
			var cut, written, most int64
			jobsDone, level := 0, 0
			o := PlanOptions{}
			for minute := range 3 * 24 * 60 {
				now := noon.Add(time.Duration(minute) * time.Minute)
				if minute < 24*60 {
					m := testBlock(fmt.Sprintf("cut%05d", minute), now, (5+r.Int64N(46))<<20/10*test.scale)
					if test.late && r.IntN(20) == 0 {
						m.MaxStart -= int64(time.Duration(r.IntN(12*60)) * time.Minute)
					}
					cut += m.Bytes()
					blocks = append(blocks, m)
				}
				if minute%5 == 4 {
					jobs := Plan(blocks, now, o)
					for _, j := range jobs {
						written += j.Bytes
						level = max(level, j.Level)
					}
					jobsDone += len(jobs)
					blocks = simulate(blocks, jobs)
				}
				most = max(most, int64(len(blocks)))
			}
			windows := maps.Collect(func(yield func(Window, int) bool) {
				for _, m := range blocks {
					yield(o.withDefaults().ptr().window(m, noon.Add(72*time.Hour)), 1)
				}
			})
			t.Logf("1440 cuts, %d MiB: written again %.2f times in %d jobs; at most %d blocks at once, %d left in %d windows, level %d; sizes in MiB %v",
				cut>>20, float64(written)/float64(cut), jobsDone, most, len(blocks), len(windows), level, sizes(blocks))
			if level > 12 || written > 10*cut {
				t.Errorf("blocks were compacted %d times, bytes %.1f times", level, float64(written)/float64(cut))
			}
			if limit := cut/(1<<30) + 8*int64(len(windows)); int64(len(blocks)) > limit {
				t.Errorf("%d blocks are left, more than %d", len(blocks), limit)
			}
		})
	}
}

func (o PlanOptions) ptr() *PlanOptions { return &o }

func sizes(blocks []*block.Meta) (mib []int64) {
	for _, m := range slices.SortedFunc(slices.Values(blocks), func(a, b *block.Meta) int { return cmp.Compare(a.MaxStart, b.MaxStart) }) {
		mib = append(mib, m.Bytes()>>20)
	}
	return mib
}

func TestRetainKeepsTheNewestThatFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := drawBlocks(t)
		o := RetainOptions{MaxBytes: rapid.Int64Range(0, 1<<32).Draw(t, "max bytes"), MaxAge: time.Duration(rapid.IntRange(0, 100).Draw(t, "hours")) * time.Hour}
		drop := Retain(blocks, noon, o)
		dropped := make(map[block.ID]bool)
		for _, id := range drop {
			dropped[id] = true
		}
		var kept int64
		newestDropped, oldestKept := int64(math.MinInt64), int64(math.MaxInt64)
		for _, m := range blocks {
			if dropped[m.ID] {
				newestDropped = max(newestDropped, end(m))
				continue
			}
			kept += m.Bytes()
			oldestKept = min(oldestKept, end(m))
		}
		if o.MaxBytes > 0 && kept > o.MaxBytes {
			t.Fatalf("%d bytes are kept, more than %d", kept, o.MaxBytes)
		}
		if newestDropped > oldestKept {
			t.Fatal("a newer block is dropped than is kept")
		}
		if o.MaxAge > 0 && oldestKept < noon.Add(-o.MaxAge).UnixNano() {
			t.Fatal("a block that is too old is kept")
		}
		if o.MaxAge == 0 && o.MaxBytes == 0 && len(drop) > 0 {
			t.Fatal("blocks are dropped without a limit")
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var blocks []*block.Meta
	for i := range 10_000 {
		blocks = append(blocks, testBlock(fmt.Sprintf("b%06d", i), noon.Add(-time.Duration(r.IntN(14*24*60))*time.Minute), 1<<(15+r.IntN(15))))
	}
	b.ReportAllocs()
	for b.Loop() {
		Plan(blocks, noon, PlanOptions{})
	}
}
