package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPartialTracesNamesTests: each test, and each fault of TestChaos, that docs/partial-traces.md names exists.
func TestPartialTracesNamesTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "partial-traces.md"))
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			content, err := os.ReadFile(path)
			tests.Write(content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 40 {
		t.Errorf("only %d tests are named", len(names))
	}
	for _, name := range names {
		if !strings.Contains(tests.String(), "func "+name[1]+"(t *testing.T)") {
			t.Errorf("there is no %s", name[1])
		}
	}
	chaos, err := os.ReadFile("chaos_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.Lines(string(text)) {
		_, rest, ok := strings.Cut(row, "Chaos \"")
		if !ok || !strings.HasPrefix(row, "|") {
			continue
		}
		list, _, _ := strings.Cut(rest, ";")
		for _, fault := range regexp.MustCompile(`"?([^"]{5,})"(?:, "|[ ,|]|$)`).FindAllStringSubmatch(list, -1) {
			if !strings.Contains(string(chaos), `"`+fault[1]+`"`) {
				t.Errorf("TestChaos has no fault %q", fault[1])
			}
		}
	}
}
