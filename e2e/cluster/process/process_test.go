package process

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func shell(t *testing.T, script string) *Process {
	return &Process{Name: "it", Command: []string{"sh", "-c", script}, Log: filepath.Join(t.TempDir(), "log")}
}

func TestAProcessIsStartedAgainAfterItWasKilled(t *testing.T) {
	p := shell(t, "echo started; exec sleep 100")
	p.Ready = func() error { return nil }
	for range 2 {
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if err := p.Launch(); err == nil {
			t.Error("it was started twice at once")
		}
		p.Kill()
		if p.Running() || p.Pid() != 0 {
			t.Error("it is running after it was killed")
		}
	}
}

func TestAProcessThatEndsSaysWhy(t *testing.T) {
	p := shell(t, "echo its last words; exit 3")
	p.Ready = Listens("127.0.0.1:1")
	err := p.Start()
	if err == nil || !strings.Contains(err.Error(), "its last words") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v, want its exit status and last words", err)
	}
}

func TestAProcessThatIsDeafIsKilled(t *testing.T) {
	p := shell(t, "trap '' TERM; echo deaf; while :; do sleep 0.01; done")
	if err := p.Launch(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(p.Tail(1), "deaf"); {
		if time.Now().After(deadline) {
			t.Fatal("it does not start")
		}
	}
	if err := p.Stop(50 * time.Millisecond); err == nil || p.Running() {
		t.Errorf("error %v, running %v; want one that says that it was killed", err, p.Running())
	}
	p.Signal(syscall.SIGTERM) // no effect
}

func TestPortsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		address, err := FreePort("127.0.0.1")
		if err != nil || seen[address] {
			t.Fatalf("%s, %v; seen before: %v", address, err, seen[address])
		}
		seen[address] = true
	}
}
