package tracedb

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/trace/valuetest"
)

// ServiceIs holds on spans of that service.
func ServiceIs(service string) *index.Expr { return index.Equal(trace.FieldService, []byte(service)) }

// OperationIs holds on spans of that name, of service or, if that is empty, of any.
func OperationIs(service, name string) *index.Expr {
	if service == "" {
		return index.Match(trace.FieldOperation, append([]byte{patternOperation}, name...), operationNamed(name))
	}
	var kinds []*index.Expr
	for _, kind := range trace.Kinds {
		kinds = append(kinds, index.Equal(trace.FieldOperation, trace.AppendOperation(nil, service, kind, name)))
	}
	return index.Or(kinds...)
}

// Attribute names attributes that conditions are about: Attribute{Key: "http.method"}.Is("GET"). Values are compared in their text form.
//
// Conditions hold on a span. Joined by index.And they hold together on one span, which need not be so of the same event.
type Attribute struct {
	Key string
	// Space is where it stands, one of trace.Spaces; zero means anywhere.
	Space byte
}

// Is holds where the attribute has that value.
func (a Attribute) Is(value string) *index.Expr {
	term := trace.AppendValueTerm(nil, value)
	return a.holds(func(field []byte) *index.Expr { return index.Equal(field, term) })
}

// HasPrefix holds where the attribute has a value that begins so: with the empty prefix, where there is the attribute. A prefix may have
// trace.MaxTermText bytes; the error says if it has more.
func (a Attribute) HasPrefix(prefix string) (*index.Expr, error) {
	if len(prefix) > trace.MaxTermText {
		return nil, fmt.Errorf("the prefix of an attribute's value may have %d bytes, and this has %d", trace.MaxTermText, len(prefix))
	}
	return a.holds(func(field []byte) *index.Expr { return index.Prefix(field, []byte(prefix)) }), nil
}

// Matches holds where the attribute has a value that as a whole matches pattern, a regular expression of package regexp, in which a dot
// is any character. Of a value of 256 bytes or more it sees the first trace.MaxTermText.
func (a Attribute) Matches(pattern string) (*index.Expr, error) {
	accepts, err := textMatches(pattern)
	if err != nil {
		return nil, err
	}
	return a.holds(func(field []byte) *index.Expr {
		return index.Match(field, append([]byte{patternText}, pattern...), accepts)
	}), nil
}

// Exists holds where the attribute is.
func (a Attribute) Exists() *index.Expr {
	return a.holds(func(field []byte) *index.Expr { return index.Prefix(field, nil) })
}

// Maybe holds where the test may hold of a value of the attribute; where it does not hold, the test holds of none.
func (a Attribute) Maybe(t *valuetest.Test) *index.Expr { return a.tested(t, patternMaybe, t.Maybe) }

// Surely holds where the test holds of a value of the attribute, whatever the types of those that are there; where it does not hold, the test may hold.
func (a Attribute) Surely(t *valuetest.Test) *index.Expr {
	return a.tested(t, patternSurely, t.Surely)
}

func (a Attribute) tested(t *valuetest.Test, kind byte, accepts func(term []byte) bool) *index.Expr {
	terms, listed := t.Terms()
	pattern := t.AppendTo([]byte{kind})
	return a.holds(func(field []byte) *index.Expr {
		if !listed {
			return index.Match(field, pattern, accepts)
		}
		// To find terms is quicker than to look at all that there are.
		return equalOne(field, terms, accepts)
	})
}

// equalOne holds on rows that have one of those of the terms that accepts accepts.
func equalOne(field []byte, terms []string, accepts func(term []byte) bool) *index.Expr {
	var accepted []*index.Expr
	for _, term := range terms {
		if accepts([]byte(term)) {
			accepted = append(accepted, index.Equal(field, []byte(term)))
		}
	}
	if len(accepted) == 1 {
		return accepted[0]
	}
	return index.Or(accepted...)
}

