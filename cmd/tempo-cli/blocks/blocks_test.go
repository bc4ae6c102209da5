package blocks_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/blocks"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

const tenant = "t"

// store writes the workload in so many blocks, with every request in the next block: most traces are in several.
func store(t testing.TB, traces, n int) (*local.Bucket, *workload.Truth) {
	t.Helper()
	bucket, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	parts := make([]map[trace.ID][]byte, n)
	for i := range parts {
		parts[i] = make(map[trace.ID][]byte)
	}
	var splitter trace.Splitter
	w := workload.New(3, traces)
	i := 0
	for r := range w.Requests() {
		fragments, _, err := splitter.Split(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fragments {
			parts[i%n][f.TraceID] = append(parts[i%n][f.TraceID], f.Data...)
		}
		i++
	}
	for _, values := range parts {
		bw, err := block.NewWriter(t.Context(), bucket, tenant, block.WriterOptions{Codec: tracedb.Codec{}})
		if err != nil {
			t.Fatal(err)
		}
		var ids []trace.ID
		for id := range values {
			ids = append(ids, id)
		}
		slices.SortFunc(ids, func(a, b trace.ID) int { return bytes.Compare(a[:], b[:]) })
		for _, id := range ids {
			merged, err := trace.Merge(nil, values[id])
			if err != nil {
				t.Fatal(err)
			}
			if err := bw.Add(id, merged); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := bw.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return bucket, w.Truth()
}

func open(t testing.TB, bucket backend.Bucket) *blocks.Set {
	t.Helper()
	s, err := blocks.Open(t.Context(), bucket, tenant)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPartsOfTracesInManyBlocksAreJoined(t *testing.T) {
	bucket, truth := store(t, 200, 5)
	s := open(t, bucket)
	ask(t, s, truth)
	several := 0
	for _, want := range truth.Traces {
		if parts, err := s.Parts(t.Context(), want.TraceID); err == nil && len(parts) > 1 {
			several++
		}
	}
	if several < 50 {
		t.Errorf("only %d traces are in several blocks", several)
	}
	if _, err := s.Summary(t.Context(), trace.ID{1}); !errors.Is(err, tempodb.ErrNotFound) {
		t.Errorf("of no trace: %v", err)
	}
}

func TestEachGivesEveryTraceOnceAndWhole(t *testing.T) {
	bucket, truth := store(t, 200, 5)
	for _, q := range []*index.Query{nil, {Start: index.Everything, Duration: index.Everything, Limit: 3}} {
		seen := make(map[trace.ID]int)
		var last blocks.Progress
		err := open(t, bucket).Each(t.Context(), q, func(p blocks.Progress) {
			if p.Blocks < last.Blocks || p.Blocks > p.AllBlocks || p.Keys > p.AllKeys {
				t.Errorf("%+v after %+v", p, last)
			}
			last = p
		}, func(id trace.ID, data []byte) error {
			if seen[id] > 0 {
				t.Errorf("trace %s twice", id)
			}
			var err error
			seen[id], err = trace.Spans(data)
			return err
		})
		if err != nil || last.Blocks != 5 || last.AllBlocks != 5 {
			t.Errorf("%v, %+v", err, last)
		}
		for _, want := range truth.Traces {
			if seen[want.TraceID] != want.Spans {
				t.Errorf("trace %x: %d spans, want %d", want.TraceID, seen[want.TraceID], want.Spans)
			}
		}
	}
}

func TestFewTracesAreReadByThemselves(t *testing.T) {
	bucket, truth := store(t, 600, 2)
	reads := &counting{Bucket: bucket}
	s := open(t, reads)
	i := slices.IndexFunc(workload.Queries(), func(q workload.Query) bool { return q.Kind == "rare tag" })
	q := workload.Queries()[i]
	var any []*index.Expr
	for _, space := range trace.Spaces {
		any = append(any, index.Equal(trace.AppendField(nil, q.Key, space), trace.AppendValueTerm(nil, q.Value)))
	}
	found := 0
	err := s.Each(t.Context(), &index.Query{Where: index.Or(any...), Start: index.Everything, Duration: index.Everything}, nil, func(trace.ID, []byte) error {
		found++
		return nil
	})
	if err != nil || found != len(truth.Answers[i]) {
		t.Errorf("%d traces, want %d: %v", found, len(truth.Answers[i]), err)
	}
	var size int64
	for _, m := range s.Blocks().Live {
		size += m.Objects["data"].Bytes
	}
	if reads.data > size/2 {
		t.Errorf("%d bytes of data were read for %d traces, of %d", reads.data, found, size)
	}
}

func TestErrorsOfTheCallerAreTheCallers(t *testing.T) {
	bucket, _ := store(t, 50, 3)
	enough := errors.New("enough")
	n := 0
	err := open(t, bucket).Each(t.Context(), nil, nil, func(trace.ID, []byte) error {
		if n++; n == 7 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || errors.As(err, new(*tempodb.PartialError)) || n != 7 {
		t.Errorf("after %d: %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := open(t, bucket)
	err = s.Each(ctx, nil, nil, func(trace.ID, []byte) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := s.Search(ctx, &index.Query{Start: index.Everything, Duration: index.Everything}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled search: %v", err)
	}
}

// counting counts bytes read of data objects, and reads of meta.json.
type counting struct {
	backend.Bucket
	mu    sync.Mutex
	data  int64
	metas int
}

func (c *counting) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	c.mu.Lock()
	if strings.HasSuffix(name, "/data") {
		c.data += int64(len(p))
	}
	if strings.HasSuffix(name, "/meta.json") && off == 0 {
		c.metas++
	}
	c.mu.Unlock()
	return c.Bucket.ReadAt(ctx, name, p, off)
}

var everything = index.Query{Start: index.Everything, Duration: index.Everything}

// ask asks all that can be asked, of the whole workload.
func ask(t *testing.T, s *blocks.Set, truth *workload.Truth) {
	t.Helper()
	hits, err := s.Search(t.Context(), &everything)
	if err != nil || len(hits) != len(truth.Traces) {
		t.Errorf("search: %d traces of %d, %v", len(hits), len(truth.Traces), err)
	}
	services, err := s.Terms(t.Context(), trace.FieldService, nil)
	if err != nil || len(services) != len(truth.Operations) {
		t.Errorf("terms: %q, %v", services, err)
	}
	for _, want := range truth.Traces {
		sum, err := s.Summary(t.Context(), want.TraceID)
		if err != nil || sum.Spans != want.Spans {
			t.Errorf("trace %x: summary %+v, %v", want.TraceID, sum, err)
		}
		parts, err := s.Parts(t.Context(), want.TraceID)
		if err != nil {
			t.Fatal(err)
		}
		data, err := blocks.Join(parts)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := trace.Spans(data); err != nil || n != want.Spans {
			t.Errorf("trace %x: %d spans, %v; want %d", want.TraceID, n, err, want.Spans)
		}
	}
}

func TestTheMetaOfABlockIsReadOnce(t *testing.T) {
	bucket, truth := store(t, 100, 4)
	reads := &counting{Bucket: bucket}
	s := open(t, reads)
	ask(t, s, truth)
	if err := s.Each(t.Context(), &everything, nil, func(trace.ID, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if reads.metas != 4 {
		t.Errorf("%d reads of the meta.json of 4 blocks", reads.metas)
	}
}

// A compaction between two questions puts what blocks had elsewhere.
func TestAnswersAreWholeAfterACompaction(t *testing.T) {
	bucket, truth := store(t, 100, 3)
	s := open(t, bucket)
	var parents []*block.Block
	for _, m := range s.Blocks().Live {
		parents = append(parents, block.New(bucket, m, tracedb.Codec{}))
	}
	if _, err := block.Merge(t.Context(), bucket, tenant, parents, block.MergeOptions{Codec: tracedb.Codec{}}); err != nil {
		t.Fatal(err)
	}
	for _, b := range parents {
		if err := block.Delete(t.Context(), bucket, tenant, b.Meta().ID); err != nil {
			t.Fatal(err)
		}
	}
	ask(t, s, truth)
}

func TestABlockThatIsGoneWhileAllAreReadIsNamed(t *testing.T) {
	bucket, _ := store(t, 100, 3)
	s := open(t, bucket)
	gone := s.Blocks().Live[1].ID
	if err := block.Delete(t.Context(), bucket, tenant, gone); err != nil {
		t.Fatal(err)
	}
	err := s.Each(t.Context(), nil, nil, func(trace.ID, []byte) error { return nil })
	var partial *tempodb.PartialError
	if !errors.As(err, &partial) || !strings.Contains(err.Error(), string(gone)) || !strings.Contains(err.Error(), "ask again") {
		t.Error(err)
	}
}

// spoil damages all pages of an object of a block.
func spoil(t *testing.T, bucket *local.Bucket, id block.ID, object string) {
	t.Helper()
	name := tenant + "/" + string(id) + "/" + object
	size, err := bucket.Size(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, size)
	if _, err := bucket.ReadAt(t.Context(), name, content, 0); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(content); i += 64 {
		content[i] ^= 1
	}
	w, err := bucket.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// What a damaged index of spans would have told, the spans tell.
func TestADamagedSearchObjectTakesNothingFromAnswers(t *testing.T) {
	bucket, truth := store(t, 100, 3)
	for _, m := range open(t, bucket).Blocks().Live {
		spoil(t, bucket, m.ID, "search")
	}
	s := open(t, bucket)
	ask(t, s, truth)
	if len(s.Damage()) == 0 {
		t.Error("no damage was met")
	}
	n := 0
	if err := s.Each(t.Context(), &everything, nil, func(trace.ID, []byte) error { n++; return nil }); err != nil || n != len(truth.Traces) {
		t.Errorf("each: %d traces of %d, %v", n, len(truth.Traces), err)
	}
}
