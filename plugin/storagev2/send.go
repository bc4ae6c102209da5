package storagev2

import (
	"context"
	"errors"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
)

// maxChunk is the size of a message of spans, in bytes. Clients receive 4 MiB unless they are told otherwise.
const maxChunk = 1 << 20

// stream is what all streams of spans have in common.
type stream interface {
	SendMsg(message any) error
	Context() context.Context
}

// sendTrace sends a trace in messages of a bounded size. One that may lack spans is marked, or is the error that says so.
func (s *Services) sendTrace(to stream, data []byte, missing error) error {
	warning := ""
	if missing != nil {
		var partial *tempodb.PartialError
		if !s.marks || len(data) == 0 || !errors.As(missing, &partial) {
			return missing
		}
		warning = "this trace may lack spans: " + partial.Error()
	}
	return trace.EachChunk(data, maxChunk, func(c *trace.Chunk) error {
		message, err := messageOf(c, warning)
		if err != nil {
			return err
		}
		warning = ""
		return to.SendMsg(message)
	})
}

// messageOf returns a chunk as a message: as it is, unless its spans come from Jaeger's model or bear a warning.
func messageOf(c *trace.Chunk, warning string) (*plugin.Raw, error) {
	raw := plugin.PooledRaw
	if whole := c.Whole(); whole != nil {
		raw = func(int, func([]byte) []byte) *plugin.Raw { return plugin.NewRaw(whole) }
	}
	message := raw(c.Size(), c.Append)
	plain, err := jaegerv1.Plain(message.Bytes())
	if err == nil && warning != "" {
		plain, err = withWarning(plain, warning)
	}
	if err != nil || &plain[0] == &message.Bytes()[0] {
		return message, err
	}
	message.Free()
	return plugin.NewRaw(plain), nil
}

// warnings is the attribute of a span in which Jaeger v2 keeps warnings, an array of strings.
const warnings = "@jaeger@warnings"

// withWarning returns data with a warning on its first span.
func withWarning(data []byte, warning string) ([]byte, error) {
	var all tracepb.TracesData
	if err := proto.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for _, rs := range all.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			if len(ss.Spans) > 0 {
				warn(ss.Spans[0], warning)
				return proto.Marshal(&all)
			}
		}
	}
	return data, nil
}

// warn adds a warning to those that a span has.
func warn(span *tracepb.Span, warning string) {
	text := &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: warning}}
	for _, a := range span.Attributes {
		if list := a.GetValue().GetArrayValue(); a.GetKey() == warnings && list != nil {
			list.Values = append(list.Values, text)
			return
		}
	}
	list := &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{text}}}
	span.Attributes = append(span.Attributes, &commonpb.KeyValue{Key: warnings, Value: &commonpb.AnyValue{Value: list}})
}
