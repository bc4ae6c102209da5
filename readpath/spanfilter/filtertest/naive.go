package filtertest

import (
	"encoding/hex"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/trace"
)

// Holds reports whether a filter that New takes holds on the first span of r.
func Holds(form *spanfilter.Call, r *tracev1.ResourceSpans) bool {
	span := r.ScopeSpans[0].Spans[0]
	return (&naive{resource: r, scope: r.ScopeSpans[0], span: span, events: span.Events, links: span.Links}).holds(form)
}

// naive is a span, with the events and links that references are to.
type naive struct {
	resource *tracev1.ResourceSpans
	scope    *tracev1.ScopeSpans
	span     *tracev1.Span
	events   []*tracev1.Span_Event
	links    []*tracev1.Span_Link
}

func (n *naive) holds(c *spanfilter.Call) bool {
	switch c.Op {
	case "and", "or":
		for _, arg := range c.Args {
			if n.holds(arg.(*spanfilter.Call)) != (c.Op == "and") {
				return c.Op == "or"
			}
		}
		return c.Op == "and"
	case "not":
		return !n.holds(c.Args[0].(*spanfilter.Call))
	case "some":
		one := *n
		if c.Args[0].(*spanfilter.Collection).Level == "event" {
			for i := range n.span.Events {
				if one.events = n.span.Events[i : i+1]; one.holds(c.Args[1].(*spanfilter.Call)) {
					return true
				}
			}
			return false
		}
		for i := range n.span.Links {
			if one.links = n.span.Links[i : i+1]; one.holds(c.Args[1].(*spanfilter.Call)) {
				return true
			}
		}
		return false
	}
	values := n.values(c.Args[0])
	one := func(holds func(v any) bool) bool { return slices.ContainsFunc(values, holds) }
	switch c.Op {
	case "exists":
		return len(values) > 0
	case "regex":
		re := regexp.MustCompile(c.Args[1].(*spanfilter.Scalar).Value)
		return one(func(v any) bool { s, ok := v.(string); return ok && re.MatchString(s) })
	case "in", "not_in":
		list := c.Args[1].(*spanfilter.List)
		found := one(func(v any) bool {
			return slices.ContainsFunc(list.Values, func(text string) bool { return compare("eq", v, constant{text, list.Type, c.Args[0]}.value()) })
		})
		return found == (c.Op == "in") && len(values) > 0
	case "phrase", "fulltext":
		want := strings.Fields(strings.ToLower(strings.Join(c.Args[1].(*spanfilter.List).Values, " ")))
		return one(func(v any) bool {
			s, ok := v.(string)
			if !ok {
				return false
			}
			have := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
			if c.Op == "fulltext" {
				return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(have, w) })
			}
			return strings.Contains(" "+strings.Join(have, " ")+" ", " "+strings.Join(want, " ")+" ")
		})
	}
	// A comparison, in which a constant without a type takes it from the other operand.
	var operands [2][]any
	for i, arg := range c.Args {
		if s, ok := arg.(*spanfilter.Scalar); ok {
			operands[i] = []any{constant{s.Value, s.Type, c.Args[1-i]}.value()}
		} else {
			operands[i] = n.values(arg)
		}
	}
	found := false
	for _, a := range operands[0] {
		for _, b := range operands[1] {
			if c.Op == "ne" {
				found = found || compare("eq", a, b)
			} else {
				found = found || compare(c.Op, a, b)
			}
		}
	}
	if c.Op == "ne" {
		return len(operands[0]) > 0 && len(operands[1]) > 0 && !found
	}
	return found
}

// What values are, besides string, int64, float64 and bool.
type (
	opaque  struct{}
	untyped string              // a constant that is compared with what has a type
	only    struct{ value any } // a constant of a type that meets no other
)

// constant is a constant that is compared with an operand.
type constant struct {
	text, typ string
	with      spanfilter.Expr
}

