package ingester_test

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/ingester"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

// options are those of an ingester in new directories, which does nothing of itself.
func options(t testing.TB) ingester.Options {
	t.Helper()
	o := ingester.Options{
		Dir: filepath.Join(t.TempDir(), "ingester"), Instance: "one", Blocks: directory(t),
		Reserve: 1, CutAge: time.Hour, Keep: time.Hour, Tick: 5 * time.Millisecond,
	}
	if testing.Verbose() {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return o
}

func directory(t testing.TB) *local.Bucket {
	t.Helper()
	bucket, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	return bucket
}

// node is an ingester and who asks it over gRPC.
type node struct {
	*ingester.Ingester
	ingesterpb.IngesterClient
	t testing.TB
}

// start opens an ingester and serves it on loopback; stop, or the end of the test, ends both.
func start(t testing.TB, o ingester.Options) *node {
	t.Helper()
	i, err := ingester.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, i)
}

func serve(t testing.TB, i *ingester.Ingester) *node {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(client.ServerOptions()...)
	i.Register(server)
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(client.MaxMessage)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := i.Close(); err != nil {
			t.Errorf("close ingester: %v", err)
		}
	})
	return &node{i, ingesterpb.NewIngesterClient(conn), t}
}

// stop ends the ingester, so that another one may have its directory.
func (n *node) stop() {
	n.t.Helper()
	if err := n.Close(); err != nil {
		n.t.Fatal(err)
	}
}

// key is the ID of a trace.
func key(id uint64) (k tempodb.Key) {
	binary.BigEndian.PutUint64(k[:], 7)
	binary.BigEndian.PutUint64(k[8:], id)
	return k
}

// spans returns a trace with that many spans, with an attribute "user".
func spans(id uint64, n int, user string) []byte {
	k := key(id)
	now := uint64(time.Now().UnixNano())
	scope := &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{Name: "test"}}
	for s := range n {
		scope.Spans = append(scope.Spans, &tracepb.Span{
			TraceId: k[:], SpanId: binary.BigEndian.AppendUint64(nil, id<<20|uint64(s+1)), Name: "buy",
			StartTimeUnixNano: now, EndTimeUnixNano: now + 1000,
			Attributes: []*commonpb.KeyValue{text("user", user)},
		})
	}
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "shop")}},
		ScopeSpans: []*tracepb.ScopeSpans{scope},
	}}})
	if err != nil {
		panic(err)
	}
	return data
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

// group is a group of one value.
func group(tenant string, id uint64, value []byte) *ingesterpb.Group {
	k := key(id)
	return &ingesterpb.Group{Tenant: tenant, Keys: k[:], Values: [][]byte{value}}
}

// push pushes groups and returns the outcomes, one for each.
func (n *node) push(groups ...*ingesterpb.Group) []*ingesterpb.Outcome {
	n.t.Helper()
	resp, err := n.Push(n.t.Context(), &ingesterpb.PushRequest{Groups: groups})
	if err != nil {
		n.t.Fatal(err)
	}
	outcomes := resp.GetOutcomes()
	for len(outcomes) < len(groups) {
		outcomes = append(outcomes, &ingesterpb.Outcome{})
	}
	return outcomes
}

// store pushes groups that must all be taken.
func (n *node) store(groups ...*ingesterpb.Group) {
	n.t.Helper()
	for i, o := range n.push(groups...) {
		if o.GetCode() != 0 {
			n.t.Fatalf("group %d is refused: %v", i, o)
		}
	}
}

// values asks for values, whole.
func (n *node) values(tenant string, ids ...uint64) (map[uint64][]byte, *ingesterpb.Source, error) {
	n.t.Helper()
	var keys []byte
	for _, id := range ids {
		k := key(id)
		keys = append(keys, k[:]...)
	}
	stream, err := n.Values(n.t.Context(), &ingesterpb.ValuesRequest{Tenant: tenant, Keys: keys})
	if err != nil {
		n.t.Fatal(err)
	}
	values := make(map[uint64][]byte)
	var source *ingesterpb.Source
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return values, source, nil
		}
		if err != nil {
			return values, source, err
		}
		if size := proto.Size(msg); size > 1<<20 {
			n.t.Errorf("a message of %d bytes", size)
		}
		if source == nil {
			source = msg.GetSource()
		}
		for _, v := range msg.GetValues() {
			id := ids[v.GetKey()]
			values[id] = append(values[id], v.GetPiece()...)
		}
	}
}

// spansOf returns how many spans are answered of a trace.
func (n *node) spansOf(tenant string, id uint64) int {
	n.t.Helper()
	values, source, err := n.values(tenant, id)
	if err != nil {
		n.t.Fatal(err)
	}
	if source.GetInstance() == "" {
		n.t.Fatal("an answer without its source")
	}
	if values[id] == nil {
		return 0
	}
	count, err := trace.Spans(values[id])
	if err != nil {
		n.t.Fatal(err)
	}
	return count
}

// find returns the traces in which a span has that user.
func (n *node) find(tenant, user string, limit int) ([]uint64, *ingesterpb.Source) {
	n.t.Helper()
	query, err := index.AppendQuery(nil, &index.Query{Where: tracedb.Attribute{Key: "user"}.Is(user), Start: index.Everything, Duration: index.Everything, Limit: limit})
	if err != nil {
		n.t.Fatal(err)
	}
	resp, err := n.Search(n.t.Context(), &ingesterpb.SearchRequest{Tenant: tenant, Query: query})
	if err != nil {
		n.t.Fatal(err)
	}
	var ids []uint64
	for k := range slices.Chunk(resp.GetKeys(), 16) {
		ids = append(ids, binary.BigEndian.Uint64(k[8:]))
	}
	if len(ids) != len(resp.GetStarts()) {
		n.t.Fatalf("%d keys and %d starts", len(ids), len(resp.GetStarts()))
	}
	return ids, resp.GetSource()
}

// summaries returns the keys of all summaries, in the order in which they come.
func (n *node) summaries(tenant string) (ids []uint64, source *ingesterpb.Source) {
	n.t.Helper()
	stream, err := n.Summaries(n.t.Context(), &ingesterpb.SummariesRequest{Tenant: tenant, MinStart: index.Everything.Min, MaxStart: index.Everything.Max})
	if err != nil {
		n.t.Fatal(err)
	}
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return ids, source
		}
		if err != nil {
			n.t.Fatal(err)
		}
		if source == nil {
			source = msg.GetSource()
		}
		for i, summary := range msg.GetSummaries() {
			if _, err := trace.ParseSummary(summary); err != nil {
				n.t.Fatal(err)
			}
			ids = append(ids, binary.BigEndian.Uint64(msg.GetKeys()[16*i+8:]))
		}
	}
}

// terms lists the values of a field.
func (n *node) terms(tenant string, field []byte) (values []string, source *ingesterpb.Source) {
	n.t.Helper()
	stream, err := n.Terms(n.t.Context(), &ingesterpb.TermsRequest{Tenant: tenant, Field: field})
	if err != nil {
		n.t.Fatal(err)
	}
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return values, source
		}
		if err != nil {
			n.t.Fatal(err)
		}
		if source == nil {
			source = msg.GetSource()
		}
		for _, v := range msg.GetValues() {
			values = append(values, string(v))
		}
	}
}

// until returns when holds holds, which something brings about on another goroutine.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("after 30 s not yet: %s", what)
		}
	}
}
