package version

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestTheTextNamesVersionCommitAndGo(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for _, c := range []struct {
		settings []debug.BuildSetting
		want     string
	}{
		{nil, "v1.2.3 go1.26"},
		{[]debug.BuildSetting{setting("vcs.revision", "0123456789abcdef"), setting("vcs.modified", "false")}, "v1.2.3 (commit 0123456789ab) go1.26"},
		{[]debug.BuildSetting{setting("vcs.revision", "abc"), setting("vcs.modified", "true")}, "v1.2.3 (commit abc, modified) go1.26"},
	} {
		if got := text("v1.2.3", &debug.BuildInfo{GoVersion: "go1.26", Settings: c.settings}); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if !strings.HasPrefix(Text(), "dev") {
		t.Errorf("of a build without a version: %q", Text())
	}
}
