package page

import (
	"bytes"
	"errors"
	"fmt"
)

// Packer encodes the records of a page together, for values of a form that it knows better than a general compression does. The
// package stores what it makes as it is, and copies it from table to table: a page is unpacked by itself. It is called concurrently.
type Packer interface {
	// Pack appends to dst what holds the values under their keys, which ascend.
	Pack(dst []byte, keys, values [][]byte) ([]byte, error)
	// Find appends the value of key to dst.
	Find(dst, packed, key []byte) (value []byte, found bool, err error)
	// Each calls fn with the records in order, until fn returns false or an error, which Each returns. The slices are valid
	// during the call.
	Each(packed []byte, fn func(key, value []byte) (more bool, err error)) error
	// Keys calls fn with the keys of the records in order, and returns how many bytes the values have together, without unpacking
	// them. The key is valid during the call.
	Keys(packed []byte, fn func(key []byte)) (values int64, err error)
}

// ErrPacked is returned for a table whose pages a Packer has made, if it was opened without one.
var ErrPacked = errors.New("the table's pages are packed, and it was opened without what unpacks them")

// unpacked is the content of a page of packed records, while it is being filled.
type unpacked struct {
	arena []byte // keys and values, in turn
	ends  []int  // in arena: of each key and each value, in turn
	keys  [][]byte
	vals  [][]byte
}

func (u *unpacked) add(key, value []byte) {
	u.arena = append(u.arena, key...)
	u.ends = append(u.ends, len(u.arena))
	u.arena = append(u.arena, value...)
	u.ends = append(u.ends, len(u.arena))
}

// pack appends the page's content to dst and empties u.
func (u *unpacked) pack(dst []byte, p Packer) ([]byte, error) {
	u.keys, u.vals = u.keys[:0], u.vals[:0]
	begin := 0
	for i, end := range u.ends {
		part := u.arena[begin:end:end]
		if i%2 == 0 {
			u.keys = append(u.keys, part)
		} else {
			u.vals = append(u.vals, part)
		}
		begin = end
	}
	dst, err := p.Pack(dst, u.keys, u.vals)
	if err != nil {
		err = fmt.Errorf("pack %d records: %w", len(u.keys), err)
	}
	u.arena, u.ends = u.arena[:0], u.ends[:0]
	return dst, err
}

// content decodes the page of e into s.page, and reports whether its records are packed.
func (t *Table) content(s *scratch, e *dirEntry, raw []byte) (packed bool, err error) {
	k := kindOfRecords(raw)
	s.page, err = decodeOf(s.page[:0], k, raw, t.data, e.offset)
	if read := kindOfRecords(raw); err != nil && read != k { // it was read again, and was damaged in this
		k = read
		s.page, err = decodeOf(s.page[:0], k, raw, t.data, e.offset)
	}
	return k == kindPacked, err
}

// kindOfRecords returns what raw, of at least Overhead bytes, says of which kind it is: packed records, or else just records.
func kindOfRecords(raw []byte) kind {
	if kind(raw[1]) == kindPacked {
		return kindPacked
	}
	return kindRecords
}

// getPacked is the end of Get, in the page of packed records that is in s.page.
func (t *Table) getPacked(dst, key []byte, s *scratch, e *dirEntry) (value []byte, found bool, err error) {
	if t.packer == nil {
		return dst, false, fmt.Errorf("%s%s at offset %d: %w", kindPacked, of(t.data), e.offset, ErrPacked)
	}
	value, found, err = t.packer.Find(dst, s.page, key)
	if err != nil {
		return dst, false, t.badPack(e, err)
	}
	return value, found, nil
}

// scanPacked is scanRecords of packed records.
func (t *Table) scanPacked(s *scratch, d *directory, i int, fn func(int64, []byte, []byte) (bool, error)) (more bool, err error) {
	e := &d.entries[i]
	if t.packer == nil {
		return false, fmt.Errorf("%s%s at offset %d: %w", kindPacked, of(t.data), e.offset, ErrPacked)
	}
	var ours error // fn's errors, and what contradicts the directory
	record, end := e.ordinal, e.ordinal+d.records(i)
	more = true
	err = t.packer.Each(s.page, func(key, value []byte) (bool, error) {
		first := record == e.ordinal
		if record == end || first && bytes.Compare(d.key(i), key) > 0 || !first && bytes.Compare(s.key, key) >= 0 {
			ours = naming(badRecords(e), t.data)
			return false, ours
		}
		s.key = append(s.key[:0], key...)
		more, ours = fn(record, s.key, value)
		record++
		return more, ours
	})
	switch {
	case ours != nil:
		return false, ours
	case err != nil:
		return false, t.badPack(e, err)
	case more && record < end:
		return false, naming(badRecords(e), t.data)
	}
	return more, nil
}

func (t *Table) badPack(e *dirEntry, err error) error {
	return naming(&CorruptError{What: kindPacked.String(), Offset: e.offset, Reason: err.Error()}, t.data)
}
