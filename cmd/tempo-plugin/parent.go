package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const parentPoll = time.Second

// watchParent sends on the returned channel why there is no Jaeger any more to work for. go-plugin does
// not tell a plugin that its host was killed, so two signs are watched:
//
//   - The other end of stdout is closed. Jaeger reads the plugin's stdout through a pipe until it ends;
//     the kernel reports its death at once, also where a wrapper script stands between the two.
//   - The parent process has changed: an orphan is given to init or to a subreaper. That the parent is
//     process 1 is no sign, in a container Jaeger itself may be that.
//
// A Jaeger that dies before the handshake needs no watching: writing it then ends the process (SIGPIPE).
//
// PR_SET_PDEATHSIG is no way: it is a matter of the thread that forked, and Go's threads come and go.
func watchParent(stdout int) <-chan string {
	gone := make(chan string, 1)
	parent := os.Getppid()
	go func() {
		for {
			fds := []unix.PollFd{{Fd: int32(stdout)}} // no events asked: errors are reported anyway
			_, err := unix.Poll(fds, int(parentPoll.Milliseconds()))
			switch {
			case err == nil && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0:
				gone <- "the reader of stdout is gone"
				return
			case err != nil && !errors.Is(err, unix.EINTR) || fds[0].Revents&unix.POLLNVAL != 0:
				time.Sleep(parentPoll) // stdout can't be watched: the parent can
			}
			if now := os.Getppid(); now != parent {
				gone <- fmt.Sprintf("parent process %d is gone", parent)
				return
			}
		}
	}()
	return gone
}
