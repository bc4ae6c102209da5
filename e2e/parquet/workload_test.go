package parquet

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/bench/workload"
)

const (
	seed   = 11
	traces = 5400 // more rows than go into one row group
)

// sent is a span of the workload, and what it was sent with.
type sent struct {
	*otlp.Span
	resource, attributes map[string]string
}

func (s *sent) kind() string { return []string{"unspecified", "internal", "server", "client"}[s.Kind] }

func texts(list []*common.KeyValue) map[string]string {
	m := make(map[string]string, len(list))
	for _, kv := range list {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			m[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			m[kv.Key] = strconv.FormatInt(v.IntValue, 10)
		default:
			panic(fmt.Sprintf("attribute %s is a %T", kv.Key, v))
		}
	}
	return m
}

// shop is the workload, in blocks and as it was sent.
var shop struct {
	sync.Once
	store string
	spans []sent // by ID
}

// generate writes the workload as blocks, once.
func generate(t *testing.T) (store string, spans []sent) {
	t.Helper()
	shop.Do(func() {
		shop.store = filepath.Join(filepath.Dir(cli), "data")
		run(t, "--store="+shop.store, "gen", fmt.Sprintf("--traces=%d", traces), fmt.Sprintf("--seed=%d", seed), "--block-bytes=8MiB")
		for r := range workload.New(seed, traces).Requests() {
			var m otlp.TracesData
			if err := proto.Unmarshal(r.Data, &m); err != nil {
				t.Fatal(err)
			}
			for _, rs := range m.ResourceSpans {
				of := texts(rs.Resource.Attributes)
				for _, ss := range rs.ScopeSpans {
					for _, s := range ss.Spans {
						shop.spans = append(shop.spans, sent{s, of, texts(s.Attributes)})
					}
				}
			}
		}
		slices.SortFunc(shop.spans, func(a, b sent) int { return slices.Compare(a.SpanId, b.SpanId) })
	})
	return shop.store, shop.spans
}

// counted returns the groups of spans with their sizes, as lines, sorted.
func counted(spans []sent, group func(s *sent) string) []string {
	n := make(map[string]int)
	for i := range spans {
		if key := group(&spans[i]); key != "" {
			n[key]++
		}
	}
	lines := make([]string, 0, len(n))
	for _, key := range slices.Sorted(maps.Keys(n)) {
		lines = append(lines, fmt.Sprintf("%s | %d", key, n[key]))
	}
	return lines
}

func TestDuckDBFindsInTheWorkloadWhatWasSent(t *testing.T) {
	store, spans := generate(t)
	d := export(t, store)
	d.answers("SELECT count(*), count(DISTINCT trace_id), count(DISTINCT span_id) FROM spans", fmt.Sprintf("%d | %d | %d", len(spans), traces, len(spans)))
	if groups := d.lines("SELECT count(DISTINCT row_group_id) FROM parquet_metadata('spans.parquet')")[0]; groups != fmt.Sprint((len(spans)+99_999)/100_000) || groups == "1" {
		t.Errorf("%s row groups", groups)
	}

	d.answers("SELECT service || '/' || name || '/' || kind AS k, count(*) FROM spans GROUP BY k ORDER BY k",
		counted(spans, func(s *sent) string { return s.resource["service.name"] + "/" + s.Name + "/" + s.kind() })...)
	d.answers("SELECT service, count(*) FROM spans WHERE status_code = 'error' GROUP BY service ORDER BY service",
		counted(spans, func(s *sent) string {
			if s.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR {
				return ""
			}
			return s.resource["service.name"]
		})...)
	d.answers("SELECT resource_attributes['k8s.pod.name'] AS pod, count(*) FROM spans GROUP BY pod ORDER BY pod",
		counted(spans, func(s *sent) string { return s.resource["k8s.pod.name"] })...)
	d.answers("SELECT name, count(*) FROM spans WHERE span_attributes['http.status_code']::INT >= 500 GROUP BY name ORDER BY name",
		counted(spans, func(s *sent) string {
			if code, _ := strconv.Atoi(s.attributes["http.status_code"]); code < 500 {
				return ""
			}
			return s.Name
		})...)
	from, to := workload.Base.Add(30*time.Second), workload.Base.Add(90*time.Second)
	d.answers(fmt.Sprintf("SELECT service, count(*) FROM spans WHERE start >= '%s' AND start < '%s' GROUP BY service ORDER BY service", from.Format(time.RFC3339), to.Format(time.RFC3339)),
		counted(spans, func(s *sent) string {
			if at := time.Unix(0, int64(s.StartTimeUnixNano)); at.Before(from) || !at.Before(to) {
				return ""
			}
			return s.resource["service.name"]
		})...)
	events := 0
	for _, s := range spans {
		events += len(s.Events)
	}
	d.answers("SELECT sum(json_array_length(events))::BIGINT FROM spans", fmt.Sprint(events))
	everyRow(t, d, spans)

	// What the documentation says to ask can be asked, and has an answer.
	page, err := os.ReadFile("../../docs/tempo-cli.md")
	if err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, block := range sqlBlock.FindAllStringSubmatch(string(page), -1) {
		for query := range strings.SplitSeq(strings.TrimRight(block[1], ";\n"), ";") {
			queries++
			if answer := d.lines(query); len(answer) == 0 {
				t.Errorf("no answer to %s", query)
			}
		}
	}
	if queries < 3 {
		t.Errorf("the documentation has %d queries", queries)
	}
}

