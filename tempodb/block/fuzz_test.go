package block

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// jsonBytes is what a decoder of JSON may take for a byte of it: an entry of a map, and errors that quote it.
const jsonBytes = 256

// A stretch of an object of a block is replaced: every answer is right, or an error that says where the damage is; and what is whole can be salvaged.
func FuzzObjects(f *testing.F) {
	s := newSample(f, 5, 14)
	for i := range append([]string{metaObject}, objectNames...) {
		f.Add(uint8(i), 100, uint16(3), []byte("other"))
		f.Add(uint8(i), 7, uint16(0), []byte{0})
		f.Add(uint8(i), 50, uint16(1<<16-1), []byte{})
	}
	f.Fuzz(func(t *testing.T, which uint8, at int, remove uint16, insert []byte) {
		names := append([]string{metaObject}, objectNames...)
		object := names[int(which)%len(names)]
		content := s.object(object)
		if at < 0 || at > len(content) || len(insert) > 1<<16 {
			return
		}
		content = bytes.Join([][]byte{content[:at], insert, content[min(at+int(remove), len(content)):]}, nil)
		bucket := s.with(object, content)
		if damage := s.answers(t, bucket); len(damage) == 0 {
			if object != metaObject && !bytes.Equal(content, s.object(object)) {
				t.Fatalf("%s was changed, and nobody notices", object)
			}
			return
		}
		s.salvaged(t, bucket, object)
	})
}

// A meta.json as it is, and as the description of a block with its checksum.
func FuzzParseMeta(f *testing.F) {
	bucket := newMemory()
	m := write(f, bucket, randomEntries(rand.New(rand.NewPCG(1, 1)), 5, 10), WriterOptions{Sources: []string{"a"}})
	content := bucket.objects[objectName(tenant, m.ID, metaObject)]
	var file metaFile
	if err := json.Unmarshal(content, &file); err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add([]byte(file.Block))
	f.Add([]byte(`{"xxh64":"0000000000000000","block":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var compact bytes.Buffer
		var sealed []byte
		if json.Compact(&compact, b) == nil {
			var err error
			if sealed, err = json.Marshal(metaFile{Sum(xxhash.Sum64(compact.Bytes())), b}); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range [][]byte{b, sealed} {
			var m *Meta
			var err error
			fuzztest.Bounded(t, jsonBytes*len(b), func() { m, err = ParseMeta(b) })
			if err != nil {
				continue
			}
			again, err := AppendMeta(nil, m)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := ParseMeta(again); err != nil || !n.Created.Equal(m.Created) || n.ID != m.ID || !reflect.DeepEqual(n.Objects, m.Objects) {
				t.Fatalf("%+v comes back as %+v, %v", m, n, err)
			}
			// In a store: it is this block's, or it is told where the wrong one lies.
			bucket := newMemory()
			id := NewID()
			bucket.objects[objectName("other", id, metaObject)] = b
			if _, err := ReadMeta(ctx, bucket, "other", id); !page.IsCorrupt(err) || !strings.Contains(err.Error(), objectName("other", id, metaObject)) {
				t.Fatalf("a description in another block's place: %v", err)
			}
		}
	})
}

func FuzzParseReport(f *testing.F) {
	key := Key{1}
	id := ID("01M826G85SRYJWMRVVZCP3X78E")
	good, err := json.Marshal(SalvageReport{Version: 1, Tenant: tenant, Block: id, Lost: []KeyRange{{After: &key}}, Kept: map[string]Object{"data": {5, 6}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		bucket := newMemory()
		name := quarantined(tenant, id, reportObject)
		bucket.objects[name] = b
		var r *SalvageReport
		var err error
		fuzztest.Bounded(t, jsonBytes*len(b), func() { r, err = ReadReport(ctx, bucket, tenant, id) })
		if err != nil {
			if !strings.Contains(err.Error(), name) || errors.Is(err, backend.ErrNotExist) {
				t.Fatalf("%v does not name %s", err, name)
			}
			return
		}
		if r.Tenant != tenant || r.Block != id {
			t.Fatalf("it is about block %s of tenant %s", r.Block, r.Tenant)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseReport(again); err != nil {
			t.Fatalf("%s comes back: %v", again, err)
		}
		for _, lost := range r.Lost {
			_ = lost.String()
		}
	})
}

// Names from a bucket's listing and from arguments: what is taken is good for an object's name, and no other's.
func FuzzNames(f *testing.F) {
	f.Add("01M826G85SRYJWMRVVZCP3X78E")
	f.Add("01m826g85sryjwmrvvzcp3x78e")
	f.Add("81M826G85SRYJWMRVVZCP3X78E")
	f.Add("shop~archive")
	f.Add(QuarantineFolder)
	f.Add("..")
	f.Fuzz(func(t *testing.T, name string) {
		if id, err := ParseID(name); err == nil {
			if string(id) != name || id.Time().IsZero() && !strings.HasPrefix(name, "0000000000") {
				t.Fatalf("%q is ID %q of %v", name, id, id.Time())
			}
			if CheckTenant(name) != nil {
				t.Fatalf("ID %q can't be a folder", name)
			}
		}
		if CheckTenant(name) == nil {
			if object := objectName(name, "01M826G85SRYJWMRVVZCP3X78E", dataObject); backend.CheckName(object) != nil || strings.Count(object, "/") != 2 {
				t.Fatalf("tenant %q has an object %q", name, object)
			}
		}
	})
}
