package valuetest

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/jaeger-tempo/tempo/trace"
)

// Op is what a test asks.
type Op byte

// The questions.
const (
	Equal   Op = '='
	Less    Op = '<'
	Greater Op = '>'
	AtMost  Op = 'l'
	AtLeast Op = 'g'
	// In is Equal with one of several constants.
	In Op = 'i'
	// Matches is whether a regular expression is found anywhere in a string.
	Matches Op = 'r'
	// Phrase is whether words stand in a string, one after the other; Fulltext, whether all do. Case does not count.
	Phrase   Op = 'p'
	Fulltext Op = 'f'
)

// Test is a question about one value.
type Test struct {
	op        Op
	constants []Constant // one, but of In
	pattern   string
	regexp    *regexp.Regexp
	words     []string
}

// Test is the test that a value compares so, by Equal, Less, Greater, AtMost or AtLeast, with c.
func (c Constant) Test(op Op) *Test { return &Test{op: op, constants: []Constant{c}} }

// OneOf is the test that a value equals one of the constants.
func OneOf(constants []Constant) *Test { return &Test{op: In, constants: constants} }

// What a pattern may be: bounds of what it takes to compile and to match.
const (
	maxPattern = 1 << 10 // bytes
	maxProgram = 10_000  // about how many instructions
)

// NewRegexp is the test that a string has a match of the pattern, in the syntax of RE2. Anchors, word boundaries, lazy quantifiers and flags for case are refused: what a
// filter means must not depend on who answers it.
func NewRegexp(pattern string) (*Test, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("a pattern may have %d bytes, and this has %d", maxPattern, len(pattern))
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if foldsCase(pattern) {
		return nil, fmt.Errorf("the pattern %q has a flag that folds case, and patterns tell it", pattern)
	}
	size, err := portable(parsed)
	if err != nil {
		return nil, fmt.Errorf("the pattern %q has %w", pattern, err)
	}
	if size > maxProgram {
		return nil, fmt.Errorf("the pattern %q repeats too much", pattern)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return &Test{op: Matches, pattern: pattern, regexp: re}, nil
}

// portable returns about how many instructions an expression takes, or what is in it that may not be.
func portable(re *syntax.Regexp) (size int, err error) {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText:
		return 0, fmt.Errorf("an anchor, but is looked for anywhere in a value")
	case syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return 0, fmt.Errorf("a word boundary, of which not all engines know what it is")
	}
	if re.Flags&syntax.NonGreedy != 0 && (re.Op == syntax.OpStar || re.Op == syntax.OpPlus || re.Op == syntax.OpQuest || re.Op == syntax.OpRepeat) {
		return 0, fmt.Errorf("a lazy quantifier, which changes nothing about whether it matches")
	}
	size = 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n, err := portable(sub)
		if err != nil {
			return 0, err
		}
		size += n
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, math.MaxInt32), nil
}

// foldsCase reports whether a pattern that parses has a group with the flag i.
func foldsCase(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		switch rest := pattern[i:]; {
		case strings.HasPrefix(rest, `\Q`):
			end := strings.Index(rest, `\E`)
			if end < 0 {
				return false
			}
			i += end + 1
		case rest[0] == '\\':
			i++
		case rest[0] == '[':
			i = classEnd(pattern, i)
		case strings.HasPrefix(rest, "(?") && len(rest) > 2 && rest[2] != 'P' && rest[2] != '<':
			flags := rest[2:]
			flags = flags[:strings.IndexAny(flags+")", ":)")]
			on, _, _ := strings.Cut(flags, "-")
			if strings.Contains(on, "i") {
				return true
			}
		}
	}
	return false
}

// classEnd returns where the class that begins at i ends.
func classEnd(pattern string, i int) int {
	i++
	if i < len(pattern) && pattern[i] == '^' {
		i++
	}
	for first := i; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == ']' && i > first:
			return i
		case c == '\\':
			i++
		case c == '[' && i+1 < len(pattern) && pattern[i+1] == ':':
			if end := strings.Index(pattern[i+2:], ":]"); end >= 0 {
				i += 2 + end + 1
			}
		}
	}
	return i
}

// maxWord is the length of the longest word, in units of UTF-16.
const maxWord = 255

// NewWords is the test by Phrase or Fulltext. A word is of letters, digits and combining marks; anything else parts them in the text that is searched.
func NewWords(op Op, words []string) (*Test, error) {
	for _, w := range words {
		switch {
		case w == "":
			return nil, fmt.Errorf("a word is empty")
		case !utf8.ValidString(w) || strings.IndexFunc(w, func(r rune) bool { return !inWord(r) }) >= 0:
			return nil, fmt.Errorf("%.40q is no word: it has other than letters, digits and combining marks", w)
		case len(utf16.Encode([]rune(w))) > maxWord:
			return nil, fmt.Errorf("the word %.40q… is longer than %d", w, maxWord)
		}
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("there is no word")
	}
	return &Test{op: op, words: words}, nil
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

// Holds reports whether the test holds of v.
func (t *Test) Holds(v trace.Value) bool {
	switch t.op {
	case Equal, In:
		for i := range t.constants {
			if t.constants[i].equals(&v) {
				return true
			}
		}
		return false
	case Matches:
		return v.Type == trace.ValueString && t.regexp.Match(v.Text)
	case Phrase, Fulltext:
		return v.Type == trace.ValueString && t.wordsIn(v.Text)
	}
	order, ok := t.constants[0].order(&v)
	return ok && t.accepts(order)
}

// HoldsOf reports whether the test holds of a string.
func (t *Test) HoldsOf(text []byte) bool {
	return t.Holds(trace.Value{Type: trace.ValueString, Text: text})
}

// Strings lists the strings of which the test holds, if it is Equal or In.
func (t *Test) Strings() (list []string, ok bool) {
	for i := range t.constants {
		if c := &t.constants[i]; c.typ <= String {
			list = append(list, c.text)
		}
	}
	return list, t.op == Equal || t.op == In
}

// accepts reports whether a comparison had the outcome that is asked for.
func (t *Test) accepts(order int) bool { return Accepts(t.op, order) }

// Accepts reports whether an order is what op, a comparison, asks for.
func Accepts(op Op, order int) bool {
	switch op {
	case Less:
		return order < 0
	case AtMost:
		return order <= 0
	case Greater:
		return order > 0
	case AtLeast:
		return order >= 0
	default:
		return order == 0
	}
}

// wordsIn reports whether the words stand in text.
func (t *Test) wordsIn(text []byte) bool {
	found := make([]bool, len(t.words)) // Fulltext: the words; Phrase: whether the first so many words end here
	missing := len(t.words)
	for len(text) > 0 {
		begin := bytes.IndexFunc(text, inWord)
		if begin < 0 {
			return false
		}
		text = text[begin:]
		end := bytes.IndexFunc(text, func(r rune) bool { return !inWord(r) })
		if end < 0 {
			end = len(text)
		}
		word := text[:end]
		text = text[end:]
		for i := len(t.words) - 1; i >= 0; i-- {
			same := strings.EqualFold(string(word), t.words[i])
			if t.op == Phrase {
				found[i] = same && (i == 0 || found[i-1])
				if i == len(t.words)-1 && found[i] {
					return true
				}
			} else if same && !found[i] {
				found[i] = true
				if missing--; missing == 0 {
					return true
				}
			}
		}
	}
	return false
}
