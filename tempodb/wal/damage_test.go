package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// image is a segment's bytes, as a crash right after the last Append leaves them (or sealed), without the
// space reserved ahead.
type image struct {
	bytes    []byte
	payloads []string
	ends     []int64 // of the records
}

func makeImage(t testing.TB, sealed bool, payloads ...string) image {
	t.Helper()
	dir := t.TempDir()
	log, _ := open(t, dir, Options{})
	img := image{payloads: payloads}
	for i, pos := range appendTo(t, log, payloads...) {
		img.ends = append(img.ends, pos.Offset+int64(len(payloads[i])))
	}
	if sealed {
		mustRotate(t, log)
	}
	b, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	if sealed {
		img.bytes = b
	} else {
		img.bytes = b[:img.ends[len(img.ends)-1]]
	}
	return img
}

// replayImage scans a segment from memory.
func replayImage(t testing.TB, b []byte) ([]string, scanResult) {
	t.Helper()
	var got []string
	res, err := scan(bytes.NewReader(b), int64(len(b)), func(off int64, p []byte) error {
		if !bytes.Equal(p, b[off:off+int64(len(p))]) {
			t.Fatalf("payload at offset %d is not what stands there", off)
		}
		got = append(got, string(p))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, res
}

func describe(damages []Damage) string {
	var out []string
	for _, d := range damages {
		out = append(out, fmt.Sprintf("%d+%d %v", d.Offset, d.Bytes, d.Kind))
	}
	return strings.Join(out, ", ")
}

func TestALogCutAnywhereInItsTailKeepsAllBefore(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		for _, reserved := range []int{0, 5000} {
			img := makeImage(t, sealed, "first", strings.Repeat("second", 100), "", strings.Repeat("x", 700), "last")
			for cut := int(img.ends[1]); cut < len(img.bytes); cut++ {
				whole := 0
				for whole < len(img.ends) && img.ends[whole] <= int64(cut) {
					whole++
				}
				b := append(slices.Clone(img.bytes[:cut]), make([]byte, reserved)...)
				got, res := replayImage(t, b)
				// An empty payload, or zeros in a header, may be whole although bytes were cut to zeros.
				if len(got) < whole || len(got) > len(img.payloads) {
					t.Fatalf("cut at %d: %d records, want %d", cut, len(got), whole)
				}
				mustEqual(t, fmt.Sprintf("cut at %d", cut), got, img.payloads[:len(got)])
				partial := len(got) == whole && !slices.Contains(img.ends, int64(cut))
				if partial != (len(res.damages) == 1) {
					t.Fatalf("cut at %d: damages %v", cut, describe(res.damages))
				}
				if partial && reserved == 0 && res.damages[0].Kind != TornTail {
					t.Fatalf("cut at %d: a torn tail is reported as %v", cut, describe(res.damages))
				}
			}
		}
	}
}

func TestALogFlippedAnywhereInItsTailKeepsAllOthers(t *testing.T) {
	for _, reserved := range []int{0, 5000} {
		img := makeImage(t, false, "first", "second", strings.Repeat("third", 150), "fourth", strings.Repeat("x", 700))
		for at := int(img.ends[1]); at < len(img.bytes); at++ {
			for _, mask := range []byte{0x01, 0x80, 0xff} {
				hit, _ := slices.BinarySearch(img.ends, int64(at)+1)
				b := append(slices.Clone(img.bytes), make([]byte, reserved)...)
				b[at] ^= mask
				got, res := replayImage(t, b)
				want := slices.Delete(slices.Clone(img.payloads), hit, hit+1)
				mustEqual(t, fmt.Sprintf("flipped at %d", at), got, want)
				start := img.ends[hit-1]
				if len(res.damages) != 1 || res.damages[0] != (Damage{Offset: start, Bytes: img.ends[hit] - start, Kind: Corrupt}) {
					t.Fatalf("flipped at %d: record %d from %d to %d, damages %v", at, hit, start, img.ends[hit], describe(res.damages))
				}
			}
		}
	}
}

func TestEitherCopyOfTheHeaderIsEnough(t *testing.T) {
	img := makeImage(t, false, "a", "b")
	for _, at := range []int{0, secondHeader} {
		for i := range segmentHeaderSize {
			b := slices.Clone(img.bytes)
			b[at+i] ^= 0x10
			got, res := replayImage(t, b)
			mustEqual(t, fmt.Sprintf("flipped at %d", at+i), got, img.payloads)
			if want := fmt.Sprintf("%d+48 corrupt", at); describe(res.damages) != want {
				t.Fatalf("flipped at %d: damages %v, want %v", at+i, describe(res.damages), want)
			}
		}
		b := slices.Clone(img.bytes)
		clear(b[at : at+segmentHeaderSize])
		got, _ := replayImage(t, b)
		mustEqual(t, "a zeroed copy", got, img.payloads)
	}
}

func TestWhatIsTornAndWhatIsCorrupt(t *testing.T) {
	long := strings.Repeat("long record, many sectors ", 200) // 5200 bytes
	img := makeImage(t, false, "first", long, "third")
	sealed := makeImage(t, true, "first", long)
	start := img.ends[0] // of the long record
	hole := (start/sector + 3) * sector
	for _, c := range []struct {
		name    string
		img     image
		change  func(b []byte) []byte
		records int
		damages string
	}{
		{"nothing", img, func(b []byte) []byte { return b }, 3, ""},
		{"no byte", img, func([]byte) []byte { return nil }, 0, ""},
		{"zeros only", img, func(b []byte) []byte { clear(b); return b }, 0, ""},
		{"space reserved ahead", img, func(b []byte) []byte { return append(b, make([]byte, 1<<20)...) }, 3, ""},
		{"half a header", img, func(b []byte) []byte { return b[:20] }, 0, "0+20 torn tail"},
		{"one header", img, func(b []byte) []byte { return b[:segmentHeaderSize] }, 0, ""},
		{"headers only", img, func(b []byte) []byte { return b[:firstRecord] }, 0, ""},
		{"headers gone", img, func(b []byte) []byte {
			clear(b[:1])
			clear(b[secondHeader : secondHeader+1])
			return b
		}, 0, fmt.Sprintf("0+%d corrupt", len(img.bytes))},
		{"a sector of the last record was not written", img, func(b []byte) []byte {
			b = b[:img.ends[1]]
			clear(b[hole : hole+sector])
			return b
		}, 1, fmt.Sprintf("%d+%d torn tail", start, img.ends[1]-start)},
		{"a sector of a record that was durable before a later one", img, func(b []byte) []byte {
			clear(b[hole : hole+sector])
			return b
		}, 2, fmt.Sprintf("%d+%d corrupt", start, img.ends[1]-start)},
		{"a sector of the last record of a sealed segment", sealed, func(b []byte) []byte {
			clear(b[hole : hole+sector])
			return b
		}, 1, fmt.Sprintf("%d+%d corrupt", start, sealed.ends[1]-start)},
		{"garbage after the last record", img, func(b []byte) []byte { return append(b, bytes.Repeat([]byte("junk"), 20)...) },
			3, fmt.Sprintf("%d+80 corrupt", len(img.bytes))},
		{"two records, one stretch", img, func(b []byte) []byte {
			b[firstRecord] ^= 1
			b[start] ^= 1
			return b
		}, 1, fmt.Sprintf("%d+%d corrupt", firstRecord, img.ends[1]-firstRecord)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, res := replayImage(t, c.change(slices.Clone(c.img.bytes)))
			if len(got) != c.records || describe(res.damages) != c.damages {
				t.Errorf("%d records, damages %q; want %d, %q", len(got), describe(res.damages), c.records, c.damages)
			}
		})
	}
}

