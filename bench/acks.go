package main

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// How Jaeger writes: collectors of v1.57 with 50 workers, each a span a call; those of v1.76 a batch of up to 512 spans one after another.
const (
	callers = 50
	batch   = 512
)

// acksResult is what writing costs under one policy of fsync.
type acksResult struct {
	Sync string

	// OTLP requests to the write path, o.Writers at a time.
	OTLPSpans    int
	OTLP         time.Duration
	OTLPSyncs    int64
	RequestAlone time.Duration // p50 of one request, by a single writer

	// Spans by gRPC, callers at a time.
	Spans    int
	Wall     time.Duration
	P50, P99 time.Duration
	Syncs    int64

	// A batch by gRPC, one span after another.
	Batch    time.Duration
	BatchP50 time.Duration
}

// acks measures how long acknowledgements take under the policy o.Sync.
func acks(o *options) (any, error) {
	sync, err := wal.ParseSync(o.Sync)
	if err != nil {
		return nil, err
	}
	r := &acksResult{Sync: o.Sync}
	if err := r.otlp(o, sync); err != nil {
		return nil, fmt.Errorf("fsync %s: OTLP: %w", o.Sync, err)
	}
	if err := r.grpc(o, sync); err != nil {
		return nil, fmt.Errorf("fsync %s: gRPC: %w", o.Sync, err)
	}
	return r, nil
}

func syncsOf(s *tracedb.Store) (n int64) {
	s.Each(func(_ string, db *tempodb.DB) { n += db.Stats().Log.Syncs })
	return n
}

func (r *acksResult) otlp(o *options, sync wal.Sync) error {
	store, _, err := openStore(o.store()+"-otlp-"+o.Sync, storeOptions{Sync: sync})
	if err != nil {
		return err
	}
	writer := writepath.NewWriter(store)
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
	r.OTLPSyncs = syncsOf(store)
	// The same again: what is sent twice costs the log the same.
	var took []time.Duration
	const alone = 200
	err = eachRequest(o, 1, func(ctx context.Context, f *frame) error {
		begin := time.Now()
		err := send(ctx, writer, f.data)
		took = append(took, time.Since(begin))
		if err == nil && len(took) == alone {
			err = errEnough
		}
		return err
	})
	if err != nil {
		return err
	}
	r.RequestAlone = percentile(took, 50)
	return store.Close()
}

// grpc writes spans as Jaeger does, to the services of the plugin on a port of this machine. The client is in this process.
func (r *acksResult) grpc(o *options, sync wal.Sync) error {
	spans, err := jaegerSpans(o, o.CallSpans+batch)
	if err != nil {
		return err
	}
	store, _, err := openStore(o.store()+"-grpc-"+o.Sync, storeOptions{Sync: sync})
	if err != nil {
		return err
	}
	reader := readpath.NewReader(store)
	client, stop, err := serve(plugin.New(plugin.Options{Writer: writepath.NewWriter(store), Reader: reader, TenantOf: func(context.Context) (string, error) { return tenant, nil }}))
	if err != nil {
		return err
	}
	defer stop()

	ctx := context.Background()
	alone := min(batch, len(spans)/2)
	many := spans[:len(spans)-alone]
	// Connections and pools are made before.
	if _, err := client.WriteSpan(ctx, &storage_v1.WriteSpanRequest{Span: many[0]}); err != nil {
		return err
	}
	syncs := syncsOf(store)
	took := make([]time.Duration, len(many))
	if r.Wall, err = writeSpans(ctx, client, many, took); err != nil {
		return err
	}
	r.Spans = len(many)
	r.P50, r.P99 = percentile(took, 50), percentile(took, 99)
	r.Syncs = syncsOf(store) - syncs

	if r.Batch, r.BatchP50, err = writeAlone(ctx, client, spans[len(many):]); err != nil {
		return err
	}
	parts, err := partsOf(spans)
	if err != nil {
		return err
	}
	if err := verify(ctx, reader, parts); err != nil {
		return err
	}
	stop()
	return store.Close()
}

// serve offers services on a port of this machine. stop may be called twice.
func serve(services *plugin.Services) (client storage_v1.SpanWriterPluginClient, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(plugin.MaxReceive), grpc.ForceServerCodecV2(plugin.Codec{}))
	services.Register(server)
	go func() { _ = server.Serve(listener) }() // ends with Stop
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(plugin.Codec{})))
	if err != nil {
		server.Stop()
		return nil, nil, err
	}
	return storage_v1.NewSpanWriterPluginClient(conn), func() { _ = conn.Close(); server.Stop() }, nil
}

// jaegerSpans returns the first n spans of the workload, or all if they are fewer, in Jaeger's form.
func jaegerSpans(o *options, n int) ([]*model.Span, error) {
	var all []*model.Span
	err := eachRequest(o, 1, func(_ context.Context, f *frame) error {
		spans, err := jaegerv1.Spans(f.data)
		all = append(all, spans...)
		if err == nil && len(all) >= n {
			err = errEnough
		}
		return err
	})
	return all[:min(n, len(all))], err
}

// partsOf counts the spans of each trace.
func partsOf(spans []*model.Span) (parts []workload.Part, err error) {
	at := make(map[model.TraceID]int)
	for _, s := range spans {
		i, known := at[s.TraceID]
		if !known {
			i = len(parts)
			at[s.TraceID] = i
			var p workload.Part
			if _, err := s.TraceID.MarshalTo(p.TraceID[:]); err != nil {
				return nil, err
			}
			parts = append(parts, p)
		}
		parts[i].Spans++
	}
	return parts, nil
}
