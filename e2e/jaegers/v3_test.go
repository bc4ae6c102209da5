package jaegers

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jaegertracing/jaeger/model"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// otlpSpan is what /api/v3, which answers in OTLP's JSON, says of a span.
type otlpSpan struct {
	Trace, ID, Parent, Service, Name, Kind, Status string
	Start, End                                     string // nanoseconds
	Attributes, Resource, Events, Links            []string
}

// sentV3 is what must be answered of spans.
func sentV3(spans []*model.Span) (all []otlpSpan) {
	list := func(kvs []model.KeyValue, but ...string) (texts []string) {
		for _, kv := range kvs {
			switch value := kv.AsStringLossy(); {
			case slices.Contains(but, kv.Key):
			case kv.VType == model.Float64Type:
				texts = append(texts, attribute(kv.Key, strconv.FormatFloat(kv.VFloat64, 'g', -1, 64)))
			case kv.VType == model.BinaryType:
				texts = append(texts, attribute(kv.Key, base64.StdEncoding.EncodeToString(kv.VBinary)))
			default:
				texts = append(texts, attribute(kv.Key, value))
			}
		}
		slices.Sort(texts)
		return texts
	}
	tag := func(kvs []model.KeyValue, key string) string {
		kv, _ := model.KeyValues(kvs).FindByKey(key)
		return kv.AsStringLossy()
	}
	for _, s := range spans {
		end := s.StartTime.Add(s.Duration)
		one := otlpSpan{Trace: samples.Hex(s.TraceID), ID: s.SpanID.String(), Service: s.Process.ServiceName, Name: s.OperationName, Kind: tag(s.Tags, "span.kind"),
			Start: fmt.Sprint(s.StartTime.UnixNano()), End: fmt.Sprint(end.UnixNano()),
			Attributes: list(s.Tags, "span.kind", "error"), Resource: list(s.Process.Tags)}
		if tag(s.Tags, "error") == "true" {
			one.Status = "error"
		}
		if parent := s.ParentSpanID(); parent != 0 {
			one.Parent = parent.String()
		}
		for _, r := range s.References {
			if r.SpanID != s.ParentSpanID() || r.TraceID != s.TraceID {
				one.Links = append(one.Links, samples.Hex(r.TraceID)+" "+r.SpanID.String())
			}
		}
		for _, l := range s.Logs {
			one.Events = append(one.Events, fmt.Sprint(l.Timestamp.UnixNano(), " ", tag(l.Fields, "event"), " ", list(l.Fields, "event")))
		}
		all = append(all, one)
	}
	return sortedV3(all)
}

func sortedV3(spans []otlpSpan) []otlpSpan {
	slices.SortFunc(spans, func(a, b otlpSpan) int { return strings.Compare(a.Trace+a.ID+a.Name, b.Trace+b.ID+b.Name) })
	return spans
}

func attribute(key, value string) string { return key + "=" + value }

// v3 asks /api/v3 for traces. That there are none is no error.
func (j *jaeger) v3(path string, query url.Values, tenant string) ([]otlpSpan, error) {
	body, err := j.call(http.MethodGet, "/api/v3/"+path+"?"+query.Encode(), tenant)
	var e *apiError
	if errors.As(err, &e) && e.status == http.StatusNotFound {
		return nil, nil // v1.76 and v2 say so where nothing was found
	}
	if err != nil {
		return nil, err
	}
	var answer struct{ Result json.RawMessage }
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%w: %s", err, body)
	}
	return otlpSpans(answer.Result)
}

