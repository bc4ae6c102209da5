package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/plugin"
)

func main() { os.Exit(run()) }

func run() int {
	err := command(startedByJaeger()).Execute()
	if err == nil {
		return 0
	}
	report(err)
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// report writes the error that ends the program, one line a problem, where its reader sees it: Jaeger's
// log, or the terminal.
func report(err error) {
	lines := []string{err.Error()}
	if errors.As(err, new(*config.Error)) {
		lines = strings.Split(err.Error(), "\n")
	}
	if startedByJaeger() {
		log := newLog("error", os.Stderr)
		for _, line := range lines {
			log.Error("tempo-plugin cannot run: " + line)
		}
		return
	}
	for _, line := range lines {
		fmt.Fprintln(os.Stderr, "tempo-plugin: "+line)
	}
}

// startedByJaeger reports whether the environment has the cookie by which go-plugin's hosts mark plugins.
func startedByJaeger() bool {
	return os.Getenv(plugin.Handshake.MagicCookieKey) == plugin.Handshake.MagicCookieValue
}
