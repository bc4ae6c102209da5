package valuetest

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/jaeger-tempo/tempo/trace"
)

// Terms lists the terms of values on which the test holds, if it is Equal or In: a value on which it holds has one of them.
func (t *Test) Terms() (terms []string, ok bool) {
	if t.op != Equal && t.op != In {
		return nil, false
	}
	for i := range t.constants {
		terms = t.constants[i].terms(terms)
	}
	slices.Sort(terms)
	return slices.Compact(terms), true
}

// Maybe reports whether the test holds on a value that has the term.
func (t *Test) Maybe(term []byte) bool {
	if len(term) >= trace.MaxValueTerm {
		maybe, _ := t.ofCut(term)
		return maybe
	}
	for _, form := range forms {
		if v, ok := form(term); ok && t.Holds(v) {
			return true
		}
	}
	return false
}

// Surely reports whether the test holds on all values that have the term.
func (t *Test) Surely(term []byte) bool {
	if len(term) >= trace.MaxValueTerm {
		_, surely := t.ofCut(term)
		return surely
	}
	if maybeOpaque(term) {
		return false
	}
	for _, form := range forms {
		v, ok := form(term)
		if !ok {
			continue
		}
		holds := t.Holds(v)
		if v.Type == trace.ValueDouble {
			holds = holds && t.holdsNear(v.Double, term)
		}
		if !holds {
			return false
		}
	}
	return true
}

// forms read a term as what values may have it.
var forms = [...]func(term []byte) (trace.Value, bool){
	func(term []byte) (trace.Value, bool) { return trace.Value{Type: trace.ValueString, Text: term}, true },
	func(term []byte) (v trace.Value, ok bool) {
		if !mayBeNumber(term) {
			return v, false
		}
		n, err := strconv.ParseInt(string(term), 10, 64)
		return trace.Value{Type: trace.ValueInt, Int: n}, err == nil
	},
	func(term []byte) (v trace.Value, ok bool) {
		if !mayBeNumber(term) {
			return v, false
		}
		d, err := strconv.ParseFloat(string(term), 64)
		// Ten digits of the greatest doubles are rounded to what is none.
		return trace.Value{Type: trace.ValueDouble, Double: d}, err == nil || errors.Is(err, strconv.ErrRange)
	},
	func(term []byte) (trace.Value, bool) {
		yes := string(term) == "true"
		return trace.Value{Type: trace.ValueBool, Bool: yes}, yes || string(term) == "false"
	},
}

// mayBeNumber is quick to see that most texts are none.
func mayBeNumber(term []byte) bool {
	const longest = 32 // of the forms of a double
	return len(term) > 0 && len(term) <= longest && (term[0] >= '0' && term[0] <= '9' || bytes.IndexByte([]byte("+-NI"), term[0]) >= 0)
}

// maybeOpaque reports whether a term may be of a value on which no test holds: of none, of bytes, of a list or a map.
func maybeOpaque(term []byte) bool {
	return len(term) == 0 || term[0] == '[' || term[0] == '{' || len(term)%2 == 0 && isHex(term)
}

func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// holdsNear reports whether the test holds on all doubles that have the term, d being the one that it spells: a term may be the first ten digits of others.
func (t *Test) holdsNear(d float64, term []byte) bool {
	if t.op == Equal || t.op == In {
		return slices.ContainsFunc(t.constants, func(c Constant) bool { return c.typ == Any && c.text == string(term) })
	}
	switch {
	case math.IsInf(d, 0):
		return string(term) == "+Inf" || string(term) == "-Inf"
	case math.IsNaN(d):
		return true
	}
	const half = 1e-9 // of the tenth digit, with something to spare
	for _, near := range [...]float64{d - math.Abs(d)*half, d + math.Abs(d)*half} {
		if !t.Holds(trace.Value{Type: trace.ValueDouble, Double: near}) {
			return false
		}
	}
	return true
}

// ofCut is Maybe and Surely of a term that stands for a longer value: which is no number and no bool.
func (t *Test) ofCut(term []byte) (maybe, surely bool) {
	text := trace.TermText(term)
	opaque := isHex(text) || text[0] == '[' || text[0] == '{'
	switch t.op {
	case Matches:
		return true, !opaque && t.regexp.Match(wholeRunes(text))
	case Phrase, Fulltext:
		return true, false
	case Equal, In:
		for i := range t.constants {
			if c := &t.constants[i]; c.typ <= String && bytes.Equal(trace.AppendValueTerm(nil, c.text), term) {
				return true, !opaque
			}
		}
		return false, false
	}
	c := &t.constants[0]
	if c.typ > String {
		return false, false
	}
	n := min(len(text), len(c.text))
	order := compareText(text[:n], c.text[:n])
	if order == 0 && n < len(c.text) {
		return true, false // what was cut off tells
	}
	if order == 0 {
		order = 1 // the value is longer
	}
	holds := t.accepts(order)
	return holds, holds && !opaque
}

// wholeRunes returns text without a rune at its end that was cut.
func wholeRunes(text []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if b := text[len(text)-n:]; utf8.RuneStart(b[0]) {
			if !utf8.FullRune(b) {
				return text[:len(text)-n]
			}
			break
		}
	}
	return text
}
