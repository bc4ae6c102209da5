package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Scan calls fn with the keys from the first that is not less than from, in ascending order, and their
// values, until fn returns false or an error, which Scan returns. The value is valid during the call.
func (b *Block) Scan(ctx context.Context, from [16]byte, fn func(key [16]byte, value []byte) (more bool, err error)) error {
	return b.scanData(ctx, from, fn, nil)
}

// ScanAround is Scan that goes on behind damage to the data: it calls damaged with each, a *page.CorruptError. An error of
// damaged ends it, and is returned. Of a page that makes no sense behind its checksum the records before that may have come.
func (b *Block) ScanAround(ctx context.Context, from [16]byte, fn func(key [16]byte, value []byte) (more bool, err error), damaged func(error) error) error {
	return b.scanData(ctx, from, fn, damaged)
}

func (b *Block) scanData(ctx context.Context, from [16]byte, fn func([16]byte, []byte) (bool, error), damaged func(error) error) error {
	var theirs error // an error of fn or damaged, whatever it is, is not about this scan
	ended := false   // by them, or at the last key of all
	told := make(map[place]bool)
	tell := func(err error) error {
		var c *page.CorruptError
		if errors.As(err, &c) {
			if told[placeOf(c)] {
				return nil
			}
			told[placeOf(c)] = true
		}
		theirs = damaged(b.fail(err))
		ended = theirs != nil
		return theirs
	}
	if damaged == nil {
		tell = nil
	}
	err := b.withData(ctx, func(t *page.Table) error {
		err := t.ScanAround(from[:], func(key, value []byte) (bool, error) {
			if len(key) != len(from) {
				return false, b.oddKey(dataObject, key)
			}
			var more bool
			if more, theirs = fn([16]byte(key), value); !more || theirs != nil {
				ended = true
				return false, theirs
			}
			// Where it goes on if the directory is damaged further on.
			if from = [16]byte(key); !increment(&from) {
				ended = true
			}
			return !ended, nil
		}, tell)
		if ended {
			return nil
		}
		return err
	})
	if theirs != nil {
		return theirs
	}
	return err
}

func (b *Block) oddKey(object string, key []byte) error {
	return &page.CorruptError{Object: b.objectName(object), What: "table", Reason: fmt.Sprintf("has a key of %d bytes", len(key))}
}

// increment makes key the next one; false if it was the last.
func increment(key *[16]byte) bool {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i]++; key[i] != 0 {
			return true
		}
	}
	return false
}

// groupBytes is the size of the index in memory of a part of the data that is searched at once.
const groupBytes = 8 << 20

// SearchByScan answers like Search, without the search object: by listing the rows of all values anew. It reads all of the data and
// keeps some 8 MiB, beside the hits. With an error that is a *page.CorruptError, for parts of the data that are damaged, too, come the hits of the rest.
func (b *Block) SearchByScan(ctx context.Context, q *index.Query) ([]index.Hit, error) {
	var hits []index.Hit
	err := b.eachGroup(ctx, func(m *index.Memory, keys [][16]byte) error {
		more, err := m.Search(ctx, q, func(owner uint32) [16]byte { return keys[owner] })
		hits = index.MergeHits(q.Limit, hits, more)
		return err
	})
	return hits, err
}

// TermsByScan is Terms without the search object, as SearchByScan is Search. It keeps all values that it finds.
func (b *Block) TermsByScan(ctx context.Context, field, prefix []byte, fn func(value []byte) (more bool)) error {
	found := make(map[string]struct{})
	err := b.eachGroup(ctx, func(m *index.Memory, _ [][16]byte) error {
		m.Terms(field, prefix, func(value []byte) bool {
			if _, again := found[string(value)]; !again {
				found[string(value)] = struct{}{}
			}
			return true
		})
		return nil
	})
	for _, value := range slices.Sorted(maps.Keys(found)) {
		if !fn([]byte(value)) {
			break
		}
	}
	return err
}

// eachGroup lists the rows of all values and calls fn with the index of some keys after the other. Damage to the data is
// returned at the end.
func (b *Block) eachGroup(ctx context.Context, fn func(m *index.Memory, keys [][16]byte) error) error {
	if b.codec == nil {
		return b.fail(errors.New("was opened without a codec, which its rows are listed by"))
	}
	b.detours.search.Add(1)
	var met []error
	m, keys := index.NewMemory(), [][16]byte(nil)
	err := b.ScanAround(ctx, [16]byte{}, func(key [16]byte, value []byte) (bool, error) {
		m.Own(uint32(len(keys)))
		keys = append(keys, key)
		if err := b.codec.Index(value, m); err != nil {
			return false, b.fail(fmt.Errorf("key %x: list rows: %w", key, err))
		}
		if m.Bytes() < groupBytes {
			return true, nil
		}
		err := fn(m, keys)
		m, keys = index.NewMemory(), keys[:0]
		return true, errors.Join(err, ctx.Err())
	}, func(err error) error {
		if len(met) < maxDamage {
			met = append(met, err)
		}
		return nil
	})
	if err == nil {
		err = fn(m, keys)
	}
	return errors.Join(append(met, err)...)
}

func (b *Block) inRange(key [16]byte) bool {
	return bytes.Compare(key[:], b.meta.MinKey[:]) >= 0 && bytes.Compare(key[:], b.meta.MaxKey[:]) <= 0
}
