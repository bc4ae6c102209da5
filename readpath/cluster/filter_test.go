package cluster

import (
	"bytes"
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter/filtertest"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// pages follows the pages of a filter: the traces and the spans that it finds.
func pages(ctx context.Context, r *readpath.Reader, filter *spanfilter.Filter, size int) (ids []trace.ID, spans []byte, err error) {
	q := readpath.Query{Filter: filter, PageSize: size}
	for {
		page, next, err := r.FindTraceIDs(ctx, tenant, &q)
		if err != nil {
			return nil, nil, err
		}
		if ids = append(ids, page...); next == "" {
			break
		}
		q.PageToken = next
	}
	sq := readpath.SpanQuery{Filter: filter, PageSize: size}
	for {
		next, err := r.FindSpans(ctx, tenant, &sq, func(_ trace.ID, data []byte) error {
			return trace.WalkShells(data, func(shell *trace.Shell, span []byte) error {
				spans = shell.AppendTo(spans, span)
				return nil
			})
		})
		if err != nil || next == "" {
			return ids, spans, err
		}
		sq.PageToken = next
	}
}

func TestAFilterFindsInAClusterWhatItFindsInOneProcess(t *testing.T) {
	dir := t.TempDir()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	alone, err := tracedb.Open(t.Context(), tracedb.Options{Dir: filepath.Join(dir, "recent"), Bucket: bucket, Sync: wal.SyncNever})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := alone.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := newRealCluster(t, backendtest.NewMemory(), time.Hour)
	s := c.open(Options{PollEvery: time.Hour})
	w := writepath.NewWriter(alone)
	for i := range 80 {
		spans := rapid.Custom(func(t *rapid.T) *tracepb.ResourceSpans { return filtertest.DrawSpan(t, byte(1+i*7%25), byte(1+i)) }).Example(i)
		data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{spans}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(t.Context(), tenant, data); err != nil {
			t.Fatal(err)
		}
		c.push(i%4, []tempodb.Entry{{Key: tempodb.Key(spans.ScopeSpans[0].Spans[0].TraceId), Value: data}})
		if i%20 == 19 {
			if err := c.nodes[i%3].ingester.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	one, many := readpath.NewReader(alone), readpath.NewReader(s)
	rng := rand.New(rand.NewPCG(1, 2))
	some := 0
	for i := range 80 {
		filter, err := spanfilter.New(rapid.Custom(filtertest.DrawForm).Example(i))
		if err != nil {
			t.Fatal(err)
		}
		size := 1 + rng.IntN(30)
		wantIDs, wantSpans, err := pages(t.Context(), one, filter, size)
		if err != nil {
			t.Fatal(err)
		}
		gotIDs, gotSpans, err := pages(t.Context(), many, filter, size)
		if err != nil || !slices.Equal(gotIDs, wantIDs) || !bytes.Equal(gotSpans, wantSpans) {
			t.Fatalf("filter %d, pages of %d: %v, traces %v, want %v; %d bytes of spans, want %d", i, size, err, gotIDs, wantIDs, len(gotSpans), len(wantSpans))
		}
		if len(wantIDs) > 0 {
			some++
		}
	}
	if some < 20 {
		t.Errorf("%d filters find anything", some)
	}
}
