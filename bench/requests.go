package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/jaeger-tempo/tempo/bench/workload"
)

// The file of requests is a sequence of frames:
//
//	uint32 length of data | uint32 number of parts | parts: 16 bytes trace ID, uint32 spans | data
//
// with little-endian numbers.

// totals of what was generated.
type totals struct{ spans, requests, bytes int }

// truth is what the phases need to know of the workload's truth.
type truth struct {
	Traces     []workload.Part
	Answers    [][]workload.Hit // by query, the newest limit only
	Operations map[string]map[string]int
}

// limit is the number of traces that a search asks for.
const limit = 20

// generate writes the files of requests and of truth.
func generate(o *options, w *workload.Workload) (sum totals, err error) {
	f, err := os.Create(o.requests())
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<20)
	var head []byte
	for r := range w.Requests() {
		head = binary.LittleEndian.AppendUint32(head[:0], uint32(len(r.Data)))
		head = binary.LittleEndian.AppendUint32(head, uint32(len(r.Parts)))
		for _, p := range r.Parts {
			head = append(head, p.TraceID[:]...)
			head = binary.LittleEndian.AppendUint32(head, uint32(p.Spans))
		}
		_, err1 := out.Write(head)
		_, err2 := out.Write(r.Data)
		if err := errors.Join(err1, err2); err != nil {
			return sum, err
		}
		sum.spans += r.Spans
		sum.requests++
		sum.bytes += len(r.Data)
	}
	return sum, errors.Join(out.Flush(), writeTruth(o, w.Truth()))
}

func writeTruth(o *options, of *workload.Truth) error {
	t := truth{Traces: of.Traces, Operations: of.Operations}
	for _, a := range of.Answers {
		t.Answers = append(t.Answers, a[:min(len(a), limit)])
	}
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return os.WriteFile(o.truth(), text, 0o644)
}

func readTruth(o *options) (*truth, error) {
	text, err := os.ReadFile(o.truth())
	if err != nil {
		return nil, err
	}
	t := new(truth)
	return t, json.Unmarshal(text, t)
}

// frame is a request read back. Its memory is used again by the next read into it.
type frame struct {
	data  []byte
	parts []workload.Part
	buf   []byte
}

// read reads the next request; io.EOF at the end, and only there.
func (f *frame) read(r io.Reader) error {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size := int(binary.LittleEndian.Uint32(head[:]))
	const part = 20
	parts := int(binary.LittleEndian.Uint32(head[4:])) * part
	// Step by step: a file that was cut short does not have what its lengths say.
	f.buf = f.buf[:0]
	for need := parts + size; len(f.buf) < need; {
		begin := len(f.buf)
		f.buf = slices.Grow(f.buf, min(need-begin, 1<<20))[:min(need, begin+1<<20)]
		if _, err := io.ReadFull(r, f.buf[begin:]); err != nil {
			return fmt.Errorf("file of requests is cut short: %w", io.ErrUnexpectedEOF)
		}
	}
	f.parts = f.parts[:0]
	for b := f.buf[:parts]; len(b) > 0; b = b[part:] {
		f.parts = append(f.parts, workload.Part{
			TraceID: [16]byte(b), Spans: int(binary.LittleEndian.Uint32(b[16:])),
		})
	}
	f.data = f.buf[parts:]
	return nil
}

// errEnough ends eachRequest without an error.
var errEnough = errors.New("enough")

// eachRequest calls fn with the requests of the file, so many at a time, until there are no more or fn returns an error.
func eachRequest(o *options, atOnce int, fn func(context.Context, *frame) error) error {
	f, err := os.Open(o.requests())
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	var mu sync.Mutex // of in
	group, ctx := errgroup.WithContext(context.Background())
	for range atOnce {
		group.Go(func() error {
			var f frame
			for {
				mu.Lock()
				err := f.read(in)
				mu.Unlock()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err == nil {
					err = fn(ctx, &f)
				}
				if err != nil {
					return err
				}
			}
		})
	}
	if err := group.Wait(); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}
