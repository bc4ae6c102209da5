package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/storage/spanstore"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// TestKilledPluginLosesNothing has 16 writers write through Jaeger's client while the plugin is killed with
// SIGKILL at random moments and started again on the same directory. After each kill every span acknowledged in
// that round is found by ID and by search, exactly once; after the last, every span of all rounds.
//
// A span whose acknowledgement the kill cut off may be there or not. Its writer sends it again, as a client that
// retries does; it must not be there twice then.
//
// KILL_ROUNDS (50) and KILL_SEED (random, printed) repeat a run as far as the scheduler allows.
func TestKilledPluginLosesNothing(t *testing.T) {
	rounds := environment(t, "KILL_ROUNDS", 50)
	seed := environment(t, "KILL_SEED", time.Now().UnixNano())
	t.Logf("KILL_ROUNDS=%d KILL_SEED=%d", rounds, seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))

	const writers = 16
	// Small and young parts of the log become blocks, so that kills hit that as well.
	dir := t.TempDir()
	config := configFor(t, dir, "cut: {bytes: 1MiB, age: 1s}")
	var (
		acknowledged []acknowledgement
		retries      [writers]*model.Span
		count        [writers]uint64
	)
	began := time.Now()
	p := restart(t, config)
	for round := range rounds {
		var (
			wg    sync.WaitGroup
			acked [writers][]acknowledgement
		)
		for w := range writers {
			wg.Go(func() {
				for {
					span := retries[w]
					if span == nil {
						count[w]++
						span = killSpan(w, count[w])
					}
					retries[w] = span
					// A tag of its own for each round, so that a search finds just these; a retry keeps its first.
					if len(span.Tags) == 0 {
						span.Tags = []model.KeyValue{model.Int64("round", round)}
					}
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
					err := p.writer.WriteSpan(ctx, span)
					cancel()
					if err != nil {
						return // killed
					}
					retries[w] = nil
					acked[w] = append(acked[w], acknowledgement{span.TraceID, span.SpanID, span.Tags[0].Int64()})
				}
			})
		}
		// Long enough for some hundred writes, short enough to hit openings and cuts as well.
		time.AfterFunc(time.Duration(random.Int64N(int64(400*time.Millisecond))), func() { p.cmd.Process.Kill() })
		wg.Wait()
		p.kill()

		p = restart(t, config)
		var fresh []acknowledgement
		for _, a := range acked {
			fresh = append(fresh, a...)
		}
		requireOnce(t, p, fresh)
		requireFound(t, p, fresh)
		acknowledged = append(acknowledged, fresh...)
		if (round+1)%10 == 0 {
			t.Logf("%d kills, %d spans acknowledged, %v", round+1, len(acknowledged), time.Since(began).Round(time.Second))
		}
	}
	requireOnce(t, p, acknowledged)
	requireFound(t, p, acknowledged)
	p.client.Kill()
	if blocks := countFiles(t, dir, "meta.json"); len(acknowledged) < int(rounds) || blocks == 0 {
		t.Errorf("only %d spans were acknowledged in %d rounds, and %d blocks cut: the test has tested little", len(acknowledged), rounds, blocks)
	} else {
		t.Logf("all %d spans are there, in the log and in %d blocks", len(acknowledged), blocks)
	}
}

// acknowledgement is a span that the plugin said it has.
type acknowledgement struct {
	trace model.TraceID
	span  model.SpanID
	round int64
}

// killSpan is the n-th span of a writer. Eight make a trace; every second trace is shared by two writers.
func killSpan(writer int, n uint64) *model.Span {
	trace := model.NewTraceID(uint64(writer)+1, n/8+1)
	if trace.Low%2 == 0 {
		trace.High = uint64(writer/2) + 101
	}
	span := samples.Plain(trace, uint64(writer+1)<<32|n, "writer")
	span.OperationName = fmt.Sprint("writer ", writer)
	span.StartTime = samples.Now.Add(time.Duration(n) * time.Microsecond)
	return span
}

// requireOnce fails the test unless each span is in its trace exactly once, and no other span is twice.
func requireOnce(t *testing.T, p *plugin, spans []acknowledgement) {
	t.Helper()
	byTrace := make(map[model.TraceID][]model.SpanID)
	for _, a := range spans {
		byTrace[a.trace] = append(byTrace[a.trace], a.span)
	}
	missing := 0
	for id, wanted := range byTrace {
		trace, err := p.reader.GetTrace(context.Background(), id)
		if err == spanstore.ErrTraceNotFound {
			trace, err = &model.Trace{}, nil
		}
		if err != nil {
			t.Fatalf("trace %v: %v\nthe plugin's log:\n%s", id, err, p.log)
		}
		copies := make(map[model.SpanID]int)
		for _, s := range trace.Spans {
			if copies[s.SpanID]++; copies[s.SpanID] > 1 {
				t.Errorf("span %v of trace %v came back twice", s.SpanID, id)
			}
		}
		for _, span := range wanted {
			if copies[span] == 0 {
				missing++
			}
		}
	}
	if missing > 0 {
		t.Fatalf("of %d acknowledged spans %d are not found by ID\nthe plugin's log:\n%s", len(spans), missing, p.log)
	}
}

// requireFound fails the test unless a search for each round finds all its traces.
func requireFound(t *testing.T, p *plugin, spans []acknowledgement) {
	t.Helper()
	byRound := make(map[int64]map[model.TraceID]bool)
	for _, a := range spans {
		if byRound[a.round] == nil {
			byRound[a.round] = make(map[model.TraceID]bool)
		}
		byRound[a.round][a.trace] = true
	}
	for round, traces := range byRound {
		found, err := p.reader.FindTraces(context.Background(), &spanstore.TraceQueryParameters{
			ServiceName: "writer", Tags: map[string]string{"round": fmt.Sprint(round)}, NumTraces: 1 << 20,
			StartTimeMin: samples.Now.Add(-time.Hour), StartTimeMax: samples.Now.Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[model.TraceID]bool)
		for _, trace := range found {
			if got[trace.Spans[0].TraceID] {
				t.Errorf("trace %v was found twice", trace.Spans[0].TraceID)
			}
			got[trace.Spans[0].TraceID] = true
		}
		for id := range traces {
			if !got[id] {
				t.Fatalf("trace %v is not among the %d that a search for round %d finds\nthe plugin's log:\n%s", id, len(found), round, p.log)
			}
		}
	}
}

// countFiles counts the files of that name anywhere under dir.
func countFiles(t *testing.T, dir, name string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == name {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func restart(t *testing.T, config string) *plugin {
	t.Helper()
	p, err := tryPlugin(config)
	if err != nil {
		t.Fatalf("the plugin does not start: %v\nits log:\n%s", err, p.log)
	}
	t.Cleanup(p.client.Kill)
	return p
}

// environment returns a number from an environment variable, or the default.
func environment(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
