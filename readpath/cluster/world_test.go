package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

const tenant = "acme"

// span is a span as the tests think of it.
type span struct {
	trace, id, parent byte
	service, name     string
	kind              trace.Kind
	start, duration   int64
	color             string
}

func traceID(b byte) trace.ID { return trace.ID{0: b, 15: 1} }

func (s *span) key() tempodb.Key { return tempodb.Key(traceID(s.trace)) }

// value is the span as OTLP.
func (s *span) value() []byte {
	id := traceID(s.trace)
	text := func(key, value string) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
	}
	otlp := &tracepb.Span{
		TraceId: id[:], SpanId: []byte{s.id, 0, 0, 0, 0, 0, 0, 1}, Name: s.name, Kind: tracepb.Span_SpanKind(s.kind),
		StartTimeUnixNano: uint64(s.start), EndTimeUnixNano: uint64(s.start + s.duration), Attributes: []*commonpb.KeyValue{text("color", s.color)},
	}
	if s.parent != 0 {
		otlp.ParentSpanId = []byte{s.parent, 0, 0, 0, 0, 0, 0, 1}
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", s.service)}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{otlp}}},
	}}})
	if err != nil {
		panic(err)
	}
	return encoded
}

// spansOf lists what a value holds, in an order of its own.
func spansOf(value []byte) (all []string, err error) {
	var data tracepb.TracesData
	if err := proto.Unmarshal(value, &data); err != nil {
		return nil, err
	}
	for _, r := range data.ResourceSpans {
		for _, s := range r.ScopeSpans {
			for _, one := range s.Spans {
				all = append(all, fmt.Sprint(r.Resource.GetAttributes(), one))
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

// replica is an ingester without a log: what it has it answers from a naive index that is made anew for each question.
type replica struct {
	address string
	kept    time.Duration

	mu      sync.Mutex
	entries []*entry
	fault   fault
}

type entry struct {
	span
	value    []byte
	uploaded time.Time // when it had come to the bucket; zero: it has not
	cut      bool
}

type fault int

const (
	sound      fault = iota
	dead             // refuses at once
	silent           // never answers
	incomplete       // lost its disk: it has nothing, and says so
	torn             // breaks off in the middle
)

func (f fault) String() string {
	return [...]string{"sound", "dead", "silent", "incomplete", "torn"}[f]
}

var errRefused = errors.New("connection refused")

// turn makes the replica behave so from its next answer on. A question that was given up may still be under way.
func (r *replica) turn(f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

// answer begins an answer: what there is now.
func (r *replica) answer(ctx context.Context) ([]*entry, client.Source, error) {
	r.mu.Lock()
	f, entries := r.fault, slices.Clone(r.entries)
	r.mu.Unlock()
	source := client.Source{Instance: r.address, Complete: true, KeptFor: r.kept}
	switch f {
	case dead:
		return nil, client.Source{}, errRefused
	case silent:
		<-ctx.Done()
		return nil, client.Source{}, ctx.Err()
	case incomplete:
		source.Complete = false
		return nil, source, nil
	case torn:
		return entries[:len(entries)/2], client.Source{}, errRefused
	}
	return entries, source, nil
}

func (r *replica) Values(ctx context.Context, of string, keys []tempodb.Key, fn func(int, []byte) error) (client.Source, error) {
	entries, source, err := r.answer(ctx)
	if of != tenant {
		return source, err
	}
	for i, key := range keys {
		for _, e := range entries {
			if e.key() == key {
				if err := fn(i, e.value); err != nil {
					return source, err
				}
			}
		}
	}
	return source, err
}

func rowsOf(entries []*entry) (*index.Memory, func(uint32) [16]byte) {
	rows := index.NewMemory()
	for i, e := range entries {
		rows.Own(uint32(i))
		if err := codec.Index(e.value, rows); err != nil {
			panic(err)
		}
	}
	return rows, func(owner uint32) [16]byte { return entries[owner].key() }
}

func (r *replica) Search(ctx context.Context, of string, q *index.Query) ([]index.Hit, client.Source, error) {
	entries, source, err := r.answer(ctx)
	if err != nil || of != tenant {
		return nil, source, err
	}
	rows, key := rowsOf(entries)
	all := *q
	all.Limit = 0 // owners are spans here
	hits, err := rows.Search(ctx, &all, key)
	return index.MergeHits(q.Limit, hits), source, err
}

func (r *replica) Terms(ctx context.Context, of string, field, prefix []byte, fn func([]byte) error) (client.Source, error) {
	entries, source, err := r.answer(ctx)
	if of != tenant {
		return source, err
	}
	rows, _ := rowsOf(entries)
	rows.Terms(field, prefix, func(value []byte) bool { return fn(bytes.Clone(value)) == nil })
	return source, err
}

func (r *replica) Summaries(ctx context.Context, of string, starts index.Range, fn func(tempodb.Key, []byte) error) (client.Source, error) {
	entries, source, err := r.answer(ctx)
	if of != tenant {
		return source, err
	}
	byKey := make(map[tempodb.Key][][]byte)
	for _, e := range entries {
		byKey[e.key()] = append(byKey[e.key()], e.value)
	}
	for _, key := range slices.SortedFunc(maps.Keys(byKey), func(a, b tempodb.Key) int { return bytes.Compare(a[:], b[:]) }) {
		value, mergeErr := codec.Merge(nil, byKey[key]...)
		if mergeErr != nil {
			return source, mergeErr
		}
		within := rowsWithin{starts: starts}
		if err := codec.Index(value, &within); err != nil || !within.any {
			continue
		}
		summary, err := codec.Summarize(nil, value)
		if err == nil {
			err = fn(key, summary)
		}
		if err != nil {
			return source, err
		}
	}
	return source, err
}

// cluster is three replicas, a bucket, and all that was acknowledged.
type cluster struct {
	dir      string
	bucket   *backendtest.Memory
	replicas []*replica
	forgot   []ring.Instance // registered, not heard of
	copies   sync.RWMutex    // held to copy blocks, and alone to compact: that deletes at once here, what no compactor does with a block that is being copied

	mu    sync.Mutex
	spans []span
	ids   map[byte]byte // of each trace, the last that was given away
}

func newCluster(dir string, kept time.Duration) *cluster {
	c := &cluster{dir: dir, bucket: backendtest.NewMemory(), ids: make(map[byte]byte)}
	for i := range 3 {
		c.replicas = append(c.replicas, &replica{address: fmt.Sprint("ingester-", i), kept: kept})
	}
	return c
}

func (c *cluster) readSet() (*ring.ReadSet, error) {
	set := &ring.ReadSet{Replication: 3, Silent: c.forgot}
	for _, r := range c.replicas {
		set.Ask = append(set.Ask, ring.Instance{Address: r.address})
	}
	return set, nil
}

func (c *cluster) dial(address string) (asked, error) {
	for _, r := range c.replicas {
		if r.address == address {
			return r, nil
		}
	}
	return nil, errRefused
}

// open opens a Store that reads the cluster. Blocks are seen when the list of them must be looked up, and no earlier.
func (c *cluster) open(o Options) (*Store, error) {
	if o.Bucket == nil {
		o.Bucket = c.bucket
	}
	if o.PollEvery == 0 {
		o.PollEvery = time.Hour
	}
	if o.Patience == 0 {
		o.Patience = time.Millisecond
	}
	return newStore(o, c.readSet, c.dial)
}

// write has the replicas but one store spans, which then are acknowledged; all of them if but is none's.
func (c *cluster) write(but int, spans ...span) {
	for i, r := range c.replicas {
		if i == but {
			continue
		}
		r.mu.Lock()
		for _, s := range spans {
			r.entries = append(r.entries, &entry{span: s, value: s.value()})
		}
		r.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, spans...)
}

// upload makes a block of some of what a replica has, and copies it to the bucket.
func (c *cluster) upload(ctx context.Context, r *replica, chosen func() bool) error {
	r.mu.Lock()
	var some []*entry
	for _, e := range r.entries {
		if !e.cut && chosen() {
			e.cut = true
			some = append(some, e)
		}
	}
	r.mu.Unlock()
	if len(some) == 0 {
		return nil
	}
	dir, err := os.MkdirTemp(c.dir, "cut")
	if err != nil {
		return err
	}
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		return err
	}
	db, err := tempodb.Open(ctx, tempodb.Options{Dir: filepath.Join(dir, "log"), Bucket: bucket, Name: tenant, Codec: codec, Sync: wal.SyncNever, NoCompaction: true})
	if err != nil {
		return err
	}
	var entries []tempodb.Entry
	for _, e := range some {
		entries = append(entries, tempodb.Entry{Key: e.key(), Value: e.value})
	}
	err = errors.Join(db.Append(ctx, entries), db.Cut(ctx), db.Close())
	if err != nil {
		return err
	}
	ids, err := block.List(ctx, bucket, tenant)
	if err != nil {
		return err
	}
	c.copies.RLock()
	defer c.copies.RUnlock()
	for _, id := range ids {
		if err := block.Replicate(ctx, c.bucket, bucket, tenant, id); err != nil {
			return err
		}
	}
	r.mu.Lock()
	for _, e := range some {
		e.uploaded = time.Now()
	}
	r.mu.Unlock()
	return os.RemoveAll(dir)
}

// drop takes away what a replica has uploaded and kept for as long as it says.
func (r *replica) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = slices.DeleteFunc(r.entries, func(e *entry) bool { return !e.uploaded.IsZero() && time.Since(e.uploaded) >= r.kept })
}

// compact merges blocks of the bucket, and deletes what it has merged at once.
func (c *cluster) compact(ctx context.Context) error {
	dir, err := os.MkdirTemp(c.dir, "compact")
	if err != nil {
		return err
	}
	c.copies.Lock() // before Open, which takes half a block for what a crash has left: the bucket is its own
	defer c.copies.Unlock()
	db, err := tempodb.Open(ctx, tempodb.Options{Dir: dir, Bucket: c.bucket, Name: tenant, Codec: codec, NoCompaction: true})
	if err != nil {
		return err
	}
	return errors.Join(db.Compact(ctx), db.Close(), os.RemoveAll(dir))
}

// drawSpan makes a span that shares its trace, service and terms with others, or repeats one. Spans that share an ID are the same: of others a
// summary tells by which of them it has met first.
func (c *cluster) drawSpan(pick func(n int) int) span {
	if len(c.spans) > 0 && pick(5) == 0 {
		return c.spans[pick(len(c.spans))]
	}
	s := span{
		trace: byte(1 + pick(8)), service: fmt.Sprint("s", pick(3)), name: fmt.Sprint("op", pick(3)), kind: trace.Kind(pick(6)),
		start: int64(1 + pick(100)), duration: int64(pick(10)), color: fmt.Sprint("c", pick(3)),
	}
	c.ids[s.trace]++
	s.id = c.ids[s.trace]
	if pick(4) > 0 {
		s.parent = byte(1 + pick(int(s.id)+2))
	}
	if s.parent == s.id {
		s.parent = 0
	}
	return s
}

// naive is what questions mean, span by span.
type naive []span

func (n naive) values() map[tempodb.Key][][]byte {
	byKey := make(map[tempodb.Key][][]byte)
	for i := range n {
		byKey[n[i].key()] = append(byKey[n[i].key()], n[i].value())
	}
	return byKey
}

func (n naive) search(q *index.Query, color string) (hits []index.Hit) {
	for i := range n {
		if s := &n[i]; q.Start.Contains(s.start) && q.Duration.Contains(s.duration) && (color == "" || s.color == color) {
			hits = append(hits, index.Hit{Key: s.key(), Start: s.start})
		}
	}
	slices.SortFunc(hits, func(a, b index.Hit) int {
		if a.Start != b.Start {
			return int(b.Start - a.Start)
		}
		return bytes.Compare(a.Key[:], b.Key[:])
	})
	seen := make(map[tempodb.Key]bool)
	hits = slices.DeleteFunc(hits, func(h index.Hit) bool {
		again := seen[h.Key]
		seen[h.Key] = true
		return again
	})
	if q.Limit > 0 {
		hits = hits[:min(q.Limit, len(hits))]
	}
	return hits
}

func (n naive) services() (all []string) {
	for i := range n {
		all = append(all, n[i].service)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (n naive) summaries(starts index.Range) (map[tempodb.Key]string, error) {
	all := make(map[tempodb.Key]string)
	for key, values := range n.values() {
		value, err := codec.Merge(nil, values...)
		if err != nil {
			return nil, err
		}
		within := rowsWithin{starts: starts}
		if err := codec.Index(value, &within); err != nil || !within.any {
			continue
		}
		summary, err := codec.Summarize(nil, value)
		if err != nil {
			return nil, err
		}
		all[key] = string(summary)
	}
	return all, nil
}

// check asks everything and compares it with what it should be.
func (n naive) check(ctx context.Context, s *Store, pick func(n int) int) error {
	db, err := s.Database(ctx, tenant)
	if err != nil {
		return err
	}
	values := n.values()
	keys := append(slices.SortedFunc(maps.Keys(values), func(a, b tempodb.Key) int { return bytes.Compare(a[:], b[:]) }), tempodb.Key(traceID(99)))
	summaries, err := n.summaries(index.Everything)
	if err != nil {
		return err
	}
	many, err := allOf(ctx, keys, db.(*database).GetMany)
	if err != nil {
		return fmt.Errorf("get many: %w", err)
	}
	manySummaries, err := allOf(ctx, keys, db.(*database).SummaryMany)
	if err != nil {
		return fmt.Errorf("many summaries: %w", err)
	}
	for i, key := range keys {
		value, err := db.Get(ctx, nil, key)
		summary, summaryErr := db.Summary(ctx, nil, key)
		if len(values[key]) == 0 {
			for _, err := range []error{err, summaryErr, many[i].Err, manySummaries[i].Err} {
				if !errors.Is(err, tempodb.ErrNotFound) {
					return fmt.Errorf("key %x, of which there is nothing: %w", key, err)
				}
			}
			continue
		}
		if err := errors.Join(err, summaryErr, many[i].Err, manySummaries[i].Err); err != nil {
			return fmt.Errorf("key %x: %w", key, err)
		}
		whole, err := codec.Merge(nil, values[key]...)
		if err != nil {
			return err
		}
		want, err := spansOf(whole)
		if err != nil {
			return err
		}
		for _, value := range [][]byte{value, many[i].Value} {
			if got, err := spansOf(value); err != nil || !slices.Equal(got, want) {
				return fmt.Errorf("key %x: %w\n%s\nwant\n%s", key, err, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		for _, summary := range [][]byte{summary, manySummaries[i].Value} {
			if err := sameSummary(string(summary), summaries[key]); err != nil {
				return fmt.Errorf("key %x: %w", key, err)
			}
		}
	}
	for range 4 {
		q := &index.Query{Start: index.Everything, Duration: index.Everything, Limit: pick(6)}
		color := ""
		if pick(2) == 0 {
			color = fmt.Sprint("c", pick(4))
			q.Where = index.Equal(trace.AppendField(nil, "color", trace.Spaces[0]), trace.AppendValueTerm(nil, color))
		}
		if pick(2) == 0 {
			q.Start = index.Range{Min: int64(pick(100)), Max: int64(pick(120))}
		}
		got, err := db.Search(ctx, q)
		if want := n.search(q, color); err != nil || !slices.Equal(got, want) {
			return fmt.Errorf("search %+v %s: %w\n%v\nwant\n%v", q, color, err, got, want)
		}
	}
	if got, err := db.Terms(ctx, trace.FieldService, nil); err != nil || !slices.Equal(got, n.services()) {
		return fmt.Errorf("services: %w\n%v\nwant\n%v", err, got, n.services())
	}
	for i := range 3 {
		starts := index.Everything
		if i > 0 {
			starts = index.Range{Min: int64(pick(100)), Max: int64(pick(120))}
		}
		want, err := n.summaries(starts)
		if err != nil {
			return err
		}
		var last tempodb.Key
		err = db.EachSummary(ctx, starts, func(key tempodb.Key, summary []byte) error {
			if bytes.Compare(key[:], last[:]) <= 0 {
				return fmt.Errorf("key %x after %x", key, last)
			}
			last = key
			if want[key] == "" {
				return fmt.Errorf("key %x has no row in there", key)
			}
			if err := sameSummary(string(summary), want[key]); err != nil {
				return fmt.Errorf("key %x: %w", key, err)
			}
			delete(want, key)
			return nil
		})
		if err != nil || len(want) > 0 {
			return fmt.Errorf("each summary of %v: %w; %d keys are missing", starts, err, len(want))
		}
	}
	return nil
}

// allOf asks until all keys are answered.
func allOf(ctx context.Context, keys []tempodb.Key, getMany func(context.Context, []tempodb.Key) ([]readpath.Outcome, error)) (all []readpath.Outcome, err error) {
	for len(all) < len(keys) {
		some, err := getMany(ctx, keys[len(all):])
		if err != nil || len(some) == 0 {
			return all, errors.Join(err, fmt.Errorf("%d of %d keys are answered", len(all), len(keys)))
		}
		all = append(all, some...)
	}
	return all, nil
}

// sameSummary compares summaries of which one may be made of spans in another order.
func sameSummary(got, want string) error {
	if got == want {
		return nil
	}
	g, err := trace.ParseSummary([]byte(got))
	w, wantErr := trace.ParseSummary([]byte(want))
	return fmt.Errorf("summary %+v, %w\nwant %+v, %w", g, err, w, wantErr)
}

func picker(seed uint64) func(int) int {
	rng := rand.New(rand.NewPCG(seed, 1))
	return rng.IntN
}

func mustOpen(t testing.TB, c *cluster, o Options) *Store {
	t.Helper()
	s, err := c.open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var _ backend.Bucket = (*backendtest.Memory)(nil)
