package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const demoService = "demo"

// jaeger is a running all-in-one; the plugin is its child.
type jaeger struct {
	cmd *exec.Cmd
	log *os.File
	// ended is closed when Jaeger has; err says how, then.
	ended chan struct{}
	err   error
}

// startJaeger starts all-in-one on the plugin. Its log goes to a file; warnings are shown as well.
func startJaeger(o options) (*jaeger, error) {
	plugin, err := filepath.Abs(o.plugin)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(o.config); err != nil {
		return nil, fmt.Errorf("the plugin's configuration: %w", err)
	}
	args := []string{
		"--grpc-storage-plugin.binary=" + plugin,
		"--grpc-storage-plugin.configuration-file=" + o.config,
		"--grpc-storage-plugin.log-level=info",
	}
	for _, p := range o.ports {
		args = append(args, fmt.Sprintf("--%s=%s", p.flag, p.address()))
	}
	log, err := os.Create(o.log)
	if err != nil {
		return nil, fmt.Errorf("the file for Jaeger's log: %w", err)
	}
	out, in := io.Pipe()
	cmd := exec.Command(o.jaeger, args...)
	cmd.Env = append(os.Environ(),
		"SPAN_STORAGE_TYPE=grpc-plugin",
		// Jaeger would else trace its own calls of the plugin and store those spans, each of which is a call.
		"OTEL_TRACES_SAMPLER=always_off",
	)
	cmd.Stdout, cmd.Stderr = in, in
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("starting Jaeger: %w", err)
	}
	j := &jaeger{cmd: cmd, log: log, ended: make(chan struct{})}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		copyLog(out, log)
	}()
	go func() {
		j.err = cmd.Wait()
		_ = in.Close()
		<-logged
		log.Close()
		close(j.ended)
	}()
	return j, nil
}

// copyLog copies Jaeger's log to a file, and its warnings and errors, in short, to the user's screen too.
func copyLog(from io.Reader, file io.Writer) {
	lines := bufio.NewReader(from)
	last := ""
	for {
		line, err := lines.ReadBytes('\n')
		_, _ = file.Write(line) // A log that cannot be written is no reason to end.
		if text := warning(line); text != "" && text != last {
			fmt.Println("jaeger:", text)
			last = text
		}
		if err != nil {
			return
		}
	}
}

// warning returns what the user should see of a line of Jaeger's log, or "": Jaeger writes JSON, and lines of the
// plugin as hclog does.
func warning(line []byte) string {
	var entry struct{ Level, Msg, Error string }
	if json.Unmarshal(line, &entry) != nil {
		if bytes.Contains(line, []byte("[WARN]")) || bytes.Contains(line, []byte("[ERROR]")) {
			return strings.TrimSpace(string(line))
		}
		return ""
	}
	switch entry.Level {
	case "warn", "error", "fatal", "panic":
		first, _, _ := strings.Cut(entry.Error, "\n")
		return strings.TrimSuffix(entry.Level+": "+entry.Msg+": "+first, ": ")
	}
	return ""
}

// endError says why Jaeger ended by itself, with the last lines of its log. Only after j.ended.
func (j *jaeger) endError() error {
	text, _ := os.ReadFile(j.log.Name())
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, line := range lines {
		lines[i] = line[:min(len(line), 300)] // without stack traces
	}
	return fmt.Errorf("all-in-one ended by itself (%v); the end of %s:\n  %s", j.err, j.log.Name(),
		strings.Join(lines[max(0, len(lines)-5):], "\n  "))
}

// stop ends Jaeger as an orderly shutdown does, and whatever is left of its process group by force.
func (j *jaeger) stop() error {
	group := -j.cmd.Process.Pid
	_ = j.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-j.ended:
	case <-time.After(15 * time.Second):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-j.ended
		return errors.New("all-in-one did not stop within 15 s and was killed")
	}
	// The plugin stops with Jaeger; a moment for it, then by force.
	for range 50 {
		if errors.Is(syscall.Kill(group, 0), syscall.ESRCH) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return syscall.Kill(group, syscall.SIGKILL)
}

// sendTraces has Jaeger's tracegen send three traces to the OTLP/HTTP endpoint.
func sendTraces(ctx context.Context, tracegen, endpoint string) error {
	cmd := exec.CommandContext(ctx, tracegen, "-service="+demoService, "-traces=3", "-spans=4", "-pause=2ms", "-trace-exporter=otlp-http")
	cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("tracegen: %w\n%s", err, out)
	}
	return nil
}
