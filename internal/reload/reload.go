package reload

import (
	"io/fs"
	"os"
	"time"
)

// Every is how often is looked for a change where nothing else is wanted.
const Every = 5 * time.Second

// File is a file that may change. It is for one goroutine.
type File struct {
	path   string
	read   func(path string) error
	looked bool
	seen   fs.FileInfo // when it was last read; nil if it could not be looked at
}

// New returns a file that has not been looked at. read reads it.
func New(path string, read func(path string) error) *File {
	return &File{path: path, read: read}
}

// Look has the file read if it has changed since the last Look, and says whether it had. The error is that of reading it; it is told once for each change.
func (f *File) Look() (changed bool, err error) {
	now, err := os.Stat(f.path) // before it is read: a change meanwhile is seen later
	if err != nil {
		now = nil
	}
	if f.looked && same(now, f.seen) {
		return false, nil
	}
	f.looked, f.seen = true, now
	return true, f.read(f.path)
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Follow looks every so often, until stop is called, which returns when no look is under way. After each change it calls told, with nil if
// the file could be read.
func (f *File) Follow(every time.Duration, told func(error)) (stop func()) {
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-stopping:
				return
			case <-ticker.C:
			}
			if changed, err := f.Look(); changed {
				told(err)
			}
		}
	}()
	return func() {
		close(stopping)
		<-stopped
	}
}
