package export_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/jaegertracing/jaeger/model"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export/exporttest"
	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
)

// anyValue generates attribute values, some of them nested.
func anyValue(depth int) *rapid.Generator[*common.AnyValue] {
	return rapid.Custom(func(t *rapid.T) *common.AnyValue {
		kinds := 6
		if depth > 0 {
			kinds = 8
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return &common.AnyValue{}
		case 1:
			return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: rapid.String().Draw(t, "string")}}
		case 2:
			return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: rapid.Bool().Draw(t, "bool")}}
		case 3:
			return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: rapid.Int64().Draw(t, "int")}}
		case 4:
			f := rapid.SampledFrom([]float64{0, 1.5, -1e300, 5e-324, math.Inf(1), math.Inf(-1), 1e21, 0.1}).Draw(t, "double")
			return &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: f}}
		case 5:
			return &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes")}}
		case 6:
			return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: rapid.SliceOfN(anyValue(depth-1), 0, 3).Draw(t, "array")}}}
		default:
			return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: attributes(depth-1).Draw(t, "kvlist")}}}
		}
	})
}

func attributes(depth int) *rapid.Generator[[]*common.KeyValue] {
	return rapid.Custom(func(t *rapid.T) []*common.KeyValue {
		keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "http.url", "", "ü", "service.name"}), 0, 4, rapid.ID[string]).Draw(t, "keys")
		var all []*common.KeyValue
		for _, key := range keys {
			all = append(all, &common.KeyValue{Key: key, Value: anyValue(depth).Draw(t, "value")})
		}
		return all
	})
}

func spans(t *rapid.T) []*otlp.Span {
	id := func(n int, label string) []byte {
		b := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, label)
		b[0] |= 1
		return b
	}
	traceID := id(16, "trace")
	var all []*otlp.Span
	for range rapid.IntRange(0, 4).Draw(t, "spans") {
		start := rapid.Uint64Range(0, 1<<62).Draw(t, "start")
		s := &otlp.Span{
			TraceId: traceID, SpanId: id(8, "span"), Name: rapid.String().Draw(t, "name"), Kind: otlp.Span_SpanKind(rapid.IntRange(0, 5).Draw(t, "kind")),
			StartTimeUnixNano: start, EndTimeUnixNano: start + rapid.Uint64Range(0, 1<<40).Draw(t, "duration"),
			Attributes: attributes(2).Draw(t, "attributes"), TraceState: rapid.SampledFrom([]string{"", "a=b"}).Draw(t, "state"), Flags: rapid.Uint32().Draw(t, "flags"),
		}
		if rapid.Bool().Draw(t, "child") {
			s.ParentSpanId = id(8, "parent")
		}
		if rapid.Bool().Draw(t, "status") {
			s.Status = &otlp.Status{Code: otlp.Status_StatusCode(rapid.IntRange(0, 2).Draw(t, "code")), Message: rapid.String().Draw(t, "message")}
		}
		for range rapid.IntRange(0, 2).Draw(t, "events") {
			s.Events = append(s.Events, &otlp.Span_Event{TimeUnixNano: start, Name: "e", Attributes: attributes(0).Draw(t, "of event")})
		}
		if rapid.Bool().Draw(t, "link") {
			s.Links = append(s.Links, &otlp.Span_Link{TraceId: id(16, "linked"), SpanId: id(8, "linked span"), Attributes: attributes(0).Draw(t, "of link")})
		}
		all = append(all, s)
	}
	return all
}

// tracesData generates traces of all kinds.
func tracesData(t *rapid.T) *otlp.TracesData {
	m := new(otlp.TracesData)
	for range rapid.IntRange(0, 3).Draw(t, "resources") {
		r := &otlp.ResourceSpans{Resource: &resource.Resource{Attributes: attributes(1).Draw(t, "resource")}, SchemaUrl: rapid.SampledFrom([]string{"", "http://schema"}).Draw(t, "schema")}
		if rapid.Bool().Draw(t, "no resource") {
			r.Resource = nil
		}
		for range rapid.IntRange(0, 2).Draw(t, "scopes") {
			s := &otlp.ScopeSpans{Spans: spans(t)}
			if rapid.Bool().Draw(t, "scope") {
				s.Scope = &common.InstrumentationScope{Name: "scope", Version: "1", Attributes: attributes(0).Draw(t, "of scope")}
			}
			r.ScopeSpans = append(r.ScopeSpans, s)
		}
		m.ResourceSpans = append(m.ResourceSpans, r)
	}
	return m
}

