package tempodb

import (
	"sync"
	"sync/atomic"
)

// atOnce is how many blocks one question asks at the same time: what an object store answers in tens of milliseconds is not to be waited
// for block by block.
const atOnce = 16

// inParallel calls fn with 0 to n-1, up to atOnce of them at the same time, and returns when all calls have returned.
func inParallel(n int, fn func(i int)) {
	if n == 1 {
		fn(0)
		return
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, atOnce) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	workers.Wait()
}
