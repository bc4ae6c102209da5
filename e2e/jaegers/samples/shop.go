package samples

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jaegertracing/jaeger/model"
)

// Shop is four traces about which Questions asks. Their IDs are 1, 2, 3 and 4.
func Shop() [][]*model.Span {
	// Trace 1: a shop's front, slow, with an error two services down. It began a minute ago. (From 500 on a status of HTTP is an error by itself to Jaeger v2.)
	front := Plain(model.NewTraceID(0, 1), 1, "front")
	front.OperationName, front.Duration = "GET /buy", 800*time.Millisecond
	front.Process.Tags = []model.KeyValue{model.String("region", "eu"), model.Int64("replica", 3)}
	front.Tags = []model.KeyValue{model.String("user", "ann"), model.Int64("http.status_code", 404), model.Bool("retry", true),
		model.String("span.kind", "server"), model.Float64("ratio", 0.5), model.Binary("raw", []byte{1, 2})}
	call := Plain(model.NewTraceID(0, 1), 2, "front")
	call.OperationName, call.Duration = "call stock", 500*time.Millisecond
	call.Tags = []model.KeyValue{model.String("span.kind", "client")}
	call.References = []model.SpanRef{model.NewChildOfRef(call.TraceID, 1)}
	stock := Plain(model.NewTraceID(0, 1), 3, "stock")
	stock.OperationName, stock.Duration = "reserve", 300*time.Millisecond
	stock.Tags = []model.KeyValue{model.Bool("error", true), model.String("span.kind", "server")}
	stock.References = []model.SpanRef{model.NewChildOfRef(call.TraceID, 2)}
	stock.Logs = []model.Log{{Timestamp: stock.StartTime, Fields: []model.KeyValue{model.String("event", "sold out"), model.Int64("item", 42)}}}

	// Trace 2: the front again, quick, half a minute later.
	quick := Plain(model.NewTraceID(0, 2), 1, "front")
	quick.OperationName, quick.StartTime = "GET /", Now.Add(-30*time.Second)
	quick.Tags = []model.KeyValue{model.String("user", "bob"), model.Int64("http.status_code", 200)}

	// Trace 3: two days old. Its two spans together match what neither does alone.
	old := Plain(model.NewTraceID(0, 3), 1, "front")
	old.OperationName, old.StartTime = "GET /old", Now.Add(-47*time.Hour)
	old.Tags = []model.KeyValue{model.String("user", "ann")}
	old2 := Plain(model.NewTraceID(0, 3), 2, "front")
	old2.OperationName, old2.StartTime = "GET /old", Now.Add(-47*time.Hour)
	old2.Tags = []model.KeyValue{model.Int64("http.status_code", 200)}
	old2.References = []model.SpanRef{model.NewChildOfRef(old.TraceID, 1)}

	// Trace 4: a name to escape.
	strange := Plain(model.NewTraceID(0, 4), 1, "żółw/🐢 &=?")
	strange.OperationName = "/{id}?a=b"
	strange.Tags = []model.KeyValue{model.String("a:b", "c:d"), model.String("long", strings.Repeat("x", 3000))}

	return [][]*model.Span{{front, call, stock}, {quick}, {old, old2}, {strange}}
}

// Question is a search of Shop, by Jaeger's HTTP API, with its answer.
type Question struct {
	Name string
	// Query are the parameters; where it has no start, it is three days ago.
	Query map[string]string
	// Want are the numbers of the traces to find.
	Want []int
}

// Values are the parameters.
func (q Question) Values() url.Values {
	values := url.Values{"start": {micro(Now.Add(-72 * time.Hour))}}
	for k, v := range q.Query {
		values.Set(k, v)
	}
	return values
}

func micro(at time.Time) string { return fmt.Sprint(at.UnixMicro()) }

