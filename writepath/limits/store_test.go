package limits_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// world is a store with the limits of tenant a; others have none.
type world struct {
	t      *testing.T
	limits atomic.Pointer[limits.Limits]
	db     *tracedb.Store
	store  *limits.Store
	writer *writepath.Writer
	reader *readpath.Reader
	spans  uint64
}

func open(t *testing.T, l limits.Limits) *world {
	t.Helper()
	bucket, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	w.limits.Store(&l)
	if w.db, err = tracedb.Open(t.Context(), tracedb.Options{Dir: t.TempDir(), Bucket: bucket, CutAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	w.store = limits.NewStore(w.db, func(tenant string) limits.Limits {
		if tenant == "a" {
			return *w.limits.Load()
		}
		return limits.Limits{}
	})
	w.writer, w.reader = writepath.NewWriter(w.store), readpath.NewReader(w.db)
	return w
}

func idOf(low uint64) (id trace.ID) {
	binary.BigEndian.PutUint64(id[:], 7)
	binary.BigEndian.PutUint64(id[8:], low)
	return id
}

// piece is n new spans of a trace, with an attribute "user".
func (w *world) piece(id uint64, n int, user string) *tracepb.ResourceSpans {
	traceID, now := idOf(id), uint64(time.Now().UnixNano())
	scope := &tracepb.ScopeSpans{}
	for range n {
		w.spans++
		scope.Spans = append(scope.Spans, &tracepb.Span{
			TraceId: traceID[:], SpanId: binary.BigEndian.AppendUint64(nil, w.spans), Name: "buy", StartTimeUnixNano: now, EndTimeUnixNano: now + 1000,
			Attributes: []*commonpb.KeyValue{text("user", user)},
		})
	}
	return &tracepb.ResourceSpans{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "shop")}},
		ScopeSpans: []*tracepb.ScopeSpans{scope},
	}
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func (w *world) write(tenant string, pieces ...*tracepb.ResourceSpans) error {
	w.t.Helper()
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: pieces})
	if err != nil {
		w.t.Fatal(err)
	}
	rejected, err := w.writer.Write(w.t.Context(), tenant, data)
	if (rejected.Spans > 0) != (rejected.Limit != nil) {
		w.t.Fatalf("rejected: %+v", rejected)
	}
	return errors.Join(err, rejected.Limit)
}

func (w *world) taken(tenant string, pieces ...*tracepb.ResourceSpans) {
	w.t.Helper()
	if err := w.write(tenant, pieces...); err != nil {
		w.t.Errorf("not taken: %v", err)
	}
}

// refused writes what must be refused, and returns after how long it may be tried again; zero if that is not said.
func (w *world) refused(code codes.Code, says string, pieces ...*tracepb.ResourceSpans) time.Duration {
	w.t.Helper()
	err := w.write("a", pieces...)
	if status.Code(err) != code || !strings.Contains(err.Error(), says) {
		w.t.Errorf("%v, want %v and %q", err, code, says)
	}
	after, _ := client.RetryAfter(err)
	return after
}

