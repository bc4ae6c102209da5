package tracedb

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

func TestANameThatAUserMayChooseIsAFolderAndNoArchive(t *testing.T) {
	for _, name := range []string{"a", "Acme-1_x.y", "single-tenant", strings.Repeat("a", 142), "-", "a..b"} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"", ".", "..", ".a", "../b", "a/b", `a\b`, "b~archive", "a~", "a'", "a b", "a\x00", "a\n", "ä", "\xff", "a,b", "a:b", "quarantine", strings.Repeat("a", 143), "a*",
	} {
		if CheckName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z.~/!]{0,150}(~archive)?`), rapid.StringMatching(`[A-Za-z0-9_.-]{1,145}`)).Draw(t, "name")
		if CheckName(name) != nil {
			return
		}
		if IsArchive(name) {
			t.Fatalf("%q is an archive", name)
		}
		for _, folder := range []string{name, ArchiveTenant(name)} {
			if err := block.CheckTenant(folder); err != nil || strings.ContainsAny(folder, `/\`) {
				t.Fatalf("%q: %v", folder, err)
			}
		}
	})
}
