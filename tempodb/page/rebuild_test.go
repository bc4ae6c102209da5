package page

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// plain is a Packer that only puts lengths before keys and values.
type plain struct{}

func (plain) Pack(dst []byte, keys, values [][]byte) ([]byte, error) {
	for i := range keys {
		for _, part := range [][]byte{keys[i], values[i]} {
			dst = append(binary.AppendUvarint(dst, uint64(len(part))), part...)
		}
	}
	return dst, nil
}

func (p plain) Find(dst, packed, key []byte) (value []byte, found bool, err error) {
	err = p.Each(packed, func(k, v []byte) (bool, error) {
		if bytes.Equal(k, key) {
			dst, found = append(dst, v...), true
		}
		return !found, nil
	})
	return dst, found, err
}

func (plain) Each(packed []byte, fn func(key, value []byte) (bool, error)) error {
	for in := (input{b: packed}); len(in.b) > 0; {
		key, value := in.bytes(), in.bytes()
		if in.bad {
			return errors.New("packed records make no sense")
		}
		if more, err := fn(key, value); !more || err != nil {
			return err
		}
	}
	return nil
}

func (p plain) Keys(packed []byte, fn func(key []byte)) (values int64, err error) {
	err = p.Each(packed, func(key, value []byte) (bool, error) {
		fn(key)
		values += int64(len(value))
		return true, nil
	})
	return values, err
}

// extents are the stretches of data that hold the records: one of a page, or of all pages of a big value.
type extent struct {
	begin, end int64
	records    []record
}

