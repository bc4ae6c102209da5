//go:build unix && !race

package cache

import "golang.org/x/sys/unix"

const areaIsHeap = false

// area is memory outside of the heap. The garbage collector lets the heap grow in proportion to what is in it: a
// cache within it would cost its size twice. The system commits the memory page by page, when it is first written.
type area struct{ bytes []byte }

func newArea(n int64) (area, error) {
	b, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	return area{bytes: b}, err
}

func (a *area) free() error {
	if a.bytes == nil {
		return nil
	}
	err := unix.Munmap(a.bytes)
	a.bytes = nil
	return err
}
