package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
)

func escape(s string) string { return url.QueryEscape(s) }

// TestSearch asks for traces through Jaeger's API. Each question has its answer beside it; the all-in-one with
// memory storage, which is Jaeger's own reading of a query, must give it as well, but where its code is wrong.
func TestSearch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	requireAnswers(t, startAllInOne(t, dir), startAllInOne(t, ""), func() *plugin { return startPlugin(t, dir) })
}

// requireAnswers asks both Jaegers. Then it stops ours, and plugin is to start a plugin on what that has left.
func requireAnswers(t *testing.T, ours, memory *allInOne, plugin func() *plugin) {
	// Trace 1: a shop's front, slow, with an error two services down. It began a minute ago.
	front := plainSpan(model.NewTraceID(0, 1), 1, "front")
	front.OperationName, front.Duration = "GET /buy", 800*time.Millisecond
	front.Process.Tags = []model.KeyValue{model.String("region", "eu"), model.Int64("replica", 3)}
	front.Tags = []model.KeyValue{model.String("user", "ann"), model.Int64("http.status_code", 500), model.Bool("retry", true),
		model.String("span.kind", "server"), model.Float64("ratio", 0.5), model.Binary("raw", []byte{1, 2})}
	call := plainSpan(model.NewTraceID(0, 1), 2, "front")
	call.OperationName, call.Duration = "call stock", 500*time.Millisecond
	call.Tags = []model.KeyValue{model.String("span.kind", "client")}
	call.References = []model.SpanRef{model.NewChildOfRef(call.TraceID, 1)}
	stock := plainSpan(model.NewTraceID(0, 1), 3, "stock")
	stock.OperationName, stock.Duration = "reserve", 300*time.Millisecond
	stock.Tags = []model.KeyValue{model.Bool("error", true), model.String("span.kind", "server")}
	stock.References = []model.SpanRef{model.NewChildOfRef(call.TraceID, 2)}
	stock.Logs = []model.Log{{Timestamp: stock.StartTime, Fields: []model.KeyValue{model.String("event", "sold out"), model.Int64("item", 42)}}}

	// Trace 2: the front again, quick, half a minute later.
	quick := plainSpan(model.NewTraceID(0, 2), 1, "front")
	quick.OperationName, quick.StartTime = "GET /", now.Add(-30*time.Second)
	quick.Tags = []model.KeyValue{model.String("user", "bob"), model.Int64("http.status_code", 200)}

	// Trace 3: two days old. Its two spans together match what neither does alone.
	old := plainSpan(model.NewTraceID(0, 3), 1, "front")
	old.OperationName, old.StartTime = "GET /old", now.Add(-47*time.Hour)
	old.Tags = []model.KeyValue{model.String("user", "ann")}
	old2 := plainSpan(model.NewTraceID(0, 3), 2, "front")
	old2.OperationName, old2.StartTime = "GET /old", now.Add(-47*time.Hour)
	old2.Tags = []model.KeyValue{model.Int64("http.status_code", 200)}
	old2.References = []model.SpanRef{model.NewChildOfRef(old.TraceID, 1)}

	// Trace 4: a name to escape.
	strange := plainSpan(model.NewTraceID(0, 4), 1, "żółw/🐢 &=?")
	strange.OperationName = "/{id}?a=b"
	strange.Tags = []model.KeyValue{model.String("a:b", "c:d"), model.String("long", strings.Repeat("x", 3000))}

	traces := [][]*model.Span{{front, call, stock}, {quick}, {old, old2}, {strange}}
	for _, spans := range traces {
		for _, j := range []*allInOne{memory, ours} {
			j.sendJaegerGRPC(t, spans)
			j.awaitTrace(t, spans[0].TraceID, len(spans))
		}
	}

	micro := func(at time.Time) string { return fmt.Sprint(at.UnixMicro()) }
	type q = map[string]string
	for _, c := range []struct {
		name  string
		query q
		want  []int
	}{
		{"service", q{"service": "front"}, []int{1, 2, 3}},
		{"service of an inner span", q{"service": "stock"}, []int{1}},
		{"service unknown", q{"service": "nobody"}, nil},
		{"service with strange letters", q{"service": "żółw/🐢 &=?", "operation": "/{id}?a=b"}, []int{4}},
		{"service is compared whole", q{"service": "fron"}, nil},
		{"operation", q{"service": "front", "operation": "GET /buy"}, []int{1}},
		{"operation of another service", q{"service": "front", "operation": "reserve"}, nil},
		{"string tag", q{"service": "front", "tags": `{"user":"ann"}`}, []int{1, 3}},
		{"string tag, other value", q{"service": "front", "tags": `{"user":"an"}`}, nil},
		{"int tag", q{"service": "front", "tags": `{"http.status_code":"500"}`}, []int{1}},
		{"bool tag", q{"service": "front", "tags": `{"retry":"true"}`}, []int{1}},
		{"float tag", q{"service": "front", "tags": `{"ratio":"0.5"}`}, []int{1}},
		{"binary tag, in hex", q{"service": "front", "tags": `{"raw":"0102"}`}, []int{1}},
		{"error", q{"service": "stock", "tags": `{"error":"true"}`}, []int{1}},
		{"error elsewhere in the trace", q{"service": "front", "tags": `{"error":"true"}`}, nil},
		{"kind", q{"service": "front", "tags": `{"span.kind":"client"}`}, []int{1}},
		{"process tag", q{"service": "front", "tags": `{"region":"eu"}`}, []int{1}},
		{"process tag, int", q{"service": "front", "tags": `{"replica":"3"}`}, []int{1}},
		{"log field", q{"service": "stock", "tags": `{"event":"sold out"}`}, []int{1}},
		{"log field, int", q{"service": "stock", "tags": `{"item":"42"}`}, []int{1}},
		{"tags of different places", q{"service": "stock", "tags": `{"item":"42","error":"true"}`}, []int{1}},
		{"tags on one span", q{"service": "front", "tags": `{"user":"ann","http.status_code":"500"}`}, []int{1}},
		{"tags on two spans of a trace", q{"service": "front", "tags": `{"user":"ann","http.status_code":"200"}`}, nil},
		{"tag with a colon", q{"service": "żółw/🐢 &=?", "tags": `{"a:b":"c:d"}`}, []int{4}},
		{"tag with a long value", q{"service": "żółw/🐢 &=?", "tags": `{"long":"` + strings.Repeat("x", 3000) + `"}`}, []int{4}},
		{"tag with a long value, one letter less", q{"service": "żółw/🐢 &=?", "tags": `{"long":"` + strings.Repeat("x", 2999) + `"}`}, nil},
		{"min duration", q{"service": "front", "minDuration": "500ms"}, []int{1}},
		{"min duration, just above", q{"service": "front", "minDuration": "800001us"}, nil},
		{"max duration", q{"service": "front", "maxDuration": "1500us"}, []int{2, 3}},
		{"both durations", q{"service": "front", "minDuration": "400ms", "maxDuration": "600ms"}, []int{1}},
		{"duration of one span, tag of another", q{"service": "front", "maxDuration": "600ms", "tags": `{"user":"ann"}`}, []int{3}},
		{"lookback", q{"service": "front", "start": micro(now.Add(-time.Hour))}, []int{1, 2}},
		{"exact start", q{"service": "front", "start": micro(quick.StartTime), "end": micro(quick.StartTime)}, []int{2}},
		{"end before all", q{"service": "front", "end": micro(now.Add(-48 * time.Hour))}, nil},
		{"end", q{"service": "front", "end": micro(now.Add(-40 * time.Second))}, []int{1, 3}},
		{"everything at once", q{"service": "front", "operation": "GET /buy", "tags": `{"user":"ann","region":"eu","http.status_code":"500"}`,
			"minDuration": "1ms", "maxDuration": "1s", "start": micro(now.Add(-time.Hour))}, []int{1}},
		{"limit: the newest", q{"service": "front", "limit": "1"}, []int{2}},
		{"limit: the two newest", q{"service": "front", "limit": "2"}, []int{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			values := url.Values{"start": {micro(now.Add(-72 * time.Hour))}}
			for k, v := range c.query {
				values.Set(k, v)
			}
			for _, j := range []*allInOne{memory, ours} {
				if got := search(t, j, values); !slices.Equal(got, c.want) {
					t.Errorf("%s: found traces %v, want %v", name(j, memory), got, c.want)
				}
			}
		})
	}

	t.Run("a found trace is whole", func(t *testing.T) {
		data, err := ours.get("/api/traces?service=stock&start=" + micro(now.Add(-time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		var found []struct{ Spans []struct{ SpanID string } }
		if err := json.Unmarshal(data, &found); err != nil || len(found) != 1 || len(found[0].Spans) != 3 {
			t.Errorf("found %s (%v), want one trace with all its 3 spans", data, err)
		}
	})
	t.Run("services and operations", func(t *testing.T) {
		requireSameLists(t, memory, ours)
		want := []string{"front", "stock", "żółw/🐢 &=?"}
		if got := stringsOf(t, ours, "/api/services"); !slices.Equal(got, want) {
			t.Errorf("services %q, want %q", got, want)
		}
	})
	t.Run("operations by kind", func(t *testing.T) {
		for _, kind := range []string{"server", "client", "unspecified", "consumer"} {
			path := "/api/operations?service=front&spanKind=" + kind
			if want, got := stringsOf(t, memory, path), stringsOf(t, ours, path); !slices.Equal(want, got) {
				t.Errorf("%s: %q, want %q", kind, got, want)
			}
		}
	})
	t.Run("a trace that is not there", func(t *testing.T) {
		for _, j := range []*allInOne{memory, ours} {
			_, err := j.get("/api/traces/00000000000000000000000000000099")
			if e, ok := err.(*apiError); !ok || e.status != http.StatusNotFound || !strings.Contains(e.body, "trace not found") {
				t.Errorf("%s: %v, want 404 trace not found", name(j, memory), err)
			}
		}
	})
	t.Run("dependencies", func(t *testing.T) {
		for _, c := range []struct {
			name, lookback, want string
		}{
			{"in the window", "3600000", `[{"parent":"front","child":"stock","callCount":1}]`},
			{"before the window", "1000", `[]`},
		} {
			path := fmt.Sprintf("/api/dependencies?endTs=%d&lookback=%s", now.UnixMilli(), c.lookback)
			for _, j := range []*allInOne{memory, ours} {
				data, err := j.get(path)
				if err != nil || string(data) != c.want {
					t.Errorf("%s: %s: %s (%v), want %s", c.name, name(j, memory), data, err, c.want)
				}
			}
		}
	})
	t.Run("archive", func(t *testing.T) {
		if _, err := ours.call(http.MethodPost, "/api/archive/"+front.TraceID.String()); err != nil {
			t.Error(err)
		}
		_, err := ours.call(http.MethodPost, "/api/archive/00000000000000000000000000000099")
		if e, ok := err.(*apiError); !ok || e.status != http.StatusNotFound {
			t.Errorf("archiving an unknown trace: %v, want 404", err)
		}
		whole, err := ours.trace(front.TraceID)
		if err != nil {
			t.Fatal(err)
		}

		// Jaeger asks its archive only for traces that the storage has not: hence the plugin itself, on what
		// Jaeger has left. The archive has that trace, and no other.
		ours.stop()
		p := plugin()
		archived := func(id model.TraceID) (spans []model.Span, err error) {
			stream, err := p.archived.GetArchiveTrace(context.Background(), &storage_v1.GetTraceRequest{TraceID: id})
			for err == nil {
				var chunk *storage_v1.SpansResponseChunk
				if chunk, err = stream.Recv(); err == nil {
					spans = append(spans, chunk.Spans...)
				}
			}
			return spans, err
		}
		spans, err := archived(front.TraceID)
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		requireSameSpans(t, whole, spans)
		if spans, err := archived(quick.TraceID); status.Code(err) != codes.NotFound {
			t.Errorf("a trace that was not archived: %v, %v; want NotFound", spans, err)
		}
	})
}

func name(j, memory *allInOne) string {
	if j == memory {
		return "memory storage"
	}
	return "the plugin"
}

// search returns the numbers of the traces found, in ascending order.
func search(t *testing.T, j *allInOne, query url.Values) []int {
	t.Helper()
	data, err := j.get("/api/traces?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var found []struct{ TraceID string }
	if err := json.Unmarshal(data, &found); err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, f := range found {
		id, err := model.TraceIDFromString(f.TraceID)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, int(id.Low))
	}
	slices.Sort(numbers)
	return numbers
}

// stringsOf returns a list that the API answers with as JSON texts, sorted; strings plain.
func stringsOf(t *testing.T, j *allInOne, path string) []string {
	t.Helper()
	data, err := j.get(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, item := range list {
		var s string
		if json.Unmarshal(item, &s) != nil {
			s = string(item)
		}
		texts = append(texts, s)
	}
	slices.Sort(texts)
	return texts
}
