package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Error lists all that is wrong with a configuration, in the order of the file.
type Error struct {
	File     string
	Problems []Problem
}

// Problem is one thing that is wrong.
type Problem struct {
	// Line is the line in the file, from 1; 0 where no line is to blame.
	Line int
	// Key is the dotted name as it stands in the file; empty where no key is to blame.
	Key string
	// Text says what is wrong and what would be right.
	Text string
}

// Error writes one problem a line, each as file:line: key: text.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		if p.Key != "" {
			fmt.Fprintf(&b, ": %s", p.Key)
		}
		fmt.Fprintf(&b, ": %s", p.Text)
	}
	return b.String()
}

// Parse reads a configuration from the contents of a file; what it does not set has its default.
// file stands in errors only.
func Parse(file string, data []byte, env LookupEnv) (Config, error) {
	p := parser{config: Default(env), env: env, seen: map[string]int{}}
	p.document(data, "sections with keys, such as storage:", p.section)
	if len(p.problems) == 0 {
		for _, c := range p.config.conflicts() {
			p.problem(p.seen[c.Key], c.Key, "%s", c.Text)
		}
	}
	if err := p.err(file); err != nil {
		return Config{}, err
	}
	return p.config, nil
}

// parser walks the YAML nodes by the table of keys, so that it goes no deeper than the table and
// expands no alias that it was not asked for.
type parser struct {
	config   Config
	env      LookupEnv
	seen     map[string]int // key or section -> line
	problems []Problem
}

func (p *parser) problem(line int, key, format string, args ...any) {
	p.problems = append(p.problems, Problem{Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// err returns the problems in the order of the file; nil if there are none.
func (p *parser) err(file string) error {
	if len(p.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Line - b.Line })
	return &Error{File: file, Problems: p.problems}
}

// document calls fn with each pair of the mapping that the document should be, which holds what is expected.
func (p *parser) document(data []byte, expected string, fn func(name *yaml.Node, full string, v *yaml.Node)) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF): // empty, or comments only
		return
	case err != nil:
		p.notYAML(data, err)
		return
	}
	root := resolve(doc.Content[0])
	switch {
	case isNull(root):
	case root.Kind != yaml.MappingNode:
		p.problem(root.Line, "", "is %s: expected %s", describe(root), expected)
	default:
		p.pairs(root, "", fn)
	}
	if err := dec.Decode(&more); err == nil {
		p.problem(more.Line, "", "a second YAML document begins here: only one is read")
	} else if !errors.Is(err, io.EOF) {
		p.notYAML(data, err)
	}
}

// notYAML reports an error of the YAML library, which says its line in the text.
func (p *parser) notYAML(data []byte, err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if n, rest, ok := strings.Cut(text, ": "); ok {
		if _, err := fmt.Sscanf(n, "line %d", &line); err == nil {
			text = rest
		}
	}
	if strings.HasPrefix(text, "found character that cannot start any token") && bytes.Contains(data, []byte("\t")) {
		text = "a tab: YAML is indented with spaces"
	}
	p.problem(line, "", "is not YAML: %s", text)
}

// pairs calls fn with each name and value of a mapping, names under prefix, each once.
func (p *parser) pairs(m *yaml.Node, prefix string, fn func(name *yaml.Node, full string, v *yaml.Node)) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		name, v := m.Content[i], m.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			p.problem(name.Line, strings.TrimSuffix(prefix, "."), "%s is no name of a key", describe(name))
			continue
		}
		full := prefix + name.Value
		if first, twice := p.seen[full]; twice {
			p.problem(name.Line, full, "is set twice, first in line %d", first)
			continue
		}
		p.seen[full] = name.Line
		fn(name, full, resolve(v))
	}
}

func (p *parser) section(name *yaml.Node, full string, v *yaml.Node) {
	switch {
	case !isSection(full):
		p.unknown(name, full)
	case isNull(v):
	case v.Kind != yaml.MappingNode:
		p.problem(v.Line, full, "is %s: it is a section, with keys below it", describe(v))
	default:
		p.pairs(v, full+".", p.key)
	}
}

func (p *parser) key(name *yaml.Node, full string, v *yaml.Node) {
	k := find(full)
	if k == nil {
		p.unknown(name, full)
		return
	}
	p.value(k, full, v)
}

// value sets the key k, which is written full in the file.
func (p *parser) value(k *Key, full string, v *yaml.Node) {
	switch {
	case isNull(v):
	case v.Kind != yaml.ScalarNode:
		p.problem(v.Line, full, "is %s: it takes one value (%s)", describe(v), strings.ReplaceAll(k.Type, "`", ""))
	case v.ShortTag() == "!!binary" || !strings.HasPrefix(v.ShortTag(), "!!"):
		p.problem(v.Line, full, "has the tag %s: write the value without a tag", v.ShortTag())
	default:
		p.scalar(k, full, v)
	}
}

func (p *parser) scalar(k *Key, full string, v *yaml.Node) {
	text, problems := expand(v.Value, p.env)
	for _, s := range problems {
		p.problem(v.Line, full, "%s", s)
	}
	if len(problems) > 0 {
		return
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		p.problem(v.Line, full, "%q is not plain text: it holds control characters or invalid UTF-8", text)
		return
	}
	if err := k.field(&p.config).set(text); err != nil {
		p.problem(v.Line, full, "%s", err)
	}
}

func (p *parser) unknown(name *yaml.Node, full string) {
	if near := nearest(full); near != "" {
		p.problem(name.Line, full, "unknown key; did you mean %s?", near)
		return
	}
	p.problem(name.Line, full, "unknown key; known here: %s", siblings(full))
}

// resolve follows an alias. An alias of an alias does not exist in YAML.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// isNull reports whether n is a key without a value, and not the text "null" in quotes.
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return fmt.Sprintf("the value %q", n.Value)
	}
	return "an alias"
}
