package wal

import (
	"os"

	"golang.org/x/sys/unix"
)

// Reserve allocates the blocks and moves the end of the file; unwritten blocks read as zeros.
func (f osFile) Reserve(off, n int64) error {
	return f.retry("fallocate", func(fd int) error { return unix.Fallocate(fd, 0, off, n) })
}

// Sync leaves out the metadata that is not needed to read the data back, such as the time of change.
func (f osFile) Sync() error {
	return f.retry("fdatasync", unix.Fdatasync)
}

// retry calls the operation until no signal interrupts it.
func (f osFile) retry(name string, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			if failed = call(int(fd)); failed != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if failed != nil {
		return &os.PathError{Op: name, Path: f.Name(), Err: failed}
	}
	return nil
}
