//go:build !unix || race

package cache

const areaIsHeap = true

// area is memory of the heap, where there is no other, and where the race detector is to see what happens in it.
type area struct{ bytes []byte }

func newArea(n int64) (area, error) { return area{bytes: make([]byte, n)}, nil }

func (a *area) free() error {
	a.bytes = nil
	return nil
}
