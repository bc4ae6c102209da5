package storagev2

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
)

// model is a store as its documentation has it: all spans in a list, of which each question looks at all. It knows nothing of how the store finds anything.
type model struct {
	spans []*modelSpan
	known map[string]bool // spans, by all that they are: what is the same is one
	of    map[string][]*modelSpan
}

// modelSpan is a span with what searches look at.
type modelSpan struct {
	*tracepb.Span
	group    *tracepb.ResourceSpans // of this span alone
	trace    string
	service  string
	start    int64
	duration int64
	tags     map[string]map[string]bool // forms of values, by key
	failed   bool
}

// bytesOf returns a message in a form in which equal ones are equal.
func bytesOf(m proto.Message) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// add adds a span, alone in its resource and scope.
func (m *model) add(group *tracepb.ResourceSpans) {
	if id := bytesOf(group); m.known[id] {
		return
	} else {
		m.known[id] = true
	}
	span, scope := group.ScopeSpans[0].Spans[0], group.ScopeSpans[0].Scope
	s := &modelSpan{
		Span: span, group: group, trace: string(span.TraceId), service: "OTLPResourceNoServiceName",
		start: int64(span.StartTimeUnixNano), duration: int64(span.EndTimeUnixNano - span.StartTimeUnixNano), tags: make(map[string]map[string]bool),
	}
	for _, a := range group.Resource.GetAttributes() {
		if a.Key == "service.name" {
			s.service = textOf(a.Value)
			break
		}
	}
	s.put(group.Resource.GetAttributes())
	s.put(scope.GetAttributes())
	for key, text := range map[string]string{"name": scope.GetName(), "version": scope.GetVersion()} {
		s.putText("otel.scope."+key, text)
		s.putText("otel.library."+key, text)
	}
	// What fields say is a tag too, unless an attribute says it.
	own := map[string]string{"w3c.tracestate": span.TraceState, "otel.status_description": span.Status.GetMessage(), "span.kind": kindOf(span)}
	switch span.Status.GetCode() {
	case tracepb.Status_STATUS_CODE_OK:
		own["otel.status_code"] = "OK"
	case tracepb.Status_STATUS_CODE_ERROR:
		own["otel.status_code"], own["error"] = "ERROR", "true"
		s.failed = true
	}
	for _, a := range span.Attributes {
		delete(own, a.Key)
		s.failed = s.failed || a.Key == "error" && (a.Value.GetBoolValue() || a.Value.GetStringValue() == "true")
	}
	for key, text := range own {
		s.putText(key, text)
	}
	s.put(span.Attributes)
	for _, e := range span.Events {
		s.put(e.Attributes)
		if !slices.ContainsFunc(e.Attributes, func(a *commonpb.KeyValue) bool { return a.Key == "event" }) {
			s.putText("event", e.Name)
		}
	}
	m.spans = append(m.spans, s)
	m.of[s.trace] = append(m.of[s.trace], s)
}

