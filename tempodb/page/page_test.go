package page

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestPageHoldsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.SampledFrom([]Level{Raw, DefaultLevel, Fastest, 5, Smallest, 99}).Draw(t, "level")
		n := rapid.SampledFrom([]int{0, 1, 31, 32, 33, 1000, 50_000}).Draw(t, "length")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		payload := randomBytes(rng, n)
		offset := rapid.Int64Min(0).Draw(t, "offset")
		raw := AppendPage([]byte("before"), payload, offset, level)
		if !bytes.HasPrefix(raw, []byte("before")) {
			t.Fatal("what was in dst is gone")
		}
		raw = raw[len("before"):]
		if len(raw) > n+Overhead {
			t.Fatalf("%d bytes take a page of %d", n, len(raw))
		}
		got, err := Decode([]byte("kept"), raw, offset)
		if err != nil || string(got) != "kept"+string(payload) {
			t.Fatalf("%d bytes of %d, %v", len(got), n, err)
		}
		for _, elsewhere := range []int64{offset + 1, offset ^ 1<<40, 0} {
			if elsewhere == offset {
				continue
			}
			if _, err := Decode(nil, raw, elsewhere); !IsCorrupt(err) {
				t.Fatalf("page of offset %d at %d: %v", offset, elsewhere, err)
			}
		}
	})
}

func TestGreatestPage(t *testing.T) {
	payload := make([]byte, MaxPage)
	for i := range payload {
		payload[i] = byte(i >> 8)
	}
	for _, level := range []Level{Raw, Fastest} {
		got, err := Decode(nil, AppendPage(nil, payload, 0, level), 0)
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("level %d: %d bytes, %v", level, len(got), err)
		}
	}
	if _, err := NewWriter(&bytes.Buffer{}, 0, Raw).Write(make([]byte, MaxPage+1)); err == nil {
		t.Fatal("a longer page is no error")
	}
}

func TestIncompressiblePageIsStoredRaw(t *testing.T) {
	payload := make([]byte, 10_000)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range payload {
		payload[i] = byte(rng.Uint32())
	}
	if raw := AppendPage(nil, payload, 0, DefaultLevel); encoding(raw[0]) != encodingRaw || len(raw) != len(payload)+Overhead {
		t.Fatalf("encoding %d, %d bytes", raw[0], len(raw))
	}
}

// sealed makes a page out of any header and content: one with a true checksum and false words.
func sealed(enc encoding, k kind, length, stored uint32, payload []byte) []byte {
	raw := []byte{byte(enc), byte(k)}
	raw = binary.LittleEndian.AppendUint32(raw, length)
	raw = binary.LittleEndian.AppendUint32(raw, stored)
	raw = append(raw, payload...)
	return binary.LittleEndian.AppendUint64(raw, checksum(raw, 0))
}

func TestFalseWordsWithATrueChecksum(t *testing.T) {
	zeros := compress(nil, make([]byte, 1000), DefaultLevel)
	two := append(bytes.Clone(zeros), zeros...)
	z := func(b []byte) uint32 { return uint32(len(b)) }
	for name, raw := range map[string][]byte{
		"too short":             make([]byte, Overhead-1),
		"other stored length":   sealed(encodingRaw, kindBlob, 3, 4, []byte("abc")),
		"other length":          sealed(encodingRaw, kindBlob, 4, 3, []byte("abc")),
		"another kind":          sealed(encodingRaw, kindHead, 3, 3, []byte("abc")),
		"unknown encoding":      sealed(9, kindBlob, 3, 3, []byte("abc")),
		"length beyond MaxPage": sealed(encodingZstd, kindBlob, 1<<31, z(zeros), zeros),
		"not what zstd says":    sealed(encodingZstd, kindBlob, 999, z(zeros), zeros),
		"two frames":            sealed(encodingZstd, kindBlob, 1000, z(two), two),
		"no zstd":               sealed(encodingZstd, kindBlob, 3, 3, []byte("abc")),
		"empty zstd":            sealed(encodingZstd, kindBlob, 0, 0, nil),
	} {
		got, err := Decode([]byte("kept"), raw, 0)
		if !IsCorrupt(err) || string(got) != "kept" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(AppendPage(nil, []byte("short"), 0, DefaultLevel), true)
	f.Add(AppendPage(nil, bytes.Repeat([]byte("long "), 1000), 0, DefaultLevel), false)
	f.Add(AppendPage(nil, bytes.Repeat([]byte("long "), 1000), 0, Fastest), true)
	f.Fuzz(func(t *testing.T, raw []byte, seal bool) {
		if seal && len(raw) >= Overhead { // get behind the checksum
			raw = bytes.Clone(raw)
			end := len(raw) - checksumSize
			binary.LittleEndian.PutUint32(raw[6:], uint32(end-headerSize))
			binary.LittleEndian.PutUint64(raw[end:], checksum(raw[:end], 0))
		}
		got, err := Decode(nil, raw, 0)
		if err != nil {
			mustBeCorrupt(t, err)
			return
		}
		if len(got) > MaxPage {
			t.Fatalf("%d bytes", len(got))
		}
		again, err := Decode(nil, AppendPage(nil, got, 0, Fastest), 0)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%v", err)
		}
	})
}

