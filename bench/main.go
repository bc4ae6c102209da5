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
	"time"

	"github.com/jaeger-tempo/tempo/bench/workload"
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
		o    = options{Lookups: 5000, Searches: 30}
		file string
		keep bool
	)
	flag.Uint64Var(&o.Seed, "seed", 1, "seed of the workload")
	flag.IntVar(&o.Traces, "traces", 20_000, "number of traces; 19.5 spans each on average")
	flag.IntVar(&o.Writers, "writers", 4, "requests that are written at the same time")
	flag.StringVar(&o.Dir, "dir", "", "`directory` to work in, on the disk to measure (default: a temporary one)")
	flag.StringVar(&file, "json", "", "write the rows to this `file` too")
	flag.StringVar(&o.Profile, "profile", "", "write a CPU profile of each phase into this `directory`")
	flag.BoolVar(&keep, "keep", false, "keep the temporary directory")
	flag.Parse()
	if flag.NArg() > 0 || o.Traces < 1 || o.Writers < 1 {
		fmt.Fprintln(os.Stderr, "bench: takes flags only, and at least one trace and one writer")
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
	var (
		w writeResult
		n recentResult
		d readResult
		c compactResult
	)
	for _, phase := range []struct {
		name   string
		result any
	}{{"write", &w}, {"recent", &n}, {"read", &d}, {"scatter", new(any)}, {"compact", &c}} {
		progress("%s", phase.name)
		if err := child(o, phase.name, phase.result); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	r.fill(&o, &w, &n, &d, &c)
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

var began = time.Now()

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}

// child runs a phase in a process of its own, and reads its result from what it prints.
func child(o options, phase string, result any) error {
	o.Phase = phase
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
	phases := map[string]func(*options) (any, error){"write": write, "recent": recent, "read": read, "scatter": scatter, "compact": compact}
	phase, ok := phases[o.Phase]
	if !ok {
		return fmt.Errorf("unknown phase %q", o.Phase)
	}
	if o.Profile != "" {
		f, err := os.Create(filepath.Join(o.Profile, o.Phase+".pprof"))
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