func extentsOf(t testing.TB, w written, records []record) (all []extent) {
	t.Helper()
	err := mustOpen(t, w).Pages(func(p PageInfo) error {
		all = append(all, extent{p.Ref.Offset - p.Chunks, p.Ref.Offset + p.Ref.Length, records[p.Record : p.Record+p.Records]})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// rebuilt checks that the table rebuilt from what is given has all records of extents that touched does not name, and says of the
// others that they are damaged, in Get and in a scan.
func rebuilt(t testing.TB, data, dir []byte, dataEnd int64, p Packer, extents []extent, touched func(extent) bool) {
	t.Helper()
	table, err := NewRebuild(dataEnd, int64(len(dir)), p).Run(bytes.NewReader(data), bytes.NewReader(dir))
	if err != nil {
		t.Fatal(err)
	}
	var whole, all []record
	damaged := false
	for _, e := range extents {
		all = append(all, e.records...)
		if touched(e) {
			damaged = true
		} else {
			whole = append(whole, e.records...)
		}
		for _, r := range e.records {
			switch value, found, err := table.Get(nil, r.key); {
			case touched(e):
				mustBeCorrupt(t, err)
			case err != nil || !found || !bytes.Equal(value, r.value):
				t.Fatalf("get %q, which is not damaged: %d bytes, %v, %v", r.key, len(value), found, err)
			}
		}
	}
	var got []record
	told := 0
	err = table.ScanAround(nil, func(key, value []byte) (bool, error) {
		got = append(got, record{bytes.Clone(key), bytes.Clone(value)})
		return true, nil
	}, func(err error) error {
		mustBeCorrupt(t, err)
		told++
		return nil
	})
	if err != nil || !sameRecords(got, whole) || damaged != (told > 0) {
		t.Fatalf("scan: %d records instead of %d, %d times damage, %v", len(got), len(whole), told, err)
	}
	if !damaged && !sameRecords(got, all) {
		t.Fatal("records are missing")
	}
}

func damageRecords() []record {
	rng := rand.New(rand.NewPCG(5, 6))
	var records []record
	for i := range 60 {
		size := i
		if i%20 == 7 {
			size = 300
		}
		records = append(records, record{fmt.Appendf(nil, "key %03d", i), randomBytes(rng, size)})
	}
	return records
}

func TestTableIsFoundAgainWithoutItsDirectory(t *testing.T) {
	records := damageRecords()
	for name, p := range map[string]Packer{"rows": nil, "packed": plain{}} {
		for _, leafBytes := range []int{leafBytes, 40} {
			t.Run(fmt.Sprintf("%s, leaves of %d", name, leafBytes), func(t *testing.T) {
				w := writeTableWithLeaves(t, records, TableOptions{PageBytes: 128, Packer: p}, leafBytes)
				extents := extentsOf(t, w, records)
				none := func(extent) bool { return false }
				size := int64(len(w.data))
				rebuilt(t, w.data, nil, size, p, extents, none)
				rebuilt(t, w.data, w.dir, size, p, extents, none)
				for i := range w.dir {
					rebuilt(t, w.data, flipped(w.dir, i), size, p, extents, none)
					if i%8 == 0 {
						rebuilt(t, w.data, w.dir[:i], size, p, extents, none)
						rebuilt(t, w.data, w.dir[i:], size, p, extents, none)
					}
				}
			})
		}
	}
}

func flipped(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= byte(1 << (i % 8))
	return b
}

// With a byte of the data changed and no directory, what is lost is the page with that byte, and nothing else.
func TestDamageToAPageTakesThatPageOnly(t *testing.T) {
	records := damageRecords()
	for name, p := range map[string]Packer{"rows": nil, "packed": plain{}} {
		t.Run(name, func(t *testing.T) {
			w := writeTableWithLeaves(t, records, TableOptions{PageBytes: 128, Packer: p}, 40)
			extents := extentsOf(t, w, records)
			size := int64(len(w.data))
			for i := range w.data {
				at := int64(i)
				touched := func(e extent) bool { return e.begin <= at && at < e.end }
				rebuilt(t, flipped(w.data, i), nil, size, p, extents, touched)
				switch i % 4 {
				case 0:
					rebuilt(t, flipped(w.data, i), w.dir, size, p, extents, touched)
				case 1:
					rebuilt(t, flipped(w.data, i), flipped(w.dir, i%len(w.dir)), size, p, extents, touched)
				case 2:
					rebuilt(t, w.data[:i], nil, size, p, extents, func(e extent) bool { return e.end > at })
				}
			}
		})
	}
}

func TestDamageOfAnyExtent(t *testing.T) {
	records := damageRecords()
	w := writeTableWithLeaves(t, records, TableOptions{PageBytes: 128}, 40)
	extents := extentsOf(t, w, records)
	rapid.Check(t, func(t *rapid.T) {
		data, dir := bytes.Clone(w.data), w.dir
		if rapid.Bool().Draw(t, "directory is damaged") {
			dir = flipped(dir, rapid.IntRange(0, len(dir)-1).Draw(t, "at"))
		}
		var bad [][2]int64
		for range rapid.IntRange(1, 3).Draw(t, "stretches") {
			begin := rapid.IntRange(0, len(data)-1).Draw(t, "begin")
			end := min(len(data), begin+rapid.IntRange(1, 900).Draw(t, "length"))
			for i := begin; i < end; i++ {
				data[i] ^= 0x5a
			}
			bad = append(bad, [2]int64{int64(begin), int64(end)})
		}
		// Where stretches overlap, bytes are changed back.
		touched := func(e extent) bool { return !bytes.Equal(data[e.begin:e.end], w.data[e.begin:e.end]) }
		table, err := NewRebuild(int64(len(data)), int64(len(dir)), nil).Run(bytes.NewReader(data), bytes.NewReader(dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range extents {
			for _, r := range e.records {
				value, found, err := table.Get(nil, r.key)
				if touched(e) != IsCorrupt(err) || err == nil && (!found || !bytes.Equal(value, r.value)) {
					t.Fatalf("get %q: %v, %v; damage at %d", r.key, found, err, bad)
				}
			}
		}
	})
}

// patchy is a reader that fails every other time.
type patchy struct {
	r     io.ReaderAt
	calls int
}

func (p *patchy) ReadAt(b []byte, off int64) (int, error) {
	if p.calls++; p.calls%2 == 1 {
		return 0, errFull
	}
	return p.r.ReadAt(b, off)
}

func TestRebuildGoesOnAfterAnErrorOfReading(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var records []record
	for i := range 3000 {
		records = append(records, record{fmt.Appendf(nil, "key %06d", i), randomBytes(rng, 2000)})
	}
	w := writeTable(t, records, TableOptions{Level: Raw})
	data, dir := &patchy{r: bytes.NewReader(w.data)}, &patchy{r: bytes.NewReader(nil)}
	r := NewRebuild(int64(len(w.data)), 10, nil)
	for range 100 {
		table, err := r.Run(data, dir)
		if err == nil {
			if got, err := scanAll(table.Reading(bytes.NewReader(w.data), nil), nil); err != nil || !sameRecords(got, records) {
				t.Fatalf("%d records, %v", len(got), err)
			}
			if data.calls > 50 {
				t.Fatalf("%d reads of %d bytes", data.calls, len(w.data))
			}
			return
		}
		if !errors.Is(err, errFull) {
			t.Fatal(err)
		}
	}
	t.Fatal("does not come to its end")
}

// What looks like the beginnings of great pages everywhere is given up in time that is bounded by the object's length.
func TestWalkOfFalseHeadersIsBounded(t *testing.T) {
	object := make([]byte, 4<<20)
	for i := 0; i+4 <= len(object); i += 4 {
		binary.LittleEndian.PutUint32(object[i:], 1<<20)
	}
	data := &countingReader{ReaderAt: bytes.NewReader(object)}
	table, err := NewRebuild(int64(len(object)), 0, nil).Run(data, bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = table.Get(nil, []byte("key"))
	mustBeCorrupt(t, err)
	if limit := 20*int64(len(object)) + 2*MaxPage; data.bytes > limit {
		t.Fatalf("reads %d bytes, more than %d", data.bytes, limit)
	}
}
