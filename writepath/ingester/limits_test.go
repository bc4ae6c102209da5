package ingester_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// refused fails the test unless the outcome has that code and names the tenant and all of words.
func refused(t *testing.T, o *ingesterpb.Outcome, code codes.Code, words ...string) {
	t.Helper()
	if codes.Code(o.GetCode()) != code {
		t.Errorf("%v, want %v", o, code)
	}
	for _, word := range append(words, `"a"`) {
		if !strings.Contains(o.GetMessage(), word) {
			t.Errorf("%q does not say %q", o.GetMessage(), word)
		}
	}
}

func limited(t *testing.T, l limits.Limits) *node {
	t.Helper()
	o := options(t)
	o.Limits = func(tenant string) limits.Limits {
		if tenant == "a" {
			return l
		}
		return limits.Limits{}
	}
	return start(t, o)
}

func TestWhoSendsTooFastIsToldWhenToTryAgain(t *testing.T) {
	value := spans(1, 1, strings.Repeat("x", 1000))
	n := limited(t, limits.Limits{RateBytes: 1, BurstBytes: 3 * int64(len(value))})
	for range 3 {
		n.store(group("a", 1, value))
	}
	outcome := n.push(group("a", 2, value), group("b", 2, value))
	refused(t, outcome[0], codes.ResourceExhausted, "1 bytes a second")
	if ms := outcome[0].GetRetryAfterMs(); ms < 500_000 || ms > 1_500_000 {
		t.Errorf("to be tried again after %d ms: %d bytes are too much", ms, len(value))
	}
	if outcome[1].GetCode() != 0 {
		t.Errorf("another tenant: %v", outcome[1])
	}
	if got := n.spansOf("a", 2); got != 0 {
		t.Errorf("%d spans of what was refused", got)
	}
	if got := n.Stats().Refused[limits.Refused{Tenant: "a", Reason: "rate"}]; got != 1 {
		t.Errorf("%d values are counted as refused", got)
	}
}

func TestAPushLargerThanTheBurstIsTakenWhenNothingWasFor(t *testing.T) {
	n := limited(t, limits.Limits{RateBytes: 10, BurstBytes: 10})
	n.store(group("a", 1, spans(1, 1, "ann")))
	refused(t, n.push(group("a", 1, spans(2, 1, "ann")))[0], codes.ResourceExhausted)
}

func TestATraceOverItsLimitStaysReadableAsFarAsItWasKept(t *testing.T) {
	n := limited(t, limits.Limits{TraceSpans: 10})
	n.store(group("a", 1, spans(1, 6, "ann")), group("a", 1, spans(100, 4, "ann")))
	outcome := n.push(group("a", 1, spans(200, 1, "ann")), group("a", 2, spans(2, 10, "ann")), group("a", 3, spans(3, 11, "ann")))
	refused(t, outcome[0], codes.ResourceExhausted, "limit of 10 recent spans", "10 are kept", "1 more")
	refused(t, outcome[2], codes.ResourceExhausted, "0 are kept", "11 more")
	if outcome[1].GetCode() != 0 {
		t.Errorf("a trace that is not too large: %v", outcome[1])
	}
	for id, want := range map[uint64]int{1: 10, 2: 10, 3: 0} {
		if got := n.spansOf("a", id); got != want {
			t.Errorf("%d spans of trace %d, want %d", got, id, want)
		}
	}
}

func TestATraceHasSoManyBytesAndNoMore(t *testing.T) {
	value := spans(1, 1, strings.Repeat("x", 1000))
	n := limited(t, limits.Limits{TraceBytes: 2 * int64(len(value))})
	outcome := n.push(group("a", 1, value), group("a", 1, value), group("a", 1, value)) // in one push
	if outcome[0].GetCode() != 0 || outcome[1].GetCode() != 0 {
		t.Errorf("%v", outcome[:2])
	}
	refused(t, outcome[2], codes.ResourceExhausted, fmt.Sprint(2*len(value)))
}

func TestALongAttributeIsRefusedByName(t *testing.T) {
	n := limited(t, limits.Limits{AttributeBytes: 500})
	outcome := n.push(group("a", 1, spans(1, 2, strings.Repeat("x", 600))), group("a", 2, spans(2, 100, "ann")))
	refused(t, outcome[0], codes.InvalidArgument, `"user"`, "500")
	if outcome[1].GetCode() != 0 {
		t.Errorf("short attributes: %v", outcome[1])
	}
}