func marshal(t rapid.TB, m proto.Message) []byte {
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestOTLPJSONIsReadBackEqual(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := tracesData(rt)
		text, err := export.AppendOTLP([]byte("before"), marshal(rt, m))
		if err != nil {
			rt.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("before")) || bytes.ContainsRune(text, '\n') {
			rt.Fatalf("no line after what was there: %s", text)
		}
		if got := exporttest.ParseOTLP(t, text[len("before"):]); !proto.Equal(got, m) {
			rt.Fatalf("%s is not %v", text, m)
		}
	})
}

// readParquet reads rows with the types that Span has.
func readParquet(t rapid.TB, content []byte) []export.Span {
	rows, err := parquet.Read[export.Span](bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestParquetIsReadBackEqual(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var want []export.Span
		var file bytes.Buffer
		w, err := export.New(export.Parquet, &file)
		if err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(0, 3).Draw(rt, "traces") {
			m := tracesData(rt)
			n, err := w.Write(marshal(rt, m))
			if err != nil || n != exporttest.CountSpans(m) {
				rt.Fatalf("%d spans are written, %d are there: %v", n, exporttest.CountSpans(m), err)
			}
			want = append(want, rowsOf(m)...)
		}
		if err := w.Close(); err != nil {
			rt.Fatal(err)
		}
		got := readParquet(rt, file.Bytes())
		if len(got) != len(want) {
			rt.Fatalf("%d rows, want %d", len(got), len(want))
		}
		for i := range got {
			if g, w := fmt.Sprintf("%+v", plain(got[i])), fmt.Sprintf("%+v", plain(want[i])); g != w {
				rt.Fatalf("row %d is\n%s, want\n%s", i, g, w)
			}
			if got[i].Events != nil {
				var list []json.RawMessage
				if err := json.Unmarshal([]byte(*got[i].Events), &list); err != nil || len(list) == 0 {
					rt.Fatalf("events %s: %v", *got[i].Events, err)
				}
			}
		}
	})
}

// row is a Span whose pointers are followed, to be compared.
type row struct {
	export.Span
	Parent, Message, State string
	Events, Links          bool
}

func plain(s export.Span) row {
	text := func(p *string) string {
		if p == nil {
			return "<null>"
		}
		return *p
	}
	r := row{Span: s, Parent: text(s.ParentSpanID), Message: text(s.StatusMessage), State: text(s.TraceState), Events: s.Events != nil, Links: s.Links != nil}
	r.Span.ParentSpanID, r.Span.StatusMessage, r.Span.TraceState, r.Span.Events, r.Span.Links = nil, nil, nil, nil, nil
	for _, m := range []*map[string]string{&r.ResourceAttributes, &r.ScopeAttributes, &r.SpanAttributes} {
		if len(*m) == 0 {
			*m = nil
		}
	}
	return r
}

// rowsOf says what the rows must be, in the plainest way.
func rowsOf(m *otlp.TracesData) (rows []export.Span) {
	optional := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	table := func(list []*common.KeyValue) map[string]string {
		m := map[string]string{}
		for _, kv := range list {
			m[kv.Key] = export.Text(kv.Value)
		}
		return m
	}
	there := "there"
	for _, r := range m.ResourceSpans {
		service := "OTLPResourceNoServiceName"
		if name, ok := table(r.Resource.GetAttributes())["service.name"]; ok {
			service = name
		}
		for _, s := range r.ScopeSpans {
			for _, span := range s.Spans {
				row := export.Span{
					TraceID: hex.EncodeToString(span.TraceId), SpanID: hex.EncodeToString(span.SpanId), ParentSpanID: optional(hex.EncodeToString(span.ParentSpanId)),
					Service: service, Name: span.Name, Kind: []string{"unspecified", "internal", "server", "client", "producer", "consumer"}[span.Kind],
					Start: int64(span.StartTimeUnixNano / 1000), StartUnixNano: int64(span.StartTimeUnixNano), DurationNano: int64(span.EndTimeUnixNano - span.StartTimeUnixNano),
					StatusCode: []string{"unset", "ok", "error"}[span.Status.GetCode()], StatusMessage: optional(span.Status.GetMessage()), TraceState: optional(span.TraceState),
					ScopeName: s.Scope.GetName(), ScopeVersion: s.Scope.GetVersion(),
					ResourceAttributes: table(r.Resource.GetAttributes()), ScopeAttributes: table(s.Scope.GetAttributes()), SpanAttributes: table(span.Attributes),
				}
				if len(span.Events) > 0 {
					row.Events = &there
				}
				if len(span.Links) > 0 {
					row.Links = &there
				}
				rows = append(rows, row)
			}
		}
	}
	return rows
}

