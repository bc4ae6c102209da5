package trace

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"pgregory.net/rapid"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

// treeSpan is a span of a tree of calls. parent is its place in the tree, -1 if it has none, -2 if it is missing.
type treeSpan struct {
	parent, service int
	kind            tracev1.Span_SpanKind
	start, end      uint64
	version         int
	database        bool
}

// drawTree draws the spans of a trace, most of which are what programs send: a server span of each call below the caller's client span.
func drawTree(t *rapid.T) []treeSpan {
	tree := []treeSpan{{parent: rapid.SampledFrom([]int{-1, -1, -1, -2}).Draw(t, "root"), kind: tracev1.Span_SPAN_KIND_SERVER, start: 100, end: 900}}
	for len(tree) < 14 && rapid.IntRange(0, 9).Draw(t, "more") > 0 {
		s := treeSpan{
			parent: rapid.IntRange(0, len(tree)-1).Draw(t, "parent"), kind: tracev1.Span_SPAN_KIND_CLIENT,
			start: rapid.Uint64Range(100, 200).Draw(t, "start"), end: rapid.Uint64Range(200, 300).Draw(t, "end"),
		}
		s.service = tree[s.parent].service
		if tree[s.parent].kind == tracev1.Span_SPAN_KIND_CLIENT {
			s.kind = tracev1.Span_SPAN_KIND_SERVER
			s.service = rapid.IntRange(0, 3).Draw(t, "service")
		}
		switch rapid.IntRange(0, 19).Draw(t, "odd") {
		case 0:
			s.parent = rapid.IntRange(-2, -1).Draw(t, "no parent")
		case 1:
			s.kind = tracev1.Span_SpanKind(rapid.IntRange(0, 5).Draw(t, "kind"))
		case 2:
			s.database = true
		}
		tree = append(tree, s)
	}
	return tree
}

func treeID(place int) []byte { return []byte{byte(place + 1), 7, byte(place * 31), 1, 2, 3, 4, 5} }

// piece returns the spans of a tree that stand at places.
func piece(tree []treeSpan, places []int) []byte {
	data := &tracev1.TracesData{}
	for _, at := range places {
		s := tree[at]
		span := &tracev1.Span{
			TraceId: bytes.Repeat([]byte{1}, 16), SpanId: treeID(at), Kind: s.kind, StartTimeUnixNano: s.start, EndTimeUnixNano: s.end,
			Name: fmt.Sprintf("operation %d of version %d", at%3, s.version),
		}
		if s.database {
			span.Attributes = append(span.Attributes, &commonv1.KeyValue{
				Key: "db.system", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: "redis"}},
			})
		}
		switch s.parent {
		case -1:
		case -2:
			span.ParentSpanId = treeID(100 + at%2)
		default:
			span.ParentSpanId = treeID(s.parent)
		}
		data.ResourceSpans = append(data.ResourceSpans, &tracev1.ResourceSpans{
			Resource: &resourcev1.Resource{Attributes: []*commonv1.KeyValue{{
				Key: keyService, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: fmt.Sprintf("service %d", s.service)}},
			}}},
			ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{span}}},
		})
	}
	return marshal(data)
}

func summaryOf(t interface{ Fatal(...any) }, values ...[]byte) []byte {
	value, err := Merge(nil, values...)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := AppendSummary(nil, value)
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

// However a trace is cut into pieces, and whatever is in several of them, what is joined is the summary of the whole.
func TestJoinedSummariesAreTheSummaryOfTheWhole(t *testing.T) {
	joined, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree(t)
		pieces := slices.Repeat([][]int{nil}, rapid.IntRange(1, 4).Draw(t, "pieces"))
		copies := rapid.IntRange(0, 9).Draw(t, "copies") // of ten: how often spans are in several pieces
		below := rapid.Bool().Draw(t, "whole calls")     // spans are where their parents are, unless those are clients'
		where := make([]int, len(tree))
		for at, s := range tree {
			where[at] = rapid.IntRange(0, len(pieces)-1).Draw(t, "piece")
			if below && s.parent >= 0 && tree[s.parent].kind != tracev1.Span_SPAN_KIND_CLIENT {
				where[at] = where[s.parent]
			}
			pieces[where[at]] = append(pieces[where[at]], at)
			for i := range pieces {
				if i != where[at] && copies > 6 && rapid.IntRange(0, 9).Draw(t, "copy") < copies {
					pieces[i] = append(pieces[i], at)
				}
			}
		}
		if copies == 5 {
			pieces = append(pieces, pieces[rapid.IntRange(0, len(pieces)-1).Draw(t, "replica")])
		}
		var values, summaries [][]byte
		for i, places := range pieces {
			places = slices.Clone(places)
			for k := range places { // in another order
				at := rapid.IntRange(0, k).Draw(t, "place")
				places[k], places[at] = places[at], places[k]
			}
			of := slices.Clone(tree)
			if copies == 9 && i == 0 {
				for k := range of { // the same spans, sent again with another name
					of[k].version = 1
				}
			}
			value, err := Merge(nil, piece(of, places))
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
			summaries = append(summaries, summaryOf(t, value))
		}
		got, ok, err := JoinSummaries([]byte("before"), summaries...)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			refused++
			if string(got) != "before" {
				t.Fatalf("%q is left of what is not joined", got)
			}
			return
		}
		joined++
		want, got := summaryOf(t, values...), got[len("before"):]
		if !bytes.Equal(want, got) {
			a, _ := ParseSummary(want)
			b, err := ParseSummary(got)
			t.Fatalf("(-want +got), error %v:\n%s\n%x\n%x", err, gocmp.Diff(a, b), want, got)
		}
	})
	t.Logf("%d joined, %d not", joined, refused)
	if joined == 0 || refused == 0 {
		t.Errorf("%d joined, %d not: the property was hardly looked at", joined, refused)
	}
}

