// Skewed-clock builds a program whose wall clock is wrong by as many seconds as its environment says in CLOCK_SKEW. What a Go program reads as
// the time cannot be changed from outside, without changing it for the whole machine: Go asks the kernel's vDSO directly. So the program is built with
// another time.Now, by go build -overlay; its own code, and all that it imports, is as it is.
//
//	go run ./skewed-clock -C ../.. -o bin/skewed/tempo ./cmd/tempo
//	CLOCK_SKEW=-90 bin/skewed/tempo ...
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const skew = `package time

import "syscall"

// skew is what is added to the wall clock, in seconds.
var skew = func() (n int64) {
	text, _ := syscall.Getenv("CLOCK_SKEW")
	sign := int64(1)
	for _, c := range []byte(text) {
		switch {
		case c == '-':
			sign = -1
		case c >= '0' && c <= '9':
			n = 10*n + int64(c-'0')
		}
	}
	return sign * n
}()
`

func main() {
	folder := flag.String("C", ".", "`folder` to build in")
	output := flag.String("o", "", "the program to write, relative to that folder")
	flag.Parse()
	if err := run(*folder, *output, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "skewed-clock:", err)
		os.Exit(1)
	}
}

func run(folder, output, pkg string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(src, "time.go"))
	if err != nil {
		return err
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if !strings.Contains(string(text), now) {
		return fmt.Errorf("time.Now of this Go (%s) is not as it was when this was written", build.Default.ReleaseTags)
	}
	dir, err := os.MkdirTemp("", "skewed")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	replace := make(map[string]string)
	for name, content := range map[string]string{
		"time.go": strings.Replace(string(text), now, now+"\tsec += skew\n", 1),
		"skew.go": skew,
	} {
		replace[filepath.Join(src, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-C", folder, "-trimpath", "-overlay", file, "-o", output, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
