package local

import (
	"path/filepath"
	"testing"
)

// An object's file is where its name says, and never outside of the directory.
func FuzzPath(f *testing.F) {
	b, err := New(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"a/b", "../a", "a/../../b", ".tmp-x", "a/.tmp-", "...", "a\\..\\b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		file, err := b.path(name)
		if err != nil {
			return
		}
		if rel, err := filepath.Rel(b.dir, file); err != nil || filepath.ToSlash(rel) != name || !filepath.IsLocal(rel) {
			t.Fatalf("%q lies in %q, %v", name, file, err)
		}
	})
}
