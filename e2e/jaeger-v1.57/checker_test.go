package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/storage/spanstore"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// checker writes spans through plugins, remembers each that was acknowledged, and asks for them, by ID and by search, while others break things.
//
// A writer writes its spans one after another, each until it is acknowledged, as a client that retries does. So what was acknowledged is a number a
// writer, however long it goes on; a span is computed from its number, and compared in full when it comes back.
type checker struct {
	service string
	run     uint64 // in all trace IDs
	base    time.Time
	plugins []*door
	writers []*pen
	readers int
	pause   time.Duration // between two spans of a writer
	strict  atomic.Bool   // an answer that says that it is not whole is none
	found   findings
}

// door is the plugin process that some writers and readers use at present.
type door struct {
	name string
	keys map[string]string // of its configuration
	at   atomic.Pointer[plugin]
	// isolated says that its failures are what is to be expected now: its times are counted apart.
	isolated atomic.Bool
}

// pen is a writer. Spans with numbers below acked are acknowledged; the one with that number may be on its way.
type pen struct {
	w     int
	door  *door
	acked atomic.Int64
}

// findings are what is to be 0, how much was looked at, and how long it took.
type findings struct {
	answers, wholes, errors, marked  atomic.Int64 // answers: those without error; wholes: traces that were compared
	retries                          atomic.Int64 // writes that failed, and were tried again
	missing, partial, twice, changed atomic.Int64
	writeFailed, readFailed, alone   longest
	slowestWrite, slowestRead        longest
	mu                               sync.Mutex
	bad                              []string // the first of what is not 0
	outages                          []string // the first that lasted
	lastErr                          atomic.Pointer[string]
}

// longest is the longest of some times.
type longest struct{ atomic.Int64 }

