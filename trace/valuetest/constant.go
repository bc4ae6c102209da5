package valuetest

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"strconv"

	"github.com/jaeger-tempo/tempo/trace"
)

// Type is the type that a constant declares.
type Type byte

// The types.
const (
	Any Type = iota
	String
	Int
	Double
	Bool
)

var typeNames = [...]string{"", "string", "int", "double", "bool"}

func (t Type) String() string { return typeNames[t] }

// ParseType reads the name of a type; that of Any is empty.
func ParseType(name string) (Type, error) {
	for t, n := range typeNames {
		if n == name {
			return Type(t), nil
		}
	}
	return 0, fmt.Errorf("the type %.40q is none of string, int, double and bool", name)
}

// Constant is what values are compared with.
type Constant struct {
	typ    Type
	text   string
	number // the text as a number, if it is one
	b      bool
	isBool bool
}

// Value is the constant as a value of its type; without a type, a string.
func (c *Constant) Value() trace.Value {
	switch c.typ {
	case Int:
		return trace.Value{Type: trace.ValueInt, Int: c.int}
	case Double:
		return trace.Value{Type: trace.ValueDouble, Double: c.double}
	case Bool:
		return trace.Value{Type: trace.ValueBool, Bool: c.b}
	}
	return trace.Value{Type: trace.ValueString, Text: []byte(c.text)}
}

// number is an integer or a double.
type number struct {
	kind   numberKind
	int    int64
	double float64
}

type numberKind byte

const (
	noNumber numberKind = iota
	integer
	double
)

// NewConstant reads the text of a constant; it fails if it can't be read as the type.
func NewConstant(t Type, text string) (Constant, error) {
	c := Constant{typ: t, text: text}
	var err error
	if t == Any || t == Int {
		if c.int, err = strconv.ParseInt(text, 10, 64); err == nil {
			c.kind = integer
		}
	}
	if t == Double || t == Any && c.kind == noNumber {
		if c.double, err = strconv.ParseFloat(text, 64); err == nil {
			c.kind = double
		}
	}
	if t == Any || t == Bool {
		c.b, err = strconv.ParseBool(text)
		c.isBool = err == nil
	}
	if t != Any && t != String && err != nil {
		return c, fmt.Errorf("%.40q is not of type %v", text, t)
	}
	return c, nil
}

// OfInt is the constant n, of type Int.
func OfInt(n int64) Constant {
	return Constant{typ: Int, text: strconv.FormatInt(n, 10), number: number{kind: integer, int: n}}
}

// compareNumbers compares by value, an integer with a double without rounding. It is not ok if one of them is no number.
func compareNumbers(a, b number) (order int, ok bool) {
	switch {
	case a.kind == noNumber || b.kind == noNumber:
		return 0, false
	case a.kind == integer && b.kind == integer:
		return cmp.Compare(a.int, b.int), true
	case a.kind == double && b.kind == double:
		return cmp.Compare(a.double, b.double), !math.IsNaN(a.double) && !math.IsNaN(b.double)
	case a.kind == double && b.kind == integer:
		order, ok = compareNumbers(b, a)
		return -order, ok
	}
	switch d := b.double; {
	case math.IsNaN(d):
		return 0, false
	case d >= 1<<63:
		return -1, true
	case d < -1<<63:
		return 1, true
	default:
		whole := math.Floor(d)
		if order = cmp.Compare(a.int, int64(whole)); order == 0 && whole < d {
			order = -1
		}
		return order, true
	}
}

func numberOf(v *trace.Value) number {
	switch v.Type {
	case trace.ValueInt:
		return number{kind: integer, int: v.Int}
	case trace.ValueDouble:
		return number{kind: double, double: v.Double}
	}
	return number{}
}

// jaegerDigits is how many digits of a double Jaeger compares.
const jaegerDigits = 10

// equals reports whether the value is what the constant says.
func (c *Constant) equals(v *trace.Value) bool {
	switch v.Type {
	case trace.ValueString:
		return c.typ <= String && string(v.Text) == c.text
	case trace.ValueBool:
		return c.isBool && c.b == v.Bool
	case trace.ValueInt, trace.ValueDouble:
		if c.typ == Int && v.Type == trace.ValueDouble || c.typ == Double && v.Type == trace.ValueInt {
			return false
		}
		if order, ok := compareNumbers(numberOf(v), c.number); ok && order == 0 {
			return true
		}
		var b [32]byte
		return c.typ == Any && v.Type == trace.ValueDouble && string(strconv.AppendFloat(b[:0], v.Double, 'g', jaegerDigits, 64)) == c.text
	}
	return false
}

// order compares the value with the constant, if they are of one kind that has an order.
func (c *Constant) order(v *trace.Value) (order int, ok bool) {
	switch {
	case v.Type == trace.ValueString && c.typ <= String:
		return compareText(v.Text, c.text), true
	case c.typ == Int && v.Type != trace.ValueInt, c.typ == Double && v.Type != trace.ValueDouble:
		return 0, false
	default:
		return compareNumbers(numberOf(v), c.number)
	}
}

func compareText(a []byte, b string) int {
	switch {
	case string(a) < b:
		return -1
	case string(a) > b:
		return 1
	default:
		return 0
	}
}

// Compare compares two values of one kind: numbers, strings, or bools, which are equal or not but have no order.
func Compare(a, b trace.Value) (order int, ordered, ok bool) {
	switch {
	case a.Type == trace.ValueString && b.Type == trace.ValueString:
		return bytes.Compare(a.Text, b.Text), true, true
	case a.Type == trace.ValueBool && b.Type == trace.ValueBool:
		if a.Bool == b.Bool {
			return 0, false, true
		}
		return 1, false, true
	}
	order, ok = compareNumbers(numberOf(&a), numberOf(&b))
	return order, ok, ok
}

// terms lists the terms under which a value that equals c may be found.
func (c *Constant) terms(dst []string) []string {
	if c.typ <= String {
		dst = append(dst, string(trace.AppendValueTerm(nil, c.text)))
	}
	switch {
	case c.kind == integer:
		dst = append(dst, strconv.FormatInt(c.int, 10))
		if d := float64(c.int); c.typ == Any && d < 1<<63 && int64(d) == c.int {
			dst = append(dst, trace.DoubleForms(d)...)
		}
	case c.kind == double:
		dst = append(dst, trace.DoubleForms(c.double)...)
		if c.typ == Any && c.double >= -1<<63 && c.double < 1<<63 && math.Trunc(c.double) == c.double {
			dst = append(dst, strconv.FormatInt(int64(c.double), 10))
		}
	}
	if c.isBool {
		dst = append(dst, strconv.FormatBool(c.b))
	}
	return dst
}
