package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// stallPatience is how long a merge waits for the next summaries of an ingester without which its answer is whole. For some of them an ingester has to
// read values, which takes longer than any other question.
const stallPatience = 2 * time.Second

// EachSummary implements tempodb.Database. The ingesters are asked for all that they have, which is little beside the blocks: one that has no span of a trace
// within starts may have others of it.
func (d *database) EachSummary(ctx context.Context, starts index.Range, fn func(key tempodb.Key, summary []byte) error) error {
	leave, err := d.store.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	of, blockErr := d.store.tenants.follow(ctx, d.tenant)
	if of != nil {
		defer d.store.tenants.release(of)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// Ends the streams, which leave waits for.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := walk{d: d, ctx: ctx, starts: starts, fn: fn, of: of}
	if blockErr != nil {
		w.missing = append(w.missing, fmt.Errorf("blocks of tenant %s: %w", d.tenant, blockErr))
	}
	if err := w.run(); err != nil {
		return err
	}
	return d.store.partial(w.missing)
}

// walk is an EachSummary under way.
type walk struct {
	d      *database
	ctx    context.Context
	starts index.Range
	fn     func(tempodb.Key, []byte) error
	of     *following // nil if the blocks can't be asked

	members []member
	blocks  *stream // nil if there are none
	panel   *panel
	lost    []error // of the panel's
	missing []error

	// What is gathered in the order of keys until it is told: of some the values have to be read.
	batch  []pending
	unread []tempodb.Key
	joined []byte
	pieces [][]byte
}

type member struct {
	*stream
	health *memberHealth
	kept   time.Duration // how long it is believed to keep blocks
}

// pending is a summary to be told. One without summary is made of the value.
type pending struct {
	key     tempodb.Key
	summary []byte
}

// batchKeys is how many summaries are gathered, batchUnread how many of them without summary.
const batchKeys, batchUnread = 1024, 16

func (w *walk) run() error {
	if err := w.begin(); err != nil {
		return err
	}
	for {
		key, any := w.least()
		if !any {
			break
		}
		if err := w.add(key); err != nil {
			return err
		}
		if err := w.advance(key); err != nil {
			return err
		}
	}
	if err := w.tell(); err != nil {
		return err
	}
	if w.panel != nil && !w.panel.enough() {
		w.lack(w.d.store.lost(w.panel.set, w.lost))
	}
	var partial *tempodb.PartialError
	switch {
	case w.blocks == nil || w.blocks.err == nil:
	case errors.As(w.blocks.err, &partial):
		w.lack(partial.Parts)
	default:
		w.missing = append(w.missing, fmt.Errorf("blocks of tenant %s: %w", w.d.tenant, w.blocks.err))
	}
	return w.ctx.Err()
}

// begin begins all streams, and waits for the first summaries of each. The blocks come last: a stream shows what an ingester had when it began, so that its first
// summary says when that was at the latest.
func (w *walk) begin() error {
	s := w.d.store
	set, err := s.readSet()
	if err != nil {
		w.missing = append(w.missing, err)
		set = &ring.ReadSet{}
	} else {
		w.panel = newPanel(set, 0)
	}
	w.lost = make([]error, len(set.Ask))
	s.stats.asked.Add(int64(len(set.Ask)))
	for _, instance := range set.Ask {
		m := member{health: s.health.of(instance.Address, set)}
		m.kept = m.health.keeps()
		m.stream = s.begin(w.ctx, func(yield func(tempodb.Key, []byte) error) (client.Source, error) {
			c, err := s.dial(instance.Address)
			if err != nil {
				return client.Source{}, err
			}
			return c.Summaries(w.ctx, w.d.tenant, index.Everything, yield)
		})
		w.members = append(w.members, m)
	}
	for i := range w.members {
		if err := w.next(i); err != nil {
			return err
		}
	}
	if w.of == nil {
		return nil
	}
	if t := w.listNeeded(w.of.reader.AsOf()); !t.IsZero() {
		if err := w.of.catchUp(w.ctx, s, t); err != nil {
			w.missing = append(w.missing, err)
		}
	}
	w.blocks = s.begin(w.ctx, func(yield func(tempodb.Key, []byte) error) (client.Source, error) {
		return client.Source{}, w.of.reader.EachSummary(w.ctx, w.starts, yield)
	})
	return w.blocks.next(w.ctx, 0)
}

// listNeeded is listNeeded of the members, by what they said of themselves before: if that turns out to be wrong, they count as failed.
func (w *walk) listNeeded(asOf time.Time) time.Time {
	var answers []answer[struct{}]
	for i := range w.members {
		if m := &w.members[i]; w.panel.stand[i] != failed {
			answers = append(answers, answer[struct{}]{source: client.Source{KeptFor: m.kept}, at: m.first})
		}
	}
	_, t := listNeeded(answers, asOf)
	return t
}

// next has member i go on to its next key. If it does not, it has failed, and goes on no more.
func (w *walk) next(i int) error {
	m := &w.members[i]
	patience := w.d.store.options.Timeout
	w.panel.stand[i] = failed // for the moment
	if w.panel.set.Enough(w.failed()...) {
		patience = stallPatience
		if m.health.isLagging() {
			patience = w.d.store.options.Patience
		}
	}
	w.panel.stand[i] = waiting
	err := m.next(w.ctx, patience)
	switch {
	case errors.Is(err, errStalled):
		w.d.store.stats.lagging.Add(1)
		w.fail(i, err)
		return nil
	case err != nil:
		return err
	case !m.valid:
		w.ended(i, m)
	}
	return nil
}

func (w *walk) failed() (members []ring.Instance) {
	for i, s := range w.panel.stand {
		if s == failed {
			members = append(members, w.panel.set.Ask[i])
		}
	}
	return members
}

func (w *walk) fail(i int, err error) {
	w.panel.fail(i)
	w.lost[i] = err
	w.members[i].valid = false
}

// ended notes how the stream of a member ended.
func (w *walk) ended(i int, m *member) {
	err := verdict(m.source, m.err)
	if err == nil && m.source.KeptFor < m.kept {
		err = fmt.Errorf("it keeps blocks for %v only, and had said %v; ask again", m.source.KeptFor, m.kept)
	}
	if m.err == nil {
		m.health.says(m.source.KeptFor)
	}
	if err != nil {
		w.d.store.stats.failed.Add(1)
		w.fail(i, err)
		return
	}
	w.panel.answer(i, 0)
}

// least returns the least key that a stream stands at.
func (w *walk) least() (key tempodb.Key, any bool) {
	consider := func(s *stream) {
		if s != nil && s.valid && (!any || bytes.Compare(s.key[:], key[:]) < 0) {
			key, any = s.key, true
		}
	}
	for i := range w.members {
		consider(w.members[i].stream)
	}
	consider(w.blocks)
	return key, any
}

// advance has the streams that stand at key go on.
func (w *walk) advance(key tempodb.Key) error {
	for i := range w.members {
		if m := &w.members[i]; m.valid && m.key == key {
			if err := w.next(i); err != nil {
				return err
			}
		}
	}
	if w.blocks != nil && w.blocks.valid && w.blocks.key == key {
		return w.blocks.next(w.ctx, 0)
	}
	return nil
}

// add gathers what the streams have at key.
func (w *walk) add(key tempodb.Key) error {
	w.pieces = w.pieces[:0]
	certain, possible := false, false // that a row is within starts
	for i := range w.members {
		m := &w.members[i]
		if !m.valid || m.key != key {
			continue
		}
		w.pieces = append(w.pieces, m.summary)
		first, err := trace.SummaryStart(m.summary)
		if err != nil {
			return fmt.Errorf("ingester at %s: trace %x: %w", w.panel.set.Ask[i].Address, key, err)
		}
		certain = certain || w.starts.Contains(first)
		possible = possible || first <= w.starts.Max
	}
	recent := len(w.pieces) > 0
	if recent {
		w.d.store.stats.summaries.Add(1)
	}
	switch {
	case w.blocks != nil && w.blocks.valid && w.blocks.key == key:
		certain = true
		w.pieces = append(w.pieces, w.blocks.summary)
	case !certain && !possible:
		return nil
	case w.blocks != nil && w.starts != index.Everything:
		// Blocks have told of keys with a row within starts only.
		summary, err := w.of.reader.Summary(w.ctx, nil, key)
		switch {
		case errors.Is(err, tempodb.ErrNotFound):
		case err != nil:
			return w.later(key, nil) // the value tells, and what is missing of it
		default:
			w.pieces = append(w.pieces, summary)
		}
	}
	if !certain {
		return w.later(key, nil)
	}
	if len(w.pieces) == 1 {
		return w.later(key, w.pieces[0])
	}
	joined, ok, err := codec.JoinSummaries(w.joined[:0], w.pieces...)
	if err != nil {
		return fmt.Errorf("trace %x: %w", key, err)
	}
	w.joined = joined
	if !ok {
		return w.later(key, nil)
	}
	return w.later(key, joined)
}

// later gathers a summary to be told; nil if it has to be made of the value.
func (w *walk) later(key tempodb.Key, summary []byte) error {
	if summary != nil && len(w.batch) == 0 {
		return w.fn(key, summary)
	}
	if summary == nil {
		w.unread = append(w.unread, key)
	}
	w.batch = append(w.batch, pending{key, slices.Clone(summary)})
	if len(w.batch) == batchKeys || len(w.unread) == batchUnread {
		return w.tell()
	}
	return nil
}

// tell tells what was gathered.
func (w *walk) tell() error {
	if len(w.batch) == 0 {
		return w.ctx.Err()
	}
	w.d.store.stats.read.Add(int64(len(w.unread)))
	unread := w.unread
	var values []readpath.Outcome // of the first of unread
	for _, p := range w.batch {
		if p.summary == nil {
			var err error
			if len(values) == 0 {
				if values, err = w.d.values(w.ctx, unread); err != nil {
					return err
				}
			}
			p.summary, err = w.made(values[0])
			values[0].Value = nil
			values, unread = values[1:], unread[1:]
			if err != nil {
				return err
			}
			if p.summary == nil {
				continue
			}
		}
		if err := w.fn(p.key, p.summary); err != nil {
			return err
		}
	}
	w.batch, w.unread = w.batch[:0], w.unread[:0]
	return nil
}

// made makes the summary of a value; nil if it is not asked for.
func (w *walk) made(o readpath.Outcome) ([]byte, error) {
	var partial *tempodb.PartialError
	switch {
	case errors.As(o.Err, &partial):
		w.lack(partial.Parts)
	case errors.Is(o.Err, tempodb.ErrNotFound): // dropped by retention meanwhile
	case o.Err != nil:
		return nil, o.Err
	}
	if len(o.Value) == 0 {
		return nil, nil
	}
	within := rowsWithin{starts: w.starts}
	if err := codec.Index(o.Value, &within); err != nil {
		return nil, err
	}
	if !within.any {
		return nil, nil
	}
	return codec.Summarize(nil, o.Value)
}

// lack notes what is missing, once: it is most often the same of many values.
func (w *walk) lack(parts []error) {
	for _, part := range parts {
		if !slices.ContainsFunc(w.missing, func(known error) bool { return known.Error() == part.Error() }) {
			w.missing = append(w.missing, part)
		}
	}
}

// rowsWithin looks for a row that starts within starts.
type rowsWithin struct {
	starts index.Range
	any    bool
}

// Group implements index.Sink.
func (r *rowsWithin) Group([]byte) bool { return true }

// GroupTerm implements index.Sink.
func (r *rowsWithin) GroupTerm([]byte, []byte) {}

// Row implements index.Sink.
func (r *rowsWithin) Row(start, _ int64) { r.any = r.any || r.starts.Contains(start) }

// Term implements index.Sink.
func (r *rowsWithin) Term([]byte, []byte) {}
