package wal

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// memFS puts a file system of pebble's vfs behind FS, mostly for its CrashClone.
type memFS struct{ *vfs.MemFS }

func (m memFS) MkdirAll(dir string) error            { return m.MemFS.MkdirAll(dir, 0o700) }
func (m memFS) ReadDir(dir string) ([]string, error) { return m.MemFS.List(dir) }

func (m memFS) Create(name string) (File, error) {
	// MemFS.Create makes a new inode, which a crash may undo to the old one's content; os.Create does not.
	f, err := m.MemFS.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return memFile{f}, memFile{f}.Truncate(0)
}

func (m memFS) Open(name string) (File, error) {
	f, err := m.MemFS.Open(name)
	if err != nil {
		return nil, err
	}
	return memFile{f}, nil
}

func (m memFS) SyncDir(dir string) error {
	d, err := m.MemFS.OpenDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type memFile struct{ vfs.File }

func (f memFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Truncate overwrites with zeros, since vfs cannot shorten: to the log they are space reserved ahead.
func (f memFile) Truncate(size int64) error {
	now, err := f.Size()
	if err != nil || now <= size {
		return err
	}
	_, err = f.WriteAt(make([]byte, now-size), size)
	return err
}

// Reserve makes less than is asked for, since MemFS grows a byte at a time.
func (f memFile) Reserve(off, n int64) error {
	_, err := f.WriteAt(make([]byte, min(n, 8192)), off)
	return err
}

// faultFS asks before every operation on the file system below.
type faultFS struct {
	FS
	mu sync.Mutex
	// before is called with the operation and its path. An error is returned to the log, in place of the
	// operation; of a write the first half is done.
	before func(op, path string) error
}

func (f *faultFS) set(before func(op, path string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

func (f *faultFS) ask(op, path string) error {
	f.mu.Lock()
	before := f.before
	f.mu.Unlock()
	if before == nil {
		return nil
	}
	if err := before(op, path); err != nil {
		return &os.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}

func (f *faultFS) MkdirAll(dir string) error {
	if err := f.ask("mkdir", dir); err != nil {
		return err
	}
	return f.FS.MkdirAll(dir)
}

func (f *faultFS) ReadDir(dir string) ([]string, error) {
	if err := f.ask("readdir", dir); err != nil {
		return nil, err
	}
	return f.FS.ReadDir(dir)
}

func (f *faultFS) Create(name string) (File, error) {
	if err := f.ask("create", name); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name)
	return &faultFile{file, f, name}, err
}

func (f *faultFS) Open(name string) (File, error) {
	if err := f.ask("open", name); err != nil {
		return nil, err
	}
	file, err := f.FS.Open(name)
	return &faultFile{file, f, name}, err
}

func (f *faultFS) Remove(name string) error {
	if err := f.ask("remove", name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f *faultFS) Rename(from, to string) error {
	if err := f.ask("rename", from); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

func (f *faultFS) SyncDir(dir string) error {
	if err := f.ask("syncdir", dir); err != nil {
		return err
	}
	return f.FS.SyncDir(dir)
}

type faultFile struct {
	File
	fs   *faultFS
	name string
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.ask("read", fmt.Sprintf("%s@%d", f.name, off)); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.ask("write", f.name); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fs.ask("truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultFile) Reserve(off, n int64) error {
	if err := f.fs.ask("reserve", f.name); err != nil {
		return err
	}
	return f.File.Reserve(off, n)
}

func (f *faultFile) Sync() error {
	if err := f.fs.ask("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

// failing refuses the given operations.
func failing(err error, ops ...string) func(string, string) error {
	return func(op, _ string) error {
		for _, o := range ops {
			if o == op {
				return err
			}
		}
		return nil
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "log")
	log, _ := open(t, dir, Options{})
	appendTo(t, log, "x")
	for path, want := range map[string]fs.FileMode{
		filepath.Dir(dir):                  fs.ModeDir | 0o700,
		dir:                                fs.ModeDir | 0o700,
		filepath.Join(dir, segmentName(1)): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
}

func TestASealedSegmentGivesReservedSpaceBack(t *testing.T) {
	dir := t.TempDir()
	log, _ := open(t, dir, Options{})
	appendTo(t, log, "x")
	if _, err := log.Rotate(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(firstRecord + recordHeaderSize + 1 + recordHeaderSize); info.Size() != want {
		t.Errorf("a segment with one byte of payload has %d bytes, want %d", info.Size(), want)
	}
}

func TestOpenErrorsNameTheDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mem := &faultFS{FS: memFS{vfs.NewMem()}}
	mem.set(failing(syscall.EACCES, "readdir"))
	for name, c := range map[string]struct {
		dir string
		fs  FS
	}{
		"a file stands there": {file, nil},
		"a file stands above": {filepath.Join(file, "log"), nil},
		"may not read":        {"/log", mem},
	} {
		_, _, err := Open(c.dir, Options{FS: c.fs}, nil)
		mustName(t, name, err, c.dir)
	}
}
