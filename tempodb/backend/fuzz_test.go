package backend

import (
	"errors"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

// A name that is taken is the name of one object in every store, below the folder that it says.
func FuzzCheckName(f *testing.F) {
	for _, name := range []string{"", "a/b", "a//b", "/a", "a/", "../a", "a/..", ".", "a\x00b", "ü/\u2028", "a\xff", strings.Repeat("a", 1025)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := CheckName(name); err != nil {
			if !errors.Is(err, ErrName) {
				t.Fatalf("%v is not ErrName", err)
			}
			return
		}
		if path.Clean(name) != name || path.IsAbs(name) || strings.HasPrefix(name, "..") && (name == ".." || name[2] == '/') || !utf8.ValidString(name) || len(name) > 1024 {
			t.Fatalf("%q is taken", name)
		}
	})
}
