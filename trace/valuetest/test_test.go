package valuetest

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/trace"
)

var texts = []string{
	"", "GET", "get", "true", "false", "1", "0", "t", "500", "5e2", "500.0", "0500", "499", "9", "-0", "1000000", "1e+06", "1e6", "0.1", "0.30000000000000004", "0.3",
	"9007199254740992", "9007199254740993", "9.007199254740992e+15", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "NaN", "Inf", "+Inf", "-Inf",
	"0.3333333333", "0.3333333333333333", "cafe", "8080", "[1]", "{}", "2s", "refund policy", "Refund, the POLICY", "über", "x\xff",
	strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("x", 240) + "y" + strings.Repeat("z", 30), strings.Repeat("ab", 130), strings.Repeat("日", 90),
	strings.Repeat("a ", 200) + "refund policy",
}

func drawConstant(t *rapid.T) Constant {
	for {
		typ := Type(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 4}).Draw(t, "type"))
		c, err := NewConstant(typ, rapid.SampledFrom(texts).Draw(t, "constant"))
		if err == nil {
			return c
		}
	}
}

func drawTest(t *rapid.T) *Test {
	must := func(test *Test, err error) *Test {
		if err != nil {
			t.Fatal(err)
		}
		return test
	}
	switch op := rapid.SampledFrom([]Op{Equal, Equal, Less, Greater, AtMost, AtLeast, In, Matches, Phrase, Fulltext}).Draw(t, "op"); op {
	case In:
		return OneOf(rapid.SliceOfN(rapid.Custom(drawConstant), 1, 3).Draw(t, "constants"))
	case Matches:
		return must(NewRegexp(rapid.SampledFrom([]string{"E", "5.*0", "x{3}", "[^x]", "xy", "日", "\uFFFD", "", "a|b"}).Draw(t, "pattern")))
	case Phrase, Fulltext:
		words := []string{"refund", "POLICY", "a", "the", "500", "ÜBER"}
		return must(NewWords(op, rapid.SliceOfN(rapid.SampledFrom(words), 1, 3).Draw(t, "words")))
	default:
		return drawConstant(t).Test(op)
	}
}

func drawValue(t *rapid.T) *commonv1.AnyValue {
	switch text := rapid.SampledFrom(texts).Draw(t, "value"); rapid.IntRange(0, 7).Draw(t, "type of value") {
	case 0:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: rapid.Bool().Draw(t, "bool")}}
	case 1, 2:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			n = rapid.Int64Range(-10, 1000).Draw(t, "int")
		}
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: n}}
	case 3, 4:
		d, err := strconv.ParseFloat(text, 64)
		if err != nil {
			d = rapid.Float64().Draw(t, "double")
		}
		d = rapid.SampledFrom([]float64{d, d, math.Nextafter(d, 1), d * (1 + 3e-11), d * (1 - 4e-10)}).Draw(t, "near")
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_DoubleValue{DoubleValue: d}}
	case 5:
		return rapid.SampledFrom([]*commonv1.AnyValue{
			{}, {Value: &commonv1.AnyValue_BytesValue{BytesValue: []byte{0xca, 0xfe}}}, {Value: &commonv1.AnyValue_BytesValue{BytesValue: []byte{0x80, 0x80}}},
			{Value: &commonv1.AnyValue_BytesValue{BytesValue: []byte(strings.Repeat("\xab", 130))}},
			{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: &commonv1.ArrayValue{Values: []*commonv1.AnyValue{{Value: &commonv1.AnyValue_IntValue{IntValue: 1}}}}}},
			{Value: &commonv1.AnyValue_KvlistValue{}},
		}).Draw(t, "opaque")
	default:
		if !strings.Contains(text, "\xff") {
			return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: text}}
		}
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: "x"}}
	}
}