// has fails the test unless tenant's trace has so many spans.
func (w *world) has(tenant string, id uint64, want int) {
	w.t.Helper()
	data, err := w.reader.Trace(w.t.Context(), tenant, idOf(id))
	if want == 0 && errors.Is(err, readpath.ErrTraceNotFound) {
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if got, err := trace.Spans(data); got != want || err != nil {
		w.t.Errorf("%d spans of trace %d, want %d; %v", got, id, want, err)
	}
}

func TestWhoWritesTooFastIsToldWhenToTryAgain(t *testing.T) {
	w := open(t, limits.Limits{RateBytes: 1, BurstBytes: 1000})
	long := strings.Repeat("x", 1000)
	w.taken("a", w.piece(1, 1, long))
	after := w.refused(codes.ResourceExhausted, "1 bytes a second", w.piece(2, 1, long))
	if after < 500*time.Second || after > 1500*time.Second {
		t.Errorf("it may be tried again after %v", after)
	}
	w.has("a", 2, 0)
	w.taken("b", w.piece(2, 1, long))
	if got := w.store.Refused()[limits.Refused{Tenant: "a", Reason: "rate"}]; got != 1 {
		t.Errorf("%d pieces of traces are counted as refused", got)
	}
}

func TestATraceOverItsLimitTakesNoOtherWithIt(t *testing.T) {
	w := open(t, limits.Limits{TraceSpans: 3})
	w.taken("a", w.piece(1, 2, "ann"))
	if after := w.refused(codes.ResourceExhausted, "limit of 3 recent spans: 2 are kept", w.piece(1, 2, "ann"), w.piece(2, 3, "ann")); after != 0 {
		t.Errorf("more of a trace that is too large may be tried again after %v", after)
	}
	w.has("a", 1, 2)
	w.has("a", 2, 3)
	w.taken("a", w.piece(1, 1, "ann"))
	w.has("a", 1, 3)
	if got := w.store.Refused()[limits.Refused{Tenant: "a", Reason: "trace spans"}]; got != 1 {
		t.Errorf("%d pieces of traces are counted as refused", got)
	}
}

func TestWhatIsRefusedForGoodIsCountedAndTheRestIsStored(t *testing.T) {
	w := open(t, limits.Limits{TraceSpans: 3, AttributeBytes: 500})
	unnamed := w.piece(5, 2, "ann")
	unnamed.ScopeSpans[0].Spans[0].SpanId = nil
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{
		w.piece(1, 4, "ann"), w.piece(2, 3, "ann"), w.piece(3, 2, strings.Repeat("x", 600)), w.piece(4, 1, "ann"), unnamed,
	}})
	if err != nil {
		t.Fatal(err)
	}
	rejected, err := w.writer.Write(t.Context(), "a", data)
	if err != nil || rejected.Spans != 4+2+1 || status.Code(rejected.Limit) != codes.ResourceExhausted {
		t.Errorf("%+v, %v", rejected, err)
	}
	for _, says := range []string{"span without ID", "limit of 3 recent spans"} {
		if !strings.Contains(rejected.Reason, says) {
			t.Errorf("%q does not say %q", rejected.Reason, says)
		}
	}
	for id, want := range map[uint64]int{1: 0, 2: 3, 3: 0, 4: 1, 5: 1} {
		w.has("a", id, want)
	}
}

func TestWhatMayBeTriedAgainIsAnErrorOfAll(t *testing.T) {
	w := open(t, limits.Limits{TraceSpans: 3, LiveTraces: 2})
	w.taken("a", w.piece(1, 1, "ann"))
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{w.piece(1, 3, "ann"), w.piece(2, 1, "ann"), w.piece(3, 1, "ann")}})
	if err != nil {
		t.Fatal(err)
	}
	rejected, err := w.writer.Write(t.Context(), "a", data)
	if _, again := client.RetryAfter(err); !again || rejected != (trace.Rejected{}) {
		t.Errorf("%+v, %v", rejected, err)
	}
}

func TestATraceHasSoManyBytes(t *testing.T) {
	w := open(t, limits.Limits{TraceBytes: 1500})
	w.taken("a", w.piece(1, 1, strings.Repeat("x", 1000)))
	w.refused(codes.ResourceExhausted, "limit of 1500 recent bytes", w.piece(1, 1, strings.Repeat("x", 1000)))
	w.has("a", 1, 1)
}

func TestALongAttributeIsRefusedByName(t *testing.T) {
	w := open(t, limits.Limits{AttributeBytes: 500})
	w.refused(codes.InvalidArgument, `"user"`, w.piece(1, 1, strings.Repeat("x", 600)), w.piece(2, 1, "ann"))
	w.has("a", 1, 0)
	w.has("a", 2, 1)
}

func TestOnlySoManyTracesAreRecent(t *testing.T) {
	w := open(t, limits.Limits{LiveTraces: 2})
	w.taken("a", w.piece(1, 1, "ann"))
	if after := w.refused(codes.ResourceExhausted, "limit of 2", w.piece(2, 1, "ann"), w.piece(3, 1, "ann")); after == 0 {
		t.Error("it is not said when to try again")
	}
	w.taken("a", w.piece(1, 1, "ann"), w.piece(2, 1, "ann"))
	if err := w.db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.taken("a", w.piece(3, 1, "ann"))
}

func TestLimitsMayChangeAtAnyTime(t *testing.T) {
	w := open(t, limits.Limits{})
	w.taken("a", w.piece(1, 5, "ann"))
	w.limits.Store(&limits.Limits{TraceSpans: 5})
	w.refused(codes.ResourceExhausted, "limit of 5", w.piece(1, 1, "ann"))
	w.limits.Store(&limits.Limits{TraceSpans: 6})
	w.taken("a", w.piece(1, 1, "ann"))
	w.has("a", 1, 6)
}

func TestANameThatCannotBeATenantIsRefusedWithLimitsToo(t *testing.T) {
	w := open(t, limits.Limits{})
	w.store = limits.NewStore(w.db, func(string) limits.Limits { return limits.Limits{TraceSpans: 1} })
	w.writer = writepath.NewWriter(w.store)
	if err := w.write("../a", w.piece(1, 1, "ann")); err == nil || !strings.Contains(err.Error(), "../a") {
		t.Errorf("%v", err)
	}
}
