package readpath

import (
	"context"
	"slices"
	"sync"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
)

// How many traces and summaries a search reads ahead of its caller. A trace may be large: the memory of a search is that of so many.
const (
	tracesAhead    = 4
	summariesAhead = 16
)

// batchesAhead is how many requests for several keys a search has under way at the same time: the keys it reads ahead are twice as many as of a Database that takes
// them one by one.
const batchesAhead = 2

type manyKeys func(context.Context, []tempodb.Key) ([]Outcome, error)

// fetchTraces is fetch of traces.
func fetchTraces(ctx context.Context, db Database, ids []trace.ID, yield func(trace.ID, Outcome) error) error {
	get := func(ctx context.Context, id trace.ID) ([]byte, error) { return db.Get(ctx, nil, tempodb.Key(id)) }
	var getMany manyKeys
	if b, ok := db.(Batcher); ok {
		getMany = b.GetMany
	}
	return fetchKeys(ctx, ids, tracesAhead, get, getMany, yield)
}

// fetchKeys is fetch of keys, by getMany if it is not nil, and else one by one.
func fetchKeys(ctx context.Context, ids []trace.ID, ahead int, get func(context.Context, trace.ID) ([]byte, error), getMany manyKeys, yield func(trace.ID, Outcome) error) error {
	if getMany == nil {
		return fetch(ctx, ids, ahead, func(ctx context.Context, id trace.ID) (Outcome, error) {
			value, err := get(ctx, id)
			return Outcome{value, err}, nil
		}, yield)
	}
	keys := make([]tempodb.Key, len(ids))
	for i, id := range ids {
		keys[i] = tempodb.Key(id)
	}
	return fetch(ctx, slices.Collect(slices.Chunk(keys, ahead)), batchesAhead, getMany, func(keys []tempodb.Key, all []Outcome) error {
		for {
			for i, o := range all {
				if err := yield(trace.ID(keys[i]), o); err != nil {
					return err
				}
			}
			if keys = keys[len(all):]; len(keys) == 0 {
				return nil
			}
			var err error
			if all, err = getMany(ctx, keys); err != nil {
				return err
			}
		}
	})
}

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