// otlpSpans returns the spans of TracesData in JSON.
func otlpSpans(data []byte) ([]otlpSpan, error) {
	type attributes []struct {
		Key   string
		Value map[string]any
	}
	list := func(as attributes, but ...string) (texts []string) {
		for _, a := range as {
			if slices.Contains(but, a.Key) {
				continue
			}
			for _, v := range a.Value {
				if f, ok := v.(float64); ok {
					v = strconv.FormatFloat(f, 'g', -1, 64)
				}
				texts = append(texts, attribute(a.Key, fmt.Sprint(v)))
			}
		}
		slices.Sort(texts)
		return texts
	}
	var traces struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes attributes }
			ScopeSpans []struct {
				Spans []struct {
					TraceID, SpanID, ParentSpanID, Name string
					Kind                                any
					StartTimeUnixNano, EndTimeUnixNano  string
					Attributes                          attributes
					Events                              []struct {
						TimeUnixNano, Name string
						Attributes         attributes
					}
					Links  []struct{ TraceID, SpanID string }
					Status struct{ Code any }
				}
			}
		}
	}
	if err := json.Unmarshal(data, &traces); err != nil {
		return nil, fmt.Errorf("%w: %s", err, data)
	}
	var spans []otlpSpan
	for _, rs := range traces.ResourceSpans {
		service := ""
		for _, a := range rs.Resource.Attributes {
			if a.Key == "service.name" {
				service = fmt.Sprint(a.Value["stringValue"])
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				one := otlpSpan{Trace: id(s.TraceID), ID: id(s.SpanID), Parent: id(s.ParentSpanID), Service: service, Name: s.Name,
					Start: s.StartTimeUnixNano, End: s.EndTimeUnixNano,
					// What v1's collector says of the protocol, see keyValue.String.
					Attributes: list(s.Attributes, "internal.span.format", "@jaeger@format"), Resource: list(rs.Resource.Attributes, "service.name")}
				one.Kind = map[string]string{"1": "internal", "2": "server", "3": "client", "4": "producer", "5": "consumer"}[fmt.Sprint(s.Kind)]
				if kind, ok := s.Kind.(string); ok { // as protobuf's JSON has it
					one.Kind = strings.ToLower(strings.TrimPrefix(kind, "SPAN_KIND_"))
				}
				if code := fmt.Sprint(s.Status.Code); code == "2" || code == "STATUS_CODE_ERROR" {
					one.Status = "error"
				}
				for _, l := range s.Links {
					one.Links = append(one.Links, id(l.TraceID)+" "+id(l.SpanID))
				}
				for _, e := range s.Events {
					one.Events = append(one.Events, fmt.Sprint(e.TimeUnixNano, " ", e.Name, " ", list(e.Attributes)))
				}
				spans = append(spans, one)
			}
		}
	}
	return sortedV3(spans), nil
}

// id spells an ID in hex: v1.57 answers in protobuf's JSON, which has base64.
func id(text string) string {
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil && (len(raw) == 8 || len(raw) == 16) {
		return hex.EncodeToString(raw)
	}
	return text
}

// v3Query says a question in the parameters of /api/v3, which has none for tags.
func v3Query(q samples.Question) (url.Values, bool) {
	values := q.Values()
	v3 := url.Values{"query.raw_traces": {"true"}}
	end := samples.Now.Add(time.Hour)
	for _, at := range []struct {
		from, to string
	}{{"start", "query.start_time_min"}, {"end", "query.start_time_max"}} {
		instant := end
		if text := values.Get(at.from); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return nil, false
			}
			instant = time.UnixMicro(n)
		}
		v3.Set(at.to, instant.UTC().Format(time.RFC3339Nano))
	}
	for from, to := range map[string]string{"service": "query.service_name", "operation": "query.operation_name", "limit": "query.num_traces",
		"minDuration": "query.duration_min", "maxDuration": "query.duration_max"} {
		if values.Has(from) {
			v3.Set(to, values.Get(from))
		}
	}
	return v3, !values.Has("tags")
}

// numbersV3 is numbers of an answer of /api/v3.
func numbersV3(spans []otlpSpan) []int {
	var plain []span
	for _, s := range spans {
		plain = append(plain, span{Trace: s.Trace})
	}
	return numbers(plain)
}