// A table is read as if its pages had true checksums and any content.
func FuzzTablePages(f *testing.F) {
	var records, big, dir []byte
	w := writeTable(f, []record{{[]byte("a"), nil}, {[]byte("ab"), []byte("value")}}, TableOptions{Level: Raw})
	records, dir = w.data[headerSize:len(w.data)-checksumSize], w.dir[headerSize:len(w.dir)-checksumSize]
	f.Add(records, dir, byte(kindRecords))
	b := writeTable(f, []record{{[]byte("a"), bytes.Repeat([]byte("v"), 70)}}, TableOptions{Level: Raw, PageBytes: 64})
	big, dir = b.data, b.dir[headerSize:len(b.dir)-checksumSize]
	f.Add(big, dir, byte(kindHead))
	f.Fuzz(func(t *testing.T, data, dir []byte, what byte) {
		if len(data) > 1<<20 || len(dir) > 1<<20 {
			return
		}
		object := data // as it is: any number of pages
		if kind(what) == kindRecords {
			object = appendPage(nil, kindRecords, data, 0, Raw)
		}
		root := appendPage(nil, kindDirectory, dir, 0, Raw)
		table, err := OpenTable(bytes.NewReader(object), bytes.NewReader(root), Root{0, int64(len(root))})
		if err != nil {
			mustBeCorrupt(t, err)
			return
		}
		var last []byte
		n := int64(0)
		err = table.Scan(nil, func(key, value []byte) (bool, error) {
			if n > 0 && bytes.Compare(last, key) >= 0 {
				t.Fatalf("%q after %q", key, last)
			}
			last = append(last[:0], key...)
			n++
			if got, found, err := table.Get(nil, key); err == nil && found && !bytes.Equal(got, value) {
				t.Fatalf("scan and get differ at %q", key)
			}
			return true, nil
		})
		if err == nil {
			err = table.Check()
		}
		if err != nil {
			mustBeCorrupt(t, err)
		}
		if _, _, err := table.Get(nil, []byte("ab")); err != nil {
			mustBeCorrupt(t, err)
		}
	})
}

func FuzzDirectory(f *testing.F) {
	d := dirBuilder{level: levelLeaf, base: 5}
	d.add([]byte("a"), 30, 7, 0)
	d.add([]byte("ab"), 40, 1, 99)
	f.Add(d.appendTo(nil))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d directory
		if d.parse(b) != nil {
			return
		}
		for i := range d.entries {
			if d.find(d.key(i)) != i || d.findOrdinal(d.entries[i].ordinal) != i || d.records(i) < 1 {
				t.Fatalf("entry %d does not find itself", i)
			}
		}
		again := dirBuilder{level: d.level, base: 0}
		if len(d.entries) > 0 {
			again.base, again.ordinal = d.entries[0].offset-d.entries[0].chunks, d.entries[0].ordinal
		}
		for i := range d.entries {
			again.add(d.key(i), d.entries[i].length, d.records(i), d.entries[i].chunks)
		}
		var e directory
		if err := e.parse(again.appendTo(nil)); err != nil || len(e.entries) != len(d.entries) || e.ordinal != d.ordinal && len(d.entries) > 0 {
			t.Fatalf("written again: %v", err)
		}
	})
}

func FuzzRoot(f *testing.F) {
	f.Add(AppendRoot(nil, Root{1 << 40, 300}))
	f.Fuzz(func(t *testing.T, b []byte) {
		root, rest, err := ParseRoot(b)
		if err != nil {
			mustBeCorrupt(t, err)
			return
		}
		again, tail, err := ParseRoot(append(AppendRoot(nil, root), rest...))
		if err != nil || again != root || !bytes.Equal(tail, rest) {
			t.Fatal(again, err)
		}
		if _, err := OpenTable(bytes.NewReader(rest), bytes.NewReader(rest), root); err != nil && len(rest) == 0 {
			mustBeCorrupt(t, err)
		}
	})
}

// saltedObject is an object in memory with a salt.
type saltedObject struct {
	bytes.Buffer
	salt uint64
}

func (o *saltedObject) PageSalt() uint64 { return o.salt }

func (o *saltedObject) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(o.Bytes()).ReadAt(p, off)
}

func TestPageOfAnotherObjectIsCorrupt(t *testing.T) {
	ours, theirs := &saltedObject{salt: 7}, &saltedObject{salt: 8}
	for _, o := range []*saltedObject{ours, theirs} {
		table := NewTableWriter(o, 0, TableOptions{PageBytes: 64})
		for i := range byte(100) {
			if err := table.Add([]byte{i}, []byte{i, i, i}); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.Add([]byte{100, 0}, make([]byte, 200)); err != nil {
			t.Fatal(err)
		}
		root, _, err := table.Finish(nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		own, err := OpenTable(o, o, root)
		if err != nil {
			t.Fatal(err)
		}
		if err := own.Check(); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenTable(o, bytes.NewReader(o.Bytes()), root); !IsCorrupt(err) {
			t.Fatalf("the directory is read without the salt: %v", err)
		}
		if o == theirs {
			// The same length and the same keys: nothing but the salt tells them apart.
			swapped := &saltedObject{salt: theirs.salt}
			swapped.Write(ours.Bytes())
			mixed := own.Reading(swapped, theirs)
			for _, key := range [][]byte{{0}, {50}, {100, 0}} {
				if _, _, err := mixed.Get(nil, key); !IsCorrupt(err) {
					t.Fatalf("key %x of another object: %v", key, err)
				}
			}
			mustBeCorrupt(t, mixed.Scan(nil, func([]byte, []byte) (bool, error) { return true, nil }))
		}
	}
}
