package process

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that may be started any number of times. The fields are constant once it was started.
type Process struct {
	// Name is what errors and the log file call it.
	Name string
	// Command is the program and its arguments.
	Command []string
	// Env is added to this program's environment.
	Env []string
	// Dir is the working directory; this program's if empty.
	Dir string
	// Log is the file for what it prints.
	Log string
	// Ready says whether it is, by nil. A process without one is ready at once.
	Ready func() error
	// Patience is how long it may take to get ready; a minute if zero.
	Patience time.Duration

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // of the last start
	err   error         // how it ended; once ended is closed
}

// Launch starts the process and does not wait until it is ready.
func (p *Process) Launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("%s is running already", p.Name)
	}
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the process has it as well
	cmd := exec.Command(p.Command[0], p.Command[1:]...)
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = p.Dir
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended, p.err = cmd, ended, nil
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(ended)
	}()
	return nil
}

// Start launches the process and waits until it is ready.
func (p *Process) Start() error {
	if err := p.Launch(); err != nil {
		return err
	}
	return p.Wait()
}

// Wait waits until the process is ready. A process that does not get ready is killed.
func (p *Process) Wait() error {
	if p.Ready == nil {
		return nil
	}
	patience := p.Patience
	if patience == 0 {
		patience = time.Minute
	}
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ended := p.Ended()
	for {
		err := p.Ready()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			p.Kill()
			return fmt.Errorf("%s is not ready after %v: %w; it said:\n%s", p.Name, patience, err, p.Tail(30))
		}
		select {
		case <-ended:
			return fmt.Errorf("%s ended: %w; it said:\n%s", p.Name, p.Err(), p.Tail(30))
		case <-tick.C:
		}
	}
}

// running needs p.mu.
func (p *Process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Running reports whether the process was started and has not ended.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// Pid is the process ID, 0 if it is not running.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return 0
	}
	return p.cmd.Process.Pid
}

// Ended is closed when the process that runs now has ended.
func (p *Process) Ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return p.ended
}

// Err is how the process ended.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		return errors.New("exit code 0")
	}
	return p.err
}

// Signal sends a signal to the process, if it is running.
func (p *Process) Signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		_ = p.cmd.Process.Signal(s) // it may just have ended
	}
}

// Kill ends the process as kill -9 does, with what it has started, and returns when it is dead.
func (p *Process) Kill() {
	if pid := p.Pid(); pid != 0 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	<-p.Ended()
}

// Stop ends the process with SIGTERM. One that takes longer than patience is killed, and that is an error.
func (p *Process) Stop(patience time.Duration) error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Ended():
		return nil
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("%s did not stop within %v after SIGTERM and was killed; it said:\n%s", p.Name, patience, p.Tail(10))
	}
}

// Tail returns the last lines of what the process has printed.
func (p *Process) Tail(lines int) string {
	f, err := os.Open(p.Log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const most = 64 << 10
	size, err := f.Seek(0, 2)
	if err != nil {
		return err.Error()
	}
	text := make([]byte, min(size, most))
	n, _ := f.ReadAt(text, size-int64(len(text)))
	all := strings.Split(strings.TrimSpace(string(text[:n])), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Listens is for Ready: somebody accepts connections there.
func Listens(address string) func() error {
	return func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err
	}
}

var client = &http.Client{Timeout: 2 * time.Second}

// Answers is for Ready: the URL is answered with 200.
func Answers(url string) func() error {
	return func() error {
		response, err := client.Get(url)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			text := make([]byte, 200)
			n, _ := response.Body.Read(text)
			return fmt.Errorf("%s: %s: %s", url, response.Status, text[:n])
		}
		return nil
	}
}
