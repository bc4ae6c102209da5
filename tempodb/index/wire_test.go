package index

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

func drawTold(t *rapid.T, depth int) *Expr {
	field := []byte(rapid.StringN(0, 3, -1).Draw(t, "field"))
	value := []byte(rapid.StringN(0, 3, -1).Draw(t, "value"))
	most := 5
	if depth == 0 {
		most = 2
	}
	switch rapid.IntRange(0, most).Draw(t, "operator") {
	case 0:
		return Equal(field, value)
	case 1:
		return Prefix(field, value)
	case 2:
		return Match(field, append([]byte("p"), value...), nil)
	case 3:
		return Not(drawTold(t, depth-1))
	case 4:
		return And(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *Expr { return drawTold(t, depth-1) }), 1, 3).Draw(t, "all")...)
	default:
		return Or(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *Expr { return drawTold(t, depth-1) }), 1, 3).Draw(t, "one")...)
	}
}

// noPredicate takes every pattern, and leaves out the predicate, which can't be compared.
func noPredicate([]byte) (func([]byte) bool, error) { return nil, nil }

func TestAQueryIsReadAsItWasTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bounds := rapid.Int64()
		q := &Query{
			Start:    Range{bounds.Draw(t, "min"), bounds.Draw(t, "max")},
			Duration: Range{bounds.Draw(t, "min"), bounds.Draw(t, "max")},
			Limit:    rapid.IntRange(-1, 1000).Draw(t, "limit"),
		}
		if rapid.Bool().Draw(t, "where") {
			q.Where = drawTold(t, 3)
		}
		told, err := AppendQuery([]byte("x"), q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseQuery(told[1:], noPredicate)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(normal(got), normal(q)) {
			t.Errorf("%+v is read as %+v", q, got)
		}
		for i := 1; i < len(told)-1; i++ {
			if _, err := ParseQuery(told[1:1+i], noPredicate); err == nil {
				t.Fatalf("the first %d of %d bytes are taken for a query", i, len(told)-1)
			}
		}
	})
}

// normal returns q with empty slices for those that are nil.
func normal(q *Query) *Query {
	var walk func(*Expr) *Expr
	walk = func(e *Expr) *Expr {
		if e == nil {
			return nil
		}
		c := &Expr{Op: e.Op, Field: append([]byte{}, e.Field...), Value: append([]byte{}, e.Value...)}
		for _, of := range e.Of {
			c.Of = append(c.Of, walk(of))
		}
		return c
	}
	c := *q
	c.Where = walk(q.Where)
	return &c
}

func TestWhatCannotBeToldIsAnError(t *testing.T) {
	deep := Equal([]byte("f"), nil)
	for range maxExprDepth {
		deep = Not(deep)
	}
	for name, where := range map[string]*Expr{
		"a predicate without pattern": Match([]byte("f"), nil, func([]byte) bool { return true }),
		"an unknown operator":         {Op: 99},
		"a negation of nothing":       {Op: OpNot},
		"too deep":                    deep,
	} {
		if _, err := AppendQuery(nil, &Query{Where: where}); err == nil {
			t.Errorf("%s is told", name)
		}
	}
	good, err := AppendQuery(nil, &Query{Where: Match([]byte("f"), []byte("p"), nil)})
	if err != nil {
		t.Fatal(err)
	}
	bad := errors.New("no such pattern")
	if _, err := ParseQuery(good, func([]byte) (func([]byte) bool, error) { return nil, bad }); !errors.Is(err, bad) {
		t.Errorf("a pattern that can't be compiled: %v", err)
	}
	for _, wrong := range [][]byte{nil, {queryVersion + 1}, append(bytes.Clone(good), 0)} {
		if _, err := ParseQuery(wrong, noPredicate); err == nil {
			t.Errorf("%x is taken for a query", wrong)
		}
	}
	nested := append([]byte{queryVersion, 0, 0, 0, 0, 0, 1}, bytes.Repeat([]byte{byte(OpNot), 1}, 1000)...)
	if _, err := ParseQuery(nested, noPredicate); err == nil || !strings.Contains(err.Error(), "nests") {
		t.Errorf("1000 negations: %v", err)
	}
}

// A query from another process is refused or evaluated; it is told as it was read, and takes no more memory than its bytes justify.
func FuzzParseQuery(f *testing.F) {
	for _, q := range []*Query{
		{Start: Everything, Duration: Everything, Limit: 20},
		{Where: And(Equal([]byte("service"), []byte("cart")), Or(Prefix([]byte("url"), []byte("/a")), Not(Match([]byte("k"), []byte("pattern"), nil))))},
	} {
		told, err := AppendQuery(nil, q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(told)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var q *Query
		var err error
		fuzztest.Bounded(t, 128*len(b), func() {
			q, err = ParseQuery(b, func(pattern []byte) (func([]byte) bool, error) {
				if len(pattern) == 0 {
					return nil, errors.New("no pattern")
				}
				return func(v []byte) bool { return bytes.HasPrefix(v, pattern) }, nil
			})
		})
		if err != nil {
			return
		}
		again, err := AppendQuery(nil, q)
		if err != nil {
			t.Fatalf("what was read can't be told: %v", err)
		}
		if len(again) > len(b) {
			t.Fatalf("%d bytes are told with %d", len(b), len(again))
		}
		m := NewMemory()
		m.Own(0)
		if _, err := m.Search(t.Context(), q, func(uint32) [16]byte { return [16]byte{} }); err != nil {
			t.Fatalf("what was read can't be evaluated: %v", err)
		}
	})
}
