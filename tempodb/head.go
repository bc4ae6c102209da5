package tempodb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// head is the recent data of some consecutive segments of the log: where in the log each key's values are, and
// the index of their rows. The values themselves stay in the log.
type head struct {
	codec Codec
	log   *wal.Log
	// Segments after from, up to and including through, are this head's. through is set when the head is sealed.
	from, through uint64

	mu      sync.RWMutex
	born    time.Time // when the first entry came
	owners  map[Key]uint32
	keys    []Key
	values  []extents // by owner
	chain   []extent
	rows    *index.Memory
	bytes   int64 // of values
	entries int
}

// extents is a chain of a key's values in the order in which they came, of which there is at least one, and how many rows and bytes they have
// together. Links are one more than an index into head.chain; 0 is none.
type extents struct {
	first, last, rows uint32
	bytes             int64
}

type extent struct {
	segment uint64
	offset  int64
	length  uint32
	next    uint32
}

func newHead(codec Codec, log *wal.Log, from uint64) *head {
	return &head{codec: codec, log: log, from: from, owners: make(map[Key]uint32), rows: index.NewMemory()}
}

// A record of the log is one Append: for each entry the key, the value's length (4 bytes, little endian) and the value.
const entryHeader = 16 + 4

// appendEntryHeader appends what precedes an entry's value in a record.
func appendEntryHeader(dst []byte, e *Entry) []byte {
	dst = append(dst, e.Key[:]...)
	return binary.LittleEndian.AppendUint32(dst, uint32(len(e.Value)))
}

// eachEntry calls fn with the entries of a record and the offset of each value in it.
func eachEntry(record []byte, fn func(key Key, offset int, value []byte) error) error {
	for at := 0; at < len(record); {
		if len(record)-at < entryHeader {
			return errors.New("log record ends within an entry")
		}
		key := Key(record[at:])
		length := int(binary.LittleEndian.Uint32(record[at+16:]))
		at += entryHeader
		if length > len(record)-at {
			return errors.New("log record ends within a value")
		}
		if err := fn(key, at, record[at:at+length]); err != nil {
			return err
		}
		at += length
	}
	return nil
}

// add takes in an entry whose value is at pos of the log. After an error, which is the codec's, the value is left out. Calls of add exclude each other and everything that reads by h.mu.
func (h *head) add(key Key, pos wal.Position, value []byte) error {
	owner, known := h.owners[key]
	if !known {
		owner = uint32(len(h.keys))
	}
	h.rows.Own(owner)
	if err := h.codec.Index(value, h.rows); err != nil {
		// A value that can't be read is not one of the key's: it would be in the way of all who ask for the others, and of the block.
		h.rows.Disown()
		return fmt.Errorf("index value of key %x: %w", key, err)
	}
	if !known {
		h.owners[key] = owner
		h.keys = append(h.keys, key)
		h.values = append(h.values, extents{})
	}
	if h.entries == 0 {
		h.born = time.Now()
	}
	h.chain = append(h.chain, extent{segment: pos.Segment, offset: pos.Offset, length: uint32(len(value))})
	link, list := uint32(len(h.chain)), &h.values[owner]
	if list.first == 0 {
		list.first = link
	} else {
		h.chain[list.last-1].next = link
	}
	list.last = link
	list.rows += uint32(h.rows.Listed())
	list.bytes += int64(len(value))
	h.bytes += int64(len(value))
	h.entries++
	return nil
}

// extentsOf returns where the values of key are, in the order in which they came.
func (h *head) extentsOf(dst []extent, key Key) []extent {
	h.mu.RLock()
	defer h.mu.RUnlock()
	owner, known := h.owners[key]
	if !known {
		return dst
	}
	for link := h.values[owner].first; link != 0; link = h.chain[link-1].next {
		dst = append(dst, h.chain[link-1])
	}
	return dst
}

// appendValues reads the values of key and appends them to values, with buf as their memory, which may move.
func (h *head) appendValues(values [][]byte, key Key) ([][]byte, error) {
	var few [16]extent
	list := h.extentsOf(few[:0], key)
	total := 0
	for i := range list {
		total += int(list[i].length)
	}
	buf := make([]byte, total)
	for i := range list {
		value := buf[:list[i].length:list[i].length]
		buf = buf[len(value):]
		if err := h.log.ReadAt(value, wal.Position{Segment: list[i].segment, Offset: list[i].offset}); err != nil {
			return values, fmt.Errorf("recent data of key %x: %w", key, err)
		}
		values = append(values, value)
	}
	return values, nil
}

func (h *head) contains(key Key) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	_, known := h.owners[key]
	return known
}

func (h *head) search(ctx context.Context, q *index.Query) ([]index.Hit, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.rows.Search(ctx, q, func(owner uint32) Key { return h.keys[owner] })
}

func (h *head) terms(field, prefix []byte, fn func(value []byte) bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	h.rows.Terms(field, prefix, fn)
}

func (h *head) starts() index.Range {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.rows.Starts()
}

// sortedKeys returns all keys, ascending.
func (h *head) sortedKeys() []Key {
	h.mu.RLock()
	keys := slices.Clone(h.keys)
	h.mu.RUnlock()
	slices.SortFunc(keys, func(a, b Key) int { return bytes.Compare(a[:], b[:]) })
	return keys
}

// settle sees to it that the rows of key in the index are those of the merged value, which values, all of the key's, have become. Only a sealed head is
// settled, by one goroutine.
func (h *head) settle(key Key, merged []byte, values [][]byte) error {
	owner := h.owners[key]
	if h.rows.Replaced(owner) {
		return nil // by a try before this one, to make a block
	}
	same, err := h.sameRows(owner, merged, values)
	if same || err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows.Own(owner)
	if err := h.codec.Index(merged, h.rows); err != nil {
		h.rows.Disown()
		return err
	}
	h.rows.Replace()
	return nil
}

// sameRows reports whether it is certain that the merged value has the rows of the values and no others.
func (h *head) sameRows(owner uint32, merged []byte, values [][]byte) (bool, error) {
	if len(values) == 1 && bytes.Equal(values[0], merged) {
		return true, nil
	}
	counter, ok := h.codec.(RowCounter)
	if !ok {
		return false, nil
	}
	rows, err := counter.Rows(merged)
	return rows == int(h.values[owner].rows), err
}

// due reports whether the head holds so much, or has held something for so long, that it should become a block. An age of 0 is never.
func (h *head) due(bytes int64, age time.Duration) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.bytes >= bytes || h.entries > 0 && age > 0 && time.Since(h.born) >= age
}
