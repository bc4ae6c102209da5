package local

import (
	"container/list"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"
)

// trusted is how long an open file is taken for the object of its name without a look: another process may have replaced or deleted it.
const trusted = time.Second

// handles keeps files open for reading, the least recently used ones closed beyond a number. A file that is
// in use is closed by its last user.
type handles struct {
	max int

	mu     sync.Mutex
	byName map[string]*handle
	recent *list.List // of *handle, the most recently used in front
	// changes counts objects that were replaced or deleted: a file that was opened before a change and is
	// offered after it may be the old one, and is not kept.
	changes uint64
}

// handle is an open object.
type handle struct {
	name string
	file *os.File
	info fs.FileInfo

	seen  time.Time // when it was the object of its name; guarded by handles.mu, as the rest
	users int
	place *list.Element // in recent; nil if it is not kept
}

func newHandles(limit int) *handles {
	return &handles{max: limit, byName: make(map[string]*handle), recent: list.New()}
}

// lookup returns the open file of an object, or nil, and whether it was that within the last while; else it must be confirmed. The caller releases it.
func (c *handles) lookup(name string, while time.Duration) (h *handle, sure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h = c.use(name)
	return h, h != nil && time.Since(h.seen) < while
}

// confirm reports whether h is still the object, which is at path. Else it is no longer kept, and is released.
func (c *handles) confirm(h *handle, path string) bool {
	now := time.Now()
	info, err := os.Stat(path)
	if err == nil && os.SameFile(info, h.info) {
		c.mu.Lock()
		defer c.mu.Unlock()
		h.seen = now
		return true
	}
	c.release(h)
	c.drop(h.name)
	return false
}

// use returns the open file of an object, or nil. The lock is held.
func (c *handles) use(name string) *handle {
	h := c.byName[name]
	if h != nil {
		h.users++
		c.recent.MoveToFront(h.place)
	}
	return h
}

// open opens an object's file and keeps it. The caller releases it.
func (c *handles) open(name, path string) (*handle, error) {
	c.mu.Lock()
	before := c.changes
	c.mu.Unlock()

	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist // a folder is no object
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	h := &handle{name: name, file: f, info: info, seen: time.Now(), users: 1}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes != before {
		return h, nil
	}
	if other := c.use(name); other != nil { // another caller was faster
		f.Close()
		return other, nil
	}
	c.byName[name] = h
	h.place = c.recent.PushFront(h)
	if c.recent.Len() > c.max {
		_ = c.forget(c.recent.Back().Value.(*handle))
	}
	return h, nil
}

// release ends a use.
func (c *handles) release(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.users--
	if h.users == 0 && h.place == nil {
		h.file.Close()
	}
}

// drop is called when an object was replaced or deleted.
func (c *handles) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	if h := c.byName[name]; h != nil {
		_ = c.forget(h) // nothing was written through it
	}
}

func (c *handles) dropAll() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, h := range c.byName {
		errs = append(errs, c.forget(h))
	}
	return errors.Join(errs...)
}

// forget stops keeping a file open. The lock is held.
func (c *handles) forget(h *handle) error {
	delete(c.byName, h.name)
	c.recent.Remove(h.place)
	h.place = nil
	if h.users > 0 {
		return nil
	}
	return h.file.Close()
}