// Records of a batch are written together; a crash may keep a later one and lose an earlier one. Neither
// was acknowledged, so this is no corruption.
func TestAHoleInAnUnacknowledgedBatchIsATear(t *testing.T) {
	head := segmentHeader{id: 1}
	b := head.appendTo(nil)
	payload := bytes.Repeat([]byte("p"), 3000)
	for range 3 {
		off := int64(len(b))
		h := recordHeader{kind: kindData, length: uint32(len(payload)), crc: crc32.Checksum(payload, castagnoli), back: uint32(off - firstRecord)}
		b = append(h.appendTo(b, &head.salt, off), payload...)
	}
	clear(b[firstRecord : firstRecord+3024])
	got, res := replayImage(t, b)
	if want := fmt.Sprintf("%d+3024 torn tail", firstRecord); len(got) != 2 || describe(res.damages) != want {
		t.Errorf("%d records, damages %q, want %q", len(got), describe(res.damages), want)
	}
}

func TestARecordImageInsideAPayloadIsNoRecord(t *testing.T) {
	inner := makeImage(t, false, "inner one", "inner two")
	dir := t.TempDir()
	log, _ := open(t, dir, Options{})
	appendTo(t, log, "before")
	// At every alignment, and also the log's own bytes.
	own, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	outer := appendTo(t, log, string(inner.bytes)+string(own[:5000]), "after")
	mustClose(t, log)
	b, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range recordHeaderSize {
		broken := slices.Clone(b)
		broken[outer[0].Offset-recordHeaderSize+int64(i)] ^= 4
		got, _ := replayImage(t, broken)
		mustEqual(t, "around a broken header", got, []string{"before", "after"})
	}
}

func TestBlocksOfARecycledFileAreNoRecords(t *testing.T) {
	old := makeImage(t, false, "old one", "old two", "old three")
	now := makeImage(t, false, "new one")
	if old.ends[0] != now.ends[0] {
		t.Fatal("the test wants records at equal offsets")
	}
	got, _ := replayImage(t, append(now.bytes, old.bytes[now.ends[0]:]...))
	mustEqual(t, "new records, old bytes behind", got, []string{"new one"})
}

