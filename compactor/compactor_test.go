package compactor

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// writeBlock writes a block of one trace with a span that started some time ago.
func writeBlock(t *testing.T, bucket backend.Bucket, tenant string, n uint64, ago time.Duration) {
	t.Helper()
	id := binary.BigEndian.AppendUint64(make([]byte, 8), n+1)
	start := uint64(time.Now().Add(-ago).UnixNano())
	value, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{
			Key: "service.name", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "shop"}},
		}}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{TraceId: id, SpanId: id[8:], Name: "op", StartTimeUnixNano: start, EndTimeUnixNano: start + 1}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	w, err := block.NewWriter(t.Context(), bucket, tenant, block.WriterOptions{Codec: tracedb.Codec{}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := w.Add([16]byte(id), value); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// run runs a Compactor until the test has ended.
func run(t *testing.T, o Options) *Compactor {
	t.Helper()
	o.Codec, o.PollEvery = tracedb.Codec{}, 10*time.Millisecond
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { c.Run(ctx) })
	t.Cleanup(func() {
		stop()
		done.Wait()
		if names := c.names(); len(names) > 0 {
			t.Errorf("ended with the tenants %v", names)
		}
	})
	return c
}

// await waits until a condition holds of what the Compactor sees.
func await(t *testing.T, c *Compactor, what string, holds func(map[string]tempodb.CompactorStats) bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(60 * time.Second)
	for {
		all := make(map[string]tempodb.CompactorStats)
		c.Each(func(tenant string, s *tempodb.CompactorStats) { all[tenant] = *s })
		if holds(all) {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited too long until %s: %+v", what, all)
		}
	}
}

func TestTenantsAppearAndDisappear(t *testing.T) {
	bucket := backendtest.NewMemory()
	c := run(t, Options{Bucket: bucket, Claims: true})
	await(t, c, "it has looked", func(map[string]tempodb.CompactorStats) bool { return c.Ready() == nil })
	for n := range uint64(8) {
		writeBlock(t, bucket, "acme", n, time.Hour)
	}
	await(t, c, "the blocks are merged", func(all map[string]tempodb.CompactorStats) bool {
		s := all["acme"]
		return s.Blocks < 8 && s.Merges > 0 && s.Backlog.Jobs == 0
	})
	// What a person has deleted.
	c.mu.Lock()
	acme := c.tenants["acme"]
	c.mu.Unlock()
	acme.stop() // it must not write an index meanwhile
	<-acme.done
	for _, name := range bucket.Names() {
		if err := bucket.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	await(t, c, "the tenant is forgotten", func(all map[string]tempodb.CompactorStats) bool { return len(all) == 0 })
	writeBlock(t, bucket, "acme", 1, 0)
	writeBlock(t, bucket, "other", 1, 0)
	await(t, c, "both are there", func(all map[string]tempodb.CompactorStats) bool {
		return all["acme"].Blocks == 1 && all["other"].Blocks == 1
	})
}

func TestRetentionIsForTheOwnerAndByTenant(t *testing.T) {
	bucket := backendtest.NewMemory()
	for _, tenant := range []string{"acme", "acme~archive", "other"} {
		writeBlock(t, bucket, tenant, 1, 1000*time.Hour)
	}
	retention := func(tenant string) compact.RetainOptions {
		if strings.HasSuffix(tenant, "~archive") {
			return compact.RetainOptions{}
		}
		return compact.RetainOptions{MaxAge: time.Hour}
	}
	c := run(t, Options{Bucket: bucket, Claims: true, Retention: retention, Owner: func(key string) bool { return key != "other" }})
	await(t, c, "the old block is dropped", func(all map[string]tempodb.CompactorStats) bool { return all["acme"].Dropped == 1 })
	await(t, c, "it has looked at all twice", func(all map[string]tempodb.CompactorStats) bool {
		return len(all) == 3 && all["other"].Poller.Polls > 2 && all["acme~archive"].Poller.Polls > 2
	})
	c.Each(func(tenant string, s *tempodb.CompactorStats) {
		if want := map[string]int{"acme": 0, "acme~archive": 1, "other": 1}[tenant]; s.Blocks != want {
			t.Errorf("%s has %d blocks, want %d", tenant, s.Blocks, want)
		}
	})
}

// noClaims is a bucket that is no backend.Claimer.
type noClaims struct{ backend.Bucket }

func TestOnAStoreWithoutClaimsJobsAreSharedByOwner(t *testing.T) {
	memory := backendtest.NewMemory()
	for n := range uint64(8) {
		writeBlock(t, memory, "acme", n, time.Hour)
	}
	var mu sync.Mutex
	var asked []string
	mine := false
	c := run(t, Options{Bucket: noClaims{memory}, Owner: func(key string) bool {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(asked, key) {
			asked = append(asked, key)
		}
		return mine
	}})
	await(t, c, "it was asked for a job", func(map[string]tempodb.CompactorStats) bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(asked, func(key string) bool { return strings.HasPrefix(key, "acme/") })
	})
	c.Each(func(_ string, s *tempodb.CompactorStats) {
		if s.Merges != 0 {
			t.Errorf("it did a job that is not its own: %+v", s)
		}
	})
	mu.Lock()
	mine = true
	mu.Unlock()
	await(t, c, "the job is done", func(all map[string]tempodb.CompactorStats) bool { return all["acme"].Merges > 0 })
}

// With claims nothing is merged twice, and each of several does some.
func TestSeveralShareATenant(t *testing.T) {
	bucket := backendtest.NewMemory()
	for n := range uint64(12) {
		writeBlock(t, bucket, "acme", n, time.Duration(n+2)*24*time.Hour) // jobs of their own by the time
		writeBlock(t, bucket, "acme", n+1000, time.Duration(n+2)*24*time.Hour)
	}
	var all []*Compactor
	for i := range 3 {
		all = append(all, run(t, Options{Bucket: bucket, Claims: true, Writer: fmt.Sprint("c", i), Owner: func(string) bool { return i == 0 }}))
	}
	for _, c := range all {
		await(t, c, "nothing is due", func(seen map[string]tempodb.CompactorStats) bool {
			s := seen["acme"]
			return s.Blocks > 0 && s.Backlog.Jobs == 0
		})
	}
	rows := int64(0)
	for _, c := range all {
		c.Each(func(_ string, s *tempodb.CompactorStats) { rows += s.MergedRows })
	}
	if rows != 24 {
		t.Errorf("%d rows were merged, want each of 24 once", rows)
	}
}

func TestWhatCannotBeAskedIsToldAndTriedAgain(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("made without a bucket")
	}
	bucket := &down{Bucket: backendtest.NewMemory()}
	bucket.set(true)
	writeBlock(t, bucket.Bucket, "acme", 1, 0)
	c := run(t, Options{Bucket: bucket})
	await(t, c, "it has asked", func(map[string]tempodb.CompactorStats) bool {
		bucket.mu.Lock()
		defer bucket.mu.Unlock()
		return bucket.asked > 1
	})
	if err := c.Ready(); err == nil || !strings.Contains(err.Error(), "could not be asked") {
		t.Errorf("ready: %v", err)
	}
	bucket.set(false)
	await(t, c, "it is ready", func(all map[string]tempodb.CompactorStats) bool { return c.Ready() == nil && all["acme"].Blocks == 1 })
}

// down is a store that can be down.
type down struct {
	backend.Bucket
	mu    sync.Mutex
	is    bool
	asked int
}

func (d *down) set(is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.is = is
}

func (d *down) List(ctx context.Context, dir string, fn func(string) error) error {
	d.mu.Lock()
	d.asked++
	is := d.is
	d.mu.Unlock()
	if is {
		return fmt.Errorf("the store is down")
	}
	return d.Bucket.List(ctx, dir, fn)
}
