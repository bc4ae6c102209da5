package jaegerv1

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Plain returns a TracesData message with the spans of data as a reader that knows only OTLP expects them. data itself is returned if none of them comes from Jaeger's model;
// else those that do are made what Jaeger's own translation makes of them: what a field says is no attribute besides (kind, status, trace state, name and version of the scope,
// names of events, the parent as a link), a key stands once with the value that it has last, and of the attributes of this package only the warnings stay, which
// Jaeger v2 shows. It differs where Jaeger's would let a search find other tags than are shown, or read a meaning in: hostname and jaeger.version keep their names, and an HTTP
// status makes no span's status.
//
// Spans stay in their order within a resource, but for those that are of other scopes. Memory is a multiple of data.
func Plain(data []byte) ([]byte, error) {
	if !bytes.Contains(data, []byte(attrModel)) {
		return data, nil
	}
	var all tracepb.TracesData
	if err := proto.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("traces data: %w", err)
	}
	changed := false
	for _, rs := range all.ResourceSpans {
		var scopes []*tracepb.ScopeSpans
		for _, ss := range rs.ScopeSpans {
			if !isMarked(ss.Scope) {
				scopes = append(scopes, ss)
				continue
			}
			scopes = append(scopes, nativeScopes(ss.Spans)...)
			nativeResource(rs.Resource)
			changed = true
		}
		rs.ScopeSpans = scopes
	}
	if !changed {
		return data, nil
	}
	return proto.Marshal(&all)
}

// isMarked is whether the spans of a scope come from Jaeger's model.
func isMarked(scope *commonpb.InstrumentationScope) bool {
	return slices.ContainsFunc(scope.GetAttributes(), func(a *commonpb.KeyValue) bool {
		return a.GetKey() == attrModel && a.GetValue().GetStringValue() == modelVersion
	})
}

func nativeResource(r *resourcepb.Resource) {
	if r == nil {
		return
	}
	// The first attribute is the process's name, which may be none.
	if a := r.Attributes; len(a) > 0 && a[0].GetKey() == attrServiceName && (a[0].GetValue().GetStringValue() == "" || a[0].GetValue().GetStringValue() == noServiceName) {
		r.Attributes = a[1:]
	}
	r.Attributes = nativeAttributes(r.Attributes, nil)
}

// nativeScopes returns the spans by the scopes that their tags name.
func nativeScopes(spans []*tracepb.Span) (scopes []*tracepb.ScopeSpans) {
	type scope struct{ name, version string }
	of := make(map[scope]*tracepb.ScopeSpans)
	for _, span := range spans {
		var s scope
		nativeSpan(span, &s.name, &s.version)
		ss := of[s]
		if ss == nil {
			ss = &tracepb.ScopeSpans{}
			if s != (scope{}) {
				ss.Scope = &commonpb.InstrumentationScope{Name: s.name, Version: s.version}
			}
			of[s] = ss
			scopes = append(scopes, ss)
		}
		ss.Spans = append(ss.Spans, span)
	}
	return scopes
}

func nativeSpan(span *tracepb.Span, scopeName, scopeVersion *string) {
	span.Attributes = nativeAttributes(span.Attributes, func(key string, v *commonpb.AnyValue) (drop bool) {
		text := v.GetStringValue()
		switch key {
		case tagKind:
			return span.Kind != 0
		case tagError:
			return span.Status.GetCode() == statusError && v.GetBoolValue()
		case tagStatusCode:
			return span.Status.GetCode() != 0
		case tagStatusMessage:
			return text != "" && text == span.Status.GetMessage()
		case tagTraceState:
			return text != "" && text == span.TraceState
		case tagScopeName, "otel.scope.name":
			*scopeName = text
			return text != ""
		case tagScopeVersion, "otel.scope.version":
			*scopeVersion = text
			return text != ""
		}
		return false
	})
	for _, event := range span.Events {
		event.Attributes = nativeAttributes(event.Attributes, func(key string, v *commonpb.AnyValue) bool {
			return key == fieldEventName && event.Name != "" && v.GetStringValue() == event.Name
		})
	}
	span.Links = slices.DeleteFunc(span.Links, func(link *tracepb.Span_Link) bool {
		return len(span.ParentSpanId) > 0 && bytes.Equal(link.SpanId, span.ParentSpanId) && bytes.Equal(link.TraceId, span.TraceId) && isChildOf(link)
	})
	for _, link := range span.Links {
		link.Attributes = nativeAttributes(link.Attributes, nil)
	}
	span.Flags = 0 // Jaeger's are not those of W3C, of which OTLP speaks
}

func isChildOf(link *tracepb.Span_Link) bool {
	return slices.ContainsFunc(link.Attributes, func(a *commonpb.KeyValue) bool {
		return a.GetKey() == attrRefType && a.GetValue().GetStringValue() == refTypeChildOf
	})
}

// nativeAttributes returns the list without the attributes of this package, but for the warnings, and without those that drop names; a key stands once.
func nativeAttributes(list []*commonpb.KeyValue, drop func(key string, v *commonpb.AnyValue) bool) []*commonpb.KeyValue {
	at := make(map[string]int, len(list))
	kept := list[:0]
	for _, a := range list {
		key := a.GetKey()
		if own, reservedKey := strings.CutPrefix(key, reserved); reservedKey {
			if !strings.HasPrefix(own, reserved) && key != attrWarnings {
				continue
			}
			if strings.HasPrefix(own, reserved) {
				a.Key = own // written with the prefix twice, since it has it
			}
		}
		if n, twice := at[a.Key]; twice {
			kept[n] = a
			continue
		}
		at[a.Key] = len(kept)
		kept = append(kept, a)
	}
	if drop == nil {
		return kept
	}
	return slices.DeleteFunc(kept, func(a *commonpb.KeyValue) bool { return drop(a.Key, a.Value) })
}