// Questions ask by every parameter, alone and together.
func Questions() []Question {
	type q = map[string]string
	return []Question{
		{"service", q{"service": "front"}, []int{1, 2, 3}},
		{"service of an inner span", q{"service": "stock"}, []int{1}},
		{"service unknown", q{"service": "nobody"}, nil},
		{"service with strange letters", q{"service": "żółw/🐢 &=?", "operation": "/{id}?a=b"}, []int{4}},
		{"service is compared whole", q{"service": "fron"}, nil},
		{"operation", q{"service": "front", "operation": "GET /buy"}, []int{1}},
		{"operation of another service", q{"service": "front", "operation": "reserve"}, nil},
		{"string tag", q{"service": "front", "tags": `{"user":"ann"}`}, []int{1, 3}},
		{"string tag, other value", q{"service": "front", "tags": `{"user":"an"}`}, nil},
		{"int tag", q{"service": "front", "tags": `{"http.status_code":"404"}`}, []int{1}},
		{"bool tag", q{"service": "front", "tags": `{"retry":"true"}`}, []int{1}},
		{"float tag", q{"service": "front", "tags": `{"ratio":"0.5"}`}, []int{1}},
		{"binary tag, in hex", q{"service": "front", "tags": `{"raw":"0102"}`}, []int{1}},
		{"error", q{"service": "stock", "tags": `{"error":"true"}`}, []int{1}},
		{"error elsewhere in the trace", q{"service": "front", "tags": `{"error":"true"}`}, nil},
		{"kind", q{"service": "front", "tags": `{"span.kind":"client"}`}, []int{1}},
		{"process tag", q{"service": "front", "tags": `{"region":"eu"}`}, []int{1}},
		{"process tag, int", q{"service": "front", "tags": `{"replica":"3"}`}, []int{1}},
		{"log field", q{"service": "stock", "tags": `{"event":"sold out"}`}, []int{1}},
		{"log field, int", q{"service": "stock", "tags": `{"item":"42"}`}, []int{1}},
		{"tags of different places", q{"service": "stock", "tags": `{"item":"42","error":"true"}`}, []int{1}},
		{"tags on one span", q{"service": "front", "tags": `{"user":"ann","http.status_code":"404"}`}, []int{1}},
		{"tags on two spans of a trace", q{"service": "front", "tags": `{"user":"ann","http.status_code":"200"}`}, nil},
		{"tag with a colon", q{"service": "żółw/🐢 &=?", "tags": `{"a:b":"c:d"}`}, []int{4}},
		{"tag with a long value", q{"service": "żółw/🐢 &=?", "tags": `{"long":"` + strings.Repeat("x", 3000) + `"}`}, []int{4}},
		{"tag with a long value, one letter less", q{"service": "żółw/🐢 &=?", "tags": `{"long":"` + strings.Repeat("x", 2999) + `"}`}, nil},
		{"min duration", q{"service": "front", "minDuration": "500ms"}, []int{1}},
		{"min duration, just above", q{"service": "front", "minDuration": "800001us"}, nil},
		{"max duration", q{"service": "front", "maxDuration": "1500us"}, []int{2, 3}},
		{"both durations", q{"service": "front", "minDuration": "400ms", "maxDuration": "600ms"}, []int{1}},
		{"duration of one span, tag of another", q{"service": "front", "maxDuration": "600ms", "tags": `{"user":"ann"}`}, []int{3}},
		{"lookback", q{"service": "front", "start": micro(Now.Add(-time.Hour))}, []int{1, 2}},
		{"exact start", q{"service": "front", "start": micro(Now.Add(-30 * time.Second)), "end": micro(Now.Add(-30 * time.Second))}, []int{2}},
		{"end before all", q{"service": "front", "end": micro(Now.Add(-48 * time.Hour))}, nil},
		{"end", q{"service": "front", "end": micro(Now.Add(-40 * time.Second))}, []int{1, 3}},
		{"everything at once", q{"service": "front", "operation": "GET /buy", "tags": `{"user":"ann","region":"eu","http.status_code":"404"}`,
			"minDuration": "1ms", "maxDuration": "1s", "start": micro(Now.Add(-time.Hour))}, []int{1}},
		{"limit: the newest", q{"service": "front", "limit": "1"}, []int{2}},
		{"limit: the two newest", q{"service": "front", "limit": "2"}, []int{1, 2}},
	}
}
