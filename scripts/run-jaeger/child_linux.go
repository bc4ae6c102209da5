package main

import "syscall"

// childAttributes put Jaeger into a process group of its own, so that Ctrl-C in the terminal reaches only
// this program, which then stops Jaeger in order; and end Jaeger if this program is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
