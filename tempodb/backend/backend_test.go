package backend

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "a/b", "tenant/block/meta.json", "..a", "a..", "...", " ", "ü%+", strings.Repeat("n", 1024)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, why := range map[string]string{
		"":                        "empty",
		"/a":                      "empty element",
		"a/":                      "empty element",
		"a//b":                    "empty element",
		"a/../b":                  "element ..",
		".":                       "element .",
		"a\x00":                   "control",
		"a\x7f":                   "control",
		"\xff":                    "UTF-8",
		strings.Repeat("n", 1025): "longer",
	} {
		if err := CheckName(name); !errors.Is(err, ErrName) || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %s", name, err, why)
		}
	}
}
