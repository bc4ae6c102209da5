package spanfilter_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter/filtertest"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// show writes a filter as a function call.
func show(e spanfilter.Expr) string {
	switch e := e.(type) {
	case *spanfilter.Call:
		var args []string
		for _, arg := range e.Args {
			args = append(args, show(arg))
		}
		return e.Op + "(" + strings.Join(args, ", ") + ")"
	case *spanfilter.Attribute:
		return e.Level + "[" + e.Key + "]"
	case *spanfilter.Field:
		return e.Level + "." + e.Name
	case *spanfilter.Collection:
		return e.Level + "s"
	case *spanfilter.Scalar:
		return e.Type + "'" + e.Value + "'"
	case *spanfilter.List:
		return e.Type + "'" + strings.Join(e.Values, "','") + "'"
	}
	return "?"
}

func TestMatcherAndIndexAgreeWithANaiveReading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		form := filtertest.DrawForm(t)
		filter, err := spanfilter.New(form)
		if err != nil {
			t.Fatal(err)
		}
		var spans []*tracev1.ResourceSpans
		var holds []bool
		rows := index.NewMemory()
		matcher := filter.Matcher()
		for i := range rapid.IntRange(1, 6).Draw(t, "spans") {
			spans = append(spans, filtertest.DrawSpan(t, byte(1+i%2), byte(1+i)))
			data, err := proto.Marshal(&tracev1.TracesData{ResourceSpans: spans[i:]})
			if err != nil {
				t.Fatal(err)
			}
			rows.Own(uint32(i))
			if err := trace.Index(data, rows); err != nil {
				t.Fatal(err)
			}
			err = trace.WalkShells(data, func(shell *trace.Shell, span []byte) error {
				h, err := matcher.Holds(shell, span)
				holds = append(holds, h)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if want := filtertest.Holds(form, spans[i]); holds[i] != want {
				t.Fatalf("%s: %v, want %v, of %s", show(form), holds[i], want, prototext.Format(spans[i]))
			}
		}
		plan := filter.Plan()
		search := func(where *index.Expr) map[byte]bool {
			if plan.Empty() {
				return nil
			}
			q := &index.Query{Where: where, Start: plan.Start, Duration: plan.Duration}
			encoded, err := index.AppendQuery(nil, q)
			if err != nil {
				t.Fatal(err)
			}
			if q, err = index.ParseQuery(encoded, tracedb.CompilePattern); err != nil {
				t.Fatalf("%s does not travel: %v", show(form), err)
			}
			hits, err := rows.Search(t.Context(), q, func(owner uint32) [16]byte { return [16]byte{byte(owner)} })
			if err != nil {
				t.Fatal(err)
			}
			found := map[byte]bool{}
			for _, hit := range hits {
				found[hit.Key[0]] = true
			}
			return found
		}
		over, under := search(plan.Over), search(plan.Under)
		for i, h := range holds {
			switch {
			case h && !over[byte(i)]:
				t.Fatalf("%s holds, and over does not, of %s", show(form), prototext.Format(spans[i]))
			case !h && under[byte(i)]:
				t.Fatalf("%s does not hold, and under does, of %s", show(form), prototext.Format(spans[i]))
			case h && plan.Named && !slices.Contains(plan.Traces, trace.ID(spans[i].ScopeSpans[0].Spans[0].TraceId)):
				t.Fatalf("%s holds, but names only the traces %v, of %s", show(form), plan.Traces, prototext.Format(spans[i]))
			case plan.Exact && (h != over[byte(i)] || plan.Over != plan.Under):
				t.Fatalf("%s is not exact, of %s", show(form), prototext.Format(spans[i]))
			}
		}
	})
}

func call(op string, args ...spanfilter.Expr) *spanfilter.Call {
	return &spanfilter.Call{Op: op, Args: args}
}

func attribute(key string) *spanfilter.Attribute { return &spanfilter.Attribute{Key: key} }
func at(level, key string) *spanfilter.Attribute {
	return &spanfilter.Attribute{Key: key, Level: level}
}
func field(level, name string) *spanfilter.Field { return &spanfilter.Field{Name: name, Level: level} }
func constant(value string) *spanfilter.Scalar   { return &spanfilter.Scalar{Value: value} }
func typed(typ, value string) *spanfilter.Scalar { return &spanfilter.Scalar{Value: value, Type: typ} }
func list(values ...string) *spanfilter.List     { return &spanfilter.List{Values: values} }
func nested(level string) *spanfilter.Collection { return &spanfilter.Collection{Level: level} }

