package blocklist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// memory is an object store that counts and can be made to fail.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	counts  map[string]int // requests by kind: get, list, put, delete, size
	names   []string       // of gets
	changes int            // how often it was written to
	// before is called before each request, without the lock held; its error is the request's.
	before func(kind, name string) error
}

func newMemory() *memory {
	return &memory{objects: make(map[string][]byte), counts: make(map[string]int)}
}

func TestMemoryIsABucket(t *testing.T) {
	backendtest.Run(t, func(*testing.T) backend.Bucket { return newMemory() })
}

// asked returns the number of requests since the last call: "2 get 1 list".
func (b *memory) asked() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var parts []string
	for _, kind := range []string{"get", "list", "put", "delete", "size"} {
		if n := b.counts[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	clear(b.counts)
	b.names = nil
	return strings.Join(parts, ", ")
}

func (b *memory) request(ctx context.Context, kind, name string) error {
	b.mu.Lock()
	before := b.before
	b.counts[kind]++
	if kind == "get" {
		b.names = append(b.names, name)
	}
	b.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if name != "" || kind != "list" {
		if err := backend.CheckName(name); err != nil {
			return err
		}
	}
	if before != nil {
		return before(kind, name)
	}
	return nil
}

func missing(name string) error { return fmt.Errorf("%s: %w", name, backend.ErrNotExist) }

func (b *memory) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := b.request(ctx, "get", name); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	content, ok := b.objects[name]
	if !ok {
		return 0, missing(name)
	}
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	n := copy(p, content[min(off, int64(len(content))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *memory) Size(ctx context.Context, name string) (int64, error) {
	if err := b.request(ctx, "size", name); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	content, ok := b.objects[name]
	if !ok {
		return 0, missing(name)
	}
	return int64(len(content)), nil
}

func (b *memory) List(ctx context.Context, dir string, fn func(string) error) error {
	dir = strings.TrimSuffix(dir, "/")
	if err := b.request(ctx, "list", dir); err != nil {
		return err
	}
	if dir != "" {
		dir += "/"
	}
	seen := make(map[string]bool)
	b.mu.Lock()
	for name := range b.objects {
		if rest, ok := strings.CutPrefix(name, dir); ok {
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				rest = rest[:i+1]
			}
			seen[rest] = true
		}
	}
	b.mu.Unlock()
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(name); err != nil {
			return err
		}
	}
	return nil
}

func (b *memory) Delete(ctx context.Context, name string) error {
	if err := b.request(ctx, "delete", name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, name)
	b.changes++
	return nil
}

func (b *memory) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	if err := backend.CheckName(name); err != nil {
		return nil, err
	}
	return &memoryWriter{ctx: ctx, bucket: b, name: name}, ctx.Err()
}

type memoryWriter struct {
	ctx    context.Context
	bucket *memory
	name   string
	buf    bytes.Buffer
	done   bool
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	if w.done {
		return 0, errors.New("write after the end")
	}
	return w.buf.Write(p)
}

func (w *memoryWriter) Commit() error {
	if w.done {
		return errors.New("commit after the end")
	}
	w.done = true
	if err := w.bucket.request(w.ctx, "put", w.name); err != nil {
		return err
	}
	w.bucket.mu.Lock()
	defer w.bucket.mu.Unlock()
	w.bucket.objects[w.name] = w.buf.Bytes()
	w.bucket.changes++
	return nil
}

func (w *memoryWriter) Abort() { w.done = true }

// set stores an object without counting it; nil removes it.
func (b *memory) set(name string, content []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changes++
	if content == nil {
		delete(b.objects, name)
		return
	}
	b.objects[name] = content
}

func (b *memory) get(name string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[name]
}

const tenant = "shop"

// begin writes the data of a block, finish its meta.json.
func (b *memory) begin(id block.ID) { b.set(tenant+"/"+string(id)+"/data", []byte("data")) }

func (b *memory) finish(t testing.TB, m *block.Meta) {
	t.Helper()
	content, err := block.AppendMeta(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	b.set(metaName(m.ID), content)
}

func metaName(id block.ID) string { return tenant + "/" + string(id) + "/meta.json" }

func (b *memory) write(t testing.TB, metas ...*block.Meta) {
	t.Helper()
	for _, m := range metas {
		b.begin(m.ID)
		b.finish(t, m)
	}
}

// isThere reports whether a block has a meta.json.
func (b *memory) isThere(id block.ID) bool { return b.get(metaName(id)) != nil }

var epoch = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// idOf returns the ID of block number n, made n seconds after the epoch.
func idOf(n int) block.ID {
	var u ulid.ULID
	if err := u.SetTime(uint64(epoch.Add(time.Duration(n) * time.Second).UnixMilli())); err != nil {
		panic(err)
	}
	u[15] = 7
	return block.ID(u.String())
}

// metaOf returns the meta of block number n, whose one row starts when it is made.
func metaOf(n int, parents ...int) *block.Meta {
	start := epoch.Add(time.Duration(n) * time.Second)
	m := &block.Meta{
		Version: block.Version, ID: idOf(n), Tenant: tenant, Created: start.Add(time.Millisecond),
		MinKey: block.Key{1}, MaxKey: block.Key{200}, MinStart: start.UnixNano(), MaxStart: start.UnixNano(), MaxEnd: start.UnixNano() + 1000,
		Keys: 1, Rows: 1, Objects: make(map[string]block.Object),
		Data: page.Root{Offset: 1, Length: 2}, Summary: page.Root{Offset: 3, Length: 4},
	}
	for i, name := range []string{"data", "index", "filter", "search", "summary"} {
		m.Objects[name] = block.Object{Bytes: int64(1000 + i), Checksum: block.Sum(0x0123456789abcdef * uint64(n*8+i))}
	}
	for _, p := range parents {
		m.Parents = append(m.Parents, idOf(p))
		m.Level = 1
	}
	return m
}

func metasOf(from, to int) (metas []*block.Meta) {
	for n := from; n < to; n++ {
		metas = append(metas, metaOf(n))
	}
	return metas
}
