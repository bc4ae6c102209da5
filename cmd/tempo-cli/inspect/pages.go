package inspect

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Kind says what a page is for.
type Kind uint8

// The kinds of docs/format.md.
const (
	KindBlob Kind = iota
	KindRecords
	KindChunk
	KindHead
	KindDirectory
	KindPacked
)

// String returns the kind's name.
func (k Kind) String() string {
	names := [...]string{"content", "records", "big value", "head of a big value", "directory", "packed records"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Page is a page as its header describes it.
type Page struct {
	Offset int64
	// Stored is its length in the object, Content that of what it holds, uncompressed.
	Stored, Content int64
	Kind            Kind
	// Damage is what is wrong with it; nil if it is as it was written.
	Damage error
}

// Count counts pages.
type Count struct {
	Pages, Damaged  int64
	Stored, Content int64 // bytes
}

// Pages goes through the pages of an object from its beginning and counts them by kind. fn, if not nil, is called with each and its
// content, which is valid during the call and nil if the page is damaged. Bytes at the end that are no page (a footer) are
// returned as tail.
func Pages(ctx context.Context, bucket backend.Bucket, meta *block.Meta, object string, fn func(p Page, content []byte) error) (counts map[Kind]Count, tail int64, err error) {
	size := meta.Objects[object].Bytes
	w := walker{ctx: ctx, bucket: bucket, name: objectName(meta, object), salt: saltOf(meta.ID, object), size: size}
	defer w.close()
	counts = make(map[Kind]Count)
	for offset := int64(0); offset < size; {
		p, content, err := w.page(offset)
		if errors.Is(err, errNoPage) {
			return counts, size - offset, nil
		}
		if err != nil {
			return counts, size - offset, fmt.Errorf("block %s: object %s at offset %d: %w", meta.ID, object, offset, err)
		}
		c := counts[p.Kind]
		c.Pages++
		c.Stored += p.Stored
		c.Content += p.Content
		if p.Damage != nil {
			c.Damaged++
		}
		counts[p.Kind] = c
		if fn != nil {
			if err := fn(p, content); err != nil {
				return counts, size - offset, err
			}
		}
		offset += p.Stored
	}
	return counts, 0, nil
}

const (
	headerBytes   = 10
	checksumBytes = 8
	readAhead     = 1 << 20
)

func objectName(meta *block.Meta, object string) string {
	return meta.Tenant + "/" + string(meta.ID) + "/" + object
}

// saltOf returns the salt of an object's pages.
func saltOf(id block.ID, object string) uint64 {
	switch object {
	case "data", "index", "filter", "summary":
		return xxhash.Sum64String(string(id) + "/" + object)
	}
	return 0
}

// errNoPage says that what stands there does not begin as a page.
var errNoPage = errors.New("no page begins here")

// walker reads an object from front to back.
type walker struct {
	ctx     context.Context
	bucket  backend.Bucket
	name    string
	salt    uint64
	size    int64
	at      int64 // where buf begins
	buf     []byte
	content []byte
	zstd    *zstd.Decoder
}

func (w *walker) close() {
	if w.zstd != nil {
		w.zstd.Close()
	}
}

// bytes returns n bytes of the object at offset, which must be there.
func (w *walker) bytes(offset, n int64) ([]byte, error) {
	if offset < w.at || offset+n > w.at+int64(len(w.buf)) {
		// Not more than there is: n comes from a header that may be wrong, but was compared with the object's size.
		want := min(max(n, readAhead), w.size-offset)
		if int64(cap(w.buf)) < want {
			w.buf = make([]byte, want)
		}
		w.buf, w.at = w.buf[:want], offset
		read, err := w.bucket.ReadAt(w.ctx, w.name, w.buf, offset)
		if int64(read) < n {
			w.buf = w.buf[:0]
			if err == nil || errors.Is(err, io.EOF) {
				return nil, &page.CorruptError{Object: w.name, What: "object", Offset: offset + int64(read), Reason: "ends too early"}
			}
			return nil, err
		}
		w.buf = w.buf[:read]
	}
	return w.buf[offset-w.at:][:n], nil
}

// page reads the page at offset.
func (w *walker) page(offset int64) (p Page, content []byte, err error) {
	if w.size-offset < headerBytes+checksumBytes {
		return p, nil, errNoPage
	}
	header, err := w.bytes(offset, headerBytes)
	if err != nil {
		return p, nil, err
	}
	encoding := header[0]
	p = Page{Offset: offset, Kind: Kind(header[1]), Content: int64(binary.LittleEndian.Uint32(header[2:]))}
	stored := int64(binary.LittleEndian.Uint32(header[6:]))
	p.Stored = headerBytes + stored + checksumBytes
	if encoding > 1 || p.Kind > 16 || p.Content > page.MaxPage || p.Stored > w.size-offset {
		return p, nil, errNoPage
	}
	raw, err := w.bytes(offset, p.Stored)
	if err != nil {
		return p, nil, err
	}
	body := raw[:len(raw)-checksumBytes]
	var sum xxhash.Digest
	sum.ResetWithSeed(uint64(offset) + w.salt)
	_, _ = sum.Write(body)
	damaged := func(reason string) (Page, []byte, error) {
		p.Damage = &page.CorruptError{Object: w.name, What: "page of " + p.Kind.String(), Offset: offset, Reason: reason}
		return p, nil, nil
	}
	if want := binary.LittleEndian.Uint64(raw[len(body):]); sum.Sum64() != want {
		return damaged(fmt.Sprintf("checksum is %016x, its bytes have %016x", want, sum.Sum64()))
	}
	content = body[headerBytes:]
	if encoding == 1 {
		if w.zstd == nil {
			if w.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(page.MaxPage), zstd.WithDecodeAllCapLimit(true)); err != nil {
				return p, nil, err
			}
		}
		// As package page has it: a frame says its length, and of its blocks each has 3 bytes at least and holds 128 KiB at most.
		var frame zstd.Header
		if err := frame.Decode(content); err != nil || frame.Skippable || !frame.HasFCS || frame.FrameContentSize != uint64(p.Content) || p.Content > (stored/3+1)<<17 {
			return damaged(fmt.Sprintf("is no frame of zstd that holds the %d bytes it says", p.Content))
		}
		if int64(cap(w.content)) < p.Content {
			w.content = make([]byte, p.Content)
		}
		if w.content, err = w.zstd.DecodeAll(content, w.content[:0:p.Content]); err != nil {
			return damaged(err.Error())
		}
		content = w.content
	}
	if int64(len(content)) != p.Content {
		return damaged(fmt.Sprintf("holds %d bytes, says %d", len(content), p.Content))
	}
	return p, content, nil
}