// kindOf is a span's kind as Jaeger v2 spells it.
func kindOf(s *tracepb.Span) string {
	if s.Kind < 1 || s.Kind > 5 {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"))
}

func (s *modelSpan) put(attributes []*commonpb.KeyValue) {
	for _, a := range attributes {
		if strings.HasPrefix(a.Key, "@jaeger@") {
			continue // the store's own
		}
		if s.tags[a.Key] == nil {
			s.tags[a.Key] = make(map[string]bool)
		}
		s.tags[a.Key][textOf(a.Value)] = true
		if d, ok := a.Value.GetValue().(*commonpb.AnyValue_DoubleValue); ok {
			s.tags[a.Key][strconv.FormatFloat(d.DoubleValue, 'g', 10, 64)] = true // as Jaeger v1 compares
			for _, form := range formsOf(d.DoubleValue) {
				s.tags[a.Key][form] = true
			}
		}
	}
}

func (s *modelSpan) putText(key, text string) {
	if text != "" {
		s.put([]*commonpb.KeyValue{attribute(key, text)})
	}
}

// formsOf lists how a double may be written.
func formsOf(v float64) []string {
	forms := []string{strconv.FormatFloat(v, 'g', -1, 64)}
	switch abs := math.Abs(v); {
	case v == 0:
		forms = append(forms, "0")
	case abs >= 1e-6 && abs < 1<<53:
		forms = append(forms, strconv.FormatFloat(v, 'f', -1, 64))
	}
	return forms
}

// textOf is the text of a value.
func textOf(v *commonpb.AnyValue) string {
	switch of := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return of.StringValue
	case *commonpb.AnyValue_BoolValue:
		return strconv.FormatBool(of.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return strconv.FormatInt(of.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		return formsOf(of.DoubleValue)[0]
	case *commonpb.AnyValue_BytesValue:
		return hex.EncodeToString(of.BytesValue)
	case *commonpb.AnyValue_ArrayValue, *commonpb.AnyValue_KvlistValue:
		if text, err := json.Marshal(plainOf(v)); err == nil { // else it has a number of which JSON has no form
			return string(text)
		}
	}
	return ""
}

// plainOf is a value as package json knows it.
func plainOf(v *commonpb.AnyValue) any {
	switch of := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return of.StringValue
	case *commonpb.AnyValue_BoolValue:
		return of.BoolValue
	case *commonpb.AnyValue_IntValue:
		return of.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return of.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return of.BytesValue
	case *commonpb.AnyValue_ArrayValue:
		list := make([]any, 0)
		for _, item := range of.ArrayValue.GetValues() {
			list = append(list, plainOf(item))
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		entries := make(map[string]any)
		for _, a := range of.KvlistValue.GetValues() {
			entries[a.Key] = plainOf(a.Value)
		}
		return entries
	}
	return nil
}

// matches is whether all that q asks for holds on the span.
func (q *modelQuery) matches(s *modelSpan) bool {
	if q.service != "" && q.service != s.service || q.operation != "" && q.operation != s.Name {
		return false
	}
	if q.startMin != 0 && s.start < q.startMin || q.startMax != 0 && s.start > q.startMax || q.durationMin != 0 && s.duration < q.durationMin || q.durationMax != 0 && s.duration > q.durationMax {
		return false
	}
	for key, forms := range q.attributes {
		if !slices.ContainsFunc(forms, func(form string) bool { return s.tags[key][form] }) {
			return false
		}
	}
	return q.holds == nil || q.holds(s)
}

// modelQuery is a query, as both protocols have it. What is zero is no condition.
type modelQuery struct {
	service, operation       string
	startMin, startMax       int64
	durationMin, durationMax int64
	attributes               map[string][]string // forms, one of which an attribute must have, by key
	values                   map[string]*commonpb.AnyValue
	holds                    func(*modelSpan) bool // a filter
}

// find returns the IDs of the traces that q asks for, those first of which a matching span started last.
func (m *model) find(q *modelQuery) (ids []string) {
	latest := make(map[string]int64)
	for _, s := range m.spans {
		if !q.matches(s) {
			continue
		}
		if at, found := latest[s.trace]; !found {
			ids = append(ids, s.trace)
			latest[s.trace] = s.start
		} else {
			latest[s.trace] = max(at, s.start)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(latest[b], latest[a]), cmp.Compare(a, b)) })
	return ids
}

// findSpans returns the spans on which q holds, in order: each field with whether it descends.
func (m *model) findSpans(q *modelQuery, order []spanOrder) (found []*modelSpan) {
	for _, s := range m.spans {
		if q.matches(s) {
			found = append(found, s)
		}
	}
	order = append(slices.Clone(order), spanOrder{"startTime", true}, spanOrder{"traceID", false}, spanOrder{"spanID", false})
	slices.SortStableFunc(found, func(a, b *modelSpan) int {
		for _, by := range order {
			c := map[string]int{
				"startTime": cmp.Compare(a.start, b.start), "duration": cmp.Compare(a.duration, b.duration), "traceID": cmp.Compare(a.trace, b.trace),
				"spanID": bytes.Compare(a.SpanId, b.SpanId),
			}[by.field]
			if by.descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return found
}

type spanOrder struct {
	field      string
	descending bool
}

// summary is that of a trace.
func (m *model) summary(id string) *storagepb.TraceSummary {
	spans := m.of[id]
	sum := &storagepb.TraceSummary{TraceId: []byte(id), MinStartTimeUnixNano: math.MaxUint64}
	there := make(map[string]bool)
	for _, s := range spans {
		there[string(s.SpanId)] = true
	}
	byService := make(map[string]*storagepb.ServiceSummary)
	var root *modelSpan
	rank := func(s *modelSpan) int { // of a root, the lowest is best
		switch {
		case strings.Trim(string(s.ParentSpanId), "\x00") == "":
			return 0
		case !there[string(s.ParentSpanId)]:
			return 1
		}
		return 2
	}
	for _, s := range spans {
		sum.MinStartTimeUnixNano, sum.MaxEndTimeUnixNano = min(sum.MinStartTimeUnixNano, s.StartTimeUnixNano), max(sum.MaxEndTimeUnixNano, s.EndTimeUnixNano)
		of := byService[s.service]
		if of == nil {
			of = &storagepb.ServiceSummary{Name: s.service}
			byService[s.service] = of
			sum.Services = append(sum.Services, of)
		}
		of.SpanCount++
		sum.SpanCount++
		if s.failed {
			of.ErrorSpanCount++
			sum.ErrorSpanCount++
		}
		if rank(s) == 1 {
			sum.OrphanSpanCount++
		}
		if root == nil || cmp.Or(cmp.Compare(rank(s), rank(root)), cmp.Compare(s.start, root.start), bytes.Compare(s.SpanId, root.SpanId),
			cmp.Compare(s.service, root.service), cmp.Compare(s.Name, root.Name)) < 0 {
			root = s
		}
	}
	sum.RootServiceName, sum.RootOperationName = root.service, root.Name
	slices.SortFunc(sum.Services, func(a, b *storagepb.ServiceSummary) int { return cmp.Compare(a.Name, b.Name) })
	return sum
}

// operations lists those of a service, of all kinds or of one.
func (m *model) operations(service, kind string) []string {
	found := make(map[string]bool)
	for _, s := range m.spans {
		if k := kindOf(s.Span); s.service == service && (kind == "" || kind == k) {
			found[fmt.Sprintf("%s/%s", s.Name, k)] = true
		}
	}
	return sortedKeys(found)
}

// dependencies counts the calls of services in the traces with a span that started from start to end.
func (m *model) dependencies(start, end int64) []string {
	calls := make(map[[2]string]int)
	for _, spans := range m.of {
		if !slices.ContainsFunc(spans, func(s *modelSpan) bool { return start <= s.start && s.start <= end }) {
			continue
		}
		services := make(map[string]string)
		for _, s := range spans {
			services[string(s.SpanId)] = s.service
		}
		for _, s := range spans {
			if parent, there := services[string(s.ParentSpanId)]; there && parent != s.service {
				calls[[2]string{parent, s.service}]++
			}
		}
	}
	found := make(map[string]bool)
	for edge, n := range calls {
		found[fmt.Sprintf("%s>%s:%d", edge[0], edge[1], n)] = true
	}
	return sortedKeys(found)
}

func sortedKeys(of map[string]bool) (keys []string) {
	for key := range of {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
