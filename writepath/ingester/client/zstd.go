package client

import (
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

func init() { encoding.RegisterCompressor(new(zstdCompressor)) }

// zstdCompressor is zstd for gRPC, at its fastest, with windows of at most zstdWindow.
type zstdCompressor struct{ encoders, decoders sync.Pool }

const zstdWindow = 1 << 20

func (z *zstdCompressor) Name() string { return Zstd }

func (z *zstdCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	e, ok := z.encoders.Get().(*zstd.Encoder)
	if !ok {
		var err error
		if e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow)); err != nil {
			return nil, err
		}
	}
	e.Reset(w)
	return &zstdWriter{e, &z.encoders}, nil
}

type zstdWriter struct {
	*zstd.Encoder
	pool *sync.Pool
}

func (w *zstdWriter) Close() error {
	err := w.Encoder.Close()
	w.pool.Put(w.Encoder)
	return err
}

// Decompress reads r. gRPC reads no more of it than a message may have.
func (z *zstdCompressor) Decompress(r io.Reader) (io.Reader, error) {
	d, ok := z.decoders.Get().(*zstd.Decoder)
	if !ok {
		var err error
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow)); err != nil {
			return nil, err
		}
	}
	if err := d.Reset(r); err != nil {
		return nil, err
	}
	return &zstdReader{d, &z.decoders}, nil
}

type zstdReader struct {
	*zstd.Decoder
	pool *sync.Pool
}

// Read gives the decoder back at the end. One that is not read to its end goes to the garbage collector: it has no goroutine.
func (r *zstdReader) Read(p []byte) (int, error) {
	if r.Decoder == nil {
		return 0, io.EOF
	}
	n, err := r.Decoder.Read(p)
	if err == io.EOF {
		r.pool.Put(r.Decoder)
		r.Decoder = nil
	}
	return n, err
}
