package process

import "syscall"

// attributes put a process into a group of its own, so that Ctrl-C in a terminal does not reach it, and end it with its starter.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
