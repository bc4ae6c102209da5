package page

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Copy adds the records of the page at which c stands by copying the page as it is stored, neither decompressed nor compressed again: with
// a new checksum, for it has a new place, and only after the old one was found right. keys are those of the page's records, which the caller has
// from elsewhere. They are compared with what the directory says of the page and, where it is packed, with its own.
//
// It returns false, with nothing done, for a page that had better be added record by record:
//   - one that is less than half full, or a value that would not get pages of its own: small pages would pile up;
//   - one that would fit into one page with the records added last;
//   - one of another kind than this table's: packed or not.
//
// So pages are half full on average, whatever is copied and added in turns. How hard a page is compressed stays as it was.
//
// An error leaves the table lost, like one of Add. Damage to the page is a *CorruptError.
func (t *TableWriter) Copy(c *Cursor, keys [][]byte) (copied bool, err error) {
	if t.err != nil {
		return false, t.err
	}
	if t.err = c.expect(keys); t.err != nil {
		return false, t.err
	}
	shared, first := 0, keys[0]
	if t.stats.Records > 0 {
		shared = commonPrefix(t.last, first)
		if bytes.Compare(t.last[shared:], first[shared:]) >= 0 {
			return false, fmt.Errorf("key %.64q after %.64q: %w", first, t.last, ErrOrder)
		}
	}
	size, err := t.copy(c, keys, shared)
	if err != nil || size == 0 {
		t.err = err
		return false, err
	}
	t.last = append(t.last[:0], keys[len(keys)-1]...)
	t.stats.Records += c.Records()
	t.stats.Uncompressed += size
	return true, nil
}

// copy is Copy of a page that may follow. It returns the size of its records, 0 if they had better be added.
func (t *TableWriter) copy(c *Cursor, keys [][]byte, shared int) (size int64, err error) {
	raw, err := c.extent()
	if err != nil {
		return 0, err
	}
	if c.entry().chunks > 0 {
		return t.copyBig(c, raw, keys[0], shared)
	}
	return t.copySmall(c, raw, keys, shared)
}

// copySmall is copy of a page of records.
func (t *TableWriter) copySmall(c *Cursor, raw []byte, keys [][]byte, shared int) (size int64, err error) {
	e, k := c.entry(), kindRecords
	if t.options.Packer != nil {
		k = kindPacked
	}
	if kindOfRecords(raw) != k {
		return 0, nil
	}
	body, err := checkedOf(k, raw, c.t.data, e.offset)
	if err != nil {
		return 0, err
	}
	if enc := encoding(body[0]); enc != encodingRaw && (k == kindPacked || enc != encodingZstd) {
		return 0, nil
	}
	size, _ = headerLengths(body)
	if k == kindPacked {
		if size, err = t.packedSize(c, body[headerSize:], keys); err != nil {
			return 0, err
		}
	}
	full := int64(t.options.PageBytes)
	if size < full/2 || t.records > 0 && int64(len(t.page)+len(t.packing.arena))+size <= full {
		return 0, nil
	}
	if err := t.flush(); err != nil {
		return 0, err
	}
	t.separate(keys[0], shared)
	ref, err := t.w.put(body)
	if err != nil {
		return 0, err
	}
	t.enter(ref.Length, c.Records(), 0)
	return size, nil
}

// packedSize returns the size of the records of a page that should have the keys.
func (t *TableWriter) packedSize(c *Cursor, packed []byte, keys [][]byte) (int64, error) {
	var i, size int
	other := false
	values, err := t.options.Packer.Keys(packed, func(key []byte) {
		other = other || i == len(keys) || !bytes.Equal(key, keys[i])
		i, size = i+1, size+len(key)
	})
	if err != nil {
		return 0, c.t.badPack(c.entry(), err)
	}
	if other || i < len(keys) {
		return 0, c.otherKeys()
	}
	return int64(size) + values, nil
}

// copyBig is copy of a big value. raw are its pages, or nil if they are too many to be held.
func (t *TableWriter) copyBig(c *Cursor, raw, key []byte, shared int) (size int64, err error) {
	e, r := c.entry(), c.t.data
	h, err := c.s.bigHead(r, e, raw)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(h.key, key) {
		return 0, c.otherKeys()
	}
	if h.total <= int64(t.options.PageBytes) {
		return 0, nil
	}
	if err := t.flush(); err != nil {
		return 0, err
	}
	t.separate(key, shared)
	err = c.s.eachChunk(r, e, h, raw, func(page []byte, offset, size int64) error {
		body, err := checkedOf(kindChunk, page, r, offset)
		if err != nil {
			return err
		}
		n, _ := headerLengths(body)
		if err := checkChunk(r, offset, n, size); err != nil {
			return err
		}
		t.stats.Pages++
		_, err = t.w.put(body)
		return err
	})
	if err == nil {
		err = t.copyHead(c, raw)
	}
	if err != nil {
		return 0, err
	}
	t.enter(e.length, 1, e.chunks)
	return int64(len(key)) + h.total, nil
}

// copyHead copies the head page of a big value. raw are all its pages, or nil.
func (t *TableWriter) copyHead(c *Cursor, raw []byte) (err error) {
	e, r := c.entry(), c.t.data
	if raw == nil {
		if c.s.raw, err = readRaw(c.s.raw[:0], kindHead, r, Ref{Offset: e.offset, Length: e.length}); err != nil {
			return err
		}
		raw = c.s.raw
	} else {
		raw = raw[e.chunks:]
	}
	body, err := checkedOf(kindHead, raw, r, e.offset)
	if err == nil {
		_, err = t.w.put(body)
	}
	return err
}

// expect compares the keys that the page should have with what the directory says of it.
func (c *Cursor) expect(keys [][]byte) error {
	if n := len(keys); int64(n) != c.Records() || bytes.Compare(c.d.key(c.i), keys[0]) > 0 || bytes.Compare(keys[0], keys[n-1]) > 0 ||
		c.i+1 < len(c.d.entries) && bytes.Compare(keys[n-1], c.d.key(c.i+1)) >= 0 {
		return c.otherKeys()
	}
	return nil
}

// otherKeys is the error of a page that has other keys than it should have.
func (c *Cursor) otherKeys() error {
	e := c.entry()
	return naming(&CorruptError{What: e.kind().String(), Offset: e.offset, Reason: "its keys are not those that it should have"}, c.t.data)
}

// put writes a page of which body is all but the checksum.
func (w *Writer) put(body []byte) (Ref, error) {
	if w.err != nil {
		return Ref{}, w.err
	}
	w.buf = append(w.buf[:0], body...)
	w.buf = binary.LittleEndian.AppendUint64(w.buf, checksum(body, w.salt+uint64(w.offset)))
	return w.flush()
}
