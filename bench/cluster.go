package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"golang.org/x/sync/errgroup"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/writepath"
)

// clusterWriteResult is what writing to three ingesters costs under one policy of fsync.
type clusterWriteResult struct {
	Sync string

	// Spans by WriteSpan of a plugin process, callers at a time.
	Spans    int
	Wall     time.Duration
	P50, P99 time.Duration
	CPU      time.Duration // of the plugin and the ingesters

	// A batch, one span after another.
	Batch    time.Duration
	BatchP50 time.Duration

	// OTLP requests from this process, o.Writers at a time, all of the workload.
	OTLPSpans int
	OTLP      time.Duration
	OTLPCPU   time.Duration // of this process and the ingesters

	// One ingester is killed and started again.
	Replay      time.Duration
	ReplayBytes int64
}

// clusterWrite measures acknowledgements by a write quorum under the policy o.Sync, and reads every trace afterwards.
func clusterWrite(o *options) (any, error) {
	r := &clusterWriteResult{Sync: o.Sync}
	dir := filepath.Join(o.Dir, "cluster-"+o.Sync)
	c, err := startIngesters(o, dir, filepath.Join(dir, "blocks"))
	if err != nil {
		return nil, err
	}
	err = r.measure(o, c)
	return r, errors.Join(err, c.stop())
}

func (r *clusterWriteResult) measure(o *options, c *ingesters) error {
	ctx := context.Background()
	n, err := c.join(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }() // what was measured was acknowledged
	readers, err := n.Reader(ctx)
	if err != nil {
		return err
	}
	if err := r.plugin(ctx, o, c, readpath.NewReader(readers)); err != nil {
		return fmt.Errorf("through a plugin: %w", err)
	}
	store, err := n.Writer(ctx)
	if err != nil {
		return err
	}
	if err := r.otlp(o, c, writepath.NewWriter(store)); err != nil {
		return fmt.Errorf("OTLP: %w", err)
	}
	return r.replay(o, c)
}

func (r *clusterWriteResult) plugin(ctx context.Context, o *options, c *ingesters, reader *readpath.Reader) error {
	spans, err := jaegerSpans(o, o.CallSpans+batch)
	if err != nil {
		return err
	}
	conn, pid, stop, err := c.startPlugin(o)
	if err != nil {
		return err
	}
	defer stop()
	client := storage_v1.NewSpanWriterPluginClient(conn)
	if err := c.writable(ctx, client, spans[0]); err != nil {
		return err
	}
	used := func() (time.Duration, error) {
		all, err := c.cpu()
		own, err2 := cpuOf(pid)
		return all + own, errors.Join(err, err2)
	}
	alone := min(batch, len(spans)/2)
	many := spans[:len(spans)-alone]
	before, err := used()
	if err != nil {
		return err
	}
	took := make([]time.Duration, len(many))
	if r.Wall, err = writeSpans(ctx, client, many, took); err != nil {
		return err
	}
	after, err := used()
	if err != nil {
		return err
	}
	r.Spans, r.CPU = len(many), after-before
	r.P50, r.P99 = percentile(took, 50), percentile(took, 99)
	if r.Batch, r.BatchP50, err = writeAlone(ctx, client, spans[len(many):]); err != nil {
		return err
	}
	parts, err := partsOf(spans)
	if err != nil {
		return err
	}
	return verify(ctx, reader, parts)
}

// writable waits until a span was written to each of the ingesters: until the plugin knows the ring, and reaches all of it.
func (c *ingesters) writable(ctx context.Context, client storage_v1.SpanWriterPluginClient, span *model.Span) error {
	var err error
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(10 * time.Millisecond) {
		if _, err = client.WriteSpan(ctx, &storage_v1.WriteSpanRequest{Span: span}); err != nil {
			continue
		}
		for _, p := range c.of {
			if _, err = os.Stat(p.log()); err != nil {
				break
			}
		}
		if err == nil {
			return nil
		}
	}
	return err
}

func (r *clusterWriteResult) otlp(o *options, c *ingesters, writer *writepath.Writer) error {
	used := func() (time.Duration, error) {
		all, err := c.cpu()
		own, err2 := cpu()
		return all + own, errors.Join(err, err2)
	}
	before, err := used()
	if err != nil {
		return err
	}
	var spans atomic.Int64
	begin := time.Now()
	err = eachRequest(o, o.Writers, func(ctx context.Context, f *frame) error {
		for _, p := range f.parts {
			spans.Add(int64(p.Spans))
		}
		return send(ctx, writer, f.data)
	})
	if err != nil {
		return err
	}
	r.OTLP, r.OTLPSpans = time.Since(begin), int(spans.Load())
	after, err := used()
	r.OTLPCPU = after - before
	return err
}

func (r *clusterWriteResult) replay(o *options, c *ingesters) error {
	p := c.of[0]
	if err := p.kill(); err != nil {
		return err
	}
	if err := sizes(p.log(), func(path string, size int64) {
		if strings.HasSuffix(path, ".wal") {
			r.ReplayBytes += size
		}
	}); err != nil {
		return err
	}
	if err := p.start(o); err != nil {
		return err
	}
	var err error
	r.Replay, err = p.ready()
	return err
}

// clusterReadResult is the time of questions to three ingesters and o.Blocks blocks.
type clusterReadResult struct {
	Blocks    int
	Spans     int64 // in the ingesters, of the newest traces
	Questions []questionResult
}

// recentRequests is how many of the workload's last requests the ingesters have too.
const recentRequests = 50

