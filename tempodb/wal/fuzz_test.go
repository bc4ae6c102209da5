package wal

import (
	"bytes"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

// mustScan scans a file and looks at what a scan promises whatever the file is.
func mustScan(t *testing.T, file []byte, fn func(off int64, payload []byte)) scanResult {
	end, passed := int64(0), int64(0)
	var res scanResult
	var err error
	// A window of the file or, where that is longer, of the longest record; a stretch of damage for each byte at worst.
	fuzztest.Bounded(t, scanWindow+256*len(file), func() {
		res, err = scan(bytes.NewReader(file), int64(len(file)), func(off int64, p []byte) error {
			if off < end+recordHeaderSize || off+int64(len(p)) > int64(len(file)) {
				t.Fatalf("record at %d of %d bytes, the last ended at %d", off, len(p), end)
			}
			end = off + int64(len(p))
			passed += int64(len(p))
			fn(off, p)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.bytes != passed || res.end != end {
		t.Fatalf("result %+v, passed %d bytes up to %d", res, passed, end)
	}
	last := int64(-1)
	for _, d := range res.damages {
		if d.Offset <= last || d.Bytes <= 0 || d.Offset+d.Bytes > int64(len(file)) {
			t.Fatalf("damages %v of a file of %d bytes", describe(res.damages), len(file))
		}
		last = d.Offset
	}
	return res
}

// FuzzReplay scans arbitrary bytes, as they are and behind a good header.
func FuzzReplay(f *testing.F) {
	img := segmentOf([]string{"one", strings.Repeat("two", 300), ""})
	f.Add(img.bytes)
	f.Add(img.bytes[firstRecord:])
	f.Add(img.bytes[:firstRecord+10])
	f.Add([]byte{})
	f.Add(bytes.Repeat(recordMagic, 100))
	head := img.bytes[:firstRecord]
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, file := range [][]byte{b, append(slices.Clone(head), b...)} {
			mustScan(t, file, func(int64, []byte) {})
		}
	})
}

// segmentOf returns a segment with the payloads. Its salt is always the same, so that an input repeats what it did.
func segmentOf(payloads []string) (img image) {
	h := segmentHeader{id: 1, salt: [saltSize]byte{1, 2, 3}}
	img.bytes = h.appendTo(nil)
	img.payloads = payloads
	for _, p := range payloads {
		r := recordHeader{kind: kindData, length: uint32(len(p)), crc: crc32.Checksum([]byte(p), castagnoli)}
		img.bytes = append(r.appendTo(img.bytes, &h.salt, int64(len(img.bytes))), p...)
		img.ends = append(img.ends, int64(len(img.bytes)))
	}
	return img
}

// FuzzDamage writes something over a place of a segment: the records that it does not touch are read as they were, and no others.
func FuzzDamage(f *testing.F) {
	f.Add("one two  three", 30, []byte("nothing"))
	f.Add("one two three", firstRecord+recordHeaderSize+1, []byte{0})
	f.Add("a "+string(recordMagic)+"\x01 b", firstRecord, []byte{})
	f.Fuzz(func(t *testing.T, payloads string, at int, patch []byte) {
		if len(patch) > secondHeader/2 { // one of the two headers stays
			return
		}
		img := segmentOf(strings.Split(payloads, " "))
		file := slices.Clone(img.bytes)
		if at < 0 || at > len(file) {
			at = len(file)
		}
		file = append(file[:at], append(patch, file[min(at+len(patch), len(file)):]...)...)
		want := make(map[int64]string)
		begin := int64(firstRecord)
		for i, end := range img.ends {
			if bytes.Equal(file[begin:min(end, int64(len(file)))], img.bytes[begin:end]) {
				want[begin+recordHeaderSize] = img.payloads[i]
			}
			begin = end
		}
		got := 0
		res := mustScan(t, file, func(off int64, p []byte) {
			if payload, ok := want[off]; !ok || payload != string(p) {
				t.Fatalf("%q at %d was not written there", p, off)
			}
			got++
		})
		if got != len(want) {
			t.Fatalf("%d records of %d that are whole; damage: %v", got, len(want), describe(res.damages))
		}
		if bytes.Equal(file, img.bytes) && len(res.damages) > 0 {
			t.Fatalf("nothing was changed, and there is damage: %v", describe(res.damages))
		}
	})
}

func FuzzSegmentName(f *testing.F) {
	f.Add(segmentName(1))
	f.Add(segmentName(1<<64 - 1))
	f.Add("00000000000000001.wal")
	f.Fuzz(func(t *testing.T, name string) {
		if id, ok := parseSegmentName(name); ok && segmentName(id) != name {
			t.Fatalf("%q is segment %d, which is %q", name, id, segmentName(id))
		}
	})
}
