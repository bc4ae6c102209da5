package config

import (
	"fmt"
	"strings"
)

// expand replaces ${NAME}, ${NAME:-default} and $$ in text. All problems are returned.
func expand(text string, env LookupEnv) (string, []string) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	var (
		out      strings.Builder
		problems []string
	)
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), problems
		}
		switch {
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "{"):
			inner, rest, closed := strings.Cut(after[1:], "}")
			if !closed {
				return "", append(problems, fmt.Sprintf("%q has no closing brace", "$"+after))
			}
			v, problem := lookup(inner, env)
			if problem != "" {
				problems = append(problems, problem)
			}
			out.WriteString(v)
			text = rest
		default:
			name := after[:nameLen(after)]
			if name == "" {
				problems = append(problems, "a single $: write $$ for a dollar sign")
			} else {
				problems = append(problems, fmt.Sprintf("$%s: write ${%s} for the variable, $$ for a dollar sign", name, name))
			}
			text = after
		}
	}
}

// lookup evaluates what stands between the braces.
func lookup(inner string, env LookupEnv) (v, problem string) {
	name, fallback, hasFallback := strings.Cut(inner, ":-")
	if name == "" || nameLen(name) != len(name) {
		return "", fmt.Sprintf("${%s}: %q is not the name of an environment variable", inner, name)
	}
	v, ok := env(name)
	switch {
	case hasFallback && v == "":
		return fallback, ""
	case !ok:
		return "", fmt.Sprintf("environment variable %s is not set: set it, or write ${%s:-default}", name, name)
	}
	return v, ""
}

// nameLen is the length of the variable name that s begins with.
func nameLen(s string) int {
	for i := range len(s) {
		c := s[i]
		if !(c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 0 && '0' <= c && c <= '9') {
			return i
		}
	}
	return len(s)
}

// escape makes text stand for itself under expand.
func escape(text string) string { return strings.ReplaceAll(text, "$", "$$") }
