package fuzztest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	function = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	inTable  = regexp.MustCompile("`([^`]+)`|(Fuzz\\w+)")
)

// docs/fuzzing.md lists the targets that there are, and every target has seeds in a folder of its own.
func TestTheTableOfTargetsIsComplete(t *testing.T) {
	root := filepath.Join("..", "..")
	var targets []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != root:
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || e.Name()[0] == '.' || e.Name() == "bin" {
				return filepath.SkipDir // of another module, or not ours
			}
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			folder, err := filepath.Rel(root, filepath.Dir(path))
			for _, m := range function.FindAllStringSubmatch(string(text), -1) {
				targets = append(targets, filepath.ToSlash(folder)+" "+m[1])
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(targets)
	text, err := os.ReadFile(filepath.Join(root, "docs", "fuzzing.md"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		folder := ""
		for _, m := range inTable.FindAllStringSubmatch(cells[3], -1) {
			if m[1] != "" {
				folder = m[1]
			} else {
				listed = append(listed, folder+" "+m[2])
			}
		}
	}
	slices.Sort(listed)
	for _, target := range targets {
		if !slices.Contains(listed, target) {
			t.Errorf("docs/fuzzing.md does not list %s", target)
		}
		folder, name, _ := strings.Cut(target, " ")
		if seeds, err := os.ReadDir(filepath.Join(root, folder, "testdata", "fuzz", name)); err != nil || len(seeds) == 0 {
			t.Errorf("%s has no seeds in testdata/fuzz: %v", target, err)
		}
	}
	for _, target := range listed {
		if !slices.Contains(targets, target) {
			t.Errorf("docs/fuzzing.md lists %s, which is no target", target)
		}
	}
}
