package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/storage/spanstore"
)

// TestCheckerFindsWhatIsWrong lets a checker judge an honest store, and the same one behind a reader that lies in one way after another.
func TestCheckerFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := startPlugin(t, t.TempDir())
	d := &door{name: "plugin"}
	d.at.Store(p)
	c := newChecker("checked", 4, 2, 2000, d)
	stop := c.load()
	<-time.After(500 * time.Millisecond)
	stop()
	c.everything(t, time.Minute)
	c.report(t)
	if c.acknowledged() < 100 || c.found.wholes.Load() < c.acknowledged()/small {
		t.Errorf("only %d spans were written, and %d traces compared", c.acknowledged(), c.found.wholes.Load())
	}

	for name, l := range map[string]struct {
		lie  func(*model.Trace) (*model.Trace, error)
		seen func(*findings) int64
	}{
		"a trace that is not found": {
			func(*model.Trace) (*model.Trace, error) { return nil, spanstore.ErrTraceNotFound },
			func(f *findings) int64 { return f.missing.Load() }},
		"a span that is missing": {
			func(trace *model.Trace) (*model.Trace, error) { trace.Spans = trace.Spans[1:]; return trace, nil },
			func(f *findings) int64 { return f.partial.Load() }},
		"a span that is there twice": {
			func(trace *model.Trace) (*model.Trace, error) {
				trace.Spans = append(trace.Spans, trace.Spans[0])
				return trace, nil
			},
			func(f *findings) int64 { return f.twice.Load() }},
		"a span that is another": {
			func(trace *model.Trace) (*model.Trace, error) {
				trace.Spans[0].Duration++
				return trace, nil
			},
			func(f *findings) int64 { return f.changed.Load() }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, search := range []bool{false, true} {
				lying := *p
				lying.reader = liar{p.reader, l.lie}
				other := &door{name: "liar"}
				other.at.Store(&lying)
				c.found = findings{}
				if err := c.ask(context.Background(), other, 1, 3, search); err != nil {
					t.Fatal(err)
				}
				if l.seen(&c.found) == 0 || c.found.zero() {
					t.Errorf("by search %v: it is not noticed", search)
				}
			}
		})
	}
	t.Run("a smaller trace that says so", func(t *testing.T) {
		lying := *p
		lying.reader = liar{p.reader, func(trace *model.Trace) (*model.Trace, error) {
			trace.Spans = slices.Clone(trace.Spans[1:])
			trace.Spans[0].Warnings = []string{"incomplete"}
			return trace, nil
		}}
		other := &door{name: "honest"}
		other.at.Store(&lying)
		c.found = findings{}
		c.strict.Store(false) // as while something is being broken
		if err := c.ask(context.Background(), other, 1, 3, false); err != nil || !c.found.zero() || c.found.marked.Load() != 1 {
			t.Errorf("error %v, zero %v, %d marked; want one that is marked and nothing wrong", err, c.found.zero(), c.found.marked.Load())
		}
	})
}

// liar is a reader that changes traces on their way, or in a search leaves them out.
type liar struct {
	spanstore.Reader
	lie func(*model.Trace) (*model.Trace, error)
}

func (l liar) GetTrace(ctx context.Context, id model.TraceID) (*model.Trace, error) {
	trace, err := l.Reader.GetTrace(ctx, id)
	if err != nil {
		return nil, err
	}
	return l.lie(trace)
}

func (l liar) FindTraces(ctx context.Context, q *spanstore.TraceQueryParameters) ([]*model.Trace, error) {
	traces, err := l.Reader.FindTraces(ctx, q)
	var changed []*model.Trace
	for _, trace := range traces {
		if trace, err := l.lie(trace); err == nil {
			changed = append(changed, trace)
		}
	}
	return changed, err
}
