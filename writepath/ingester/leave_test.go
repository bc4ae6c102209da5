package ingester_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/writepath/ingester"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

var _ ingester.Place = (*ring.Member)(nil)

// place is a place in a ring that says when it was left.
type place struct {
	mu      sync.Mutex
	retired bool
	left    time.Time
}

func (p *place) Retire(context.Context) error { return p.set(true) }
func (p *place) Return(context.Context) error { return p.set(false) }

func (p *place) set(retired bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = retired
	return nil
}

func (p *place) Active() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.retired
}

func (p *place) Leave() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = time.Now()
	return nil
}

func (p *place) leftAt() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left
}

// ask sends a request to the operators' endpoints.
func (n *node) ask(method, path string) (int, string) {
	w := httptest.NewRecorder()
	n.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestWhoLeavesHasCopiedEverythingAndAnswersUntilItHasLeft(t *testing.T) {
	o := options(t)
	ring, store := &place{}, &flaky{Bucket: o.Blocks}
	store.down.Store(true) // so that it is slow
	o.Ring, o.Blocks, o.LeaveAfter = ring, store, time.Second
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	if code, body := n.ask("POST", "/shutdown?wait=false"); code != http.StatusAccepted {
		t.Fatal(code, body)
	}
	until(t, "nobody is to write here", func() bool { return !ring.Active() })
	n.store(group("a", 2, spans(2, 1, "ann"))) // who has not heard of it yet
	store.down.Store(false)
	until(t, "nothing is taken", func() bool { return n.Stats().Leaving })
	if !ring.leftAt().IsZero() {
		t.Fatal("the place was given up already")
	}
	if _, err := n.Push(t.Context(), &ingesterpb.PushRequest{Groups: []*ingesterpb.Group{group("a", 3, spans(3, 1, "ann"))}}); status.Code(err) != codes.Unavailable {
		t.Errorf("push while it leaves: %v", err)
	}
	if got := n.spansOf("a", 2); got != 1 {
		t.Errorf("%d spans are answered while it leaves", got)
	}
	until(t, "it has left", func() bool { return !ring.leftAt().IsZero() })
	<-n.Left()
	if got := readable(t, o.Blocks, "a", "ann"); got != 2 {
		t.Errorf("%d of 2 traces in the object store", got)
	}
}

func TestWhoReadersMayNotKnowYetTakesNothing(t *testing.T) {
	o := options(t)
	o.Settled = time.Now().Add(time.Hour)
	n := start(t, o)
	if _, err := n.Push(t.Context(), &ingesterpb.PushRequest{Groups: []*ingesterpb.Group{group("a", 1, spans(1, 1, "ann"))}}); status.Code(err) != codes.Unavailable {
		t.Errorf("push before readers know of it: %v", err)
	}
	o = options(t)
	o.Settled = time.Now().Add(-time.Millisecond)
	start(t, o).store(group("a", 1, spans(1, 1, "ann")))
}

func TestALeaveThatIsCutShortKeepsThePlace(t *testing.T) {
	o := options(t)
	ring, store := &place{}, &flaky{Bucket: o.Blocks}
	store.down.Store(true)
	o.Ring, o.Blocks, o.LeaveAfter = ring, store, time.Millisecond
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.Leave(ctx); !errors.Is(err, context.DeadlineExceeded) || !ring.leftAt().IsZero() {
		t.Fatalf("leave while the store is down: %v", err)
	}
	if code, body := n.ask("DELETE", "/prepare-downscale"); code != http.StatusOK || body != `{"active":true}` || !ring.Active() {
		t.Errorf("%d %s", code, body)
	}
	n.store(group("a", 2, spans(2, 1, "ann")))
	store.down.Store(false)
	if code, body := n.ask("POST", "/shutdown"); code != http.StatusNoContent || ring.leftAt().IsZero() {
		t.Errorf("%d %s", code, body)
	}
}

func TestEndpointsOfOperators(t *testing.T) {
	o := options(t)
	ring := &place{}
	o.Ring = ring
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	for _, step := range []struct {
		method string
		active bool
	}{{"GET", true}, {"POST", false}, {"POST", false}, {"GET", false}, {"DELETE", true}} {
		code, body := n.ask(step.method, "/prepare-downscale")
		var answer struct{ Active bool }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusOK || answer.Active != step.active || ring.Active() != step.active {
			t.Errorf("%s: %d %s", step.method, code, body)
		}
	}
	if code, body := n.ask("POST", "/flush"); code != http.StatusNoContent || readable(t, o.Blocks, "a", "ann") != 1 {
		t.Errorf("flush: %d %s", code, body)
	}
	n.store(group("a", 2, spans(2, 1, "ann")))
	if code, body := n.ask("POST", "/flush?wait=false"); code != http.StatusAccepted {
		t.Errorf("flush: %d %s", code, body)
	}
	until(t, "it is flushed", func() bool { return readable(t, o.Blocks, "a", "ann") == 2 })
	if code, _ := n.ask("GET", "/flush"); code != http.StatusMethodNotAllowed {
		t.Errorf("a flush by a mere look: %d", code)
	}
	alone := start(t, options(t))
	for _, path := range []string{"/shutdown", "/prepare-downscale"} {
		if code, body := alone.ask("POST", path); code != http.StatusNotFound {
			t.Errorf("%s without a ring: %d %s", path, code, body)
		}
	}
}

func TestAnEmptyDirectoryOfAKnownInstanceMakesAnswersIncompleteForATime(t *testing.T) {
	o := options(t)
	o.Known, o.Whole = true, 600*time.Millisecond
	begin := time.Now()
	n := start(t, o)
	n.store(group("a", 1, spans(1, 1, "ann")))
	check := func() {
		t.Helper()
		_, source, err := n.values("a", 1)
		if err != nil || source.GetComplete() && time.Since(begin) < o.Whole {
			t.Errorf("values: %v, %v", source, err)
		}
		if _, source := n.find("nobody", "ann", 0); source.GetComplete() && time.Since(begin) < o.Whole {
			t.Errorf("search of a tenant that it does not know: %v", source)
		}
	}
	check()
	n.stop()
	n = start(t, o) // goes on with the time, and does not begin anew
	check()
	until(t, "answers count", func() bool { return n.Stats().Whole })
	if took := time.Since(begin); took < o.Whole {
		t.Errorf("answers count after %v, of %v", took, o.Whole)
	}
	n.stop()
	n = start(t, o)
	if s := n.Stats(); !s.Whole {
		t.Errorf("after the time a restart begins it anew: %+v", s)
	}
	if _, source := n.find("a", "ann", 0); !source.GetComplete() {
		t.Errorf("search: %v", source)
	}
}

// The other replicas can't copy either what they shared with the disk that was lost.
func TestWhileTheObjectStoreIsDownTheTimeAfterALossStandsStill(t *testing.T) {
	o := options(t)
	store := &flaky{Bucket: o.Blocks}
	store.down.Store(true)
	o.Known, o.Whole, o.Blocks = true, time.Hour, store
	n := start(t, o)
	first := n.Stats().WholeAt
	n.store(group("a", 1, spans(1, 1, "ann")))
	n.cut("a")
	until(t, "it is tried twice, with a pause", func() bool { return n.Stats().CopyErrors >= 2 })
	later := n.Stats().WholeAt
	if by := later.Sub(first); by < 900*time.Millisecond {
		t.Errorf("answers count only %v later, after a second without the object store", by)
	}
	n.stop()
	n = start(t, o)
	if again := n.Stats().WholeAt; again.Before(later) {
		t.Errorf("answers count from %v on, and after a restart from %v", later, again)
	}
	store.down.Store(false)
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := n.Stats().WholeAt
	n.store(group("a", 2, spans(2, 1, "ann")))
	if err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := n.Stats(); !s.WholeAt.Equal(last) || s.Whole {
		t.Errorf("with the object store back, the time goes on: %v, then %+v", last, s)
	}
}

func TestADirectoryBelongsToOneInstance(t *testing.T) {
	o := options(t)
	n := start(t, o)
	n.stop()
	o.Instance = "two"
	if _, err := ingester.Start(o); err == nil || !strings.Contains(err.Error(), `"one"`) || !strings.Contains(err.Error(), "instance.id") {
		t.Errorf("of another instance: %v", err)
	}
	o.Instance = "one"
	again := start(t, o)
	again.store(group("a", 1, spans(1, 1, "ann")))
	again.stop()
	if err := os.Remove(filepath.Join(o.Dir, "instance")); err != nil {
		t.Fatal(err)
	}
	if _, err := ingester.Start(o); err == nil || !strings.Contains(err.Error(), "instance") {
		t.Errorf("of nobody knows whom: %v", err)
	}
}