// termsOf returns an attribute's value as the wire has it, and what the index lists of it.
func termsOf(t *rapid.T, v *commonv1.AnyValue) (value trace.Value, terms [][]byte) {
	span := &tracev1.Span{Attributes: []*commonv1.KeyValue{{Key: "k", Value: v}}}
	data, err := proto.Marshal(&tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{span}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	s := sink{}
	if err := trace.Index(data, &s); err != nil {
		t.Fatal(err)
	}
	err = trace.WalkShells(data, func(_ *trace.Shell, b []byte) error {
		var view trace.SpanView
		if err := view.Read(b); err != nil {
			return err
		}
		return view.Attributes.Each("k", func(v trace.Value) bool { value = v; return true })
	})
	if err != nil {
		t.Fatal(err)
	}
	return value, s.terms
}

type sink struct{ terms [][]byte }

func (s *sink) Group([]byte) bool     { return false }
func (s *sink) GroupTerm(_, _ []byte) {}
func (s *sink) Row(_, _ int64)        {}
func (s *sink) Term(field, term []byte) {
	if string(field) == "ks" {
		s.terms = append(s.terms, slices.Clone(term))
	}
}

// naive is what a test means, from the documentation, with the generated types.
func naive(test *Test, v *commonv1.AnyValue) bool {
	text, isText := v.Value.(*commonv1.AnyValue_StringValue)
	switch test.op {
	case Matches:
		return isText && regexp.MustCompile(test.pattern).MatchString(text.StringValue)
	case Phrase, Fulltext:
		if !isText {
			return false
		}
		have := strings.FieldsFunc(strings.ToLower(text.StringValue), func(r rune) bool { return !inWord(r) })
		want := strings.Fields(strings.ToLower(strings.Join(test.words, " ")))
		if test.op == Fulltext {
			return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(have, w) })
		}
		return strings.Contains(" "+strings.Join(have, " ")+" ", " "+strings.Join(want, " ")+" ")
	}
	for _, c := range test.constants {
		order := 2 // they can't be compared
		compareBig := func(a, b string) int {
			x, okA := new(big.Rat).SetString(a)
			y, okB := new(big.Rat).SetString(b)
			if !okA || !okB {
				return 2
			}
			return x.Cmp(y)
		}
		switch of := v.Value.(type) {
		case *commonv1.AnyValue_StringValue:
			if c.typ <= String {
				order = strings.Compare(of.StringValue, c.text)
			}
		case *commonv1.AnyValue_BoolValue:
			if b, err := strconv.ParseBool(c.text); err == nil && (c.typ == Any || c.typ == Bool) && b == of.BoolValue && (test.op == Equal || test.op == In) {
				order = 0
			}
		case *commonv1.AnyValue_IntValue:
			if f, err := strconv.ParseFloat(c.text, 64); c.typ == Any && err == nil && math.IsInf(f, 0) {
				order = -int(math.Copysign(1, f))
			} else if (c.typ == Any || c.typ == Int) && err == nil {
				exact := c.text
				if _, err := strconv.ParseInt(c.text, 10, 64); err != nil {
					r := new(big.Rat).SetFloat64(f)
					if r == nil {
						break
					}
					exact = r.String()
				}
				order = compareBig(fmt.Sprint(of.IntValue), exact)
			}
		case *commonv1.AnyValue_DoubleValue:
			d := of.DoubleValue
			f, err := strconv.ParseFloat(c.text, 64)
			_, notInt := strconv.ParseInt(c.text, 10, 64)
			switch {
			case c.typ != Any && c.typ != Double:
			case c.typ == Any && strconv.FormatFloat(d, 'g', 10, 64) == c.text && (test.op == Equal || test.op == In):
				order = 0
			case err != nil || math.IsNaN(d) || math.IsNaN(f):
			case c.typ == Any && notInt == nil && !math.IsInf(d, 0):
				order = compareBig(new(big.Rat).SetFloat64(d).String(), c.text)
			case d < f:
				order = -1
			case d > f:
				order = 1
			default:
				order = 0
			}
		}
		if order != 2 && test.accepts(order) {
			return true
		}
	}
	return false
}

