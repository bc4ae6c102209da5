package tracedb

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
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

// What the first byte of a pattern says that the rest is.
const (
	patternOperation = 'o' // the name of an operation, of whatever service
	patternText      = 'x' // a regular expression for the text of an attribute's value
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
	default:
		return nil, fmt.Errorf("a pattern of unknown kind %q", pattern[0])
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
