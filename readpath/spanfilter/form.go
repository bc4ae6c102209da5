package spanfilter

import (
	"encoding/binary"
	"slices"
)

// Expr is a part of a filter's form: a *Call, *Attribute, *Field, *Collection, *Scalar or *List.
type Expr interface {
	appendTo(dst []byte) []byte
}

// Call applies an operator, one of Operators, to arguments.
type Call struct {
	Op   string
	Args []Expr
}

// Attribute refers to the attributes of a key at a level, one of Levels; of no level are those of the span and of its resource.
type Attribute struct{ Key, Level string }

// Field refers to what a level has besides attributes.
type Field struct{ Name, Level string }

// Collection refers to all events or all links of a span, of which the operator some picks one.
type Collection struct{ Level string }

// Scalar is a constant as text. Its type is string, int, double, bool or, if empty, that of what it is compared with.
type Scalar struct{ Value, Type string }

// List is several constants of one type.
type List struct {
	Values []string
	Type   string
}

// Operators lists the operators.
func Operators() []string { return slices.Clone(operators) }

var operators = []string{
	"and", "or", "not", "eq", "ne", "gt", "lt", "gte", "lte", "regex", "exists", "in", "not_in", "some", "phrase", "fulltext",
}

// Levels lists the levels.
func Levels() []string { return slices.Clone(levelNames[1:]) }

type level byte

const (
	unqualified level = iota
	ofSpan
	ofResource
	ofScope
	ofEvent
	ofLink
)

var levelNames = []string{"", "span", "resource", "scope", "event", "link"}

func (l level) String() string { return levelNames[l] }

func levelNamed(name string) (level, bool) {
	l := slices.Index(levelNames, name)
	return level(max(l, 0)), l >= 0
}

// The encoded form tells filters apart.

func appendTexts(dst []byte, tag byte, texts ...string) []byte {
	dst = binary.AppendUvarint(append(dst, tag), uint64(len(texts)))
	for _, s := range texts {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return dst
}

func (e *Call) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(appendTexts(dst, 'C', e.Op), uint64(len(e.Args)))
	for _, arg := range e.Args {
		dst = arg.appendTo(dst)
	}
	return dst
}

func (e *Attribute) appendTo(dst []byte) []byte  { return appendTexts(dst, 'A', e.Key, e.Level) }
func (e *Field) appendTo(dst []byte) []byte      { return appendTexts(dst, 'F', e.Name, e.Level) }
func (e *Collection) appendTo(dst []byte) []byte { return appendTexts(dst, 'N', e.Level) }
func (e *Scalar) appendTo(dst []byte) []byte     { return appendTexts(dst, 'S', e.Value, e.Type) }
func (e *List) appendTo(dst []byte) []byte {
	return appendTexts(appendTexts(dst, 'L', e.Type), 'V', e.Values...)
}