func TestWhatIsAskedMostIsTheIndexsAlone(t *testing.T) {
	for _, form := range []*spanfilter.Call{
		call("eq", field("resource", "service"), constant("cart")),
		call("eq", attribute("http.method"), constant("GET")),
		call("eq", at("span", "http.status_code"), constant("500")),
		call("not", call("eq", at("resource", "zone"), constant("eu"))),
		call("ne", attribute("http.method"), constant("GET")),
		call("in", attribute("http.method"), list("GET", "POST")),
		call("exists", at("event", "exception.type")),
		call("some", nested("event"), call("eq", at("event", "exception.type"), constant("Timeout"))),
		call("eq", attribute("error"), constant("true")),
		call("eq", attribute("error"), constant("false")),
		call("regex", field("span", "name"), constant("G.T")),
		call("in", field("span", "kind"), list("server", "consumer")),
		call("and", call("gt", field("span", "duration"), constant("2s")), call("lte", constant("2026-01-01T00:00:00Z"), field("span", "startTime")),
			call("or", call("eq", attribute("a"), constant("x")), call("eq", attribute("b"), constant("y")))),
		call("eq", constant("1"), constant("1")),
	} {
		f, err := spanfilter.New(form)
		if err != nil {
			t.Fatal(err)
		}
		if !f.Plan().Exact {
			t.Errorf("%s reads spans", show(form))
		}
	}
}

func TestWhoHasIDsNamesTheTraces(t *testing.T) {
	const a, b = "4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000007"
	id := func(text string) *spanfilter.Call { return call("eq", field("span", "traceID"), constant(text)) }
	span := call("eq", field("span", "spanID"), constant("00f067aa0ba902b7"))
	for _, c := range []struct {
		form *spanfilter.Call
		want []string
	}{
		{call("or", call("and", id(a), span), call("and", span, id(b))), []string{b, a}},
		{call("in", field("span", "traceID"), list(a, b, "7")), []string{b, a}},
		{call("and", id(a), id(b)), []string{}},
		{id("7"), []string{}},
		{call("or", id(a), span), nil},
		{call("not", id(a)), nil},
		{call("ne", field("span", "traceID"), constant(a)), nil},
		{call("regex", field("span", "traceID"), constant("7")), nil},
		{call("eq", field("link", "traceID"), constant(a)), nil},
	} {
		f, err := spanfilter.New(c.form)
		if err != nil {
			t.Fatal(err)
		}
		plan := f.Plan()
		var got []string
		if plan.Named {
			got = []string{}
		}
		for _, id := range plan.Traces {
			got = append(got, id.String())
		}
		if plan.Named != (c.want != nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s names %q, want %q", show(c.form), got, c.want)
		}
	}
}

func TestColumnsAreBoundedByWhatMustHold(t *testing.T) {
	second := int64(1e9)
	f, err := spanfilter.New(call("and", call("gt", field("span", "duration"), constant("1s")), call("and", call("gte", constant("3s"), field("span", "duration")),
		call("lt", field("span", "startTime"), constant("1970-01-01T00:00:01Z")))))
	if err != nil {
		t.Fatal(err)
	}
	p := f.Plan()
	if want := (index.Range{Min: second + 1, Max: 3 * second}); p.Duration != want {
		t.Errorf("duration %v, want %v", p.Duration, want)
	}
	if want := (index.Range{Min: math.MinInt64, Max: second - 1}); p.Start != want {
		t.Errorf("start %v, want %v", p.Start, want)
	}
}

