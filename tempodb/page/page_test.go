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