func TestATermTellsNoMoreThanWhatHoldsOfTheValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		test, encoded := drawTest(t), drawValue(t)
		value, terms := termsOf(t, encoded)
		holds := test.Holds(value)
		if want := naive(test, encoded); holds != want {
			t.Fatalf("%c %+v of %v: %v, want %v", test.op, test, encoded, holds, want)
		}
		maybe := false
		for _, term := range terms {
			maybe = maybe || test.Maybe(term)
			if test.Surely(term) && !holds {
				t.Fatalf("%c %+v does not hold of %v, but surely of its term %q", test.op, test, encoded, term)
			}
		}
		if holds && !maybe {
			t.Fatalf("%c %+v holds of %v, but of none of its terms %q", test.op, test, encoded, terms)
		}
		if list, ok := test.Terms(); ok && holds && !slices.ContainsFunc(terms, func(term []byte) bool { return slices.Contains(list, string(term)) }) {
			t.Fatalf("%c %+v holds of %v, whose terms %q are none of %q", test.op, test, encoded, terms, list)
		}
		again, err := Parse(test.AppendTo(nil))
		if err != nil || again.Holds(value) != holds || string(again.AppendTo(nil)) != string(test.AppendTo(nil)) {
			t.Fatalf("%+v is read again as %+v, %v", test, again, err)
		}
	})
}

func TestWhatIsCommonNeedsNoLookAtTheValue(t *testing.T) {
	for _, c := range []struct {
		op       Op
		constant string
		term     string
	}{
		{Equal, "GET", "GET"}, {Equal, "500", "500"}, {Equal, "true", "true"}, {AtLeast, "400", "404"}, {Greater, "0.5", "0.75"}, {Less, "500", "404"},
	} {
		constant, err := NewConstant(Any, c.constant)
		if err != nil {
			t.Fatal(err)
		}
		if test := constant.Test(c.op); !test.Surely([]byte(c.term)) {
			t.Errorf("%q %c %q is not sure", c.term, c.op, c.constant)
		}
	}
}

func TestPatternsThatEnginesReadInOtherWaysAreRefused(t *testing.T) {
	for _, bad := range []string{
		"^a", "a$", `\Aa`, `a\z`, `\ba`, `\B`, "a*?", "a+?b", "a??", "a{2,3}?", "(?i)a", "(?i:a)", "(?s-i:a)(?mi)b", "(", `\pX`, "a**b(", "((a{100}){10}){2}", "(b{10}){100}c{1000}[xyz]{1000}" + strings.Repeat("d{1000}", 10),
		strings.Repeat("a", 1025), "(?m)^",
	} {
		if _, err := NewRegexp(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, good := range []string{"", "a.*b", "[aA]", "(a|A)", `\Q(?i)\E`, `\(?i`, "[(?i)]", "[](?i)]", "[^](?i)]", "(?s:.)", "(?-i:a)", "(?P<i>a)", `[\](?i)]`, "[[:alpha:](?i)]", "a{1000}", "@example.com", "<1-5>~&"} {
		if _, err := NewRegexp(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestWordsAreLettersDigitsAndMarks(t *testing.T) {
	for _, bad := range []string{"", "a b", "a-b", "it's", "\xff", strings.Repeat("a", 256), strings.Repeat("𝒳", 128)} {
		if _, err := NewWords(Phrase, []string{"good", bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, good := range []string{"a", "é", "e\u0301", "42", strings.Repeat("a", 255)} {
		if _, err := NewWords(Fulltext, []string{good}); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if _, err := NewWords(Fulltext, nil); err == nil {
		t.Error("no word is taken")
	}
}

func FuzzParse(f *testing.F) {
	for n := range 30 {
		f.Add(rapid.Custom(drawTest).Example(n).AppendTo(nil), []byte(texts[n%len(texts)]))
	}
	f.Add([]byte("="), []byte("a"))
	f.Fuzz(func(t *testing.T, b, term []byte) {
		var test *Test
		var err error
		// A regular expression of 1 KiB may repeat 10,000 instructions.
		fuzztest.Bounded(t, 1024*len(b)+8<<20, func() { test, err = Parse(b) })
		if err != nil {
			return
		}
		if again := test.AppendTo(nil); string(again) != string(b) {
			if _, err := Parse(again); err != nil || len(again) > len(b) {
				t.Fatalf("%q is written again as %q: %v", b, again, err)
			}
		}
		if len(term) > trace.MaxValueTerm {
			term = term[:trace.MaxValueTerm]
		}
		if test.Surely(term) && !test.Maybe(term) {
			t.Fatalf("%q of %q: surely, but not maybe", b, term)
		}
	})
}