// ServiceTested holds on spans of a service of whose name, a string, the test holds.
func ServiceTested(t *valuetest.Test) *index.Expr {
	if terms, ok := t.Strings(); ok {
		return equalOne(trace.FieldService, terms, func([]byte) bool { return true })
	}
	return index.Match(trace.FieldService, t.AppendTo([]byte{patternWhole}), t.HoldsOf)
}

// NameTested holds on spans of whose name, a string, the test holds.
func NameTested(t *valuetest.Test) *index.Expr {
	return index.Match(trace.FieldOperation, t.AppendTo([]byte{patternName}), nameTested(t))
}

// KindIsOne holds on spans of one of the kinds.
func KindIsOne(kinds ...trace.Kind) *index.Expr {
	pattern := []byte{patternKinds}
	for _, k := range kinds {
		pattern = append(pattern, byte(k))
	}
	return index.Match(trace.FieldOperation, pattern, kindIsOne(pattern[1:]))
}

// What the first byte of a pattern says that the rest is.
const (
	patternOperation = 'o' // the name of an operation, of whatever service
	patternText      = 'x' // a regular expression for the text of an attribute's value
	patternMaybe     = 'm' // a test of values, that holds of one that has the term
	patternSurely    = 's' // a test of values, that holds of all that have the term
	patternWhole     = 'w' // a test of the term itself
	patternName      = 'n' // a test of the name of an operation
	patternKinds     = 'k' // kinds of operations, a byte each
)

// CompilePattern makes of the pattern of an index.Match what it accepts; it is for index.ParseQuery.
func CompilePattern(pattern []byte) (func(value []byte) bool, error) {
	if len(pattern) == 0 {
		return nil, errors.New("a match has no pattern")
	}
	switch text := string(pattern[1:]); pattern[0] {
	case patternOperation:
		return operationNamed(text), nil
	case patternText:
		return textMatches(text)
	case patternKinds:
		return kindIsOne(pattern[1:]), nil
	case patternMaybe, patternSurely, patternWhole, patternName:
		t, err := valuetest.Parse(pattern[1:])
		if err != nil {
			return nil, err
		}
		switch pattern[0] {
		case patternMaybe:
			return t.Maybe, nil
		case patternSurely:
			return t.Surely, nil
		case patternWhole:
			return t.HoldsOf, nil
		}
		return nameTested(t), nil
	default:
		return nil, fmt.Errorf("a pattern of unknown kind %q", pattern[0])
	}
}

func nameTested(t *valuetest.Test) func(value []byte) bool {
	return func(value []byte) bool {
		_, _, name, err := trace.ParseOperation(value)
		return err == nil && t.HoldsOf([]byte(name))
	}
}

func kindIsOne(kinds []byte) func(value []byte) bool {
	return func(value []byte) bool {
		_, kind, _, err := trace.ParseOperation(value)
		return err == nil && bytes.IndexByte(kinds, byte(kind)) >= 0
	}
}

func operationNamed(name string) func(value []byte) bool {
	return func(value []byte) bool {
		_, _, of, err := trace.ParseOperation(value)
		return err == nil && of == name
	}
}

func textMatches(pattern string) (func(term []byte) bool, error) {
	// By itself first: an error then names what it was given, and a parenthesis can't end the group.
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, err
	}
	re, err := regexp.Compile(`^(?s:` + pattern + `)$`)
	if err != nil {
		return nil, err
	}
	return func(term []byte) bool { return re.Match(trace.TermText(term)) }, nil
}

// holds is the condition that leaf holds in the space of a, or in one of all.
func (a Attribute) holds(leaf func(field []byte) *index.Expr) *index.Expr {
	if a.Space != 0 {
		return leaf(trace.AppendField(nil, a.Key, a.Space))
	}
	var spaces []*index.Expr
	for _, space := range trace.Spaces {
		spaces = append(spaces, leaf(trace.AppendField(nil, a.Key, space)))
	}
	return index.Or(spaces...)
}
