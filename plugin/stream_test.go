package plugin

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
)

func TestTheStreamingWriterIsOfferedIfAskedFor(t *testing.T) {
	store := &naiveStore{}
	conn := dial(t, Options{Writer: store, Reader: store, StreamingWriter: true})
	got, err := storage_v1.NewPluginCapabilitiesClient(conn).Capabilities(t.Context(), &storage_v1.CapabilitiesRequest{})
	if err != nil || !got.StreamingSpanWriter {
		t.Errorf("%v, %v", got, err)
	}
	stream, err := storage_v1.NewStreamingSpanWriterPluginClient(serve(t, store)).WriteSpanStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("where it was not asked for: %v", err)
	}
}

// stream writes spans by the streaming writer, and returns what its server said in the end.
func stream(t *testing.T, store Writer, spans []*model.Span) error {
	t.Helper()
	stream, err := storage_v1.NewStreamingSpanWriterPluginClient(dial(t, Options{Writer: store, StreamingWriter: true})).WriteSpanStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, span := range spans {
		if err := stream.Send(&storage_v1.WriteSpanRequest{Span: span}); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

func TestAStreamOfSpansIsWrittenInFewWrites(t *testing.T) {
	store := &countingStore{}
	var spans []*model.Span
	for i := range uint64(5000) {
		spans = append(spans, someSpan(1, i+1))
	}
	if err := stream(t, store, spans); err != nil {
		t.Fatal(err)
	}
	got, err := jaeger(t, &store.naiveStore).SpanReader().GetTrace(t.Context(), spans[0].TraceID)
	if err != nil || len(got.Spans) != len(spans) {
		t.Fatalf("%v, %v", len(got.Spans), err)
	}
	for i, span := range got.Spans {
		if span.SpanID != spans[i].SpanID {
			t.Fatalf("span %d is %s", i, span.SpanID)
		}
	}
	if store.writes >= len(spans) {
		t.Errorf("%d writes for %d spans", store.writes, len(spans))
	}
}

// countingStore counts writes.
type countingStore struct {
	naiveStore
	writes int
}

func (s *countingStore) Write(ctx context.Context, tenant string, otlp []byte) (trace.Rejected, error) {
	s.writes++
	return s.naiveStore.Write(ctx, tenant, slices.Clone(otlp))
}

func TestASpanThatAStreamCannotStoreCostsItselfAlone(t *testing.T) {
	store := &naiveStore{}
	bad := someSpan(1, 2)
	bad.SpanID = 0
	err := stream(t, store, []*model.Span{someSpan(1, 1), bad, someSpan(1, 3)})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "1 spans of the stream were refused") || !strings.Contains(err.Error(), "span_id is zero") {
		t.Errorf("got %v", err)
	}
	got, err := jaeger(t, store).SpanReader().GetTrace(t.Context(), bad.TraceID)
	if err != nil || len(got.Spans) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	store.rejected = &trace.Rejected{Spans: 1, Reason: "it is too much"}
	if err := stream(t, store, []*model.Span{someSpan(1, 4)}); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "it is too much") {
		t.Errorf("refused by the store: %v", err)
	}
}

func TestAStreamThatCannotBeWrittenEnds(t *testing.T) {
	store := &naiveStore{fail: tempodb.ErrClosed}
	if err := stream(t, store, []*model.Span{someSpan(1, 1)}); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
}

// The client of Jaeger up to v1.65 asks for capabilities and then prefers streams.
func TestJaegersClientStreams(t *testing.T) {
	store := &naiveStore{}
	client := shared.NewGRPCClient(dial(t, Options{Writer: store, Reader: store, StreamingWriter: true}))
	writer := client.StreamingSpanWriter()
	for i := range uint64(20) {
		if err := writer.WriteSpan(t.Context(), someSpan(1, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	got, err := client.SpanReader().GetTrace(t.Context(), someSpan(1, 1).TraceID)
	if err != nil || len(got.Spans) != 20 {
		t.Errorf("%v, %v", got, err)
	}
}
