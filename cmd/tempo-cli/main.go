package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.LookupEnv)
	stop()
	os.Exit(code)
}

// run runs the program in this process, and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, env func(string) (string, bool)) int {
	p := &program{stdout: stdout, stderr: stderr, env: env}
	cmd := p.command()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	p.close()
	if err == nil {
		p.warn()
		return exitOK
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "tempo-cli: interrupted")
		return exitFailed
	}
	for _, line := range lines(err) {
		fmt.Fprintln(stderr, "tempo-cli: "+line)
	}
	return exitCode(err)
}

// versionText names the version, and the commit where the build knows it.
func versionText() string {
	text := version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return text
	}
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
		text += " (commit " + revision + modified + ")"
	}
	return text + " " + info.GoVersion
}