func TestWhatMakesNoSenseIsRefusedWithItsPlace(t *testing.T) {
	deep := call("exists", attribute("a"))
	for range 20 {
		deep = call("not", deep)
	}
	many := make([]string, 3000)
	for _, c := range []struct {
		form *spanfilter.Call
		want string
	}{
		{nil, "filter: it is empty"},
		{call("like", attribute("a"), constant("b")), `filter: unknown operator "like"`},
		{call("and", call("exists", attribute("a"))), "and: it has 1 operands, and takes 2"},
		{call("and", call("exists", attribute("a")), call("not", call("gt", attribute("a")))), "and[1].not[0].gt: it has 1 operands, and takes 2"},
		{call("not", attribute("a")), "not[0]: it must be a call"},
		{call("not", nil), "not[0]: it must be a call"},
		{call("not", (*spanfilter.Call)(nil)), "not[0]: it must be a call"},
		{call("eq", nil, constant("a")), "eq[0]: it must be an attribute or a field"},
		{call("eq", (*spanfilter.Scalar)(nil), constant("a")), "eq[0]: it must be an attribute or a field"},
		{call("eq", attribute(""), constant("a")), "eq[0]: an attribute without a key"},
		{call("eq", at("trace", "a"), constant("a")), `eq[0]: unknown level "trace"`},
		{call("eq", field("", "name"), constant("a")), "eq[0]: a field is of a level"},
		{call("eq", field("span", "service"), constant("a")), `eq[0]: level span has no field "service"`},
		{call("eq", field("span", "duration"), constant("5")), `eq[1]: compared with span.duration: "5" is no duration`},
		{call("eq", field("span", "duration"), typed("int", "5")), "eq[1]: compared with span.duration: a constant of type int"},
		{call("eq", field("span", "startTime"), constant("today")), `eq[1]: compared with span.startTime: "today" is no time`},
		{call("eq", field("span", "kind"), constant("SERVER")), `eq[1]: compared with span.kind: span kind "SERVER" is none of`},
		{call("eq", constant("failed"), field("span", "status")), `eq[0]: compared with span.status: status "failed" is none of`},
		{call("eq", field("span", "name"), typed("int", "5")), "eq[1]: compared with span.name: a constant of type int"},
		{call("eq", attribute("a"), typed("int", "x")), `eq[1]: "x" is not of type int`},
		{call("eq", attribute("a"), typed("date", "x")), `eq[1]: the type "date" is none of`},
		{call("gt", attribute("a"), typed("bool", "true")), "gt[1]: a bool has no order"},
		{call("gt", field("span", "kind"), constant("server")), "gt[0]: span.kind holds a span kind, which has no order"},
		{call("gt", field("span", "duration"), field("span", "name")), "gt[1]: span.duration holds a duration, and span.name text"},
		{call("eq", typed("int", "1"), typed("bool", "true")), "eq[1]: a constant of type"},
		{call("in", attribute("a"), list()), "in[1]: it must be a list with an element"},
		{call("in", attribute("a"), constant("a")), "in[1]: it must be a list"},
		{call("not_in", field("span", "duration"), list("1s", "x")), `not_in[1]: compared with span.duration: "x"`},
		{call("regex", field("span", "duration"), constant("1")), "regex[0]: a pattern matches text"},
		{call("regex", attribute("a"), constant("^a")), `regex[1]: the pattern "^a" has an anchor`},
		{call("regex", attribute("a"), constant("(")), "regex[1]: error parsing regexp"},
		{call("regex", attribute("a"), typed("int", "1")), "regex[1]: it must be a pattern"},
		{call("exists", constant("a")), "exists[0]: it must be an attribute or a field"},
		{call("exists", nested("event")), "exists[0]: it must be an attribute or a field"},
		{call("some", nested("span"), call("exists", attribute("a"))), "some[0]: it must be the collection"},
		{call("some", nested("event"), call("not", call("some", nested("event"), call("exists", attribute("a"))))), "some[1].not[0].some[0]: within an operator some"},
		{call("phrase", field("span", "name"), list("a")), "phrase[0]: words are looked for in attributes"},
		{call("phrase", attribute("a"), list("a b")), "phrase[1]: \"a b\" is no word"},
		{call("fulltext", attribute("a"), list()), "fulltext[1]: there is no word"},
		{call("fulltext", attribute("a"), &spanfilter.List{Values: []string{"a"}, Type: "int"}), "fulltext[1]: it must be a list of words"},
		{deep, "calls nest more than 20 deep"},
		{call("in", attribute("a"), list(many...)), "in[1]: the filter is too large"},
		{call("eq", attribute("a"), constant(strings.Repeat("x", 200_000))), "eq[1]: the filter is too large"},
	} {
		f, err := spanfilter.New(c.form)
		if err == nil || !strings.Contains(err.Error(), c.want) || f != nil {
			t.Errorf("%s: %v, want %s", show(c.form), err, c.want)
		}
	}
	// The same level may be picked twice, one after the other.
	twice := call("some", nested("event"), call("exists", at("event", "a")))
	if _, err := spanfilter.New(call("and", twice, twice)); err != nil {
		t.Error(err)
	}
}

func TestFiltersAreToldApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := filtertest.DrawForm(t), filtertest.DrawForm(t)
		fa, _ := spanfilter.New(a)
		fb, _ := spanfilter.New(b)
		if (show(a) == show(b)) != (string(fa.AppendTo(nil)) == string(fb.AppendTo(nil))) {
			t.Fatalf("%s and %s", show(a), show(b))
		}
	})
}