// clusterRead asks the store that grow has left, as the object store of a cluster whose ingesters have the newest spans as well.
func clusterRead(o *options) (any, error) {
	at := o.grown()
	t, err := readTruth(at)
	if err != nil {
		return nil, err
	}
	of := *o
	of.Sync = "never"
	c, err := startIngesters(&of, filepath.Join(o.Dir, "cluster-read"), filepath.Join(at.store(), "blocks"))
	if err != nil {
		return nil, err
	}
	r := &clusterReadResult{Blocks: o.Blocks}
	err = r.ask(o, c, t)
	return r, errors.Join(err, c.stop())
}

func (r *clusterReadResult) ask(o *options, c *ingesters, t *truth) error {
	ctx := context.Background()
	n, err := c.join(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }() // only read from
	store, err := n.Writer(ctx)
	if err != nil {
		return err
	}
	if r.Spans, err = resend(ctx, o, writepath.NewWriter(store)); err != nil {
		return err
	}
	readers, err := n.Reader(ctx)
	if err != nil {
		return err
	}
	reader := readpath.NewReader(readers)
	for _, q := range askable(o, t) {
		var took []time.Duration
		for round := range q.rounds + 1 { // the first warms up
			for _, ask := range q.ask {
				begin := time.Now()
				if err := ask(ctx, reader); err != nil {
					return fmt.Errorf("%s: %w", q.name, err)
				}
				if round > 0 {
					took = append(took, time.Since(begin))
				}
			}
		}
		r.Questions = append(r.Questions, questionResult{Name: q.name, Warm: cost{P50: percentile(took, 50), P99: percentile(took, 99)}})
	}
	return nil
}

// resend writes the last requests of the workload again: what is in blocks and with ingesters is one in every answer.
func resend(ctx context.Context, o *options, writer *writepath.Writer) (spans int64, err error) {
	var last []*workload.Request
	for r := range workload.New(o.Seed, o.Blocks*o.BlockTraces).Requests() {
		r.Data = append([]byte(nil), r.Data...)
		if last = append(last, &r); len(last) > recentRequests {
			last = last[1:]
		}
	}
	for _, r := range last {
		if err := send(ctx, writer, r.Data); err != nil {
			return spans, err
		}
		spans += int64(r.Spans)
	}
	return spans, nil
}

// writeSpans writes spans as Jaeger's collector does, and returns how long all took; took is how long each did.
func writeSpans(ctx context.Context, client storage_v1.SpanWriterPluginClient, spans []*model.Span, took []time.Duration) (time.Duration, error) {
	var next atomic.Int64
	begin := time.Now()
	group, grouped := errgroup.WithContext(ctx)
	for range callers {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(spans) {
					return nil
				}
				begin := time.Now()
				if _, err := client.WriteSpan(grouped, &storage_v1.WriteSpanRequest{Span: spans[i]}); err != nil {
					return err
				}
				took[i] = time.Since(begin)
			}
		})
	}
	err := group.Wait()
	return time.Since(begin), err
}

// writeAlone writes spans one after another, and returns how long all took, and one at the median.
func writeAlone(ctx context.Context, client storage_v1.SpanWriterPluginClient, spans []*model.Span) (all, p50 time.Duration, err error) {
	took := make([]time.Duration, 0, len(spans))
	begin := time.Now()
	for _, span := range spans {
		begin := time.Now()
		if _, err := client.WriteSpan(ctx, &storage_v1.WriteSpanRequest{Span: span}); err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(begin))
	}
	return time.Since(begin), percentile(took, 50), nil
}

// clusterWrite adds the rows of writing to a cluster.
func (r *report) clusterWrite(o *options, w *clusterWriteResult) {
	per := func(spans int, d time.Duration) float64 { return float64(spans) / d.Seconds() }
	r.add("cluster, fsync "+w.Sync+": plugin", per(w.Spans, w.Wall), "spans/s", 0,
		"WriteSpan of a tempo-plugin process by %d callers, to 3 ingester processes, acknowledged by 2; client, plugin and ingesters share this machine; %d spans", callers, w.Spans)
	r.add("  a core", per(w.Spans, w.CPU), "spans/s", 0, "spans for each second of CPU of the plugin and the three ingesters")
	r.add("  a call, p50", ms(w.P50), "ms", 0, "until acknowledged")
	r.add("  a call, p99", ms(w.P99), "ms", 0, "the same")
	r.add(fmt.Sprintf("  %d spans, one by one", batch), ms(w.Batch), "ms", 5000, "a caller that waits for each, %.2f ms at p50", ms(w.BatchP50))
	r.add("  OTLP", per(w.OTLPSpans, w.OTLP), "spans/s", 0, "Writer.Write over writepath.Cluster in the measuring process, %d writers", o.Writers)
	r.add("  OTLP, CPU", float64(w.OTLPCPU.Nanoseconds())/1e3/float64(max(w.OTLPSpans, 1)), "µs/span", 0, "of writer and three ingesters together, blocks not cut")
	r.add("  replay", w.Replay.Seconds()/(float64(max(w.ReplayBytes, 1))/1e9), "s/GB", 0,
		"an ingester killed and started again: %.2f s until ready for a log of %.0f MB", w.Replay.Seconds(), float64(w.ReplayBytes)/1e6)
}

func (r *clusterReadResult) print(w io.Writer) {
	fmt.Fprintf(w, "\nCluster: 3 ingesters with %d spans of the newest traces, and %d blocks, which hold them too. readpath.Reader, warm; answers equal the workload's truth.\n\n", r.Spans, r.Blocks)
	fmt.Fprintf(w, "%-28s %10s %10s\n", "QUESTION", "P50 ms", "P99 ms")
	for _, q := range r.Questions {
		fmt.Fprintf(w, "%-28s %10s %10s\n", q.Name, number(ms(q.Warm.P50)), number(ms(q.Warm.P99)))
	}
}
