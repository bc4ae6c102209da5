package local

import (
	"container/list"
	"errors"
	"io/fs"
	"os"
	"sync"
)

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
	size int64

	users int           // guarded by handles.mu
	place *list.Element // in recent; nil if it is not kept
}

func newHandles(limit int) *handles {
	return &handles{max: limit, byName: make(map[string]*handle), recent: list.New()}
}

// lookup returns the open file of an object, or nil. The caller releases it.
func (c *handles) lookup(name string) *handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.use(name)
}

// use is lookup, with the lock held.
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
	h := &handle{name: name, file: f, size: info.Size(), users: 1}

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
