package cache

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

func FuzzReadValues(f *testing.F) {
	f.Add([]byte("VALUE k1 0 5\r\nhello\r\nEND\r\n"))
	f.Add([]byte("VALUE k1 0 5\r\nhello\r\nVALUE k2 0 5 17\r\nworld\r\nEND\r\n"))
	f.Add([]byte("VALUE k2 0 4\r\nhell\r\nEND\r\n"))
	f.Add([]byte("VALUE k1 0 999999999\r\n"))
	f.Add([]byte("SERVER_ERROR\r\n"))
	f.Add([]byte("STORED\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var keys []string
		value := make([]byte, 5)
		values := 0
		var err error
		fuzztest.Bounded(t, 64*len(b), func() {
			err = readValues(bufio.NewReaderSize(bytes.NewReader(b), 64), func(key []byte) []byte {
				keys = append(keys, string(key))
				if strings.HasPrefix(string(key), "k") {
					return value
				}
				return nil
			}, func(v []byte) {
				if values++; !bytes.Contains(b, v) {
					t.Errorf("%q is not in the answer", v)
				}
			})
		})
		if err == nil && !bytes.Contains(b, []byte("END\r\n")) {
			t.Error("no end, and no error")
		}
		if values > len(keys) || len(keys) > len(b) {
			t.Errorf("%d values of %d keys", values, len(keys))
		}
		if stored, err := readStored(bufio.NewReader(bytes.NewReader(b))); stored && (err != nil || !bytes.HasPrefix(b, []byte("STORED\r\n"))) {
			t.Errorf("%q says that it is stored, %v", b, err)
		}
	})
}

// A server answers anything to the question for three frames: what is taken for a frame is what was stored as that frame.
func FuzzMemcached(f *testing.F) {
	const size = 2*frame + 100
	content := newStore().object("data", size)
	m := newMemcached(MemcachedOptions{Servers: []string{"nowhere"}}, Options{FrameBytes: frame, Logger: slog.New(slog.DiscardHandler)})
	flight := &flight{r: &Reader{object: "data", id: idOf("here", "data"), size: size, kind: KindData}, count: 3, length: size, frameBytes: frame}
	answer := func(i int) []byte {
		part := flight.frame(i, content)
		b := fmt.Appendf(nil, "VALUE %s 0 %d\r\n", m.appendKey(nil, flight.key(i)), valueHeader+len(part))
		b = binary.LittleEndian.AppendUint64(b, valueSum(flight.key(i), part))
		return append(append(b, part...), "\r\n"...)
	}
	end := []byte("END\r\n")
	f.Add(bytes.Join([][]byte{answer(0), answer(1), answer(2), end}, nil))
	f.Add(bytes.Join([][]byte{answer(2), answer(0), end}, nil))
	f.Add(bytes.Join([][]byte{answer(1), answer(1), end}, nil))
	f.Add(bytes.Replace(append(answer(0), end...), []byte("-0 0 "), []byte("-1 0 "), 1)) // one in the place of another
	f.Add(append(answer(2)[:90], end...))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &conn{r: bufio.NewReaderSize(bytes.NewReader(b), connBuffer), w: bufio.NewWriter(io.Discard)}
		got, from := make([]byte, size), make([]source, 3)
		fuzztest.Bounded(t, 64*len(b)+8*frame, func() { _ = m.getSome(c, flight, got, []int{0, 1, 2}, from) }) // a failure is a miss
		for i, source := range from {
			if source == fromMemcached && !bytes.Equal(flight.frame(i, got), flight.frame(i, content)) {
				t.Errorf("frame %d is not what was stored", i)
			}
		}
	})
}

func FuzzParseSlotEntry(f *testing.F) {
	f.Add(appendSlotEntry(nil, frameKey{object: objectID{1, 2}, index: 77}, KindIndex, frame, 0x1234567890))
	f.Add(appendSlotsHeader(nil, frame))
	f.Add(make([]byte, slotEntry))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, resealed(b)} {
			key, kind, length, sum, ok := parseSlotEntry(b, frame)
			if !ok {
				continue
			}
			if key.index < 0 || length < 1 || length > frame || int(kind) >= Kinds {
				t.Errorf("took %v, %v, %d", key, kind, length)
			}
			// Bytes that mean nothing may be anything as long as the checksum agrees.
			again := appendSlotEntry(nil, key, kind, length, sum)
			if k, n, l, s, ok := parseSlotEntry(again, frame); !ok || k != key || n != kind || l != length || s != sum {
				t.Errorf("%x became %x", b, again)
			}
		}
	})
}

// resealed returns the entries of b with the checksums that they should have.
func resealed(b []byte) []byte {
	b = bytes.Clone(b)
	for e := b; len(e) >= slotEntry; e = e[slotEntry:] {
		binary.LittleEndian.PutUint64(e[entryChecksum:], xxhash.Sum64(e[:entryChecksum]))
	}
	return b
}

// The two files of the disk tier hold anything: the cache opens, and what is read through it is right.
func FuzzOpenDisk(f *testing.F) {
	s := newStore()
	content := s.object("data", 3*frame)
	header := appendSlotsHeader(nil, frame)
	f.Add(header, []byte{})
	key := frameKey{object: idOf("here", "data"), index: 1}
	part := content[frame : 2*frame]
	entry := appendSlotEntry(bytes.Clone(header), key, KindData, frame, xxhash.Sum64(part))
	f.Add(entry, part)
	f.Add(entry, content[:frame])
	f.Add(append(bytes.Clone(entry), entry[slotEntry:]...), part) // one frame twice
	f.Fuzz(func(t *testing.T, slots, frames []byte) {
		dir := t.TempDir()
		if len(slots) > slotEntry { // what a fuzzer can't do for itself
			slots = append(bytes.Clone(slots[:slotEntry]), resealed(slots[slotEntry:])...)
		}
		for name, b := range map[string][]byte{slotsFile: slots, framesFile: frames} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var c *Cache
		var err error
		o := diskOptions(dir, 8)
		fuzztest.Bounded(t, 64*int(o.MemoryBytes+o.Disk.Bytes), func() { c, err = New(o) })
		if err != nil {
			t.Fatal(err)
		}
		checkPolicy(t, c.disk.policy)
		readAll(t, c, s, "data")
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
