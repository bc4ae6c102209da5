package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// options are the flags; a child process gets them as JSON.
type options struct {
	Phase   string
	Dir     string // working directory of the run
	Seed    uint64
	Traces  int
	Writers int
	// Lookups by ID, and repetitions of each search.
	Lookups, Searches int
	Profile           string // directory for CPU profiles, if not empty

	Growth      []int // blocks of the stores that are compared
	BlockTraces int   // in each of their blocks
	CallSpans   int   // that are written by gRPC

	Cluster bool // measure one too

	// Of a phase that runs several times:
	Blocks int
	Sync   string
}

func (o *options) requests() string { return filepath.Join(o.Dir, "requests") }
func (o *options) truth() string    { return filepath.Join(o.Dir, "truth.json") }
func (o *options) store() string    { return filepath.Join(o.Dir, "store") }

// childEnv holds the options of a child process.
const childEnv = "TEMPO_BENCH_PHASE"

func main() {
	if child := os.Getenv(childEnv); child != "" {
		exit(runPhase(child))
	}
	var (
		o    = options{Lookups: 5000, Searches: 30, Growth: []int{1, 10, 100}}
		file string
		keep bool
	)
	flag.Uint64Var(&o.Seed, "seed", 1, "seed of the workload")
	flag.IntVar(&o.Traces, "traces", 20_000, "number of traces; 19.5 spans each on average")
	flag.IntVar(&o.Writers, "writers", 4, "requests that are written at the same time")
	flag.Func("growth", "numbers of `blocks` whose growth is shown, such as 1,10,100 (the default); 0 for none", func(s string) (err error) {
		o.Growth, err = parseGrowth(s)
		return err
	})
	flag.IntVar(&o.BlockTraces, "block-traces", 1000, "traces in each block of those")
	flag.IntVar(&o.CallSpans, "calls", 40_000, "spans that are written by gRPC, each with a call of its own")
	flag.BoolVar(&o.Cluster, "cluster", true, "measure a cluster of three ingesters too, whose programs are built first")
	flag.StringVar(&o.Dir, "dir", "", "`directory` to work in, on the disk to measure (default: a temporary one)")
	flag.StringVar(&file, "json", "", "write the rows to this `file` too")
	flag.StringVar(&o.Profile, "profile", "", "write a CPU profile of each phase into this `directory`")
	flag.BoolVar(&keep, "keep", false, "keep the temporary directory")
	flag.Parse()
	if flag.NArg() > 0 || o.Traces < 1 || o.Writers < 1 || o.BlockTraces < 1 || o.CallSpans < 1 {
		fmt.Fprintln(os.Stderr, "bench: takes flags only, and at least one of everything")
		flag.Usage()
		os.Exit(2)
	}
	exit(run(o, os.Stdout, file, keep))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(o options, out io.Writer, file string, keep bool) (err error) {
	dir, err := os.MkdirTemp(o.Dir, "tempo-bench-")
	if err != nil {
		return err
	}
	o.Dir = dir
	if keep {
		fmt.Fprintln(os.Stderr, "working directory:", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	progress("generating %d traces", o.Traces)
	sent, err := generate(&o, workload.New(o.Seed, o.Traces))
	if err != nil {
		return err
	}
	r := report{Traces: o.Traces, Spans: sent.spans, Requests: sent.requests, WireBytes: sent.bytes, Machine: machine(dir)}
	all := new(results)
	type phase struct {
		name   string
		of     options
		result any
	}
	phases := []phase{{"write", o, &all.write}, {"recent", o, &all.recent}, {"read", o, &all.read}, {"scatter", o, new(any)}, {"compact", o, &all.compact}}
	for _, sync := range []wal.Sync{wal.SyncAlways, wal.SyncInterval, wal.SyncNever} {
		of := o
		of.Sync = sync.String()
		result := new(acksResult)
		all.acks = append(all.acks, result)
		phases = append(phases, phase{"acks", of, result})
	}
	for _, blocks := range o.Growth {
		of := o
		of.Blocks = blocks
		result := new(growthResult)
		all.growth = append(all.growth, result)
		phases = append(phases, phase{"grow", of, new(any)}, phase{"growth", of, result})
	}
	if o.Cluster {
		progress("building the programs of a cluster")
		if err := buildPrograms(&o); err != nil {
			return err
		}
		for _, sync := range []wal.Sync{wal.SyncAlways, wal.SyncInterval, wal.SyncNever} {
			of := o
			of.Sync = sync.String()
			result := new(clusterWriteResult)
			all.clusterWrites = append(all.clusterWrites, result)
			phases = append(phases, phase{"cluster-write", of, result})
		}
		if len(o.Growth) > 0 { // the largest store of that
			of := o
			of.Blocks = slices.Max(o.Growth)
			all.clusterRead = new(clusterReadResult)
			phases = append(phases, phase{"cluster-read", of, all.clusterRead})
		}
	}
	for _, p := range phases {
		p.of.Phase = p.name
		progress("%s", p.of.title())
		if err := child(p.of, p.result); err != nil {
			return fmt.Errorf("%s: %w", p.of.title(), err)
		}
	}
	r.fill(&o, all)
	r.print(out)
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// results are those of all phases.
type results struct {
	write   writeResult
	recent  recentResult
	read    readResult
	compact compactResult
	acks    []*acksResult
	growth  []*growthResult

	clusterWrites []*clusterWriteResult
	clusterRead   *clusterReadResult // nil if it was not measured
}

// title is the phase's name, by which it is told from others of its kind.
func (o *options) title() string {
	switch {
	case o.Sync != "":
		return o.Phase + "-" + o.Sync
	case o.Blocks > 0:
		return o.Phase + "-" + strconv.Itoa(o.Blocks)
	}
	return o.Phase
}

// parseGrowth reads a list of numbers, without zeros.
func parseGrowth(s string) (all []int, err error) {
	for text := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is no number of blocks", text)
		}
		if n > 0 {
			all = append(all, n)
		}
	}
	return all, nil
}

var began = time.Now()

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}

// child runs a phase in a process of its own, and reads its result from what it prints.
func child(o options, result any) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	return json.Unmarshal(out.Bytes(), result)
}

// runPhase is the main function of a child.
func runPhase(text string) error {
	var o options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	phases := map[string]func(*options) (any, error){"write": write, "recent": recent, "read": read, "scatter": scatter, "compact": compact,
		"acks": acks, "grow": grow, "growth": growth,
		"cluster-write": clusterWrite, "cluster-read": clusterRead}
	phase, ok := phases[o.Phase]
	if !ok {
		return fmt.Errorf("unknown phase %q", o.Phase)
	}
	if o.Profile != "" {
		f, err := os.Create(filepath.Join(o.Profile, o.title()+".pprof"))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	result, err := phase(&o)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
