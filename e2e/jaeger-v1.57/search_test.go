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

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
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
	traces := samples.Shop()
	front, quick := traces[0][0], traces[1][0]
	for _, spans := range traces {
		for _, j := range []*allInOne{memory, ours} {
			if err := j.SendJaegerGRPC(spans); err != nil {
				t.Fatal(err)
			}
			j.awaitTrace(t, spans[0].TraceID, len(spans))
		}
	}

	for _, c := range samples.Questions() {
		t.Run(c.Name, func(t *testing.T) {
			for _, j := range []*allInOne{memory, ours} {
				if got := search(t, j, c.Values()); !slices.Equal(got, c.Want) {
					t.Errorf("%s: found traces %v, want %v", name(j, memory), got, c.Want)
				}
			}
		})
	}

	t.Run("a found trace is whole", func(t *testing.T) {
		data, err := ours.get(fmt.Sprint("/api/traces?service=stock&start=", samples.Now.Add(-time.Hour).UnixMicro()))
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
			path := fmt.Sprintf("/api/dependencies?endTs=%d&lookback=%s", samples.Now.UnixMilli(), c.lookback)
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
		samples.RequireSame(t, whole, spans)
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
