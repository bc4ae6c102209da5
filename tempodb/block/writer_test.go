package block

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

var errFull = errors.New("store is full")

func visible(t tb, bucket backend.Bucket) []ID {
	t.Helper()
	ids, err := List(ctx, bucket, tenant)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// Whatever step of writing fails: there is no block, and nothing is left of it. But when meta.json was sent and no answer came, it may be on its
// way, and what belongs to it stays.
func TestFailedWriterLeavesNothing(t *testing.T) {
	entries := randomEntries(rand.New(rand.NewPCG(1, 1)), 50, 100)
	var steps []string
	attempt := func(fail func(string) error) (*memory, error) {
		bucket := newMemory()
		bucket.fail = fail
		w, err := NewWriter(ctx, bucket, tenant, WriterOptions{Codec: lines{}})
		if err != nil {
			return bucket, err
		}
		for _, e := range entries {
			if err := w.Add(e.key, e.value); err != nil {
				w.Abort()
				return bucket, err
			}
		}
		_, err = w.Finish(ctx)
		return bucket, err
	}
	if _, err := attempt(func(do string) error {
		if !slices.Contains(steps, do) {
			steps = append(steps, do)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(steps) != 18 {
		t.Fatalf("steps: %v", steps)
	}
	for _, step := range steps {
		bucket, err := attempt(func(do string) error {
			if do == step {
				return errFull
			}
			return nil
		})
		if !errors.Is(err, errFull) {
			t.Errorf("%s fails: %v", step, err)
		}
		if !strings.Contains(err.Error(), "of tenant "+tenant) {
			t.Errorf("%s fails: %v does not name the tenant", step, err)
		}
		left := 0
		if step == "commit meta.json" {
			left = len(objectNames)
		}
		if len(bucket.objects) != left || len(visible(t, bucket)) > 0 {
			t.Errorf("%s fails: %d objects are left, want %d", step, len(bucket.objects), left)
		}
	}
}

func TestAbortedWriterLeavesNothing(t *testing.T) {
	bucket := newMemory()
	w, err := NewWriter(ctx, bucket, tenant, WriterOptions{Codec: lines{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add([16]byte{1}, []byte("1 2 x\n")); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if err := w.Add([16]byte{2}, nil); err == nil {
		t.Error("add after abort is no error")
	}
	if _, err := w.Finish(ctx); err == nil {
		t.Error("finish after abort is no error")
	}
	if len(bucket.objects) > 0 {
		t.Errorf("objects are left: %v", bucket.objects)
	}
}

func TestBadCallsAreRefused(t *testing.T) {
	bucket := newMemory()
	for _, bad := range []string{"", ".", "..", "a/b", "a b", "ä", strings.Repeat("x", 151)} {
		if _, err := NewWriter(ctx, bucket, bad, WriterOptions{Codec: lines{}}); err == nil {
			t.Errorf("tenant %q is no error", bad)
		}
		if _, err := List(ctx, bucket, bad); err == nil {
			t.Errorf("list of tenant %q is no error", bad)
		}
	}
	for _, c := range []struct {
		name  string
		key   [16]byte
		value string
		want  error
	}{
		{"key twice", [16]byte{5}, "", page.ErrOrder},
		{"smaller key", [16]byte{4}, "", page.ErrOrder},
		{"value the codec refuses", [16]byte{6}, "nonsense", errLine},
	} {
		w, err := NewWriter(ctx, bucket, tenant, WriterOptions{Codec: lines{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add([16]byte{5}, []byte("1 2 x\n")); err != nil {
			t.Fatal(err)
		}
		if err := w.Add(c.key, []byte(c.value)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := w.Finish(ctx); !errors.Is(err, c.want) {
			t.Errorf("finish after %s: %v", c.name, err)
		}
	}
	w, err := NewWriter(ctx, bucket, tenant, WriterOptions{Codec: lines{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(ctx); !errors.Is(err, ErrEmpty) {
		t.Errorf("finish without keys: %v", err)
	}
	if len(bucket.objects) > 0 {
		t.Errorf("objects are left: %v", bucket.objects)
	}
}

func TestFolderWithoutMetaIsNoBlock(t *testing.T) {
	bucket := newMemory()
	entries := randomEntries(rand.New(rand.NewPCG(1, 1)), 5, 10)
	whole := write(t, bucket, entries, WriterOptions{}).ID
	half := write(t, bucket, entries, WriterOptions{}).ID
	if got := visible(t, bucket); !slices.Equal(got, []ID{whole, half}) {
		t.Fatalf("%v", got)
	}
	delete(bucket.objects, objectName(tenant, half, metaObject))
	bucket.objects[tenant+"/quarantine/report"] = nil
	bucket.objects[tenant+"/"+strings.ToLower(string(NewID()))+"/meta.json"] = nil
	if got := visible(t, bucket); !slices.Equal(got, []ID{whole}) {
		t.Fatalf("%v", got)
	}
	if _, err := Open(ctx, bucket, tenant, half, lines{}); !errors.Is(err, backend.ErrNotExist) {
		t.Fatalf("open: %v", err)
	}
	if removed, err := RemoveGarbage(ctx, bucket, tenant, half.Time()); err != nil || len(removed) > 0 {
		t.Fatalf("what may still be written was removed: %v, %v", removed, err)
	}
	before := len(bucket.objects)
	removed, err := RemoveGarbage(ctx, bucket, tenant, time.Now().Add(time.Hour))
	if err != nil || !slices.Equal(removed, []ID{half}) || len(bucket.objects) != before-len(objectNames) {
		t.Fatalf("removed %v, %v, %d of %d objects are left", removed, err, len(bucket.objects), before)
	}
	if err := mustOpen(t, bucket, whole).Verify(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestDeletionThatFailsMidwayLeavesNoBlock(t *testing.T) {
	for _, object := range append([]string{metaObject}, objectNames...) {
		bucket := newMemory()
		id := write(t, bucket, randomEntries(rand.New(rand.NewPCG(1, 1)), 5, 10), WriterOptions{}).ID
		bucket.fail = func(do string) error {
			if do == "delete "+object {
				return errFull
			}
			return nil
		}
		if err := Delete(ctx, bucket, tenant, id); !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		ids := visible(t, bucket)
		if object == metaObject && (len(ids) != 1 || len(bucket.objects) != 6) {
			t.Errorf("meta.json could not be deleted, but other objects were")
		} else if object != metaObject && len(ids) != 0 {
			t.Errorf("%s could not be deleted, and the block is still there", object)
		}
		bucket.fail = func(string) error { return nil }
		if err := Delete(ctx, bucket, tenant, id); err != nil || len(bucket.objects) != 0 {
			t.Errorf("second attempt: %v, %d objects", err, len(bucket.objects))
		}
	}
}

func TestFinishAfterItsContextLeavesNothing(t *testing.T) {
	bucket := newMemory()
	w, err := NewWriter(ctx, bucket, tenant, WriterOptions{Codec: lines{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add([16]byte{1}, []byte("1 2 x\n")); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := w.Finish(cancelled); !errors.Is(err, context.Canceled) || len(bucket.objects) > 0 {
		t.Fatalf("%v, %d objects", err, len(bucket.objects))
	}
}

func TestIDs(t *testing.T) {
	last := NewID()
	for range 1000 {
		id := NewID()
		if id <= last {
			t.Fatalf("%s after %s", id, last)
		}
		if again, err := ParseID(string(id)); err != nil || again != id {
			t.Fatal(err)
		}
		last = id
	}
	if d := time.Since(last.Time()); d < -time.Minute || d > time.Minute {
		t.Errorf("made %s ago", d)
	}
	for _, bad := range []string{"", "x", strings.ToLower(string(last)), string(last) + "0", strings.Repeat("U", 26), strings.Repeat("Z", 26)} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("%q is an ID", bad)
		}
	}
}

func TestMetaIsRefused(t *testing.T) {
	bucket := newMemory()
	m := write(t, bucket, randomEntries(rand.New(rand.NewPCG(1, 1)), 5, 10), WriterOptions{})
	for name, change := range map[string]func(*Meta){
		"later version":     func(m *Meta) { m.Version++ },
		"no ID":             func(m *Meta) { m.ID = "" },
		"parent is no ID":   func(m *Meta) { m.Parents = []ID{"x"} },
		"tenant":            func(m *Meta) { m.Tenant = "../x" },
		"keys reversed":     func(m *Meta) { m.MinKey, m.MaxKey = m.MaxKey, m.MinKey },
		"starts reversed":   func(m *Meta) { m.MinStart = m.MaxStart + 1 },
		"no keys":           func(m *Meta) { m.Keys = 0 },
		"less than no rows": func(m *Meta) { m.Rows = -1 },
		"missing object":    func(m *Meta) { m.Objects = map[string]Object{dataObject: {}} },
		"negative length":   func(m *Meta) { m.Objects[searchObject] = Object{Bytes: -1} },
		"root outside":      func(m *Meta) { m.Data.Offset = 1 << 62 },
		"negative root":     func(m *Meta) { m.Summary.Offset = -1 },
	} {
		content, err := AppendMeta(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseMeta(content)
		if err != nil {
			t.Fatal(err)
		}
		change(again)
		if content, err = AppendMeta(nil, again); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseMeta(content); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	content := bucket.objects[objectName(tenant, m.ID, metaObject)]
	for name, content := range map[string][]byte{
		"empty":         nil,
		"not JSON":      []byte("meta"),
		"more than one": append(bytes.Clone(content), content...),
		"unknown field": bytes.Replace(content, []byte(`"block"`), []byte(`"blocks"`), 1),
		"other content": bytes.Replace(content, []byte(`"level": 0`), []byte(`"level": 1`), 1),
		"too long":      bytes.Repeat([]byte(" "), MaxMeta+1),
	} {
		if _, err := ParseMeta(content); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	// A whole description in another block's place.
	other := NewID()
	bucket.objects[objectName(tenant, other, metaObject)] = content
	if _, err := Open(ctx, bucket, tenant, other, lines{}); !page.IsCorrupt(err) {
		t.Errorf("another block's meta.json: %v", err)
	}
}
