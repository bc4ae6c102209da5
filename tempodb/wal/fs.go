package wal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// FS is what the log asks of a file system. Names are paths of the operating system. Tests put doubles
// behind it that fail, fill up and crash.
type FS interface {
	// MkdirAll creates a directory and its parents, for this user only.
	MkdirAll(dir string) error
	// ReadDir returns the names in a directory, in any order.
	ReadDir(dir string) ([]string, error)
	// Create creates a file for reading and writing, for this user only, and empties one that exists.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	Remove(name string) error
	Rename(from, to string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
}

// File is what the log asks of a file. ReadAt may be called concurrently with everything but Close.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Reserve makes sure that the bytes [off, off+n) exist, as zeros where nothing was written, so that
	// writing them changes no metadata. It is an optimisation: an implementation may refuse.
	Reserve(off, n int64) error
	// Sync makes the file's content and length durable.
	Sync() error
}

// osFS is the operating system.
type osFS struct{}

func (osFS) MkdirAll(dir string) error      { return os.MkdirAll(dir, 0o700) }
func (osFS) Remove(name string) error       { return os.Remove(name) }
func (osFS) Rename(from, to string) error   { return os.Rename(from, to) }
func (osFS) Open(name string) (File, error) { return openOS(name, os.O_RDONLY) }
func (osFS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (osFS) ReadDir(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func (osFS) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

type osFile struct{ *os.File }

func openOS(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// makeDir creates dir and makes every name on the way to it that is new durable.
func makeDir(fsys FS, dir string) error {
	var parents []string // of the directories that do not exist yet, innermost first
	for d := dir; ; {
		_, err := fsys.ReadDir(d)
		if !errors.Is(err, fs.ErrNotExist) {
			break // it exists; if it is unreadable, what follows says so
		}
		up := filepath.Dir(d)
		if up == d {
			break
		}
		parents = append(parents, up)
		d = up
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	for _, p := range parents {
		if err := fsys.SyncDir(p); err != nil {
			return err
		}
	}
	return nil
}
