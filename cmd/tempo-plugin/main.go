package main

import (
	"os"

	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/plugin"
)

func main() { os.Exit(execute()) }

func execute() int {
	cmd := program(startedByJaeger()).Command()
	cmd.AddCommand(server().Command())
	err := cmd.Execute()
	if err != nil {
		report(err)
	}
	return daemon.ExitCode(err)
}

// report writes the error that ends the program where its reader sees it: Jaeger's log, or the terminal.
func report(err error) {
	if !startedByJaeger() {
		daemon.Report(os.Stderr, "tempo-plugin", err)
		return
	}
	log := daemon.NewLog("error", os.Stderr)
	for _, line := range daemon.Lines(err) {
		log.Error("tempo-plugin cannot run: " + line)
	}
}

// startedByJaeger reports whether the environment has the cookie by which go-plugin's hosts mark plugins.
func startedByJaeger() bool {
	return os.Getenv(plugin.Handshake.MagicCookieKey) == plugin.Handshake.MagicCookieValue
}
