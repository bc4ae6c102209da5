package storagev2

import (
	"fmt"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/expressionpb"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
)

// Bounds of an expression that is translated, a little beyond those of package spanfilter, which says where it is too large.
const (
	maxExpressionDepth = 32
	maxExpressionParts = 10_000
)

// filterOf reads a filter; nil if there is none. Its errors are statuses: InvalidArgument with what is wrong, and where.
func filterOf(c *expressionpb.Call) (*spanfilter.Filter, error) {
	if c == nil {
		return nil, nil
	}
	t := translator{}
	form, err := t.call(c, maxExpressionDepth)
	if err != nil {
		return nil, err
	}
	filter, err := spanfilter.New(form)
	return filter, plugin.StatusOf(err)
}

type translator struct{ parts int }

func (t *translator) call(c *expressionpb.Call, depth int) (*spanfilter.Call, error) {
	if depth == 0 {
		return nil, invalid("filter: calls nest more than %d deep", maxExpressionDepth)
	}
	if t.parts += 1 + len(c.GetArgs()); t.parts > maxExpressionParts {
		return nil, invalid("filter: it has more than %d parts", maxExpressionParts)
	}
	form := &spanfilter.Call{Op: c.GetOp(), Args: make([]spanfilter.Expr, len(c.GetArgs()))}
	for i, arg := range c.GetArgs() {
		// What is not set stays nil, which the filter refuses.
		switch term := arg.GetTerm().(type) {
		case *expressionpb.Expression_Attr:
			form.Args[i] = &spanfilter.Attribute{Key: term.Attr.GetKey(), Level: term.Attr.GetLevel()}
		case *expressionpb.Expression_Field:
			form.Args[i] = &spanfilter.Field{Name: term.Field.GetName(), Level: term.Field.GetLevel()}
		case *expressionpb.Expression_Nested:
			form.Args[i] = &spanfilter.Collection{Level: term.Nested.GetLevel()}
		case *expressionpb.Expression_Scalar:
			form.Args[i] = &spanfilter.Scalar{Value: term.Scalar.GetValue(), Type: term.Scalar.GetType()}
		case *expressionpb.Expression_List:
			form.Args[i] = &spanfilter.List{Values: term.List.GetValues(), Type: term.List.GetType()}
		case *expressionpb.Expression_Call:
			of, err := t.call(term.Call, depth-1)
			if err != nil {
				return nil, err
			}
			form.Args[i] = of
		}
	}
	return form, nil
}

// fieldName is the name of a field of a span that an expression refers to.
func fieldName(e *expressionpb.Expression) (string, error) {
	if f := e.GetField(); f.GetLevel() == "span" {
		return f.GetName(), nil
	}
	return "", fmt.Errorf("it is no field of a span")
}
