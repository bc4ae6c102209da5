package cluster

import (
	"sync"
	"sync/atomic"
)

// inParallel calls fn with 0 to n-1, up to most of them at the same time, and returns when all calls have returned.
func inParallel(n, most int, fn func(i int)) {
	if n == 1 {
		fn(0)
		return
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, most) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	workers.Wait()
}