func TestUnreadableSectorsCostTheirRecordsOnly(t *testing.T) {
	fsys := &faultFS{FS: memFS{vfs.NewMem()}}
	log, _ := open(t, "/log", Options{FS: fsys})
	long := strings.Repeat("x", 3*readUnit)
	at := appendTo(t, log, "before", long, "after")
	mustRotate(t, log)
	bad := at[1].Offset/readUnit*readUnit + readUnit
	fsys.set(func(op, path string) error {
		// A read fails if it begins before the bad place; the log asks for less until it does not.
		var off int64
		if op != "read" {
			return nil
		}
		fmt.Sscanf(path[strings.Index(path, "@"):], "@%d", &off)
		if off == 0 || off == bad {
			return syscall.EIO
		}
		return nil
	})
	mustClose(t, log)
	log, report, got := openReport(t, "/log", Options{FS: fsys})
	mustEqual(t, "replayed", got, []string{"before", "after"})
	if len(report.Damages) != 2 || report.Damages[1].Kind != Corrupt {
		t.Errorf("damages %v", report.Damages)
	}
	fsys.set(nil)
	if err := log.Remove(1); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedSegmentGoesToQuarantine(t *testing.T) {
	img := makeImage(t, true, "one", "two", "three")
	img.bytes[img.ends[1]-1] ^= 1
	for _, how := range []string{"removed", "skipped"} {
		dir := t.TempDir()
		path := filepath.Join(dir, segmentName(1))
		kept := filepath.Join(dir, "quarantine", segmentName(1))
		for i, kept := range []string{kept, kept + ".1"} { // a second one of that name does not replace the first
			if err := os.WriteFile(path, img.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			log, report, got := openReport(t, dir, Options{Skip: func(uint64) bool { return how == "skipped" }})
			want := fmt.Sprintf("%d+%d corrupt", img.ends[0], img.ends[1]-img.ends[0])
			if describe(report.Damages) != want || report.Damages[0].Segment != 1 || report.Damages[0].File != path {
				t.Fatalf("damages %+v, want %s", report.Damages, want)
			}
			if how == "removed" {
				mustEqual(t, "replayed", got, []string{"one", "three"})
				if s := log.Segments(); !s[0].Damaged {
					t.Errorf("segments are %+v", s)
				}
				if err := log.Remove(1); err != nil {
					t.Fatal(err)
				}
			}
			if s := log.Stats(); s.CorruptParts != 1 || s.Quarantined != 1 {
				t.Errorf("stats are %+v", s)
			}
			mustClose(t, log)
			b, err := os.ReadFile(kept)
			if err != nil {
				t.Fatalf("%s, time %d: %v", how, i, err)
			}
			if !bytes.Equal(b, img.bytes) {
				t.Error("the file in quarantine was changed")
			}
			text, err := os.ReadFile(kept + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			if line := fmt.Sprintf("offset %d, %d bytes: corrupt\n", img.ends[0], img.ends[1]-img.ends[0]); !strings.Contains(string(text), line) {
				t.Errorf("the report is %s", text)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("the segment is still in the log")
			}
		}
	}
}

func TestASegmentWithATornTailIsRemovedLikeAnyOther(t *testing.T) {
	img := makeImage(t, false, "one", "two")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, segmentName(3)), img.bytes[:len(img.bytes)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	// The header says 1: that is a damage too, so make it say 3.
	fixID(t, filepath.Join(dir, segmentName(3)), 3)
	log, report, got := openReport(t, dir, Options{})
	mustEqual(t, "replayed", got, []string{"one"})
	if len(report.Damages) != 1 || report.Damages[0].Kind != TornTail {
		t.Fatalf("damages %v", report.Damages)
	}
	if err := log.Remove(3); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "the directory", readDir(t, dir), []string{segmentName(4)})
}

func TestARenamedSegmentIsReplayedAndKept(t *testing.T) {
	img := makeImage(t, true, "one")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, segmentName(9)), img.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	log, report, got := openReport(t, dir, Options{})
	mustEqual(t, "replayed", got, []string{"one"})
	if len(report.Damages) != 1 || !log.Segments()[0].Damaged {
		t.Errorf("damages %v", report.Damages)
	}
}

func TestASegmentOfANewerVersionIsNotTouched(t *testing.T) {
	img := makeImage(t, true, "one")
	dir := t.TempDir()
	path := filepath.Join(dir, segmentName(1))
	for _, at := range []int{0, secondHeader} {
		b := img.bytes[at : at+segmentHeaderSize]
		binary.LittleEndian.PutUint32(b[8:], version+1)
		binary.LittleEndian.PutUint64(b[40:], xxhash.Sum64(b[:40]))
	}
	if err := os.WriteFile(path, img.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := Open(dir, Options{Skip: func(uint64) bool { return true }}, nil)
	var tooNew *VersionError
	if !errors.As(err, &tooNew) || tooNew.File != path || tooNew.Version != version+1 || tooNew.Known != version {
		t.Errorf("error is %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, img.bytes) {
		t.Error("the file was changed")
	}
}

// fixID rewrites the number in a segment's headers.
func fixID(t testing.TB, path string, id uint64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, _, ok := decodeSegmentHeader(b)
	if !ok {
		t.Fatal("no header")
	}
	h.id = id
	copy(b, h.appendTo(nil))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
