package jaegerv1

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	gogo "github.com/gogo/protobuf/proto"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jaegertracing/jaeger/model"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/trace"
)

// Jaeger's types without their Equal methods, which overlook things.
type (
	bareProcess  model.Process
	bareKeyValue model.KeyValue
)

// sameSpan compares field by field, as Jaeger's wire form does: an empty list is no list there.
var sameSpan = cmp.Options{
	cmp.Transformer("process", func(p *model.Process) *bareProcess { return (*bareProcess)(p) }),
	cmp.Transformer("tag", func(kv model.KeyValue) bareKeyValue { return bareKeyValue(kv) }),
	cmpopts.EquateEmpty(),
	cmpopts.EquateNaNs(),
}

func roundTrip(t interface {
	Helper()
	Fatal(...any)
}, span *model.Span) *model.Span {
	t.Helper()
	data, err := AppendOTLP(nil, span)
	if err != nil {
		t.Fatal(err)
	}
	spans, err := Spans(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(spans) != 1 {
		t.Fatal("spans:", len(spans))
	}
	return spans[0]
}

func TestAnyJaegerSpanComesBackEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := spans.Draw(t, "span")
		got := roundTrip(t, span)
		if diff := cmp.Diff(span, got, sameSpan); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		for _, at := range append([]model.Log{{Timestamp: got.StartTime}}, got.Logs...) {
			if at.Timestamp.Location() != time.UTC {
				t.Fatalf("%v is not in UTC", at.Timestamp)
			}
		}
		want, err := gogo.Marshal(span)
		if err != nil {
			return // a time outside the years that Jaeger's wire form has
		}
		if have, err := gogo.Marshal(got); err != nil || !bytes.Equal(want, have) {
			t.Fatalf("wire forms differ (%v)\n%x\n%x", err, want, have)
		}
	})
}

func TestBytesAreValidOTLPAndEqualForEqualSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := spans.Draw(t, "span")
		prefix := rapid.SliceOf(rapid.Byte()).Draw(t, "prefix")
		out, err := AppendOTLP(bytes.Clone(prefix), span)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(out, prefix) {
			t.Fatal("what dst held before was changed")
		}
		data := out[len(prefix):]
		var td tracepb.TracesData
		if err := proto.Unmarshal(data, &td); err != nil {
			t.Fatal(err)
		}
		if again, err := proto.Marshal(&td); err != nil || len(again) != len(data) {
			t.Fatalf("%d bytes, the shortest form has %d (%v)", len(data), len(again), err)
		}
		if again, err := AppendOTLP(nil, span); err != nil || !bytes.Equal(again, data) {
			t.Fatal("the same span gave other bytes")
		}
	})
}

func TestManySpansInOneValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(spans, 0, 5).Draw(t, "spans")
		var data []byte
		for _, span := range want {
			var err error
			if data, err = AppendOTLP(data, span); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Spans(data)
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			data[i] = 0xff // the spans must not look at it
		}
		if diff := cmp.Diff(want, got, sameSpan); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

func TestLargeValues(t *testing.T) {
	large := strings.Repeat("ü", 1<<19)
	span := &model.Span{
		TraceID: model.NewTraceID(1, 2), SpanID: 3, OperationName: large,
		Tags:     []model.KeyValue{model.String("large", large), model.Binary("binary", []byte(large))},
		Logs:     []model.Log{{Fields: []model.KeyValue{model.String(large, large)}}},
		Warnings: []string{large},
		Process:  model.NewProcess("s", []model.KeyValue{model.String("large", large)}),
	}
	if !reflect.DeepEqual(span, roundTrip(t, span)) {
		t.Error("a span of 8 MiB came back different")
	}
}

// The write path's gate refuses none of the spans that this package takes, and a copy that a retry left
// behind is recognized as one.
func TestTheStoreTakesWhatWasTranslated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := spans.Draw(t, "span")
		data, err := AppendOTLP(nil, span)
		if err != nil {
			t.Fatal(err)
		}
		var splitter trace.Splitter
		fragments, rejected, err := splitter.Split(data)
		if err != nil || rejected.Spans != 0 || len(fragments) != 1 {
			t.Fatalf("%d fragments, %+v, %v", len(fragments), rejected, err)
		}
		merged, err := trace.Merge(nil, fragments[0].Data, data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Spans(merged)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]*model.Span{span}, got, sameSpan); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}
