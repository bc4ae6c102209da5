package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// Create implements backend.Bucket. Nothing is sent before Commit.
func (b *Bucket) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	full, err := b.FullName(ctx, name)
	if err != nil {
		return nil, err
	}
	return &writer{b: b, ctx: ctx, name: name, full: full}, nil
}

// writer keeps an object until Commit.
type writer struct {
	b          *Bucket
	ctx        context.Context
	name, full string

	memory []byte
	file   *os.File // has all, once the object is bigger than memory may be
	named  bool     // the file still has its name
	size   int64
	err    error // of Write: the object will not be
	done   bool
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.file == nil && len(w.memory)+len(p) <= w.b.o.Memory {
		w.memory = append(w.memory, p...)
		w.size += int64(len(p))
		return len(p), nil
	}
	if w.file == nil {
		if err := w.spill(); err != nil {
			w.err = w.b.Fail(w.ctx, "write", w.name, fmt.Errorf("temporary file: %w", err))
			return 0, w.err
		}
	}
	n, err := w.file.Write(p)
	w.size += int64(n)
	if err != nil {
		w.err = w.b.Fail(w.ctx, "write", w.name, fmt.Errorf("temporary file: %w", err))
	}
	return n, w.err
}

// spill moves the object to a file.
func (w *writer) spill() error {
	file, err := os.CreateTemp(w.b.o.TempDir, "tempo-object-*")
	if err != nil {
		return err
	}
	w.file = file
	w.named = os.Remove(file.Name()) != nil // where an open file can't be removed, end does it
	_, err = file.Write(w.memory)
	w.memory = nil
	return err
}

// Repeatable says whether Commit may be called again after it failed: the object is still here.
func (w *writer) Repeatable() bool { return w.err == nil && !w.done }

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
	var err error
	if w.file == nil {
		err = w.b.client.Upload(w.ctx, w.full, bytes.NewReader(w.memory))
	} else {
		err = w.b.o.Big.Upload(w.ctx, w.full, &sized{io.NewSectionReader(w.file, 0, w.size)})
	}
	if err != nil {
		return w.b.Fail(w.ctx, "commit", w.name, err) // the file is removed by Abort, or with the writer
	}
	w.end()
	return nil
}

// Abort implements backend.ObjectWriter.
func (w *writer) Abort() {
	if !w.done {
		w.end()
	}
}

func (w *writer) end() {
	w.done = true
	w.err = w.b.Fail(context.Background(), "write", w.name, errors.New("the object is ended already"))
	w.memory = nil
	if w.file != nil {
		w.file.Close()
		if w.named {
			_ = os.Remove(w.file.Name())
		}
	}
}

// sized is a reader that tells clients how much there is to read.
type sized struct{ *io.SectionReader }

// ObjectSize returns how much there is to read.
func (s *sized) ObjectSize() (int64, error) { return s.Size(), nil }
