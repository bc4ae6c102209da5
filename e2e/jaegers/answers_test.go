package jaegers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"
)

var client = &http.Client{Timeout: time.Minute}

// call returns an answer of the HTTP API. One that is not 200 is an *apiError.
func (j *jaeger) call(method, path, tenant string) ([]byte, error) {
	request, err := http.NewRequest(method, "http://"+j.api+path, nil)
	if err != nil {
		return nil, err
	}
	if tenant != "" {
		request.Header.Set("x-tenant", tenant)
	}
	if j.token != "" {
		request.Header.Set("Authorization", "Bearer "+j.token)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = &apiError{response.StatusCode, string(body)}
	}
	return body, err
}

type apiError struct {
	status int
	body   string
}

func (e *apiError) Error() string { return fmt.Sprintf("HTTP %d: %s", e.status, e.body) }

// get decodes the data of an answer of /api/.
func (j *jaeger) get(path, tenant string, to any) error {
	body, err := j.call(http.MethodGet, path, tenant)
	if err != nil {
		return err
	}
	answer := struct {
		Data   any
		Errors []any
	}{Data: to}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&answer); err != nil {
		return err
	}
	if len(answer.Errors) > 0 {
		return fmt.Errorf("%s: %v", path, answer.Errors)
	}
	return nil
}

// span is what all APIs say of a span, spelled one way. Lists whose order means nothing are sorted.
type span struct {
	Trace, ID, Service, Operation string
	Start, Duration               int64 // microseconds
	References                    []string
	Tags, Process                 []string
	Logs                          []string
	Warnings                      []string
}

// keyValue is a tag in Jaeger's JSON.
type keyValue struct {
	Key, Type string
	Value     any
}

// String spells a tag in one way. What versions of Jaeger spell or add by design is made the same here, and nothing else is.
func (kv keyValue) String() string {
	switch kv.Key {
	case "internal.span.format", "@jaeger@format":
		// v1's collector tells over what protocol a span came in, under a name that has changed; v2 does for some.
		return ""
	case "otel.status_code":
		// Jaegers that translate OTLP write it beside error=true, those that translate to OTLP and back too.
		return ""
	case "otel.library.name", "otel.library.version":
		// OpenTelemetry has renamed it, and v1.76 with it.
		kv.Key = strings.Replace(kv.Key, "library", "scope", 1)
	}
	if kv.Type == "float64" {
		if n, ok := kv.Value.(json.Number); ok {
			f, _ := n.Float64()
			kv.Value = strconv.FormatFloat(f, 'g', -1, 64)
		}
	}
	return fmt.Sprintf("%s (%s) %v", kv.Key, kv.Type, kv.Value)
}

func tags(list []keyValue) []string {
	texts := make([]string, 0, len(list))
	for _, kv := range list {
		if text := kv.String(); text != "" {
			texts = append(texts, text)
		}
	}
	slices.Sort(texts)
	return texts
}

// traces returns the spans of an answer with traces.
func (j *jaeger) traces(path, tenant string) ([]span, error) {
	var data []struct {
		Spans []struct {
			TraceID, SpanID, OperationName, ProcessID string
			References                                []struct{ RefType, TraceID, SpanID string }
			StartTime, Duration                       int64
			Tags                                      []keyValue
			Logs                                      []struct {
				Timestamp int64
				Fields    []keyValue
			}
			Warnings []string
		}
		Processes map[string]struct {
			ServiceName string
			Tags        []keyValue
		}
	}
	if err := j.get(path, tenant, &data); err != nil {
		return nil, err
	}
	var spans []span
	for _, trace := range data {
		for _, s := range trace.Spans {
			process := trace.Processes[s.ProcessID]
			one := span{Trace: s.TraceID, ID: s.SpanID, Service: process.ServiceName, Operation: s.OperationName, Start: s.StartTime, Duration: s.Duration,
				Tags: tags(s.Tags), Process: tags(process.Tags), Warnings: s.Warnings}
			for _, r := range s.References {
				one.References = append(one.References, r.RefType+" "+r.TraceID+" "+r.SpanID)
			}
			for _, l := range s.Logs {
				one.Logs = append(one.Logs, fmt.Sprint(l.Timestamp, " ", tags(l.Fields)))
			}
			spans = append(spans, one)
		}
	}
	return sorted(spans), nil
}

