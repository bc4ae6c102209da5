package gcs

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"time"

	"cloud.google.com/go/storage"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// contentType is of all objects: without it the client would guess.
const contentType = "application/octet-stream"

// castagnoli is the checksum that GCS keeps of objects.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Create implements backend.Bucket. It asks for nothing: see the package comment for when an object is sent.
func (b *Bucket) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	o, err := b.object(ctx, name)
	if err != nil {
		return nil, err
	}
	return &writer{b: b, ctx: ctx, name: name, object: o}, nil
}

// CreateIfAbsent implements backend.Claimer, with one request.
func (b *Bucket) CreateIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	o, err := b.object(ctx, name)
	if err != nil {
		return false, err
	}
	err = b.put(ctx, o.If(storage.Conditions{DoesNotExist: true}), content)
	if status(err) == http.StatusPreconditionFailed {
		return false, nil
	}
	if err != nil {
		return false, b.fail(ctx, "create if absent", name, err)
	}
	return true, nil
}

// put sends an object with one request. The server refuses it if it arrives changed.
func (b *Bucket) put(ctx context.Context, o *storage.ObjectHandle, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, b.o.ChunkTimeout)
	defer cancel()
	w := o.NewWriter(ctx)
	w.ContentType = contentType
	w.ChunkSize = 0
	w.CRC32C, w.SendCRC32C = crc32.Checksum(content, castagnoli), true
	if _, err := w.Write(content); err != nil {
		cancel()
		_ = w.Close()
		return err
	}
	return w.Close()
}

// writer writes an object: into memory up to the size of a chunk, then as a resumable upload.
type writer struct {
	b      *Bucket
	ctx    context.Context // the caller's
	name   string
	object *storage.ObjectHandle

	content []byte // as long as upload is nil
	err     error  // of Write: the object will not be
	done    bool

	// Of a big object:
	upload *storage.Writer
	lasts  context.Context // as long as upload
	cancel context.CancelCauseFunc
	watch  *time.Timer // cancels an upload that is stuck
	size   int64       // of what upload has got
	crc    uint32
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if err := w.ctx.Err(); err != nil {
		w.err = err
		return 0, err
	}
	if w.upload == nil {
		if len(w.content)+len(p) <= w.b.o.ChunkSize {
			w.content = append(w.content, p...)
			return len(p), nil
		}
		w.begin()
		if _, err := w.send(w.content); err != nil {
			return 0, err
		}
		w.content = nil
	}
	return w.send(p)
}

// send hands bytes to the upload, which may wait until chunks before them have arrived.
func (w *writer) send(p []byte) (int, error) {
	w.watch.Reset(w.patience())
	defer w.watch.Stop()
	n, err := w.upload.Write(p)
	w.size += int64(n)
	w.crc = crc32.Update(w.crc, castagnoli, p[:n])
	if err != nil {
		w.err = w.b.fail(w.ctx, "write", w.name, w.why(err))
	}
	return n, w.err
}

// errStuck is the cause of an upload's end when a call took longer than patience.
var errStuck = errors.New("the upload makes no progress")

// why returns the reason of an upload's error.
func (w *writer) why(err error) error {
	if context.Cause(w.lasts) == errStuck {
		return errStuck
	}
	return err
}

// patience is how long a call may take. The client's own limits are for chunks; the request that begins an upload has none.
func (w *writer) patience() time.Duration { return w.b.o.ChunkRetries + 2*w.b.o.ChunkTimeout }

// begin begins a resumable upload. Its chunks are sent again when they fail: they are numbered by their offsets.
func (w *writer) begin() {
	w.lasts, w.cancel = context.WithCancelCause(w.ctx)
	w.upload = w.object.Retryer(storage.WithPolicy(storage.RetryAlways)).NewWriter(w.lasts)
	w.upload.ContentType = contentType
	w.upload.ChunkSize = w.b.o.ChunkSize
	w.upload.ChunkTransferTimeout = w.b.o.ChunkTimeout
	w.upload.ChunkRetryDeadline = w.b.o.ChunkRetries
	w.watch = time.AfterFunc(w.patience(), func() { w.cancel(errStuck) })
}

// Repeatable says whether Commit may be called again after it failed: the object is still in memory.
func (w *writer) Repeatable() bool { return w.upload == nil && w.err == nil }

// Commit implements backend.ObjectWriter.
func (w *writer) Commit() error {
	if w.done {
		return w.err
	}
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if err := w.err; err != nil {
		w.Abort()
		return err
	}
	if w.upload == nil {
		if err := w.b.put(w.ctx, w.object, w.content); err != nil {
			return w.b.fail(w.ctx, "commit", w.name, err)
		}
	} else if err := w.finish(); err != nil {
		w.Abort()
		return w.b.fail(w.ctx, "commit", w.name, err)
	}
	w.end()
	return nil
}

// finish sends the last chunk, with which the object comes to be, and compares what the server says of it: a chunk that was sent
// twice must have arrived once. The server has the checksum too, but can't refuse what it has not looked at.
func (w *writer) finish() error {
	w.watch.Reset(w.patience())
	defer w.watch.Stop()
	if err := w.upload.Close(); err != nil {
		return w.why(err)
	}
	there := w.upload.Attrs()
	if there.Size == w.size && there.CRC32C == w.crc {
		return nil
	}
	changed := fmt.Errorf("%d bytes with checksum %08x were sent, and %d with %08x arrived", w.size, w.crc, there.Size, there.CRC32C)
	wrong := w.object.If(storage.Conditions{GenerationMatch: there.Generation}).Retryer(storage.WithPolicy(storage.RetryAlways), storage.WithMaxAttempts(5))
	if err := wrong.Delete(w.ctx); err != nil && !errors.Is(err, storage.ErrObjectNotExist) {
		return fmt.Errorf("%w; they could not be removed: %w", changed, err)
	}
	return fmt.Errorf("%w; they are removed", changed)
}

// Abort implements backend.ObjectWriter.
func (w *writer) Abort() {
	if w.done {
		return
	}
	if w.upload != nil {
		w.cancel(nil) // before Close, which would send the rest
		_ = w.upload.Close()
	}
	w.end()
}

func (w *writer) end() {
	w.done = true
	w.err = w.b.fail(context.Background(), "write", w.name, errors.New("the object is ended already"))
	w.content = nil
	if w.upload != nil {
		w.cancel(nil)
	}
}
