package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Lock is the right to use a storage directory, held by an flock on the file lock in it. The system
// gives it back when the process ends, however it ends; the file stays, and names the last holder.
type Lock struct{ file *os.File }

// How long a new process waits for the holder to go, and how often it looks. When Jaeger is killed and
// started again at once, the old plugin may be there for another moment.
const (
	lockWait = 5 * time.Second
	lockPoll = 50 * time.Millisecond
)

// LockDir makes the directory if need be and locks it for a program. It waits a while for who holds it.
func LockDir(dir, program string, log *Log) (*Lock, error) {
	return lockDir(dir, program, lockWait, func(holder string) {
		log.Warn("storage directory is in use, waiting for its holder to end", "path", dir, "holder", holder)
	})
}

// lockDir calls waiting once if someone holds the lock.
func lockDir(dir, program string, wait time.Duration, waiting func(holder string)) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("storage directory %s cannot be made: %w; set storage.path to a directory that this process may write", dir, err)
	}
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("storage directory %s cannot be written: %w; set storage.path to a directory that this process may write", dir, err)
	}
	asked := time.Now()
	for told := false; ; told = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w; is the file system of storage.path one without locks?", name, err)
		}
		holder := readHolder(name)
		if time.Since(asked) >= wait {
			f.Close()
			return nil, fmt.Errorf("storage directory %s is in use by %s, and one process can use it: set storage.path to another "+
				"directory, let one process serve all (jaeger-all-in-one does, jaeger-collector and jaeger-query start a plugin each), "+
				"or set ring.store to use a cluster", dir, holder)
		}
		if !told {
			waiting(holder)
		}
		time.Sleep(lockPoll)
	}
	holder := fmt.Sprintf("process %d (%s, since %s)\n", os.Getpid(), program, time.Now().Format(time.RFC3339))
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(holder), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("storage directory %s cannot be written: %w", dir, err)
	}
	return &Lock{f}, nil
}

// readHolder returns what the holder wrote about itself.
func readHolder(name string) string {
	text, err := os.ReadFile(name)
	if holder := strings.TrimSpace(string(text)); err == nil && holder != "" {
		return holder
	}
	return "another process"
}

// Release gives the directory back.
func (l *Lock) Release() { l.file.Close() }
