package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is the outcome of a run.
type report struct {
	Machine   string `json:"machine"`
	Traces    int    `json:"traces"`
	Spans     int    `json:"spans"`
	Requests  int    `json:"requests"`
	WireBytes int    `json:"wire_bytes"`
	Rows      []row  `json:"rows"`
	// Growth has what questions cost, by number of blocks.
	BlockTraces int             `json:"block_traces,omitempty"`
	Growth      []*growthResult `json:"growth,omitempty"`
	// Cluster has the times of questions to one.
	Cluster *clusterReadResult `json:"cluster,omitempty"`
}

// row is a line of the table.
type row struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Goal is the greatest value that is good enough; 0 where there is none.
	Goal float64 `json:"goal,omitempty"`
	How  string  `json:"how"`
}

func (r *row) verdict() string {
	switch {
	case r.Goal == 0:
		return ""
	case r.Value <= r.Goal:
		return "met"
	}
	return "MISSED"
}

func (r *report) add(name string, value float64, unit string, goal float64, how string, args ...any) {
	r.Rows = append(r.Rows, row{name, value, unit, goal, fmt.Sprintf(how, args...)})
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// fill makes the rows. Goals are those of the project for this workload.
func (r *report) fill(o *options, all *results) {
	w, n, d, c := &all.write, &all.recent, &all.read, &all.compact
	perSpan := func(v float64) float64 { return v / float64(r.Spans) }
	r.add("CPU, OTLP in to settled", perSpan(float64(w.CPU.Nanoseconds())/1e3), "µs/span", 7,
		"user+system time of the writing process, %d writers of OTLP requests (Writer.Write), fsync before each ack, then all cut into %d blocks", o.Writers, w.Blocks)
	r.add("  of it until acknowledged", perSpan(float64(w.CPUAcked.Nanoseconds())/1e3), "µs/span", 0,
		"the same until the last ack, blocks cut meanwhile included; %d fsyncs for %d requests", w.Syncs, r.Requests)
	r.add("throughput, acknowledged", float64(r.Spans)/w.Acked.Seconds(), "spans/s", 0, "wall time %.2f s; settled after %.2f s", w.Acked.Seconds(), w.Settled.Seconds())
	r.add("write, one request, p50", ms(n.WriteP50), "ms", 0, "one writer, %d spans a request on average, until acknowledged", r.Spans/max(r.Requests, 1))
	r.add("peak memory", float64(w.PeakMemory)/1e6, "MB", 200, "VmHWM of the writing process")

	total := int64(0)
	for _, size := range w.BlockBytes {
		total += size
	}
	r.add("bytes at rest, index included", perSpan(float64(total)), "B/span", 48, "all files of the blocks; %d B/span came in, %d bytes of log are left", r.WireBytes/max(r.Spans, 1), w.LogBytesLeft)
	for _, name := range slices.Sorted(maps.Keys(w.BlockBytes)) {
		r.add("  "+name, perSpan(float64(w.BlockBytes[name])), "B/span", 0, "the objects of this name")
	}

	r.add("trace by ID, settled, p50", ms(d.P50), "ms", 1, "Reader.Trace of %d random traces, warm: every trace read before and its spans counted", d.Lookups)
	r.add("trace by ID, settled, p99", ms(d.P99), "ms", 0, "the same; %.2f reads of objects a lookup, %.1f KiB", d.ReadsPerLookup, d.BytesPerLookup/1024)
	r.add("trace by ID after the ack, p50", ms(n.P50), "ms", 1, "Reader.Trace of %d traces, each at once after an ack of spans of it; all found, spans counted", n.Lookups)
	r.add("trace by ID after the ack, p99", ms(n.P99), "ms", 0, "the same")
	for _, s := range d.Searches {
		r.add("search summaries, "+s.Kind+", p50", ms(s.Summaries), "ms", 3, "Reader.FindSummaries, limit %d, %d queries %d times each, warm; answers equal the workload's truth", limit, s.Queries, o.Searches)
	}
	for _, s := range d.Searches {
		r.add("search whole traces, "+s.Kind+", p50", ms(s.Whole), "ms", 10, "Reader.FindTraces, the same")
	}
	if c.Rows > 0 {
		r.add("compaction, CPU", float64(c.CPU.Nanoseconds())/1e3/float64(c.Rows), "µs/span", 0,
			"DB.Compact of the %d blocks into %d, in a new process; every trace verified afterwards", c.Before, c.After)
		r.add("compaction, speed", float64(c.Rows)/c.CPU.Seconds(), "spans/s", 0, "a core; %.2f s of wall time, %.1f B/span afterwards", c.Wall.Seconds(), perSpan(float64(c.Bytes)))
		r.add("compaction, peak memory", float64(c.PeakMemory)/1e6, "MB", 0, "VmHWM of the compacting process")
	}
	for _, a := range all.acks {
		r.acks(o, a)
	}
	for _, w := range all.clusterWrites {
		r.clusterWrite(o, w)
	}
	r.Growth, r.BlockTraces, r.Cluster = all.growth, o.BlockTraces, all.clusterRead
	r.add("open, settled", ms(d.Open), "ms", 0, "from nothing to ready, in a new process")
}

func (r *report) acks(o *options, a *acksResult) {
	perSecond := func(spans int, wall time.Duration) float64 { return float64(spans) / wall.Seconds() }
	policy := "fsync " + a.Sync
	r.add(policy+": OTLP", perSecond(a.OTLPSpans, a.OTLP), "spans/s", 0, "Writer.Write, %d writers, acknowledged; %d fsyncs", o.Writers, a.OTLPSyncs)
	r.add("  a request alone, p50", ms(a.RequestAlone), "ms", 0, "one writer")
	r.add(fmt.Sprintf("  Jaeger v1: gRPC, %d callers", callers), perSecond(a.Spans, a.Wall), "spans/s", 0,
		"WriteSpan of plugin.Services, a call a span, on one TCP connection of this machine, client in the same process; %d spans, %d fsyncs", a.Spans, a.Syncs)
	r.add("    a call, p50", ms(a.P50), "ms", 0, "until acknowledged")
	r.add("    a call, p99", ms(a.P99), "ms", 0, "the same")
	r.add(fmt.Sprintf("  Jaeger v1: gRPC, %d spans, one by one", batch), ms(a.Batch), "ms", 5000, "a caller that waits for each; Jaeger v1.76 gives a batch 5 s")
	r.add("    a call, p50", ms(a.BatchP50), "ms", 0, "until acknowledged")
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d traces, %d spans, %d requests of %.1f MB; %s\n\n", r.Traces, r.Spans, r.Requests, float64(r.WireBytes)/1e6, r.Machine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tMEASURED\tGOAL\t\tHOW")
	for _, row := range r.Rows {
		goal := ""
		if row.Goal > 0 {
			goal = "≤ " + number(row.Goal)
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%s\n", row.Name, number(row.Value), row.Unit, goal, row.verdict(), row.How)
	}
	_ = t.Flush() // to a terminal or a pipe: nothing to be done about an error
	if len(r.Growth) > 0 {
		r.printGrowth(w)
	}
	if r.Cluster != nil {
		r.Cluster.print(w)
	}
}

// printGrowth prints what questions cost in stores of more and more blocks; in brackets, how many times what they cost in the store before.
func (r *report) printGrowth(w io.Writer) {
	fmt.Fprintf(w, "\nGrowth: stores of blocks of %d traces each, cut in the order of time. Requests and bytes are those read from the bucket, a question.\n"+
		"Warm: asked before. Cold: the first question to a store that was just opened; what it reads is in the page cache of the operating system.\n\n", r.BlockTraces)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "QUESTION\tBLOCKS\tP50 ms\t\tP99 ms\tCPU ms\t\tREQUESTS\t\tKiB\t\tCOLD ms\t\tREQUESTS\t\tKiB\t")
	for i, q := range r.Growth[0].Questions {
		for at, g := range r.Growth {
			name, prior := q.Name, &g.Questions[i]
			if at > 0 {
				name, prior = "", &r.Growth[at-1].Questions[i]
			}
			q := &g.Questions[i]
			cell := func(now, before float64) string {
				if at == 0 || before == 0 {
					return number(now) + "\t"
				}
				return number(now) + "\t(×" + number(now/before) + ")"
			}
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, g.Blocks,
				cell(ms(q.Warm.P50), ms(prior.Warm.P50)), number(ms(q.Warm.P99)), cell(ms(q.Warm.CPU), ms(prior.Warm.CPU)),
				cell(q.Warm.Requests, prior.Warm.Requests), cell(q.Warm.Bytes/1024, prior.Warm.Bytes/1024),
				cell(ms(q.Cold.P50), ms(prior.Cold.P50)), cell(q.Cold.Requests, prior.Cold.Requests), cell(q.Cold.Bytes/1024, prior.Cold.Bytes/1024))
		}
	}
	_ = t.Flush()
}

// number writes three significant digits or all before the point.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return trim(fmt.Sprintf("%.1f", v))
	case v >= 1:
		return trim(fmt.Sprintf("%.2f", v))
	}
	return trim(fmt.Sprintf("%.3f", v))
}

func trim(s string) string { return strings.TrimRight(strings.TrimRight(s, "0"), ".") }
