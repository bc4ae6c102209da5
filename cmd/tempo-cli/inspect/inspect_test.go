package inspect_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/inspect"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// written returns a block of some traces, its bucket, and the IDs in it.
func written(t testing.TB) (*block.Meta, *local.Bucket, []trace.ID) {
	t.Helper()
	bucket, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	values := make(map[trace.ID][]byte)
	var splitter trace.Splitter
	for r := range workload.New(1, 100).Requests() {
		fragments, _, err := splitter.Split(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fragments {
			values[f.TraceID] = append(values[f.TraceID], f.Data...)
		}
	}
	w, err := block.NewWriter(t.Context(), bucket, "t", block.WriterOptions{Codec: tracedb.Codec{}})
	if err != nil {
		t.Fatal(err)
	}
	ids := sorted(values)
	for _, id := range ids {
		merged, err := trace.Merge(nil, values[id])
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(id, merged); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m, bucket, ids
}

func sorted(values map[trace.ID][]byte) []trace.ID {
	var ids []trace.ID
	for id := range values {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b trace.ID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

func TestTheDirectoryOfTheDataFindsEveryKey(t *testing.T) {
	m, bucket, ids := written(t)
	in := make(map[int64]int64)
	keys := make(map[int64]int64)
	for _, id := range ids {
		p, err := inspect.Find(t.Context(), bucket, m, block.Key(id))
		if err != nil {
			t.Fatal(err)
		}
		in[p.Offset]++
		keys[p.Offset] = p.Keys
	}
	counts, tail, err := inspect.Pages(t.Context(), bucket, m, "data", func(p inspect.Page, _ []byte) error {
		if in[p.Offset] == 0 || in[p.Offset] != keys[p.Offset] {
			return fmt.Errorf("page at %d has %d keys, %d are found there", p.Offset, keys[p.Offset], in[p.Offset])
		}
		delete(in, p.Offset)
		return nil
	})
	if err != nil || tail != 0 || len(in) != 0 || len(counts) == 0 {
		t.Errorf("%v; a tail of %d; keys are found where no page is: %v", err, tail, in)
	}
}

func TestFieldsAreThoseOfTheSpans(t *testing.T) {
	m, bucket, _ := written(t)
	b, err := block.Open(t.Context(), bucket, "t", m.ID, tracedb.Codec{})
	if err != nil {
		t.Fatal(err)
	}
	fields, err := inspect.Fields(t.Context(), bucket, m)
	if err != nil || len(fields) < 20 {
		t.Fatalf("%d fields: %v", len(fields), err)
	}
	for i, f := range fields {
		if i > 0 && f.Bytes > fields[i-1].Bytes {
			t.Errorf("%q is larger than the one before", f.Name)
		}
		var terms int64
		if err := b.Terms(t.Context(), f.Name, nil, func([]byte) bool { terms++; return true }); err != nil {
			t.Fatal(err)
		}
		if terms != f.Terms || f.Records < f.Terms || f.Bytes < 1 {
			t.Errorf("field %q has %d terms in %d records and %d bytes; the block knows %d", f.Name, f.Terms, f.Records, f.Bytes, terms)
		}
	}
}

func TestADamagedPageIsCountedAndTheNextOnesAreFound(t *testing.T) {
	m, bucket, _ := written(t)
	var pages []inspect.Page
	whole := func(p inspect.Page, _ []byte) error { pages = append(pages, p); return nil }
	if _, _, err := inspect.Pages(t.Context(), bucket, m, "search", whole); err != nil {
		t.Fatal(err)
	}
	bad := pages[len(pages)/2]
	var damaged []inspect.Page
	n := 0
	counts, _, err := inspect.Pages(t.Context(), flipped{bucket, "search", bad.Offset + 12}, m, "search", func(p inspect.Page, content []byte) error {
		if n++; p.Damage != nil {
			damaged = append(damaged, p)
		}
		if (p.Damage == nil) != (content != nil) {
			return fmt.Errorf("page at %d: content %v, damage %v", p.Offset, content != nil, p.Damage)
		}
		return nil
	})
	if err != nil || len(damaged) != 1 || damaged[0].Offset != bad.Offset || n != len(pages) || counts[bad.Kind].Damaged != 1 {
		t.Errorf("%v: %d of %d pages, damaged %v, want the one at %d", err, n, len(pages), damaged, bad.Offset)
	}
}

// flipped is a bucket in which a byte of an object is another.
type flipped struct {
	backend.Bucket
	object string
	at     int64
}

func (f flipped) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	n, err := f.Bucket.ReadAt(ctx, name, p, off)
	if bytes.HasSuffix([]byte(name), []byte("/"+f.object)) && off <= f.at && f.at < off+int64(n) {
		p[f.at-off] ^= 1
	}
	return n, err
}

// memory is a bucket with one object.
type memory struct {
	backend.Bucket
	content []byte
}

func (m memory) ReadAt(_ context.Context, _ string, p []byte, off int64) (int, error) {
	return bytes.NewReader(m.content).ReadAt(p, off)
}

// asPage makes a page of records at offset 0 of a search object, whose salt is none.
func asPage(content []byte) []byte {
	b := []byte{0, 1}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	b = append(b, content...)
	return binary.LittleEndian.AppendUint64(b, sum(b))
}

func sum(b []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(0)
	_, _ = d.Write(b)
	return d.Sum64()
}
