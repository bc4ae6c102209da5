package export

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/jaegertracing/jaeger/model"
	ui "github.com/jaegertracing/jaeger/model/json"

	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
)

// Jaeger returns data, OTLP TracesData of one trace, as Jaeger's query service says it in JSON: times in microseconds, and
// numbers that JavaScript can't hold as text.
func Jaeger(data []byte) (*ui.Trace, error) {
	t := &ui.Trace{Processes: make(map[ui.ProcessID]ui.Process), Spans: []ui.Span{}}
	var last *model.Process
	var id ui.ProcessID
	ids := make(map[string]ui.ProcessID) // by what the process is
	err := jaegerv1.Each(data, func(s *model.Span) error {
		if s.Process != last || last == nil {
			last = s.Process
			process := ui.Process{Tags: []ui.KeyValue{}}
			if last != nil {
				process = ui.Process{ServiceName: last.ServiceName, Tags: uiTags(last.Tags)}
			}
			text, err := json.Marshal(process)
			if err != nil {
				return err
			}
			known := false
			if id, known = ids[string(text)]; !known {
				id = ui.ProcessID("p" + strconv.Itoa(len(ids)+1))
				ids[string(text)] = id
				t.Processes[id] = process
			}
		}
		span := uiSpan(s)
		span.ProcessID = id
		if t.TraceID == "" {
			t.TraceID = span.TraceID
		}
		t.Spans = append(t.Spans, span)
		return nil
	})
	return t, err
}

// AppendJaeger appends data, OTLP TracesData of one trace, as Jaeger's query service answers it.
func AppendJaeger(dst, data []byte) ([]byte, error) {
	trace, err := Jaeger(data)
	if err != nil {
		return dst, err
	}
	text, err := marshal(map[string]any{"data": []any{trace}})
	return append(dst, text...), err
}

// marshal is json.Marshal without the escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

func uiSpan(s *model.Span) ui.Span {
	span := ui.Span{
		TraceID:       ui.TraceID(s.TraceID.String()),
		SpanID:        ui.SpanID(s.SpanID.String()),
		Flags:         uint32(s.Flags),
		OperationName: s.OperationName,
		References:    make([]ui.Reference, 0, len(s.References)),
		StartTime:     model.TimeAsEpochMicroseconds(s.StartTime),
		Duration:      model.DurationAsMicroseconds(s.Duration),
		Tags:          uiTags(s.Tags),
		Logs:          make([]ui.Log, 0, len(s.Logs)),
		Warnings:      s.Warnings,
	}
	for _, ref := range s.References {
		kind := ui.ChildOf
		if ref.RefType == model.FollowsFrom {
			kind = ui.FollowsFrom
		}
		span.References = append(span.References, ui.Reference{RefType: kind, TraceID: ui.TraceID(ref.TraceID.String()), SpanID: ui.SpanID(ref.SpanID.String())})
	}
	for _, log := range s.Logs {
		span.Logs = append(span.Logs, ui.Log{Timestamp: model.TimeAsEpochMicroseconds(log.Timestamp), Fields: uiTags(log.Fields)})
	}
	return span
}

// safeInteger is the greatest integer that JavaScript holds exactly.
const safeInteger = 1<<53 - 1

func uiTags(tags []model.KeyValue) []ui.KeyValue {
	all := make([]ui.KeyValue, len(tags))
	for i := range tags {
		kv := &tags[i]
		all[i] = ui.KeyValue{Key: kv.Key}
		switch kv.VType {
		case model.ValueType_BOOL:
			all[i].Type, all[i].Value = ui.BoolType, kv.Bool()
		case model.ValueType_INT64:
			all[i].Type, all[i].Value = ui.Int64Type, kv.Int64()
			if n := kv.Int64(); n > safeInteger || n < -safeInteger {
				all[i].Value = strconv.FormatInt(n, 10)
			}
		case model.ValueType_FLOAT64:
			all[i].Type, all[i].Value = ui.Float64Type, json.RawMessage(appendFloat(nil, kv.Float64()))
		case model.ValueType_BINARY:
			all[i].Type, all[i].Value = ui.BinaryType, append([]byte{}, kv.Binary()...) // not null
		default:
			all[i].Type, all[i].Value = ui.StringType, kv.VStr
		}
	}
	return all
}
