package page

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Level says how hard a page is compressed. The zero value is DefaultLevel; positive values are zstd's
// own levels, rounded to what the encoder has (1, 3, 7, 11).
type Level int

const (
	// Raw leaves pages uncompressed.
	Raw Level = -1
	// DefaultLevel is zstd level 3.
	DefaultLevel Level = 0
	// Fastest is zstd level 1.
	Fastest Level = 1
	// Smallest is the encoder's hardest level; it takes some ten times as long as the default.
	Smallest Level = 11
)

func (l Level) speed() zstd.EncoderLevel {
	if l <= 0 {
		return zstd.SpeedDefault
	}
	return zstd.EncoderLevelFromZstd(int(l))
}

// Coders are pooled and single-threaded: a page is small, and its caller decides what runs at once.
var (
	encoders [zstd.SpeedBestCompression + 1]sync.Pool
	decoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(MaxPage))
		if err != nil {
			panic(err) // constant options
		}
		return d
	}}
)

func init() {
	for speed := range encoders {
		encoders[speed].New = func() any {
			e, err := zstd.NewWriter(nil,
				zstd.WithEncoderLevel(zstd.EncoderLevel(speed)),
				zstd.WithEncoderConcurrency(1),
				zstd.WithLowerEncoderMem(true),
				zstd.WithSingleSegment(true), // always states the content's size, which decompress checks
				zstd.WithEncoderCRC(false))   // the page has a checksum
			if err != nil {
				panic(err) // constant options
			}
			return e
		}
	}
}

func compress(dst, payload []byte, level Level) []byte {
	pool := &encoders[level.speed()]
	e := pool.Get().(*zstd.Encoder)
	defer pool.Put(e)
	return e.EncodeAll(payload, dst)
}

// A block of zstd takes at least so many bytes, those of its header, and holds at most so many.
const (
	minBlock = 3
	maxBlock = 128 << 10
)

// decompress appends the length bytes that stored holds to dst.
func decompress(dst, stored []byte, length int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(stored); err != nil {
		return dst, err
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize != uint64(length) {
		return dst, fmt.Errorf("page says it holds %d bytes, its zstd frame says %d", length, h.FrameContentSize)
	}
	// The length is worth the memory only if there are blocks enough for it.
	if length > (len(stored)/minBlock+1)*maxBlock {
		return dst, fmt.Errorf("page says it holds %d bytes, %d of zstd can't hold so many", length, len(stored))
	}
	dst = slices.Grow(dst, length)
	begin, end := len(dst), len(dst)+length
	d := decoders.Get().(*zstd.Decoder)
	defer decoders.Put(d)
	out, err := d.DecodeAll(stored, dst[begin:begin:end])
	if err != nil {
		return dst[:begin], err
	}
	// What was decoded beyond the frame's size would lie elsewhere.
	if len(out) != length {
		return dst[:begin], errors.New("zstd frame has another length than it says")
	}
	return dst[:end], nil
}

// maxKept is the size up to which a buffer is kept for the next use.
const maxKept = 4 << 20

type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func borrow() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) giveBack() {
	if cap(b.b) <= maxKept {
		buffers.Put(b)
	}
}
