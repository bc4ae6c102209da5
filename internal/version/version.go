// Package version says which version of this project a program is. It may be used concurrently.
package version

import "runtime/debug"

// version is set by the linker: -ldflags "-X github.com/jaeger-tempo/tempo/internal/version.version=v1.2.3".
var version = "dev"

// Text names the version, the commit where the build knows it, and the Go that built it.
func Text() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	return text(version, info)
}

func text(version string, info *debug.BuildInfo) string {
	var revision, modified string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				modified = ", modified"
			}
		}
	}
	if revision != "" {
		version += " (commit " + revision + modified + ")"
	}
	return version + " " + info.GoVersion
}