func sorted(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return strings.Compare(a.Trace+a.ID+a.Operation, b.Trace+b.ID+b.Operation) })
	return spans
}

// trace returns the spans of a trace as they are stored, without Jaeger's adjustments.
func (j *jaeger) trace(id model.TraceID, tenant string) ([]span, error) {
	return j.traces("/api/traces/"+id.String()+"?raw=true", tenant)
}

// await returns the trace as soon as it has n spans: Jaeger acknowledges before it has written.
func (j *jaeger) await(t *testing.T, id model.TraceID, tenant string, n int) []span {
	t.Helper()
	var spans []span
	eventually(t, time.Minute, func() (err error) {
		if spans, err = j.trace(id, tenant); err == nil && len(spans) != n {
			err = fmt.Errorf("trace %v has %d spans of %d", id, len(spans), n)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", j.name, err)
		}
		return err
	})
	return spans
}

// sent is what must be answered of spans.
func sent(spans []*model.Span) []span {
	list := func(kvs []model.KeyValue) []string {
		var texts []keyValue
		for _, kv := range kvs {
			texts = append(texts, keyValue{kv.Key, strings.ToLower(kv.VType.String()), kv.AsStringLossy()})
			switch last := &texts[len(texts)-1]; kv.VType {
			case model.Float64Type:
				last.Value = strconv.FormatFloat(kv.VFloat64, 'g', -1, 64)
			case model.BinaryType:
				last.Value = base64.StdEncoding.EncodeToString(kv.VBinary)
			}
		}
		return tags(texts)
	}
	var all []span
	for _, s := range spans {
		one := span{Trace: s.TraceID.String(), ID: s.SpanID.String(), Service: s.Process.ServiceName, Operation: s.OperationName,
			Start: s.StartTime.UnixMicro(), Duration: s.Duration.Microseconds(), Tags: list(s.Tags), Process: list(s.Process.Tags)}
		for _, r := range s.References {
			one.References = append(one.References, r.RefType.String()+" "+r.TraceID.String()+" "+r.SpanID.String())
		}
		for _, l := range s.Logs {
			one.Logs = append(one.Logs, fmt.Sprint(l.Timestamp.UnixMicro(), " ", list(l.Fields)))
		}
		all = append(all, one)
	}
	return sorted(all)
}

// requireSame fails the test unless two answers are the same.
func requireSame(t *testing.T, what string, want, got any) {
	t.Helper()
	a, b := lines(t, want), lines(t, got)
	if slices.Equal(a, b) {
		return
	}
	var missing, instead []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			missing = append(missing, line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			instead = append(instead, line)
		}
	}
	first := func(list []string) string { return strings.Join(list[:min(3, len(list))], "\n") }
	t.Errorf("%s: %d items, want %d; missing:\n%s\ninstead:\n%s", what, len(b), len(a), first(missing), first(instead))
}

// lines are the items of a list, each as JSON.
func lines(t *testing.T, list any) (texts []string) {
	t.Helper()
	whole, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var items []json.RawMessage
	if err := json.Unmarshal(whole, &items); err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		texts = append(texts, string(item))
	}
	return texts
}

// found returns the numbers of the traces in an answer, in ascending order.
func numbers(spans []span) (list []int) {
	for _, s := range spans {
		id, err := model.TraceIDFromString(s.Trace)
		if err != nil {
			return []int{-1}
		}
		list = append(list, int(id.Low))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// strings of a list that the API answers with, sorted.
func (j *jaeger) list(path, tenant string) ([]string, error) {
	var list []string
	err := j.get(path, tenant, &list)
	slices.Sort(list)
	return list, err
}

// operation is an item of the list of operations.
type operation struct{ Name, SpanKind string }

func (j *jaeger) operations(service, kind, tenant string) ([]operation, error) {
	var list []operation
	err := j.get("/api/operations?service="+url.QueryEscape(service)+"&spanKind="+kind, tenant, &list)
	return sortedOperations(list), err
}

func sortedOperations(list []operation) []operation {
	for i := range list {
		// How a span without a kind is listed has changed with v1.65; see remote.span_kind.
		if list[i].SpanKind == "unspecified" {
			list[i].SpanKind = ""
		}
	}
	slices.SortFunc(list, func(a, b operation) int { return strings.Compare(a.Name+a.SpanKind, b.Name+b.SpanKind) })
	return list
}
