package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

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
