package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
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
	config       string
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
	r := &running{cmd: cmd, config: config, output: new(syncBuffer), ended: make(chan error, 1)}
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
	// The launcher, Jaeger and the plugin; make itself too.
	if n := len(r.processes(t)); n < 3 {
		t.Errorf("%d processes of make run are found, want at least 3", n)
	}
	syscall.Kill(-r.cmd.Process.Pid, syscall.SIGINT)
	select {
	case <-r.ended: // with an error: make says that it was interrupted
	case <-time.After(30 * time.Second):
		t.Fatalf("make run does not end:\n%s", r.output)
	}
	if left := r.processes(t); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

// processes returns the command lines of the processes that were given this run's configuration.
func (r *running) processes(t *testing.T) (lines []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		// A process may have ended since.
		if line, _ := os.ReadFile(file); bytes.Contains(line, []byte(r.config)) {
			lines = append(lines, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return lines
}
