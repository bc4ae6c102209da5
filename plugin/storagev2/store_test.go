package storagev2

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// world is a store in a directory, its services on a server, and a client of them.
type world struct {
	testing.TB
	store  *tracedb.Store
	writer *writepath.Writer
	reader *readpath.Reader
	bucket *countingBucket
	conn   *grpc.ClientConn
	traces storagepb.TraceReaderClient
}

// countingBucket counts what is read of the data of blocks: pages of traces.
type countingBucket struct {
	backend.Bucket
	dataReads atomic.Int64
}

func (b *countingBucket) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if strings.HasSuffix(name, "/data") {
		b.dataReads.Add(1)
	}
	return b.Bucket.ReadAt(ctx, name, p, off)
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	dir := tb.TempDir()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{TB: tb, bucket: &countingBucket{Bucket: bucket}}
	w.store, err = tracedb.Open(tb.Context(), tracedb.Options{Dir: filepath.Join(dir, "recent"), Bucket: w.bucket, Sync: wal.SyncNever, NoCompaction: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			tb.Error(err)
		}
	})
	w.writer, w.reader = writepath.NewWriter(w.store), readpath.NewReader(w.store)
	w.conn = dial(tb, Options{Writer: w.writer, Reader: w.reader})
	w.traces = storagepb.NewTraceReaderClient(w.conn)
	return w
}

// dial serves the services over gRPC, those of v1 besides, and connects to them, with gRPC's default limits and codec at the client.
func dial(tb testing.TB, o Options) *grpc.ClientConn {
	tb.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(plugin.MaxReceive), grpc.ForceServerCodecV2(plugin.Codec{}))
	New(o).Register(server)
	plugin.New(plugin.Options{Writer: o.Writer, Reader: o.Reader, UnspecifiedKind: plugin.EmptyKind}).Register(server)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	tb.Cleanup(func() { server.Stop(); <-served })
	conn, err := grpc.NewClient("passthrough:store", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(plugin.Codec{})),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// export sends an export request, and returns what the answer says of rejected spans. TracesData has the form of a request.
func export(ctx context.Context, conn *grpc.ClientConn, request *tracepb.TracesData) (rejected uint64, message string, err error) {
	var response plugin.Raw
	if err := conn.Invoke(ctx, exportMethod, request, &response); err != nil {
		return 0, "", err
	}
	partial, n := fieldOf(response.Bytes(), 1)
	if n == 0 {
		return 0, "", nil
	}
	_, rejected = varintOf(partial, 1)
	text, _ := fieldOf(partial, 2)
	return rejected, string(text), nil
}

// fieldOf returns the content of a message's field, and how often it occurs.
func fieldOf(b []byte, number protowire.Number) (content []byte, n int) {
	for len(b) > 0 {
		num, typ, tagged := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(num, typ, b[tagged:])
		if num == number && typ == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(b[tagged:])
			n++
		}
		b = b[tagged+size:]
	}
	return content, n
}

func varintOf(b []byte, number protowire.Number) (n int, value uint64) {
	for len(b) > 0 {
		num, typ, tagged := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(num, typ, b[tagged:])
		if num == number && typ == protowire.VarintType {
			value, _ = protowire.ConsumeVarint(b[tagged:])
			n++
		}
		b = b[tagged+size:]
	}
	return n, value
}

func (w *world) mustExport(groups ...*tracepb.ResourceSpans) {
	w.Helper()
	if rejected, message, err := export(w.Context(), w.conn, &tracepb.TracesData{ResourceSpans: groups}); err != nil || rejected != 0 {
		w.Fatalf("export: %d rejected (%s), %v", rejected, message, err)
	}
}

func (w *world) cut() {
	w.Helper()
	if err := w.store.Cut(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// receiver is a stream of traces.
type receiver interface {
	Recv() (*tracepb.TracesData, error)
}

// receive receives a stream, holds it to what is promised of chunks, and returns the spans by trace, in the order of the traces.
func receive(stream receiver, err error) (ids []string, spans map[string][]*tracepb.ResourceSpans, sizes []int, _ error) {
	if err != nil {
		return nil, nil, nil, err
	}
	spans = make(map[string][]*tracepb.ResourceSpans)
	for {
		chunk, err := stream.Recv()
		if err == io.EOF {
			return ids, spans, sizes, nil
		}
		if err != nil {
			return ids, spans, sizes, err
		}
		all := spansOf(chunk.ResourceSpans)
		if len(all) == 0 {
			return nil, nil, nil, errors.New("an empty chunk")
		}
		id := string(all[0].TraceId)
		for _, s := range all {
			if string(s.TraceId) != id {
				return nil, nil, nil, errors.New("a chunk with two traces")
			}
		}
		if _, seen := spans[id]; !seen {
			ids = append(ids, id)
		} else if ids[len(ids)-1] != id {
			return nil, nil, nil, errors.New("chunks of a trace that do not follow each other")
		}
		spans[id] = append(spans[id], chunk.ResourceSpans...)
		sizes = append(sizes, proto.Size(chunk))
	}
}

func spansOf(groups []*tracepb.ResourceSpans) (all []*tracepb.Span) {
	for _, rs := range groups {
		for _, ss := range rs.ScopeSpans {
			all = append(all, ss.Spans...)
		}
	}
	return all
}

func value(v any) *commonpb.AnyValue {
	switch v := v.(type) {
	case string:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}
	case bool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v}}
	case int:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(v)}}
	case float64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v}}
	case []byte:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: v}}
	case []any:
		list := new(commonpb.ArrayValue)
		for _, item := range v {
			list.Values = append(list.Values, value(item))
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}
	case []*commonpb.KeyValue:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: v}}}
	}
	return nil
}

func attribute(key string, v any) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: value(v)}
}

// asked is an attribute as a query has it.
func asked(key string, v any) *storagepb.KeyValue {
	a := new(storagepb.KeyValue)
	b, err := proto.Marshal(attribute(key, v))
	if err == nil {
		err = proto.Unmarshal(b, a)
	}
	if err != nil {
		panic(err)
	}
	return a
}

var someTime = time.Unix(1_700_000_000, 0)

func traceIDOf(n byte) []byte { return []byte{n, 15: 1} }
func spanIDOf(n byte) []byte  { return []byte{n, 7: 1} }

// someSpan is a span that began n milliseconds after someTime and took as many.
func someSpan(trace, n byte, attributes ...*commonpb.KeyValue) *tracepb.Span {
	start := uint64(someTime.UnixNano()) + uint64(n)*1e6
	return &tracepb.Span{
		TraceId: traceIDOf(trace), SpanId: spanIDOf(n), Name: "op", Kind: tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(n)*1e6, Attributes: attributes,
	}
}

func childOf(parent byte, s *tracepb.Span) *tracepb.Span {
	s.ParentSpanId = spanIDOf(parent)
	return s
}

func from(service string, spans ...*tracepb.Span) *tracepb.ResourceSpans {
	return &tracepb.ResourceSpans{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("service.name", service)}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "lib", Version: "1"}, Spans: spans}},
	}
}