func (l *longest) add(d time.Duration) {
	for {
		old := l.Load()
		if int64(d) <= old || l.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

func (l *longest) String() string {
	return time.Duration(l.Load()).Round(10 * time.Millisecond).String()
}

// wrong notes an answer that should not have been given.
func (f *findings) wrong(count *atomic.Int64, n int, format string, args ...any) {
	count.Add(int64(n))
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.bad) < 20 {
		f.bad = append(f.bad, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

func (f *findings) zero() bool {
	return f.missing.Load() == 0 && f.partial.Load() == 0 && f.twice.Load() == 0 && f.changed.Load() == 0
}

var runs atomic.Uint64

func newChecker(service string, writers, readers, perSecond int, doors ...*door) *checker {
	c := &checker{
		service: service, run: runs.Add(1) << 32, base: samples.Now.Add(-time.Minute), plugins: doors, readers: readers,
		pause: time.Second * time.Duration(writers) / time.Duration(perSecond),
	}
	for w := range writers {
		c.writers = append(c.writers, &pen{w: w, door: doors[w%len(doors)]})
	}
	return c
}

// part is the spans of one writer in a trace: those from first up to last, that are multiples of 16, or that are none.
type part struct {
	w           int
	first, last int64
	sixteenth   bool
}

const (
	small   = 8    // spans that make a trace
	long    = 4096 // spans of which every 16th is in one trace, which so lasts for long
	perTag  = 32   // spans that share a tag, by which they are searched
	timeout = 20 * time.Second
)

// traceOf returns the trace of a span, and who has a part in it. Every second small trace is shared by two writers.
func (c *checker) traceOf(w int, n int64) (model.TraceID, []part) {
	if n%16 == 0 {
		k := n / long
		return model.NewTraceID(c.run|uint64(w), 1<<40|uint64(k)), []part{{w, k * long, (k + 1) * long, true}}
	}
	k := n / small
	first, last := k*small, (k+1)*small
	if k%2 == 1 && w^1 < len(c.writers) {
		return model.NewTraceID(c.run|1<<20|uint64(w/2), uint64(k+1)), []part{{w &^ 1, first, last, false}, {w | 1, first, last, false}}
	}
	return model.NewTraceID(c.run|uint64(w), uint64(k+1)), []part{{w, first, last, false}}
}

func tag(w int, n int64) string { return fmt.Sprint(w, "-", n/perTag) }

func spanID(w int, n int64) model.SpanID { return model.SpanID(uint64(w+1)<<40 | uint64(n)) }

// span is span n of a writer, always the same.
func (c *checker) span(w int, n int64) *model.Span {
	trace, _ := c.traceOf(w, n)
	s := samples.Plain(trace, uint64(spanID(w, n)), c.service)
	s.OperationName = fmt.Sprint("writer ", w)
	s.StartTime = c.base.Add(time.Duration(n) * time.Microsecond)
	s.Duration = time.Duration(n%1000) * time.Millisecond
	random := rand.New(rand.NewPCG(c.run|uint64(w), uint64(n)))
	s.Tags = []model.KeyValue{model.String("batch", tag(w, n)), model.Int64("n", n),
		model.String("ballast", strings.Repeat(fmt.Sprintf("%016x", random.Uint64()), 1+random.IntN(12)))}
	if n%small != 0 {
		s.References = []model.SpanRef{model.NewChildOfRef(trace, spanID(w, n-1))}
	}
	return s
}

// Load writes and reads until the function that it returns is called, which waits for both.
func (c *checker) load() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, p := range c.writers {
		wg.Go(func() { c.write(ctx, p) })
	}
	for r := range c.readers {
		wg.Go(func() { c.read(ctx, rand.New(rand.NewPCG(c.run, uint64(r))), c.plugins[r%len(c.plugins)]) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// write writes a writer's spans, each until it is acknowledged. After some it asks at once, where it has not written.
func (c *checker) write(ctx context.Context, p *pen) {
	ticker := time.NewTicker(c.pause)
	defer ticker.Stop()
	for {
		n := p.acked.Load()
		span := c.span(p.w, n)
		failing := c.attempt(p.door)
		for failed := false; ; failed = true {
			began := time.Now()
			call, cancel := context.WithTimeout(context.Background(), timeout)
			err := p.door.at.Load().writer.WriteSpan(call, span)
			cancel()
			if err == nil {
				failing.done(began, &c.found.slowestWrite, failed, &c.found.writeFailed)
				break
			}
			c.note("write: " + err.Error())
			c.found.retries.Add(1)
			select {
			case <-ctx.Done():
				failing.done(began, nil, true, &c.found.writeFailed)
				return // it may be there or not
			case <-time.After(50 * time.Millisecond):
			}
		}
		p.acked.Store(n + 1)
		if n%64 == 63 {
			other := c.plugins[(slices.Index(c.plugins, p.door)+1)%len(c.plugins)]
			c.ask(ctx, other, p.w, n, n%128 == 127)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// attempt is a write or a question that is tried until it succeeds.
type attempt struct {
	c     *checker
	door  *door
	since time.Time
	alone bool
}

func (c *checker) attempt(d *door) attempt { return attempt{c, d, time.Now(), d.isolated.Load()} }

// done notes how long it took from the first try, if that failed, and from the last.
func (a attempt) done(last time.Time, slowest *longest, failed bool, total *longest) {
	if a.alone || a.door.isolated.Load() {
		slowest, total = nil, &a.c.found.alone
	}
	if slowest != nil {
		slowest.add(time.Since(last))
	}
	if !failed {
		return
	}
	took := time.Since(a.since)
	total.add(took)
	if f := &a.c.found; took > time.Second {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.outages) < 20 {
			f.outages = append(f.outages, fmt.Sprintf("%s from %s on, for %v: %.300s", a.door.name, a.since.Format("15:04:05.000"), took.Round(time.Millisecond), *f.lastErr.Load()))
		}
	}
}

func (c *checker) note(text string) { c.found.lastErr.Store(&text) }

// read asks for spans that were acknowledged, recent ones more often than others.
func (c *checker) read(ctx context.Context, random *rand.Rand, d *door) {
	for ctx.Err() == nil {
		p := c.writers[random.IntN(len(c.writers))]
		n := p.acked.Load()
		if n == 0 {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		if random.IntN(2) == 0 {
			n = n - 1 - random.Int64N(min(n, 100))
		} else {
			n = random.Int64N(n)
		}
		c.ask(ctx, d, p.w, n, random.IntN(3) == 0)
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ask asks for a span that is acknowledged, by ID or by search, until there is an answer. It returns an error if ctx ends first.
func (c *checker) ask(ctx context.Context, d *door, w int, n int64, search bool) error {
	failing := c.attempt(d)
	for failed := false; ; failed = true {
		began := time.Now()
		var err error
		if search {
			err = c.search(d.at.Load(), w, n/perTag)
		} else {
			err = c.get(d.at.Load(), w, n)
		}
		if err == nil {
			c.found.answers.Add(1)
			failing.done(began, &c.found.slowestRead, failed, &c.found.readFailed)
			return nil
		}
		c.note("read: " + err.Error())
		c.found.errors.Add(1)
		select {
		case <-ctx.Done():
			failing.done(began, nil, true, &c.found.readFailed)
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// due is how many spans of each writer are acknowledged, now.
func (c *checker) due() []int64 {
	due := make([]int64, len(c.writers))
	for i, p := range c.writers {
		due[i] = p.acked.Load()
	}
	return due
}

func (c *checker) get(p *plugin, w int, n int64) error {
	id, _ := c.traceOf(w, n)
	due := c.due()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	trace, err := p.reader.GetTrace(ctx, id)
	if errors.Is(err, spanstore.ErrTraceNotFound) {
		c.found.wrong(&c.found.missing, 1, "trace %v, with span %d of writer %d: not found", id, n, w)
		return nil
	}
	if err != nil {
		return err
	}
	return c.enough(c.judge("by ID", due, w, n, trace))
}

// enough is the error of an answer that says that it is not whole, where that is not enough.
func (c *checker) enough(marked bool) error {
	if marked && c.strict.Load() {
		return errors.New("the trace bears the warning that it may not be whole")
	}
	return nil
}

// search asks for the spans that share a tag.
func (c *checker) search(p *plugin, w int, batch int64) error {
	due := c.due()
	want := make(map[model.TraceID]int64)
	for n := batch * perTag; n < min((batch+1)*perTag, due[w]); n++ {
		id, _ := c.traceOf(w, n)
		want[id] = n
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	traces, err := p.reader.FindTraces(ctx, &spanstore.TraceQueryParameters{
		ServiceName: c.service, Tags: map[string]string{"batch": fmt.Sprint(w, "-", batch)}, NumTraces: 1000,
		StartTimeMin: c.base.Add(-time.Hour), StartTimeMax: c.base.Add(24 * time.Hour),
	})
	if err != nil {
		return err
	}
	marked := false
	for _, trace := range traces {
		if len(trace.Spans) == 0 {
			c.found.wrong(&c.found.changed, 1, "search for %d-%d: an empty trace", w, batch)
			continue
		}
		n, ok := want[trace.Spans[0].TraceID]
		if !ok { // what is on its way, or was found already
			n = int64(trace.Spans[0].SpanID) & (1<<40 - 1)
			if n < due[w] && n/perTag == batch {
				c.found.wrong(&c.found.twice, 1, "search for %d-%d: trace %v twice", w, batch, trace.Spans[0].TraceID)
			}
			continue
		}
		delete(want, trace.Spans[0].TraceID)
		marked = c.judge("by search", due, w, n, trace) || marked
	}
	if len(want) > 0 && !marked {
		for id, n := range want {
			c.found.wrong(&c.found.missing, len(want), "search for %d-%d: %d traces of %d found, trace %v with span %d is not among them",
				w, batch, len(traces), len(want)+len(traces), id, n)
			break
		}
	}
	return c.enough(marked)
}

// judge compares a trace, in which span n of a writer is, with what is due of it, and reports whether it says that it is not whole.
func (c *checker) judge(how string, due []int64, w int, n int64, trace *model.Trace) (marked bool) {
	c.found.wholes.Add(1)
	id, parts := c.traceOf(w, n)
	wanted := make(map[model.SpanID]bool)
	for _, p := range parts {
		for n := p.first; n < min(p.last, due[p.w]); n++ {
			if p.sixteenth == (n%16 == 0) {
				wanted[spanID(p.w, n)] = true
			}
		}
	}
	total := len(wanted)
	seen := make(map[model.SpanID]bool)
	for _, s := range trace.Spans {
		if len(s.Warnings) > 0 {
			marked, s.Warnings = true, nil
		}
		if seen[s.SpanID] {
			c.found.wrong(&c.found.twice, 1, "%s: span %v of trace %v twice", how, s.SpanID, id)
			continue
		}
		seen[s.SpanID] = true
		delete(wanted, s.SpanID)
		sw, sn := int(s.SpanID>>40)-1, int64(s.SpanID)&(1<<40-1)
		if sw < 0 || sw >= len(c.writers) || sn > c.writers[sw].acked.Load() || !equalSpans(s, c.span(sw, sn)) {
			c.found.wrong(&c.found.changed, 1, "%s: span %v of trace %v is not what was written: %v", how, s.SpanID, id, s)
		}
	}
	switch {
	case marked:
		c.found.marked.Add(1)
	case len(wanted) > 0:
		first := slices.Min(keysOf(wanted))
		c.found.wrong(&c.found.partial, len(wanted), "%s: trace %v lacks %d of %d spans and does not say so; the first is %v (span %d of writer %d; %d are acknowledged)",
			how, id, len(wanted), total, first, int64(first)&(1<<40-1), first>>40-1, due[first>>40-1])
	}
	return marked
}

func keysOf(m map[model.SpanID]bool) (keys []model.SpanID) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

func equalSpans(a, b *model.Span) bool {
	x, errX := a.Marshal()
	y, errY := b.Marshal()
	return errX == nil && errY == nil && string(x) == string(y)
}

// everything asks for all that was acknowledged, by ID and by search. An answer that is an error is asked for again for as long as patience, each.
func (c *checker) everything(t *testing.T, patience time.Duration) {
	t.Helper()
	c.strict.Store(true)
	type question struct {
		w      int
		n      int64
		search bool
	}
	questions := make(chan question)
	var wg sync.WaitGroup
	for i := range 2 * len(c.plugins) {
		wg.Go(func() {
			for q := range questions {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				err := c.ask(ctx, c.plugins[i%len(c.plugins)], q.w, q.n, q.search)
				cancel()
				if err != nil {
					c.found.wrong(&c.found.missing, 1, "no answer for span %d of writer %d within %v: %v", q.n, q.w, patience, err)
				}
			}
		})
	}
	for w, n := range c.due() {
		for i := range n {
			if i%16 != 0 && i%small == 1 || i%long == 0 {
				questions <- question{w, i, false}
			}
			if i%perTag == 0 {
				questions <- question{w, i, true}
			}
		}
	}
	close(questions)
	wg.Wait()
}

// acknowledged is how many spans are.
func (c *checker) acknowledged() (n int64) {
	for _, p := range c.writers {
		n += p.acked.Load()
	}
	return n
}

// report fails the test unless nothing was wrong.
func (c *checker) report(t *testing.T) {
	t.Helper()
	f := &c.found
	for _, outage := range f.outages {
		t.Logf("what failed for long: %s", outage)
	}
	if f.zero() {
		return
	}
	t.Errorf("acknowledged and not found: %d, partial without saying so: %d, twice: %d, changed: %d; the first:\n%s",
		f.missing.Load(), f.partial.Load(), f.twice.Load(), f.changed.Load(), strings.Join(f.bad, "\n"))
}