func (c constant) value() any {
	if f, ok := c.with.(*spanfilter.Field); ok {
		switch f.Name {
		case "duration", "timeSinceStart":
			d, _ := time.ParseDuration(c.text)
			return int64(d)
		case "startTime", "endTime", "time":
			t, _ := time.Parse(time.RFC3339Nano, c.text)
			return t.UnixNano()
		}
		return c.text
	}
	if s, ok := c.with.(*spanfilter.Scalar); ok && c.typ == "" {
		c.typ = s.Type
		if c.typ == "" {
			return c.text
		}
	}
	_, isReference := c.with.(*spanfilter.Attribute)
	typed := func(v any) any {
		if isReference {
			return only{v}
		}
		return v
	}
	switch c.typ {
	case "int":
		i, _ := strconv.ParseInt(c.text, 10, 64)
		return typed(i)
	case "double":
		f, _ := strconv.ParseFloat(c.text, 64)
		return typed(f)
	case "bool":
		b, _ := strconv.ParseBool(c.text)
		return typed(b)
	case "string":
		return typed(c.text)
	}
	return untyped(c.text)
}

// compare reports whether a op b.
func compare(op string, a, b any) bool {
	turned := map[string]string{"eq": "eq", "lt": "gt", "gt": "lt", "lte": "gte", "gte": "lte"}
	switch a.(type) {
	case untyped, only:
		return compare(turned[op], b, a)
	}
	if o, ok := b.(only); ok {
		switch o.value.(type) {
		case int64:
			if _, same := a.(int64); !same {
				return false
			}
		case float64:
			if _, same := a.(float64); !same {
				return false
			}
		}
		b = o.value
	}
	if u, ok := b.(untyped); ok {
		switch d := a.(type) {
		case string:
			b = string(u)
		case bool:
			parsed, err := strconv.ParseBool(string(u))
			if err != nil {
				return false
			}
			b = parsed
		case int64, float64:
			if f, ok := d.(float64); ok && op == "eq" && strconv.FormatFloat(f, 'g', 10, 64) == string(u) {
				return true
			}
			if i, err := strconv.ParseInt(string(u), 10, 64); err == nil {
				b = i
			} else if f, err := strconv.ParseFloat(string(u), 64); err == nil {
				b = f
			}
		}
	}
	order := 0
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		if !ok {
			return false
		}
		order = strings.Compare(a, b)
	case bool:
		other, ok := b.(bool)
		return ok && op == "eq" && a == other
	case int64, float64:
		var ok bool
		if order, ok = compareNumbers(a, b); !ok {
			return false
		}
	default:
		return false
	}
	return map[string]bool{"eq": order == 0, "lt": order < 0, "gt": order > 0, "lte": order <= 0, "gte": order >= 0}[op]
}

func compareNumbers(a, b any) (order int, ok bool) {
	exact := func(v any) (*big.Rat, float64, bool) {
		switch v := v.(type) {
		case int64:
			return new(big.Rat).SetInt64(v), 0, true
		case float64:
			if math.IsInf(v, 0) {
				return new(big.Rat), math.Copysign(1, v), true
			}
			r := new(big.Rat).SetFloat64(v)
			return r, 0, r != nil
		}
		return nil, 0, false
	}
	x, xBeyond, okA := exact(a)
	y, yBeyond, okB := exact(b)
	switch {
	case !okA || !okB:
		return 0, false
	case xBeyond != yBeyond:
		return int(xBeyond - yBeyond), true
	}
	return x.Cmp(y), true
}

func (n *naive) values(e spanfilter.Expr) (all []any) {
	switch e := e.(type) {
	case *spanfilter.Scalar:
		return nil
	case *spanfilter.Field:
		return n.fields(e)
	case *spanfilter.Attribute:
		key := e.Key
		if strings.HasPrefix(key, "@jaeger@") {
			return nil
		}
		if e.Level == "span" || e.Level == "" {
			all = attributes(all, n.span.Attributes, key)
			if key == "error" && len(all) == 0 {
				all = []any{n.span.Status.GetCode() == tracev1.Status_STATUS_CODE_ERROR}
			}
		}
		switch e.Level {
		case "resource", "":
			all = attributes(all, n.resource.Resource.GetAttributes(), key)
		case "scope":
			all = attributes(all, n.scope.Scope.GetAttributes(), key)
		case "event":
			for _, event := range n.events {
				all = attributes(all, event.Attributes, key)
			}
		case "link":
			for _, link := range n.links {
				all = attributes(all, link.Attributes, key)
			}
		}
	}
	return all
}

