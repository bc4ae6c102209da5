package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/bench/workload"
)

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		exit(runPhase(child))
	}
	os.Exit(m.Run())
}

// TestBenchmark runs a small one whole: its phases compare every answer with the truth.
func TestBenchmark(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.json")
	var out bytes.Buffer
	o := options{Dir: t.TempDir(), Seed: 1, Traces: 300, Writers: 2, Lookups: 100, Searches: 2, Growth: []int{1, 3}, BlockTraces: 50, CallSpans: 600}
	if err := run(o, &out, file, false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"CPU, OTLP in to settled", "peak memory", "bytes at rest, index included", "  data", "  search",
		"trace by ID, settled, p50", "trace by ID after the ack, p50",
		"search summaries, service, p50", "search summaries, operation, p50", "search summaries, tag, p50",
		"fsync always: OTLP", "fsync interval: OTLP", "fsync never: OTLP", "  Jaeger v1: gRPC, 50 callers", "  Jaeger v1: gRPC, 512 spans, one by one",
		"search summaries, rare tag, p50", "search summaries, duration, p50", "search whole traces, service, p50",
	} {
		i := slices.IndexFunc(r.Rows, func(row row) bool { return row.Name == want })
		if i < 0 || r.Rows[i].Value <= 0 || r.Rows[i].How == "" {
			t.Errorf("row %q: found %t, in %+v", want, i >= 0, r.Rows)
			continue
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, out.String())
		}
	}
	if len(r.Growth) != 2 || len(r.Growth[0].Questions) != len(r.Growth[1].Questions) {
		t.Fatalf("growth: %+v", r.Growth)
	}
	for _, g := range r.Growth {
		for _, q := range g.Questions {
			if !strings.Contains(out.String(), q.Name) || q.Cold.Requests < 1 || q.Cold.P50 <= 0 {
				t.Errorf("growth to %d blocks: %+v", g.Blocks, q)
			}
		}
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRequestsAreReadAsTheyWereGenerated(t *testing.T) {
	o := options{Dir: t.TempDir()}
	w := workload.New(3, 100)
	if _, err := generate(&o, w); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(o.requests())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got frame
	for want := range w.Requests() {
		if err := got.read(f); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.data, want.Data) || !slices.Equal(got.parts, want.Parts) {
			t.Fatal("a request is read differently")
		}
	}
	if err := got.read(f); !errors.Is(err, io.EOF) {
		t.Errorf("after the last request: %v", err)
	}
}

func TestPercentile(t *testing.T) {
	all := []time.Duration{5, 1, 4, 2, 3}
	for p, want := range map[int]time.Duration{0: 1, 50: 3, 99: 5, 100: 5} {
		if got := percentile(all, p); got != want {
			t.Errorf("p%d: %d, want %d", p, got, want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		value, goal float64
		want        string
	}{{1, 0, ""}, {1, 1, "met"}, {1.01, 1, "MISSED"}} {
		if got := (&row{Value: c.value, Goal: c.goal}).verdict(); got != c.want {
			t.Errorf("%g of %g: %q", c.value, c.goal, got)
		}
	}
}

// TestClusterBenchmark runs real processes; what is asked of them is compared with the truth.
func TestClusterBenchmark(t *testing.T) {
	var out bytes.Buffer
	o := options{Dir: t.TempDir(), Seed: 1, Traces: 100, Writers: 2, Lookups: 50, Searches: 1, Growth: []int{2}, BlockTraces: 30, CallSpans: 200, Cluster: true}
	if err := run(o, &out, "", false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cluster, fsync always: plugin", "cluster, fsync never: plugin", "  replay", "Cluster: 3 ingesters with"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, out.String())
		}
	}
}