func TestOnlySoManyTracesAreRecent(t *testing.T) {
	n := limited(t, limits.Limits{LiveTraces: 2})
	outcome := n.push(group("a", 1, spans(1, 1, "ann")), group("a", 2, spans(2, 1, "ann")), group("a", 3, spans(3, 1, "ann")), group("a", 2, spans(9, 1, "ann")))
	refused(t, outcome[2], codes.ResourceExhausted, "limit of 2")
	if outcome[2].GetRetryAfterMs() == 0 {
		t.Error("it does not say when to try again")
	}
	for _, i := range []int{0, 1, 3} {
		if outcome[i].GetCode() != 0 {
			t.Errorf("group %d: %v", i, outcome[i])
		}
	}
	refused(t, n.push(group("a", 3, spans(3, 1, "ann")))[0], codes.ResourceExhausted)
	n.cut("a")
	n.store(group("a", 3, spans(3, 1, "ann")))
}

func TestLimitsMayChangeAtAnyTime(t *testing.T) {
	o := options(t)
	var most atomic.Int64
	o.Limits = func(string) limits.Limits { return limits.Limits{TraceSpans: int(most.Load())} }
	n := start(t, o)
	n.store(group("a", 1, spans(1, 5, "ann")))
	most.Store(5)
	refused(t, n.push(group("a", 1, spans(2, 1, "ann")))[0], codes.ResourceExhausted)
	most.Store(6)
	n.store(group("a", 1, spans(2, 1, "ann")))
	if got := n.spansOf("a", 1); got != 6 {
		t.Errorf("%d spans", got)
	}
}

func TestTooMuchThatWaitsForTheObjectStoreIsSaid(t *testing.T) {
	o := options(t)
	store := &flaky{Bucket: o.Blocks}
	store.down.Store(true)
	o.Blocks, o.WaitingBytes = store, 1
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	n.cut("a")
	until(t, "pushes are refused", func() bool { return n.Stats().Full != "" })
	outcome := n.push(group("a", 2, spans(2, 1, "ann")))[0]
	if codes.Code(outcome.GetCode()) != codes.ResourceExhausted || outcome.GetRetryAfterMs() == 0 || !strings.Contains(outcome.GetMessage(), "wait") {
		t.Errorf("%v", outcome)
	}
	if got := n.spansOf("a", 1); got != 1 {
		t.Errorf("%d spans", got)
	}
	store.down.Store(false)
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "pushes are taken again", func() bool { return n.Stats().Full == "" })
	n.store(group("a", 2, spans(2, 1, "ann")))
}

func TestTheLargestLogIsCutEarlyWhereAllTogetherAreTooLarge(t *testing.T) {
	o := options(t)
	o.RecentBytes = 4000
	n := start(t, o)
	n.store(group("a", 1, spans(1, 80, "ann")), group("b", 1, spans(1, 1, "ann")))
	until(t, "a is cut", func() bool { return len(n.local("a")) == 1 })
	if got := len(n.local("b")); got != 0 {
		t.Errorf("b, which is small, is cut into %d blocks", got)
	}
	if got := n.spansOf("a", 1); got != 80 {
		t.Errorf("%d spans", got)
	}
}

func TestATraceOverItsLimitDoesNotTakeOthersOfItsGroupWithIt(t *testing.T) {
	n := limited(t, limits.Limits{TraceSpans: 3})
	g := group("a", 1, spans(1, 4, "ann"))
	for id := uint64(2); id <= 4; id++ {
		k := key(id)
		g.Keys, g.Values = append(g.Keys, k[:]...), append(g.Values, spans(id, 3, "ann"))
	}
	outcome := n.push(g)[0]
	refused(t, outcome, codes.ResourceExhausted, "limit of 3 recent spans", "the other 3 are stored")
	if !slices.Equal(outcome.GetRefused(), []uint32{0}) {
		t.Errorf("%d are refused", outcome.GetRefused())
	}
	for id, want := range map[uint64]int{1: 0, 2: 3, 3: 3, 4: 3} {
		if got := n.spansOf("a", id); got != want {
			t.Errorf("%d spans of trace %d, want %d", got, id, want)
		}
	}
	if got := n.Stats().Refused[limits.Refused{Tenant: "a", Reason: "trace spans"}]; got != 1 {
		t.Errorf("%d values are counted as refused", got)
	}
}
