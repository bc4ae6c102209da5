package tempodb

import "context"

// summaryBatch gathers keys in their order, so that of those whose values must be read several are read at the same time.
type summaryBatch struct {
	s       *queries
	v       *view
	missing *partial
	fn      func(Key, []byte) error

	keys  []keySummary
	whole []int // in keys: those without summary
}

type keySummary struct {
	key     Key
	summary []byte
	reading error // the value
	err     error // making its summary
}

// batchKeys is how many keys a summaryBatch gathers, and batchWhole how many of them without summary.
const (
	batchKeys  = 256
	batchWhole = 2 * atOnce
)

// add adds a key. summary is nil if the value tells.
func (b *summaryBatch) add(ctx context.Context, key Key, summary []byte) error {
	if len(b.keys) == batchKeys || len(b.whole) == batchWhole {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	if summary == nil {
		b.whole = append(b.whole, len(b.keys))
	}
	if b.keys == nil {
		b.keys = make([]keySummary, 0, batchKeys)
	}
	b.keys = b.keys[:len(b.keys)+1]
	k := &b.keys[len(b.keys)-1]
	*k = keySummary{key: key, summary: append(k.summary[:0], summary...)} // its memory is used again
	return nil
}

// flush calls fn with what was gathered.
func (b *summaryBatch) flush(ctx context.Context) error {
	inParallel(len(b.whole), func(i int) {
		k := &b.keys[b.whole[i]]
		var value []byte
		value, k.reading = b.s.get(ctx, b.v, nil, k.key, partial{})
		if len(value) > 0 {
			k.summary, k.err = b.s.codec.Summarize(k.summary, value)
		}
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range b.keys {
		k := &b.keys[i]
		if k.reading != nil {
			b.missing.add(k.reading)
		}
		if k.err != nil {
			return k.err
		}
		if len(k.summary) > 0 {
			if err := b.fn(k.key, k.summary); err != nil {
				return err
			}
		}
	}
	b.keys, b.whole = b.keys[:0], b.whole[:0]
	return nil
}
