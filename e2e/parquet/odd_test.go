package parquet

import (
	"path/filepath"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tracedb"
)

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func attribute(key string, value *common.AnyValue) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: value}
}

// begin has digits down to the nanosecond.
var begin = time.Date(2026, 2, 3, 4, 5, 6, 123456789, time.UTC)

// odd are two spans: the first has one of everything, the second nothing.
func odd() *otlp.TracesData {
	id := []byte{0xde, 0xad, 15: 1}
	list := &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{text("x"), {Value: &common.AnyValue_IntValue{IntValue: 2}}}}}}
	user := &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: []*common.KeyValue{attribute("name", text("Ä \"quoted\"")), attribute("tags", list)}}}}
	start := uint64(begin.UnixNano())
	return &otlp.TracesData{ResourceSpans: []*otlp.ResourceSpans{
		{
			Resource: &resource.Resource{Attributes: []*common.KeyValue{attribute("service.name", text("cart")), attribute("host.name", text("n1"))}},
			ScopeSpans: []*otlp.ScopeSpans{{
				Scope: &common.InstrumentationScope{Name: "lib", Version: "1.2", Attributes: []*common.KeyValue{attribute("short", text("yes"))}},
				Spans: []*otlp.Span{{
					TraceId: id, SpanId: []byte{0xab, 7: 2}, ParentSpanId: []byte{0xab, 7: 3}, TraceState: "a=b", Name: "Größe 🛒", Kind: otlp.Span_SPAN_KIND_SERVER,
					StartTimeUnixNano: start, EndTimeUnixNano: start + 1_234_567_891,
					Status: &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR, Message: "no\nmore"},
					Attributes: []*common.KeyValue{
						attribute("text", text("it's")), attribute("empty", text("")), attribute("yes", &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}),
						attribute("int", &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: -9007199254740993}}),
						attribute("double", &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: 0.1}}),
						attribute("bytes", &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: []byte{0, 0xff}}}),
						attribute("list", list), attribute("user", user),
					},
					Events: []*otlp.Span_Event{
						{TimeUnixNano: start + 1, Name: "retry", Attributes: []*common.KeyValue{attribute("try", &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: 2}})}},
						{TimeUnixNano: start + 2, Name: "exception"},
					},
					Links: []*otlp.Span_Link{{TraceId: []byte{0xfe, 15: 4}, SpanId: []byte{0xfe, 7: 5}}},
				}},
			}},
		},
		{ScopeSpans: []*otlp.ScopeSpans{{Spans: []*otlp.Span{{TraceId: id, SpanId: []byte{7: 9}, StartTimeUnixNano: start + 500, EndTimeUnixNano: start + 500}}}}},
	}}
}

// oddStore is a store with the odd spans in a block.
func oddStore(t *testing.T) string {
	t.Helper()
	data, err := proto.Marshal(odd())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	w, err := block.NewWriter(t.Context(), bucket, "single-tenant", block.WriterOptions{Codec: tracedb.Codec{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add([16]byte{0xde, 0xad, 15: 1}, data); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTheColumnsHaveTheTypesThatAreDocumented(t *testing.T) {
	d := export(t, oddStore(t))
	const attributes = "MAP(VARCHAR, VARCHAR)"
	d.answers("SELECT column_name, column_type FROM (DESCRIBE spans)",
		"trace_id | VARCHAR", "span_id | VARCHAR", "parent_span_id | VARCHAR", "service | VARCHAR", "name | VARCHAR", "kind | VARCHAR",
		"start | TIMESTAMP WITH TIME ZONE", "start_unix_nano | BIGINT", "duration_nano | BIGINT",
		"status_code | VARCHAR", "status_message | VARCHAR", "trace_state | VARCHAR", "scope_name | VARCHAR", "scope_version | VARCHAR",
		"resource_attributes | "+attributes, "scope_attributes | "+attributes, "span_attributes | "+attributes, "events | VARCHAR", "links | VARCHAR")
}

func TestASpanWithOneOfEverythingComesBack(t *testing.T) {
	d := export(t, oddStore(t))
	d.answers("SELECT trace_id, span_id, parent_span_id, service, name, kind FROM spans ORDER BY start_unix_nano",
		"dead0000000000000000000000000001 | ab00000000000002 | ab00000000000003 | cart | Größe 🛒 | server",
		"dead0000000000000000000000000001 | 0000000000000009 | <nil> | OTLPResourceNoServiceName |  | unspecified")
	d.answers("SELECT status_code, status_message, trace_state, scope_name, scope_version FROM spans ORDER BY start_unix_nano",
		"error | no\nmore | a=b | lib | 1.2", "unset | <nil> | <nil> |  | ")

	// Times as times, and with all digits.
	d.answers("SELECT start::VARCHAR, start_unix_nano, duration_nano, make_timestamp_ns(start_unix_nano)::VARCHAR FROM spans ORDER BY start_unix_nano",
		"2026-02-03 04:05:06.123456+00 | 1770091506123456789 | 1234567891 | 2026-02-03 04:05:06.123456789",
		"2026-02-03 04:05:06.123457+00 | 1770091506123457289 | 0 | 2026-02-03 04:05:06.123457289")
	d.answers("SELECT (start + to_microseconds(duration_nano // 1000))::VARCHAR FROM spans WHERE duration_nano > 0", "2026-02-03 04:05:07.358023+00")

	// Attributes: by key, and of every type.
	d.answers("SELECT map_keys(span_attributes)::VARCHAR FROM spans WHERE kind = 'server'", "[text, empty, yes, int, double, bytes, list, user]")
	for key, want := range map[string]string{
		"text": "it's", "empty": "", "yes": "true", "int": "-9007199254740993", "double": "0.1", "bytes": "00ff", "list": `["x",2]`,
		"user": `{"name":"Ä \"quoted\"","tags":["x",2]}`, "not there": "<nil>",
	} {
		d.answers("SELECT span_attributes['"+key+"'] FROM spans WHERE kind = 'server'", want)
	}
	d.answers(`SELECT span_attributes['int']::BIGINT + 1, span_attributes['double']::DOUBLE, span_attributes['yes']::BOOLEAN,
		span_attributes['user']->>'$.name', (span_attributes['user']->'$.tags'->1)::INT FROM spans WHERE kind = 'server'`,
		`-9007199254740992 | 0.1 | true | Ä "quoted" | 2`)
	d.answers("SELECT resource_attributes['host.name'], scope_attributes['short'], cardinality(resource_attributes) FROM spans ORDER BY start_unix_nano",
		"n1 | yes | 2", "<nil> | <nil> | 0")

	// Events, a row each.
	d.answers(`SELECT span_id, event->>'$.name', (event->>'$.timeUnixNano')::BIGINT - start_unix_nano, event->>'$.attributes[0].key', event->>'$.attributes[0].value.intValue'
		FROM (SELECT *, unnest(from_json(events, '["JSON"]')) AS event FROM spans)`,
		"ab00000000000002 | retry | 1 | try | 2", "ab00000000000002 | exception | 2 | <nil> | <nil>")
	d.answers("SELECT links->>'$[0].traceId', links->>'$[0].spanId', events FROM spans ORDER BY start_unix_nano",
		"fe000000000000000000000000000004 | fe00000000000005 | "+d.lines("SELECT events FROM spans WHERE kind = 'server'")[0], "<nil> | <nil> | <nil>")
}
