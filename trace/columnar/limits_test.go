package columnar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traceOf returns a trace of n spans, each as change leaves it.
func traceOf(key [16]byte, n int, change func(i int, s *tracev1.Span)) []byte {
	scope := &tracev1.ScopeSpans{}
	for i := range n {
		s := &tracev1.Span{
			TraceId: key[:], SpanId: id(i), ParentSpanId: id(i / 2), Name: "work",
			StartTimeUnixNano: 1_700_000_000_000_000_000 + uint64(i)*1000, EndTimeUnixNano: 1_700_000_000_000_000_000 + uint64(i)*1000 + 777,
		}
		if change != nil {
			change(i, s)
		}
		scope.Spans = append(scope.Spans, s)
	}
	b, err := proto.Marshal(&tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{ScopeSpans: []*tracev1.ScopeSpans{scope}}}})
	if err != nil {
		panic(err)
	}
	return b
}

func id(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i+1)*0x9e3779b97f4a7c15) }

func text(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: value}}}
}

// Whatever a trace is made of, it comes back, and taking it apart does not take more than linear time: this
// test would not end.
func TestHugeAndOddTraces(t *testing.T) {
	key := [16]byte{1}
	r := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for _, test := range []struct {
		name   string
		values [][]byte
	}{
		{"no value", nil},
		{"an empty value", [][]byte{{}}},
		{"100,000 spans", [][]byte{traceOf(key, 100_000, nil)}},
		{"one parent of all", [][]byte{traceOf(key, 20_000, func(i int, s *tracev1.Span) { s.ParentSpanId = id(77) })}},
		{"a chain", [][]byte{traceOf(key, 20_000, func(i int, s *tracev1.Span) { s.ParentSpanId = id(i - 1) })}},
		{"a chain, the last first", [][]byte{traceOf(key, 20_000, func(i int, s *tracev1.Span) { s.ParentSpanId = id(i + 1) })}},
		{"parents at random", [][]byte{traceOf(key, 20_000, func(i int, s *tracev1.Span) { s.ParentSpanId = id(r.IntN(20_000)) })}},
		{"circles", [][]byte{traceOf(key, 1000, func(i int, s *tracev1.Span) { s.ParentSpanId = id(i/10*10 + (i+1)%10) })}},
		{"parents of themselves", [][]byte{traceOf(key, 1000, func(i int, s *tracev1.Span) { s.ParentSpanId = id(i) })}},
		{"one ID for all", [][]byte{traceOf(key, 1000, func(i int, s *tracev1.Span) { s.SpanId = id(0) })}},
		{"a name each", [][]byte{traceOf(key, 20_000, func(i int, s *tracev1.Span) { s.Name = fmt.Sprintf("name of %d", i) })}},
		{"a key each", [][]byte{traceOf(key, 20_000, func(i int, s *tracev1.Span) {
			s.Attributes = append(s.Attributes, text(fmt.Sprint("key", i), "x"), text("k", "v"))
		})}},
		{"a value each", [][]byte{traceOf(key, 20_000, func(i int, s *tracev1.Span) {
			s.Attributes = append(s.Attributes, text("k", fmt.Sprint("value", i)), text("noise", fmt.Sprint(r.Uint64())))
		})}},
		{"many fields", [][]byte{traceOf(key, 3, func(i int, s *tracev1.Span) {
			for k := range 20_000 {
				s.Attributes = append(s.Attributes, text(fmt.Sprint("key", k%(5000*i+1)), "x"))
			}
		})}},
		{"many events", [][]byte{traceOf(key, 3, func(i int, s *tracev1.Span) {
			for k := range 20_000 {
				s.Events = append(s.Events, &tracev1.Span_Event{TimeUnixNano: uint64(k), Name: fmt.Sprint("event", k%1000)})
			}
		})}},
		{"long texts", [][]byte{traceOf(key, 3, func(i int, s *tracev1.Span) {
			s.Attributes = append(s.Attributes, text("k", string(bytes.Repeat([]byte("0123 abc "), 100_000+i))))
		})}},
		{"empty spans", [][]byte{traceOf(key, 20_000, func(i int, s *tracev1.Span) { *s = tracev1.Span{} })}},
		{"noise", [][]byte{noise, noise[:1000], noise[1000:]}},
		{"a chunk of a value", [][]byte{traceOf(key, 1000, nil)[500:]}},
		{"zeros", [][]byte{make([]byte, 8<<20)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			keys := make([][16]byte, len(test.values))
			for i := range keys {
				keys[i] = key
			}
			encoded := roundTrip(t, keys, test.values)
			size := len(bytes.Join(test.values, nil))
			t.Logf("%d bytes of %d", len(encoded), size)
			if len(encoded) > size+size/100+64 {
				t.Errorf("%d bytes take %d", size, len(encoded))
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	var e Encoder
	if _, err := e.Append(nil, make([][16]byte, 2), make([][]byte, 1)); err == nil {
		t.Error("two keys for one value are not refused")
	}
	if _, err := e.Append(nil, make([][16]byte, 2), [][]byte{make([]byte, MaxContent), {1}}); err == nil {
		t.Error("content of more than MaxContent is not refused")
	}
	page, _ := e.Append(nil, make([][16]byte, 1), make([][]byte, 1))
	var p Page
	if err := p.Parse(page, nil); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{-1, 1} {
		if _, err := p.Value(nil, i); err == nil {
			t.Errorf("value %d of 1 is not refused", i)
		}
	}
	for n := range page {
		if err := p.Parse(page[:n], nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("page cut after %d bytes: %v", n, err)
		}
	}
}

func TestFind(t *testing.T) {
	keys := [][16]byte{{1}, {3}, {3}, {5}}
	var e Encoder
	page, _ := e.Append(nil, keys, make([][]byte, 4))
	var p Page
	if err := p.Parse(page, nil); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[byte]int{0: -1, 1: 0, 2: -1, 3: 1, 4: -1, 5: 3, 6: -1} {
		i, found := p.Find([16]byte{key})
		if found != (want >= 0) || found && i != want {
			t.Errorf("key %d is at %d, %v; want %d", key, i, found, want)
		}
	}
}

func TestPrimer(t *testing.T) {
	pages := shop(t, 400).pages(64 << 10)
	var e Encoder
	first, err := e.Append(nil, pages[0].keys, pages[0].values)
	if err != nil {
		t.Fatal(err)
	}
	primer, err := NewPrimer(first)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewPrimer(encode(t, nil, pages[1]))
	if err != nil {
		t.Fatal(err)
	}
	var p Page
	plain, primed := 0, 0
	for _, page := range pages {
		encoded := encode(t, primer, page)
		primed += len(encoded)
		plain += len(encode(t, nil, page))
		if p.Parse(encoded, nil) == nil || p.Parse(encoded, other) == nil {
			t.Fatal("a page is read with another primer than it was made with")
		}
		if err := p.Parse(encoded, primer); err != nil {
			t.Fatal(err)
		}
		for i := len(page.values) - 1; i >= 0; i-- {
			if v, err := p.Value(nil, i); err != nil || !bytes.Equal(v, page.values[i]) {
				t.Fatalf("value %d: %v", i, err)
			}
		}
	}
	if primed > plain*3/4 {
		t.Errorf("%d bytes with a primer, %d without", primed, plain)
	}
	if err := p.Parse(first, primer); err != nil {
		t.Errorf("a page without a primer is not read where there is one: %v", err)
	}
	if _, err := NewPrimer(encode(t, primer, pages[1])); err == nil {
		t.Error("a page with a primer became a primer")
	}
}

func encode(tb testing.TB, primer *Primer, page *rows) []byte {
	e := Encoder{Primer: primer}
	encoded, err := e.Append(nil, page.keys, page.values)
	if err != nil {
		tb.Fatal(err)
	}
	return encoded
}

// A damaged page is an error or other values, but no panic, and takes no more memory than a good one could.
func TestDamage(t *testing.T) {
	page := shop(t, 100).pages(24 << 10)[0]
	encoded := encode(t, nil, page)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var p Page
	var v []byte
	for i := range encoded {
		for _, flip := range []byte{1, 0x80} {
			damaged := bytes.Clone(encoded)
			damaged[i] ^= flip
			if p.Parse(damaged, nil) != nil {
				continue
			}
			for k := range min(p.Len(), 100) {
				var err error
				if v, err = p.Value(v[:0], k); err != nil {
					break
				}
			}
		}
	}
	runtime.ReadMemStats(&after)
	if grown := (after.TotalAlloc - before.TotalAlloc) / uint64(len(encoded)); grown > 16<<20 {
		t.Errorf("%d bytes allocated for each of %d damaged pages", grown, len(encoded))
	}
}