func TestTextOfAttributesIsWhatAPersonWouldWrite(t *testing.T) {
	list := &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{
		{Value: &common.AnyValue_StringValue{StringValue: `a"b`}}, {Value: &common.AnyValue_IntValue{IntValue: 7}}, {},
		{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: []*common.KeyValue{{Key: "k", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}}}}}},
		{Value: &common.AnyValue_BytesValue{BytesValue: []byte{0xab}}}, {Value: &common.AnyValue_DoubleValue{DoubleValue: 1.5}},
	}}}}
	if got, want := export.Text(list), `["a\"b",7,null,{"k":true},"ab",1.5]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAKeyThatIsThereTwiceIsInTheTableOnce(t *testing.T) {
	value := func(s string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
	}
	data := marshal(t, &otlp.TracesData{ResourceSpans: []*otlp.ResourceSpans{{ScopeSpans: []*otlp.ScopeSpans{{Spans: []*otlp.Span{{
		Attributes: []*common.KeyValue{{Key: "k", Value: value("first")}, {Key: "x", Value: value("y")}, {Key: "k", Value: value("second")}},
	}}}}}}})
	var file bytes.Buffer
	w, err := export.New(export.Parquet, &file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := readParquet(t, file.Bytes())[0].SpanAttributes; fmt.Sprint(got) != "map[k:first x:y]" {
		t.Error(got)
	}
}

// The table of a large export has several row groups, and memory of one.
func TestParquetOfManySpansHasSeveralRowGroups(t *testing.T) {
	var file bytes.Buffer
	w, err := export.New(export.Parquet, &file)
	if err != nil {
		t.Fatal(err)
	}
	spans := 0
	for r := range workload.New(1, 5400).Requests() {
		n, err := w.Write(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		spans += n
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if f.NumRows() != int64(spans) || len(f.RowGroups()) != (spans+99_999)/100_000 {
		t.Errorf("%d rows in %d groups for %d spans", f.NumRows(), len(f.RowGroups()), spans)
	}
	// Nothing that a reader may not know.
	for _, group := range f.Metadata().RowGroups {
		for _, column := range group.Columns {
			m := column.MetaData
			for _, encoding := range m.Encoding {
				if !slices.Contains([]format.Encoding{format.Plain, format.RLE, format.RLEDictionary}, encoding) {
					t.Errorf("column %s is encoded as %s", m.PathInSchema, encoding)
				}
			}
			for _, pages := range m.EncodingStats {
				if pages.PageType == format.DataPageV2 {
					t.Errorf("column %s has pages of version 2", m.PathInSchema)
				}
			}
			if len(m.Statistics.MinValue) == 0 && m.PathInSchema[0] == "start" || m.Codec != format.Zstd || len(m.EncodingStats) == 0 {
				t.Errorf("column %s: %+v", m.PathInSchema, m)
			}
		}
	}
	for _, column := range []string{
		"required binary trace_id (STRING)", "required int64 start (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS))", "optional binary parent_span_id (STRING)",
		"required int64 duration_nano", "required group span_attributes (MAP)",
	} {
		if !strings.Contains(f.Schema().String(), column) {
			t.Errorf("the table has no %q: %s", column, f.Schema())
		}
	}
}

// uiTrace is Jaeger's form, read without Jaeger's types.
type uiTrace struct {
	TraceID string
	Spans   []struct {
		TraceID, SpanID, OperationName, ProcessID string
		Flags                                     uint32
		References                                []struct{ RefType, TraceID, SpanID string }
		StartTime, Duration                       uint64
		Tags                                      []uiTag
		Logs                                      []struct {
			Timestamp uint64
			Fields    []uiTag
		}
		Warnings []string
	}
	Processes map[string]struct {
		ServiceName string
		Tags        []uiTag
	}
	Warnings []string
}

type uiTag struct {
	Key, Type string
	Value     json.RawMessage
}

func TestJaegerJSONIsWhatJaegersModelSays(t *testing.T) {
	check := func(t rapid.TB, data []byte) {
		spans, err := jaegerv1.Spans(data)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w, err := export.New(export.JaegerJSON, &out)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := w.Write(data); err != nil || n != len(spans) {
			t.Fatalf("%d spans are written, %d are there: %v", n, len(spans), err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var answer struct{ Data []uiTrace }
		d := json.NewDecoder(&out)
		d.DisallowUnknownFields()
		if err := d.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		trace := answer.Data[0]
		if len(trace.Spans) != len(spans) {
			t.Fatalf("%d spans, want %d", len(trace.Spans), len(spans))
		}
		for i, got := range trace.Spans {
			want := spans[i]
			var refs []string
			for _, r := range got.References {
				refs = append(refs, r.RefType+r.TraceID+r.SpanID)
			}
			var wantRefs []string
			for _, r := range want.References {
				wantRefs = append(wantRefs, r.RefType.String()+r.TraceID.String()+r.SpanID.String())
			}
			process := trace.Processes[got.ProcessID]
			if got.TraceID != want.TraceID.String() || trace.TraceID != trace.Spans[0].TraceID || got.SpanID != want.SpanID.String() || got.OperationName != want.OperationName ||
				got.Flags != uint32(want.Flags) || !slices.Equal(refs, wantRefs) || got.StartTime != model.TimeAsEpochMicroseconds(want.StartTime) ||
				got.Duration != model.DurationAsMicroseconds(want.Duration) || !slices.Equal(got.Warnings, want.Warnings) || process.ServiceName != want.Process.ServiceName {
				t.Fatalf("%+v is not %+v", got, want)
			}
			equalTags(t, got.Tags, want.Tags)
			equalTags(t, process.Tags, want.Process.Tags)
			if len(got.Logs) != len(want.Logs) {
				t.Fatalf("%d logs, want %d", len(got.Logs), len(want.Logs))
			}
			for j, log := range got.Logs {
				if log.Timestamp != model.TimeAsEpochMicroseconds(want.Logs[j].Timestamp) {
					t.Fatalf("log at %d, want %v", log.Timestamp, want.Logs[j].Timestamp)
				}
				equalTags(t, log.Fields, want.Logs[j].Fields)
			}
		}
	}
	for r := range workload.New(1, 30).Requests() {
		check(t, r.Data)
	}
	rapid.Check(t, func(rt *rapid.T) { check(rt, marshal(rt, tracesData(rt))) })
}

func equalTags(t rapid.TB, got []uiTag, want []model.KeyValue) {
	if len(got) != len(want) {
		t.Fatalf("%d tags, want %d", len(got), len(want))
	}
	for i := range got {
		var value any
		switch kv := &want[i]; kv.VType {
		case model.BoolType:
			value = kv.Bool()
		case model.Int64Type:
			value = kv.Int64()
			if n := kv.Int64(); n > 1<<53-1 || n < -(1<<53-1) {
				value = fmt.Sprint(n)
			}
		case model.Float64Type:
			value = kv.Float64()
			switch f := kv.Float64(); {
			case math.IsInf(f, 1):
				value = "Infinity"
			case math.IsInf(f, -1):
				value = "-Infinity"
			}
		case model.BinaryType:
			value = base64.StdEncoding.EncodeToString(kv.Binary())
		default:
			value = kv.VStr
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var g, w any
		if json.Unmarshal(got[i].Value, &g) != nil || json.Unmarshal(text, &w) != nil || g != w || got[i].Key != want[i].Key || got[i].Type != strings.ToLower(want[i].VType.String()) {
			t.Fatalf("tag %+v (%s) is not %v", got[i], got[i].Value, want[i])
		}
	}
}

func TestJaegerJSONOfNothingIsAnEmptyAnswer(t *testing.T) {
	var out bytes.Buffer
	w, err := export.New(export.JaegerJSON, &out)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var answer struct{ Data []uiTrace }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil || answer.Data == nil {
		t.Errorf("%s: %v", out.String(), err)
	}
}

func TestWhatIsNoOTLPIsAnError(t *testing.T) {
	for _, format := range export.Formats {
		w, err := export.New(format, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte{0xff}); err == nil {
			t.Errorf("%s takes it", format)
		}
	}
	if _, err := export.ParseFormat("csv"); err == nil {
		t.Error("csv is a format")
	}
}

func BenchmarkWrite(b *testing.B) {
	var requests [][]byte
	spans := 0
	for r := range workload.New(1, 500).Requests() {
		requests = append(requests, bytes.Clone(r.Data))
		spans += r.Spans
	}
	for _, format := range export.Formats {
		b.Run(string(format), func(b *testing.B) {
			b.ReportAllocs()
			w, err := export.New(format, io.Discard)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				for _, data := range requests {
					if _, err := w.Write(data); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*spans), "ns/span")
		})
	}
}
