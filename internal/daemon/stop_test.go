package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const beProgram = "TEMPO_TEST_BE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beProgram) != "" {
		ctx := UntilStopped(NewLog("off", io.Discard))
		fmt.Println("up")
		<-ctx.Done()
		fmt.Println("stopping")
		_, _ = io.Copy(io.Discard, os.Stdin) // it hangs while it stops
	}
	os.Exit(m.Run())
}

func TestASecondSignalKills(t *testing.T) {
	for _, first := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), beProgram+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Scan() // it is up
		if err := cmd.Process.Signal(first); err != nil {
			t.Fatal(err)
		}
		lines.Scan() // it is stopping, and hears the second signal as the system has it
		if lines.Text() != "stopping" {
			t.Errorf("it says %q", lines.Text())
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		exit := new(exec.ExitError)
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			t.Errorf("it ended with %v", err)
		}
	}
}