func attributes(all []any, of []*commonv1.KeyValue, key string) []any {
	for _, kv := range of {
		if kv.Key != key {
			continue
		}
		switch v := kv.Value.GetValue().(type) {
		case *commonv1.AnyValue_StringValue:
			all = append(all, v.StringValue)
		case *commonv1.AnyValue_IntValue:
			all = append(all, v.IntValue)
		case *commonv1.AnyValue_DoubleValue:
			all = append(all, v.DoubleValue)
		case *commonv1.AnyValue_BoolValue:
			all = append(all, v.BoolValue)
		default:
			all = append(all, opaque{})
		}
	}
	return all
}

// service is how Jaeger names the service; it is what filters that have no service.name are told by.
func (n *naive) service() string {
	for _, kv := range n.resource.Resource.GetAttributes() {
		if kv.Key != "service.name" {
			continue
		}
		switch v := kv.Value.GetValue().(type) {
		case *commonv1.AnyValue_StringValue:
			return v.StringValue
		case *commonv1.AnyValue_IntValue:
			return strconv.FormatInt(v.IntValue, 10)
		case *commonv1.AnyValue_BoolValue:
			return strconv.FormatBool(v.BoolValue)
		case *commonv1.AnyValue_DoubleValue:
			return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
		case *commonv1.AnyValue_BytesValue:
			return hex.EncodeToString(v.BytesValue)
		case *commonv1.AnyValue_ArrayValue:
			return "[null]" // the only one that is drawn
		case *commonv1.AnyValue_KvlistValue:
			return "{}"
		}
		return ""
	}
	return trace.ServiceUnknown
}

func (n *naive) fields(f *spanfilter.Field) (all []any) {
	optional := func(s string) []any {
		if s == "" {
			return nil
		}
		return []any{s}
	}
	id := func(b []byte) string {
		if strings.Trim(string(b), "\x00") == "" {
			return ""
		}
		return hex.EncodeToString(b)
	}
	start := int64(n.span.StartTimeUnixNano)
	switch f.Level + "." + f.Name {
	case "span.traceID":
		return []any{id(n.span.TraceId)}
	case "span.spanID":
		return []any{id(n.span.SpanId)}
	case "span.parentSpanID":
		return optional(id(n.span.ParentSpanId))
	case "span.traceState":
		return optional(n.span.TraceState)
	case "span.name":
		return []any{n.span.Name}
	case "span.kind":
		if n.span.Kind < 0 || n.span.Kind > 5 {
			return []any{"unspecified"}
		}
		return []any{strings.ToLower(strings.TrimPrefix(n.span.Kind.String(), "SPAN_KIND_"))}
	case "span.startTime":
		return []any{start}
	case "span.endTime":
		return []any{int64(n.span.EndTimeUnixNano)}
	case "span.duration":
		return []any{int64(n.span.EndTimeUnixNano) - start}
	case "span.status":
		switch n.span.Status.GetCode() {
		case 1:
			return []any{"ok"}
		case 2:
			return []any{"error"}
		}
		return []any{"unset"}
	case "span.statusMessage":
		return optional(n.span.Status.GetMessage())
	case "resource.service":
		return []any{n.service()}
	case "resource.schemaURL":
		return optional(n.resource.SchemaUrl)
	case "scope.name":
		return optional(n.scope.Scope.GetName())
	case "scope.version":
		return optional(n.scope.Scope.GetVersion())
	case "scope.schemaURL":
		return optional(n.scope.SchemaUrl)
	}
	for _, e := range n.events {
		switch f.Level + "." + f.Name {
		case "event.name":
			all = append(all, e.Name)
		case "event.time":
			all = append(all, int64(e.TimeUnixNano))
		case "event.timeSinceStart":
			all = append(all, int64(e.TimeUnixNano)-start)
		}
	}
	for _, l := range n.links {
		switch f.Level + "." + f.Name {
		case "link.traceID":
			all = append(all, id(l.TraceId))
		case "link.spanID":
			all = append(all, id(l.SpanId))
		case "link.traceState":
			all = append(all, optional(l.TraceState)...)
		}
	}
	return all
}
