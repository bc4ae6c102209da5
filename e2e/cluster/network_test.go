package cluster

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestALinkIsCutAndHealed: what is cut loses everything, also on connections that are open, and nothing else is touched.
func TestALinkIsCutAndHealed(t *testing.T) {
	n := network(t, 3)
	// A port on which nobody listens is refused at once where packets arrive, and silent where they do not.
	reaches := func(from int, address string) bool {
		command := n.Within(from, "timeout", "0.4", "bash", "-c", "exec 3<>/dev/tcp/"+address+"/1")
		out, _ := exec.Command(command[0], command[1:]...).CombinedOutput()
		return strings.Contains(string(out), "refused")
	}
	state := func() (s string) {
		for from := range 3 {
			for to := range 3 {
				if from != to && reaches(from, n.Address(to)) {
					s += fmt.Sprintf("%d%d ", from, to)
				}
			}
			if !reaches(from, n.Host()) {
				s += fmt.Sprint(from, " is alone ")
			}
		}
		return s
	}
	all := "01 02 10 12 20 21 "
	if got := state(); got != all {
		t.Fatalf("at first: %q, want %q", got, all)
	}
	if err := n.Cut(0, 2); err != nil {
		t.Fatal(err)
	}
	if got, want := state(), "01 10 12 21 "; got != want {
		t.Errorf("after a cut: %q, want %q", got, want)
	}
	if err := n.Heal(0, 2); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); state() != all; {
		if time.Now().After(deadline) {
			t.Fatalf("after healing: %q, want %q", state(), all)
		}
	}
}

// network makes a network until the test ends, or skips the test where that is not allowed.
func network(t *testing.T, zones int) *Network {
	t.Helper()
	n, err := NewNetwork(zones)
	if err != nil {
		t.Skipf("no network namespaces here: %v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}
