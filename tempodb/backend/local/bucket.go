package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

const (
	tempPrefix = ".tmp-"
	maxHandles = 512
)

// Bucket is a directory of objects.
type Bucket struct {
	dir     string // absolute
	handles *handles

	mu      sync.Mutex
	writing map[string]bool // temporary files of writers of this Bucket
	durable map[string]bool // folders whose names, and those of all above, are known to be durable
	pruned  int             // how many folders were removed
}

var _ backend.Bucket = (*Bucket)(nil)

// New returns the bucket in dir, which is created if it does not exist. Temporary files that a crash left
// stay until RemoveStale.
func New(dir string) (*Bucket, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("object directory %s: %w", dir, err)
	}
	b := &Bucket{
		dir:     abs,
		handles: newHandles(maxHandles),
		writing: make(map[string]bool),
		durable: make(map[string]bool),
	}
	if err := b.makeRoot(); err != nil {
		return nil, fmt.Errorf("object directory %s: %w", abs, err)
	}
	return b, nil
}

// makeRoot creates the bucket's directory durably, and finds out if it can be used.
func (b *Bucket) makeRoot() error {
	var parents []string // of the directories that are new
	for d := b.dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) || d == filepath.Dir(d) {
			break
		}
		parents = append(parents, filepath.Dir(d))
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	for _, p := range parents {
		if err := syncDir(p); err != nil {
			return err
		}
	}
	_, err := os.ReadDir(b.dir)
	return err
}

// Close closes the files that are open for reading. The bucket may be used further, and opens them again.
func (b *Bucket) Close() error { return b.handles.dropAll() }

// path returns where an object is.
func (b *Bucket) path(name string) (string, error) {
	if err := backend.CheckName(name); err != nil {
		return "", err
	}
	for element := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(element, tempPrefix) {
			return "", fmt.Errorf("%q is %w: names that begin with %s are for files being written", name, backend.ErrName, tempPrefix)
		}
	}
	return filepath.Join(b.dir, filepath.FromSlash(name)), nil
}

// ReadAt implements backend.Bucket.
func (b *Bucket) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	h, err := b.acquire(ctx, name, trusted)
	if err != nil {
		return 0, err
	}
	defer b.handles.release(h)
	if off < 0 {
		return 0, fmt.Errorf("object %q: read at the negative offset %d", name, off)
	}
	n, err := h.file.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("object %q: %w", name, err)
	}
	return n, err
}

// Size implements backend.Bucket. It looks: what it returns was so after the call began, whoever writes to the directory.
func (b *Bucket) Size(ctx context.Context, name string) (int64, error) {
	h, err := b.acquire(ctx, name, 0)
	if err != nil {
		return 0, err
	}
	defer b.handles.release(h)
	return h.info.Size(), nil
}

// acquire returns the open file of an object, which was that within the last while; the caller releases it.
func (b *Bucket) acquire(ctx context.Context, name string, while time.Duration) (*handle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	known, sure := b.handles.lookup(name, while)
	if sure {
		return known, nil
	}
	path, err := b.path(name)
	if err != nil {
		return nil, err // of what is known it has none
	}
	if known != nil && b.handles.confirm(known, path) {
		return known, nil
	}
	h, err := b.handles.open(name, path)
	switch {
	case err == nil:
		return h, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("%w: %q in %s", backend.ErrNotExist, name, b.dir)
	default:
		return nil, fmt.Errorf("object %q: %w", name, err)
	}
}

// List implements backend.Bucket.
func (b *Bucket) List(ctx context.Context, dir string, fn func(name string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path := b.dir
	if dir = strings.TrimSuffix(dir, "/"); dir != "" {
		var err error
		if path, err = b.path(dir); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list objects under %q: %w", dir, err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, tempPrefix):
		case e.IsDir():
			names = append(names, name+"/")
		default:
			names = append(names, name)
		}
	}
	return backend.EachName(ctx, names, fn) // sorted again: the slash of a folder counts
}

// Delete implements backend.Bucket. Folders that it leaves empty are removed.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := b.path(name)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return nil // a folder is no object
	}
	err = os.Remove(path)
	b.handles.drop(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err == nil {
		err = syncDir(b.prune(filepath.Dir(path)))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // the folder may have been pruned by another Delete
		return fmt.Errorf("delete object %q: %w", name, err)
	}
	return nil
}

// prune removes dir and the folders above it as far as they are empty. It returns the first that stays.
func (b *Bucket) prune(dir string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for dir != b.dir && os.Remove(dir) == nil {
		delete(b.durable, dir)
		b.pruned++
		dir = filepath.Dir(dir)
	}
	return dir
}

// RemoveStale removes the temporary files of objects that were never committed, if nothing was written to
// them for that long. Objects that are being written through this Bucket are left alone. It returns how
// many files it removed.
func (b *Bucket) RemoveStale(ctx context.Context, olderThan time.Duration) (int, error) {
	limit := time.Now().Add(-olderThan)
	removed := 0
	err := filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // went away during the walk
		}
		if err != nil || e.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix) {
			return err
		}
		if b.isWriting(path) || !isOlder(e, limit) {
			return nil
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		removed++
		b.prune(filepath.Dir(path))
		return nil
	})
	if err != nil {
		return removed, fmt.Errorf("remove stale files under %s: %w", b.dir, err)
	}
	return removed, nil
}

func (b *Bucket) isWriting(path string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writing[path]
}

// isOlder reports whether a file was last written before limit; one that went away meanwhile was not.
func isOlder(e fs.DirEntry, limit time.Time) bool {
	info, err := e.Info()
	return err == nil && !info.ModTime().After(limit)
}