var sqlBlock = regexp.MustCompile("(?s)```sql\n(.*?)```")

// everyRow compares each row with its span.
func everyRow(t *testing.T, d *table, spans []sent) {
	t.Helper()
	const query = `SELECT trace_id, span_id, parent_span_id, service, kind, name, epoch_ns(start) // 1000, start_unix_nano, duration_nano,
		to_json(map_from_entries(list_sort(map_entries(resource_attributes))))::VARCHAR, to_json(map_from_entries(list_sort(map_entries(span_attributes))))::VARCHAR,
		json_array_length(events), events->>'$[0].name' FROM spans ORDER BY span_id`
	rows := d.lines(query)
	if len(rows) != len(spans) {
		t.Fatalf("%d rows of %d spans", len(rows), len(spans))
	}
	wrong := 0
	for i := range spans {
		s := &spans[i]
		parent, n, first := "<nil>", "<nil>", "<nil>"
		if len(s.ParentSpanId) > 0 {
			parent = fmt.Sprintf("%x", s.ParentSpanId)
		}
		if len(s.Events) > 0 {
			n, first = fmt.Sprint(len(s.Events)), s.Events[0].Name
		}
		want := fmt.Sprintf("%x | %x | %s | %s | %s | %s | %d | %d | %d | %s | %s | %s | %s", s.TraceId, s.SpanId, parent, s.resource["service.name"], s.kind(), s.Name,
			s.StartTimeUnixNano/1000, s.StartTimeUnixNano, s.EndTimeUnixNano-s.StartTimeUnixNano, jsonOf(s.resource), jsonOf(s.attributes), n, first)
		if rows[i] != want {
			if wrong++; wrong < 4 {
				t.Errorf("row\n  %s\nwant\n  %s", rows[i], want)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d rows are wrong", wrong)
	}
}

func TestAnExportWithConditionsHasTheWholeTracesThatTheyHoldFor(t *testing.T) {
	store, spans := generate(t)
	d := export(t, store, "--service=frontend", "--tag=http.status_code=500")
	wanted := make(map[string]bool)
	for _, s := range spans {
		if s.resource["service.name"] == "frontend" && s.attributes["http.status_code"] == "500" {
			wanted[string(s.TraceId)] = true
		}
	}
	if len(wanted) == 0 {
		t.Fatal("the workload has no such trace")
	}
	d.answers("SELECT trace_id, count(*) FROM spans GROUP BY trace_id ORDER BY trace_id", counted(spans, func(s *sent) string {
		if !wanted[string(s.TraceId)] {
			return ""
		}
		return fmt.Sprintf("%x", s.TraceId)
	})...)
}

// jsonOf returns a map as DuckDB writes it, keys ascending. The workload has nothing that must be escaped.
func jsonOf(m map[string]string) string {
	text := []byte{'{'}
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendQuote(text, key)
		text = strconv.AppendQuote(append(text, ':'), m[key])
	}
	return string(append(text, '}'))
}
