package trace

import "testing"

// perSpan reports the time a span, of spans spans an operation.
func perSpan(b *testing.B, spans int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(spans), "ns/span")
}

func BenchmarkSplit(b *testing.B) {
	for _, bench := range []struct {
		name          string
		traces, spans int // spans a trace
	}{
		{"one_trace", 1, 20},
		{"batch_of_64_traces", 64, 8},
		{"batch_of_512_traces", 512, 1},
	} {
		request := marshal(shopBatch(newRand(1), bench.traces, bench.spans))
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(request)))
			var s Splitter
			for b.Loop() {
				if fragments, _, err := s.Split(request); err != nil || len(fragments) != bench.traces {
					b.Fatal(len(fragments), err)
				}
			}
			perSpan(b, bench.traces*bench.spans)
		})
	}
}

// countingSink knows all groups but the first time it sees them.
type countingSink struct {
	known       bool
	rows, terms int
}

func (s *countingSink) Group([]byte) bool     { return s.known }
func (s *countingSink) GroupTerm(_, _ []byte) { s.terms++ }
func (s *countingSink) Row(_, _ int64)        { s.rows++ }
func (s *countingSink) Term(_, _ []byte)      { s.terms++ }

func BenchmarkIndex(b *testing.B) {
	data, spans := shopTrace(newRand(1))
	value := marshal(data)
	for _, known := range []bool{true, false} {
		name := map[bool]string{true: "known_groups", false: "new_groups"}[known]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			sink := &countingSink{known: known}
			for b.Loop() {
				if err := Index(value, sink); err != nil {
					b.Fatal(err)
				}
			}
			perSpan(b, spans)
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	data, spans := shopTrace(newRand(1))
	value := marshal(data)
	half := len(data.ResourceSpans) / 2
	first, second := data.ResourceSpans[:half], data.ResourceSpans[half:]
	data.ResourceSpans = first
	a := marshal(data)
	data.ResourceSpans = second
	c := marshal(data)
	for _, bench := range []struct {
		name   string
		values [][]byte
		spans  int
	}{
		{"one_value", [][]byte{value}, spans},
		{"two_halves", [][]byte{a, c}, spans},
		{"three_replicas", [][]byte{value, value, value}, 3 * spans},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			var m Merger
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = m.Merge(dst[:0], bench.values...); err != nil {
					b.Fatal(err)
				}
			}
			perSpan(b, bench.spans)
		})
	}
}

func BenchmarkSummary(b *testing.B) {
	data, spans := shopTrace(newRand(1))
	value := marshal(data)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			var err error
			if dst, err = AppendSummary(dst[:0], value); err != nil {
				b.Fatal(err)
			}
		}
		perSpan(b, spans)
		b.ReportMetric(float64(len(dst)), "bytes")
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		encoded, err := AppendSummary(nil, value)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := ParseSummary(encoded); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	data, spans := shopTrace(newRand(1))
	value := marshal(data)
	b.ReportAllocs()
	for b.Loop() {
		if err := Walk(value, func(_, _, _ []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, spans)
}
