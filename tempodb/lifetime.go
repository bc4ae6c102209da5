package tempodb

import (
	"context"
	"fmt"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/cache"
)

// mortal is a bucket that is asked nothing more, and waited for no more, when life ends: whoever uses it then gets ErrClosed. So a
// database whose store does not answer can be closed, whatever asks the store and with whichever context.
type mortal struct {
	backend.Bucket
	life context.Context
}

// mortalBucket returns the bucket made mortal, beneath the cache if it has one.
func mortalBucket(bucket backend.Bucket, life context.Context) backend.Bucket {
	if cached, ok := bucket.(*cache.Bucket); ok {
		return cached.With(&mortal{cached.Bucket, life})
	}
	return &mortal{bucket, life}
}

// during returns ctx, which ends with life too, and a function that must be called when it is not needed any more.
func (m *mortal) during(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(m.life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// why says that an error comes from the end of life, if so.
func (m *mortal) why(err error) error {
	if err != nil && m.life.Err() != nil {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}

// ReadAt implements backend.Bucket.
func (m *mortal) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	ctx, end := m.during(ctx)
	defer end()
	n, err := m.Bucket.ReadAt(ctx, name, p, off)
	return n, m.why(err)
}

// Size implements backend.Bucket.
func (m *mortal) Size(ctx context.Context, name string) (int64, error) {
	ctx, end := m.during(ctx)
	defer end()
	size, err := m.Bucket.Size(ctx, name)
	return size, m.why(err)
}

// List implements backend.Bucket.
func (m *mortal) List(ctx context.Context, dir string, fn func(name string) error) error {
	ctx, end := m.during(ctx)
	defer end()
	return m.why(m.Bucket.List(ctx, dir, fn))
}

// Delete implements backend.Bucket.
func (m *mortal) Delete(ctx context.Context, name string) error {
	ctx, end := m.during(ctx)
	defer end()
	return m.why(m.Bucket.Delete(ctx, name))
}

// Create implements backend.Bucket.
func (m *mortal) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	ctx, end := m.during(ctx)
	w, err := m.Bucket.Create(ctx, name)
	if err != nil {
		end()
		return nil, m.why(err)
	}
	return &mortalWriter{w, m, end}, nil
}

type mortalWriter struct {
	backend.ObjectWriter
	m   *mortal
	end func()
}

// Commit implements backend.ObjectWriter.
func (w *mortalWriter) Commit() error {
	defer w.end()
	return w.m.why(w.ObjectWriter.Commit())
}

// Abort implements backend.ObjectWriter.
func (w *mortalWriter) Abort() {
	w.ObjectWriter.Abort()
	w.end()
}
