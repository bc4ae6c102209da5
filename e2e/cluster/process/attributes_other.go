//go:build !linux

package process

import "syscall"

// attributes put a process into a group of its own, so that Ctrl-C in a terminal does not reach it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
