package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMakeRun does what a newcomer does: `make run`, the printed curl, Ctrl-C, and `make run` again.
func TestMakeRun(t *testing.T) {
	t.Parallel()
	config := configFor(t, t.TempDir())
	first := makeRun(t, config)
	if spans := first.fetch(t, first.byID); spans == 0 {
		t.Error("the trace that the printed line asks for is not there")
	}
	if traces := first.fetch(t, first.search); traces == 0 {
		t.Error("the search that the printed line does finds nothing")
	}
	first.interrupt(t)

	second := makeRun(t, config)
	// The first run's trace, asked of the second run's Jaeger.
	id := first.byID[strings.LastIndex(first.byID, "/"):]
	if second.fetch(t, second.byID[:strings.LastIndex(second.byID, "/")]+id) == 0 {
		t.Error("the first run's trace is not there in the second run")
	}
	second.interrupt(t)
}

// running is a `make run`, and what it printed.
type running struct {
	cmd          *exec.Cmd
	output       *syncBuffer
	ended        chan error
	byID, search string
}

var curl = regexp.MustCompile(`(?m)^ +(find by ID|search) +curl -s '([^']+)'`)

func makeRun(t *testing.T, config string) *running {
	t.Helper()
	// This test's bin/ is the repository's: everything is built.
	cmd := exec.Command("make", "run", "PORTS=free", "CONFIG="+config)
	cmd.Dir = root
	// A group of its own, as a terminal gives to each command: Ctrl-C goes to all of it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r := &running{cmd: cmd, output: new(syncBuffer), ended: make(chan error, 1)}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(io.TeeReader(out, r.output))
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "Ctrl-C ends") {
				close(ready)
			}
		}
		r.ended <- cmd.Wait()
	}()
	select {
	case <-ready:
	case err := <-r.ended:
		t.Fatalf("make run ended: %v\n%s", err, r.output)
	case <-time.After(2 * time.Minute):
		t.Fatalf("make run is not ready:\n%s", r.output)
	}
	for _, match := range curl.FindAllStringSubmatch(r.output.String(), -1) {
		if match[1] == "search" {
			r.search = match[2]
		} else {
			r.byID = match[2]
		}
	}
	if r.byID == "" || r.search == "" {
		t.Fatalf("make run does not say how to find a trace:\n%s", r.output)
	}
	return r
}

// fetch returns the number of traces that a printed line finds.
func (r *running) fetch(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Data []struct{ TraceID string } }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%s: %s: %s", url, response.Status, body)
	}
	return len(answer.Data)
}

// interrupt is Ctrl-C; nothing that make run started is left then.
func (r *running) interrupt(t *testing.T) {
	t.Helper()
	before := children(t)
	syscall.Kill(-r.cmd.Process.Pid, syscall.SIGINT)
	select {
	case <-r.ended: // make itself says Interrupt, and fails.
	case <-time.After(30 * time.Second):
		t.Fatalf("make run does not end:\n%s", r.output)
	}
	mine := program("tempo-plugin") + "\x00--config\x00"
	for pid, line := range before {
		if strings.Contains(line, mine) && strings.Contains(line, "run-jaeger") {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
				t.Errorf("process %d is left: %q", pid, line)
			}
		}
	}
}

// children returns the command lines of all processes, by their numbers.
func children(t *testing.T) map[int]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	lines := make(map[int]string)
	for _, file := range files {
		var pid int
		fmt.Sscanf(file, "/proc/%d/", &pid)
		line, _ := os.ReadFile(file)
		lines[pid] = string(line)
	}
	return lines
}
