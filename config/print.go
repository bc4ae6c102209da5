package config

import (
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
)

// Print writes c as YAML that Parse makes an equal Config of, with every key.
func Print(w io.Writer, c Config) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	var section *yaml.Node
	last := ""
	for _, k := range keys {
		s, name := k.section()
		if s != last {
			section, last = &yaml.Node{Kind: yaml.MappingNode}, s
			root.Content = append(root.Content, text(s), section)
		}
		section.Content = append(section.Content, text(name), text(escape(k.field(&c).String())))
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return enc.Close()
}

// text is a scalar that is read back as a string, quoted where YAML would see something else in it.
func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// Markdown returns the page docs/configuration.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Written from config/keys.go: go test ./config -run TestDocumentation -update -->

No configuration is needed: without one, everything has the default below. A configuration is a YAML
file, named by ` + "`--config FILE`" + `, or ` + "`--config.file=FILE`" + `, to ` + "`tempo-plugin`" + ` and ` + "`tempo`" + ` alike: all processes of a cluster can share
one, in which variables stand for what differs, see [jaeger-config/v1.57-cluster](../jaeger-config/v1.57-cluster/README.md). Jaeger passes on to the plugin
what it is told with ` + "`--grpc-storage-plugin.configuration-file=FILE`" + `. ` + "`tempo-plugin --config FILE --config.print`" + ` checks a file
and prints what is in effect.

`)
	b.WriteString("```yaml\n")
	_ = Print(&b, Default(func(string) (string, bool) { return "", false }))
	b.WriteString("```\n\n")
	b.WriteString(`An unknown key is an error, and so is a value that makes no sense; all problems are reported at once, with line and key.

- A **duration** is written ` + "`100ms`, `90s`, `1h30m`" + `.
- A **size** is written ` + "`64MiB` (1024s), `64MB` (1000s)" + ` or as a number of bytes.
- In every value, ` + "`${NAME}`" + ` stands for an environment variable, ` + "`${NAME:-text}`" + ` for the variable or, where it is unset
  or empty, for the text, and ` + "`$$`" + ` for a dollar sign. A variable that is not set, without a text, is an error.
- A key without a value keeps its default.

`)
	for _, k := range keys {
		fmt.Fprintf(&b, "## `%s`\n\n%s\n\n- Value: %s\n- Default: %s\n\n", k.Name, k.Doc, k.Type, k.Default)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
