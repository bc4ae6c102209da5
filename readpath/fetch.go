package readpath

import (
	"context"
	"sync"
)

// How many traces and summaries a search reads ahead of its caller. A trace may be large: the memory of a search is that of so many.
const (
	tracesAhead    = 4
	summariesAhead = 16
)

// fetch calls get for each of the ids, up to ahead of them at the same time, and yield with the outcomes in the order of ids, one after
// another. It ends with the first error of get or yield, in that order. No more than ahead outcomes exist at any time.
func fetch[ID, T any](ctx context.Context, ids []ID, ahead int, get func(context.Context, ID) (T, error), yield func(ID, T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	type outcome struct {
		value T
		err   error
	}
	ahead = min(ahead, len(ids))
	// The outcome of id i arrives in slot i modulo ahead; the slot is given to i+ahead when yield is done with it.
	slots := make([]chan outcome, ahead)
	begin := func(i int) {
		slot := slots[i%ahead]
		workers.Go(func() {
			value, err := get(ctx, ids[i])
			slot <- outcome{value, err}
		})
	}
	for i := range slots {
		slots[i] = make(chan outcome, 1)
		begin(i)
	}
	for i, id := range ids {
		o := <-slots[i%ahead]
		if o.err != nil {
			return o.err
		}
		if err := yield(id, o.value); err != nil {
			return err
		}
		if next := i + ahead; next < len(ids) {
			begin(next)
		}
	}
	return nil
}