func TestATraceCutBetweenCallsIsJoined(t *testing.T) {
	const client, server = tracev1.Span_SPAN_KIND_CLIENT, tracev1.Span_SPAN_KIND_SERVER
	tree := []treeSpan{
		{parent: -1, service: 0, kind: server, start: 1, end: 9},
		{parent: 0, service: 0, kind: client, start: 2, end: 8},
		{parent: 1, service: 1, kind: server, start: 3, end: 7},
		{parent: 2, service: 1, kind: client, start: 4, end: 6},
		{parent: 3, service: 0, kind: server, start: 5, end: 5},
		{parent: 1, service: 2, kind: server, start: 3, end: 4},
		{parent: 4, service: 0, kind: tracev1.Span_SPAN_KIND_INTERNAL, start: 5, end: 5},
	}
	all := piece(tree, []int{0, 1, 2, 3, 4, 5, 6})
	database := slices.Clone(tree)
	database[1].database = true
	if _, ok, err := JoinSummaries(nil, summaryOf(t, piece(database, []int{0, 1})), summaryOf(t, piece(tree, []int{2, 3, 4, 5, 6}))); ok || err != nil {
		t.Errorf("below the call of a database: joined: %v, error %v", ok, err)
	}
	for name, of := range map[string]struct {
		pieces [][]int
		tell   bool
	}{
		"one":                               {[][]int{{0, 1, 2, 3, 4, 5, 6}}, true},
		"caller and called":                 {[][]int{{0, 1}, {2, 3, 4, 5, 6}}, true},
		"three pieces":                      {[][]int{{2, 3, 5}, {0, 1}, {4, 6}}, true},
		"two that were called, apart":       {[][]int{{2, 3}, {0, 1}, {5}, {4, 6}}, false},
		"the inner call elsewhere":          {[][]int{{4, 6}, {0, 1, 2, 3, 5}}, true},
		"replicas":                          {[][]int{{0, 1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1, 0}}, true},
		"replicas of pieces":                {[][]int{{0, 1}, {2, 3, 4, 5, 6}, {1, 0}, {6, 5, 4, 3, 2}}, true},
		"nothing and everything":            {[][]int{{}, {0, 1, 2, 3, 4, 5, 6}}, true},
		"one of two that were called":       {[][]int{{0, 1, 2, 3, 4, 6}, {5}}, false},
		"cut within a service":              {[][]int{{0, 1, 2, 3, 4, 5}, {6}}, false},
		"a part and the whole":              {[][]int{{0, 1, 2, 3, 4, 5, 6}, {2, 3}}, false},
		"a span too many":                   {[][]int{{0, 1, 2, 3}, {3, 4, 5, 6}}, false},
		"two that have a piece in common":   {[][]int{{0, 1}, {2, 3, 5}, {4, 6, 5}}, false},
		"a span that is missing everywhere": {[][]int{{0, 1}, {3, 4, 5, 6}}, false},
	} {
		var summaries [][]byte
		for _, places := range of.pieces {
			summaries = append(summaries, summaryOf(t, piece(tree, places)))
		}
		got, ok, err := JoinSummaries(nil, summaries...)
		if err != nil || ok != of.tell {
			t.Errorf("%s: joined: %v, error %v", name, ok, err)
		}
		if want := summaryOf(t, all); ok && !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", name, got, want)
		}
	}
}

