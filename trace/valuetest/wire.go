package valuetest

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A test on its way to another process:
//
//	op (1) | for each constant its type (1), for a pattern or word nothing; length (uvarint); text

// AppendTo appends the test, to be read by Parse.
func (t *Test) AppendTo(dst []byte) []byte {
	dst = append(dst, byte(t.op))
	appendText := func(text string) { dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...) }
	for i := range t.constants {
		dst = append(dst, byte(t.constants[i].typ))
		appendText(t.constants[i].text)
	}
	if t.op == Matches {
		appendText(t.pattern)
	}
	for _, w := range t.words {
		appendText(w)
	}
	return dst
}

// Parse reads what AppendTo appends.
func Parse(b []byte) (*Test, error) {
	if len(b) == 0 {
		return nil, errors.New("a test of values is empty")
	}
	op := Op(b[0])
	b = b[1:]
	var constants []Constant
	var texts []string
	for len(b) > 0 {
		var typ Type
		if op != Matches && op != Phrase && op != Fulltext {
			if typ = Type(b[0]); typ > Bool {
				return nil, fmt.Errorf("a test of values has a constant of type %d", typ)
			}
			b = b[1:]
		}
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, errors.New("a test of values ends early")
		}
		text := string(b[n : n+int(size)])
		b = b[n+int(size):]
		if op == Matches || op == Phrase || op == Fulltext {
			texts = append(texts, text)
			continue
		}
		c, err := NewConstant(typ, text)
		if err != nil {
			return nil, err
		}
		constants = append(constants, c)
	}
	switch op {
	case Equal, Less, Greater, AtMost, AtLeast:
		if len(constants) == 1 {
			return constants[0].Test(op), nil
		}
	case In:
		return OneOf(constants), nil
	case Matches:
		if len(texts) == 1 {
			return NewRegexp(texts[0])
		}
	case Phrase, Fulltext:
		return NewWords(op, texts)
	}
	return nil, fmt.Errorf("a test of values with the operator %q and %d operands", op, len(constants)+len(texts))
}
