package cache

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// The disk tier is two files:
//
//	frames     slot 0 │ slot 1 │ ...        frameBytes each; what a frame does not fill is left as it was
//	slots      header │ entry 0 │ entry 1 │ ...
//
// header and entries are slotEntry bytes, all numbers are little endian:
//
//	header:  "tempo\x00fc" │ version u32 │ frameBytes u32 │ zeros │ checksum u64
//	entry:   object [16]byte │ frame index u64 │ frame checksum u64 │ length u32 │ kind u8 │ zeros │ checksum u64
//
// The checksums in the slots file are those of the bytes before them, xxHash64. Nothing is synced, and neither file knows if the other was written: an
// entry is good if its checksum says so, and its frame is good if the entry says so.
const (
	slotEntry     = 48
	slotsVersion  = 1
	slotsMagic    = "tempo\x00fc"
	framesFile    = "frames"
	slotsFile     = "slots"
	entryChecksum = slotEntry - 8
)

func appendSlotsHeader(dst []byte, frameBytes int) []byte {
	at := len(dst)
	dst = append(dst, slotsMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, slotsVersion)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(frameBytes))
	return appendChecked(dst, at)
}

// appendChecked fills an entry that begins at a position of dst with zeros, and appends its checksum.
func appendChecked(dst []byte, at int) []byte {
	for len(dst) < at+entryChecksum {
		dst = append(dst, 0)
	}
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[at:]))
}

func appendSlotEntry(dst []byte, key frameKey, kind Kind, length int, sum uint64) []byte {
	at := len(dst)
	dst = append(dst, key.object[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(key.index))
	dst = binary.LittleEndian.AppendUint64(dst, sum)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(length))
	dst = append(dst, byte(kind))
	return appendChecked(dst, at)
}

// parseSlotEntry returns what the slotEntry bytes of b say, and no ok if they are damaged, not written, or say what cannot be.
func parseSlotEntry(b []byte, frameBytes int) (key frameKey, kind Kind, length int, sum uint64, ok bool) {
	if len(b) != slotEntry || xxhash.Sum64(b[:entryChecksum]) != binary.LittleEndian.Uint64(b[entryChecksum:]) {
		return key, 0, 0, 0, false
	}
	copy(key.object[:], b)
	key.index = int64(binary.LittleEndian.Uint64(b[16:]))
	sum = binary.LittleEndian.Uint64(b[24:])
	n := binary.LittleEndian.Uint32(b[32:])
	kind = Kind(b[36])
	if key.index < 0 || n == 0 || n > uint32(frameBytes) || int(kind) >= Kinds {
		return frameKey{}, 0, 0, 0, false
	}
	return key, kind, int(n), sum, true
}