func TestKnottedPiecesAreNotJoined(t *testing.T) {
	const client, server = tracev1.Span_SPAN_KIND_CLIENT, tracev1.Span_SPAN_KIND_SERVER
	tree := []treeSpan{
		{parent: -1, kind: server}, {parent: 0, kind: client}, {parent: 1, kind: server, service: 1},
		{parent: 4}, {parent: 3}, // a circle
		{parent: 5}, // its own parent
	}
	for name, places := range map[string][]int{"a circle": {0, 1, 3, 4}, "its own parent": {0, 1, 5}} {
		_, ok, err := JoinSummaries(nil, summaryOf(t, piece(tree, places)), summaryOf(t, piece(tree, []int{2})))
		if ok || err != nil {
			t.Errorf("%s: joined: %v, error %v", name, ok, err)
		}
	}
	again := slices.Clone(tree)
	again[1].version = 1
	both := summaryOf(t, piece(tree, []int{0, 1}), piece(again, []int{1}))
	if _, ok, err := JoinSummaries(nil, both, summaryOf(t, piece(tree, []int{2}))); ok || err != nil {
		t.Errorf("two spans of an ID: joined: %v, error %v", ok, err)
	}
	if _, ok, err := JoinSummaries(nil, summaryOf(t, piece(tree, []int{0, 1})), summaryOf(t, piece(tree, []int{2}))); !ok || err != nil {
		t.Errorf("without the knots: joined: %v, error %v", ok, err)
	}
}

func TestEqualSummariesAreOfTheSameSpans(t *testing.T) {
	tree := []treeSpan{{parent: -1, start: 1, end: 2}, {parent: 0, start: 1, end: 2}}
	again := slices.Clone(tree)
	again[1].version = 1
	a, b := summaryOf(t, piece(tree, []int{0, 1})), summaryOf(t, piece(again, []int{0, 1}))
	if bytes.Equal(a, b) {
		t.Error("spans with other names have the same summary")
	}
	if c := summaryOf(t, piece(tree, []int{1}), piece(tree, []int{1, 0})); !bytes.Equal(a, c) {
		t.Error("the same spans in another order, one of them twice, have another summary")
	}
}

func TestNoSummariesAreNotJoined(t *testing.T) {
	if got, ok, err := JoinSummaries(nil); got != nil || ok || err != nil {
		t.Error(got, ok, err)
	}
	if _, _, err := JoinSummaries(nil, summaryOf(t), []byte("no summary")); !errors.Is(err, ErrSummary) {
		t.Error(err)
	}
}

func TestEdgesAreAddedUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c EdgeCounter
		want := map[[2]string]uint64{}
		for range rapid.IntRange(0, 5).Draw(t, "traces") {
			tree := drawTree(t)
			var places []int
			for at := range tree {
				places = append(places, at)
			}
			encoded := summaryOf(t, piece(tree, places))
			s, err := ParseSummary(encoded)
			if err == nil {
				err = c.Add(encoded)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range s.Edges {
				want[[2]string{e.Parent, e.Child}] += e.Calls
			}
		}
		got := c.Edges()
		for i, e := range got {
			if want[[2]string{e.Parent, e.Child}] != e.Calls || i > 0 && !(got[i-1].Parent < e.Parent || got[i-1].Parent == e.Parent && got[i-1].Child < e.Child) {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func FuzzJoinSummaries(f *testing.F) {
	tree := []treeSpan{{parent: -1, kind: tracev1.Span_SPAN_KIND_CLIENT}, {parent: 0, service: 1}}
	f.Add(summaryOf(f, piece(tree, []int{0})), summaryOf(f, piece(tree, []int{1})))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var c EdgeCounter
		var joined []byte
		var ok bool
		var err error
		fuzztest.Bounded(t, 512*(len(a)+len(b)), func() {
			_ = c.Add(a)
			joined, ok, err = JoinSummaries(nil, a, b)
		})
		if err != nil && !errors.Is(err, ErrSummary) || ok && err != nil {
			t.Fatal(ok, err)
		}
		if !ok {
			return
		}
		// What is joined of summaries is one, and one of as many spans as they have.
		x, _ := ParseSummary(a)
		y, _ := ParseSummary(b)
		z, err := ParseSummary(joined)
		if most := 1 << 40; x.Spans < most && y.Spans < most && (err != nil || z.Spans != x.Spans+y.Spans && !bytes.Equal(a, b)) {
			t.Fatal(x.Spans, y.Spans, z.Spans, err)
		}
	})
}

func BenchmarkJoinSummaries(b *testing.B) {
	tree := []treeSpan{{parent: -1, kind: tracev1.Span_SPAN_KIND_SERVER}}
	for i := range 20 {
		tree = append(tree, treeSpan{parent: i, service: i / 2 % 5, kind: tracev1.Span_SPAN_KIND_CLIENT - tracev1.Span_SpanKind(i%2)})
	}
	var top, rest []int
	for at := range tree {
		if at < 10 {
			top = append(top, at)
		} else {
			rest = append(rest, at)
		}
	}
	x, y := summaryOf(b, piece(tree, top)), summaryOf(b, piece(tree, rest))
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, _, err = JoinSummaries(dst[:0], x, y); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEdgeCounter(b *testing.B) {
	data, _ := shopTrace(newRand(1))
	encoded := summaryOf(b, marshal(data))
	var c EdgeCounter
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Add(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
