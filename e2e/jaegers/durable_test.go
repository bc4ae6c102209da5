package jaegers

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// TestLargeBatchIsKept: v1.76's collector writes the spans of a batch one after another, each of which waits for the disk, and has 5 seconds for all; what
// it has not written then is lost. On a disk, or a machine, that is too slow for 5,000 the batch is smaller.
func TestLargeBatchIsKept(t *testing.T) {
	const each = 100
	n := 5000
	if sync := syncTime(t); time.Duration(n)*sync*3 > 5*time.Second {
		n = max(each, int(5*time.Second/(6*sync))/each*each)
		t.Logf("a sync takes %v here: %d spans instead of 5000", sync, n)
	}
	j := start(t, v76remote, options{split: true})
	var all []*model.Span
	for i := range n / each {
		all = append(all, batch(model.NewTraceID(1, uint64(i)+1), each)...)
	}
	request, err := samples.AsOTLP(all)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := j.SendOTLPgRPC(request); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	for trace := range slices.Chunk(all, each) {
		requireSame(t, trace[0].TraceID.String(), sent(trace), j.await(t, trace[0].TraceID, "", each))
	}
	t.Logf("%d spans in one batch: acknowledged after %v, all there after %v", n, took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// syncTime is how long the disk takes to make a little durable.
func syncTime(t *testing.T) time.Duration {
	f, err := os.Create(filepath.Join(t.TempDir(), "sync"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const times = 200
	began := time.Now()
	for range times {
		if _, err := f.Write(make([]byte, 300)); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(began) / times
}

// batch is a trace of n spans.
func batch(id model.TraceID, n int) []*model.Span {
	spans := make([]*model.Span, n)
	for i := range spans {
		spans[i] = samples.Plain(id, uint64(i+1), "batch")
		spans[i].Tags = []model.KeyValue{model.Int64("i", int64(i))}
		if i > 0 {
			spans[i].References = []model.SpanRef{model.NewChildOfRef(id, 1)}
		}
	}
	return spans
}

// TestKilledServerLosesNoBatchOfV2: while senders send to Jaeger v2's collector, its server is killed with SIGKILL and started again, several times.
// Everything that the collector acknowledged is there in the end, once: it is configured to wait and to try again.
func TestKilledServerLosesNoBatchOfV2(t *testing.T) {
	const senders, each, kills = 4, 20, 5
	j := start(t, v2remote, options{split: true})

	var (
		stop  atomic.Bool
		acked [senders]uint64 // traces of a sender, from 1
		wg    sync.WaitGroup
	)
	id := func(sender int, n uint64) model.TraceID { return model.NewTraceID(uint64(sender)+1, n) }
	for s := range senders {
		wg.Go(func() {
			for n := uint64(1); !stop.Load(); n++ {
				request, err := samples.AsOTLP(batch(id(s, n), each))
				if err == nil {
					err = j.SendOTLPgRPC(request)
				}
				if err != nil {
					t.Errorf("sender %d: %v", s, err) // the collector itself is well all the time
					return
				}
				acked[s] = n
			}
		})
	}
	for range kills {
		time.Sleep(200*time.Millisecond + rand.N(500*time.Millisecond)) // when it is killed is the one thing that is by chance here
		j.store.Kill()
		if err := j.store.Start(); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()

	total := 0
	for s := range senders {
		for n := range acked[s] {
			j.await(t, id(s, n+1), "", each)
			total += each
		}
	}
	if total < senders*each*kills {
		t.Errorf("only %d spans were acknowledged: the test has tested little", total)
	}
	services, err := j.list("/api/services", "")
	if err != nil {
		t.Fatal(err)
	}
	requireSame(t, "services", []string{"batch"}, services)
	t.Log(fmt.Sprint(kills, " kills, ", total, " spans acknowledged, all there"))
}

// TestATraceOverItsLimitHoldsUpNothingInV2: Jaeger v2 as it is configured here sends again what ended with an error, for ever, and its queue waits for that.
// What a limit refuses for good must be none.
func TestATraceOverItsLimitHoldsUpNothingInV2(t *testing.T) {
	const (
		most  = 10 // spans of a trace
		times = 12 // two more than the exporter has consumers
	)
	j := start(t, v2remote, options{wait: true, limits: fmt.Sprint("limits: {trace_spans: ", most, "}")})
	for n := range uint64(times) {
		tooLarge, small := batch(model.NewTraceID(1, n+1), most+1), batch(model.NewTraceID(2, n+1), most)
		request, err := samples.AsOTLP(slices.Concat(tooLarge, small))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.SendOTLPgRPC(request); err != nil { // when it has an answer
			t.Fatal(err)
		}
		requireSame(t, "a trace within the limit", sent(small), j.await(t, small[0].TraceID, "", most))
		if got, err := j.trace(tooLarge[0].TraceID, ""); !isNotFound(err) {
			t.Errorf("a trace over the limit: %d spans, %v", len(got), err)
		}
	}
}

// TestV2CanAcknowledgeWhatIsStored: with wait_for_result, what a sender was told to be taken is there at once, and survives the collector and the server.
func TestV2CanAcknowledgeWhatIsStored(t *testing.T) {
	j := start(t, v2remote, options{wait: true})
	for n := range uint64(10) {
		id := model.NewTraceID(1, n+1)
		spans := batch(id, 20)
		request, err := samples.AsOTLP(spans)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.SendOTLPgRPC(request); err != nil {
			t.Fatal(err)
		}
		if n == 9 {
			for _, p := range j.processes() {
				p.Kill()
			}
			if err := j.start(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := j.trace(id, "")
		if err != nil {
			t.Fatalf("trace %d was acknowledged: %v", n, err)
		}
		requireSame(t, id.String(), sent(spans), got)
	}
}
