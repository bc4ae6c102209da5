package e2e

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestMakeCluster does what somebody does who wants to see a cluster: make cluster, twice on the same folder. No process is left behind.
func TestMakeCluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "make", "cluster", "PORTS=free", "RUN_FOR=1s", "DIR="+dir)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "==> found them") {
			t.Fatalf("make cluster: %v\n%s", err, out)
		}
		if left := (&running{config: dir}).processes(t); len(left) > 0 {
			t.Errorf("processes are left: %q", left)
		}
	}
}
