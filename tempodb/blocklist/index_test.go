package blocklist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// fill gives all that v holds a value that is not zero, so that what an index leaves out shows.
func fill(t *testing.T, r *rand.Rand, v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(r.Int64N(1<<33), 1+r.Int64N(1e9-1)).UTC()))
		return
	case block.ID:
		v.Set(reflect.ValueOf(idOf(1 + r.IntN(1e6))))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, r, v.Field(i))
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + r.Int64N(math.MaxInt64-1))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(1 + r.Uint64N(255))
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", r.IntN(1000)))
	case reflect.Array:
		for i := range v.Len() {
			fill(t, r, v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			fill(t, r, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 3 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, r, key)
			fill(t, r, value)
			v.SetMapIndex(key, value)
		}
	default:
		t.Fatalf("a meta has a %s: teach this test, and the index, what that is", v.Kind())
	}
}

// listOf returns a list of live blocks.
func listOf(metas ...*block.Meta) *List {
	s := situation{tenant: tenant, prev: newList(tenant).finish(), added: metas, now: epoch}
	return s.next(nil)
}

func mustIndex(t testing.TB, l *List, h Header) []byte {
	t.Helper()
	content, err := AppendIndex(nil, l, h)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestAnIndexHoldsAllOfAMeta(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		m := new(block.Meta)
		fill(t, r, reflect.ValueOf(m).Elem())
		m.Tenant = tenant
		x, err := ParseIndex(mustIndex(t, listOf(m), Header{Seq: 3, Listed: epoch, Writer: "w"}), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(x.Live) != 1 || !reflect.DeepEqual(x.Live[0], m) {
			t.Fatalf("wrote %+v\nread %+v", m, x.Live[0])
		}
	}
}

func TestAnIndexIsReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newList(tenant)
		for n := range rapid.IntRange(0, 50).Draw(t, "blocks") {
			m := metaOf(n)
			m.MinStart = rapid.Int64().Draw(t, "min start")
			m.MaxStart = rapid.Int64().Draw(t, "max start")
			m.MaxEnd = rapid.Int64().Draw(t, "max end")
			m.Created = time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "created"), 5).UTC()
			m.Sources = rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "sources")
			if len(m.Sources) == 0 {
				m.Sources = nil
			}
			switch state := rapid.IntRange(0, 4).Draw(t, "state"); state {
			case 0:
				l.present[m.ID] = m
			case 4:
				l.Damaged = append(l.Damaged, Damaged{ID: m.ID, Since: epoch.Add(time.Duration(n)), Err: errors.New("no good")})
			default:
				l.present[m.ID] = m
				l.retired[m.ID] = Retired{Meta: m, Since: epoch.Add(time.Duration(n)), Cause: Cause(state)}
			}
		}
		l.finish()
		h := Header{Seq: rapid.Uint64().Draw(t, "seq"), Listed: epoch.Add(time.Nanosecond), Writer: rapid.String().Draw(t, "writer")}
		content, err := AppendIndex([]byte("before"), l, h)
		if err != nil {
			t.Fatal(err)
		}
		content, _ = bytes.CutPrefix(content, []byte("before"))
		x, err := ParseIndex(content, nil)
		if err != nil {
			t.Fatal(err)
		}
		if x.Seq != h.Seq || !x.Listed.Equal(h.Listed) || x.Writer != h.Writer || x.Tenant != tenant {
			t.Fatalf("header: %+v", x.Header)
		}
		if len(x.present) != len(l.present) || len(x.Retired) != len(l.Retired) || len(x.Damaged) != len(l.Damaged) {
			t.Fatal("other blocks than were written")
		}
		for id, m := range l.present {
			if !reflect.DeepEqual(x.present[id], m) {
				t.Fatalf("wrote %+v\nread %+v", m, x.present[id])
			}
		}
		for i, r := range l.Retired {
			if !reflect.DeepEqual(x.Retired[i], r) {
				t.Fatalf("retired: %+v", x.Retired[i])
			}
		}
		for i, d := range l.Damaged {
			if g := x.Damaged[i]; g.ID != d.ID || !g.Since.Equal(d.Since) || g.Err.Error() != "no good" {
				t.Fatalf("damaged: %+v", g)
			}
		}
		// The same blocks have the same sum, whoever writes them when.
		again, err := AppendIndex(nil, l, Header{Seq: 1})
		if h2, _, err2 := ParseHeader(again); err != nil || err2 != nil || h2.Sum != x.Sum {
			t.Fatal("the sum depends on more than the blocks")
		}
	})
}

func TestKnownMetasAreNotReadAgain(t *testing.T) {
	metas := metasOf(0, 10)
	content := mustIndex(t, listOf(metas...), Header{})
	x, err := ParseIndex(content, func(id block.ID) *block.Meta {
		if id == metas[4].ID {
			return metas[4]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range x.Live {
		if same := m == metas[i]; same != (i == 4) {
			t.Errorf("block %d is the same in memory: %v", i, same)
		}
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	content := mustIndex(t, listOf(metasOf(0, 20)...), Header{Seq: 7, Listed: epoch, Writer: "w"})
	for i := range content {
		for bit := range 8 {
			flipped := slices.Clone(content)
			flipped[i] ^= 1 << bit
			if _, err := ParseIndex(flipped, nil); !page.IsCorrupt(err) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
	for n := range content {
		if _, err := ParseIndex(content[:n], nil); !page.IsCorrupt(err) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := ParseIndex(append(content, 0), nil); !page.IsCorrupt(err) {
		t.Fatal("a byte too many")
	}
}

// sealed makes an index object of a body that need not be one: all checksums are right.
func sealed(content []byte) []byte {
	body := page.AppendPage(nil, content, 0, page.DefaultLevel)
	if len(content) > maxIndexRatio*len(body) {
		body = page.AppendPage(nil, content, 0, page.Raw)
	}
	h := Header{Tenant: tenant, Sum: xxhash.Sum64(body), pages: []indexPage{{len(body), len(content)}}}
	b, err := appendHeader(nil, &h)
	if err != nil {
		panic(err)
	}
	return append(b, body...)
}

func TestAPageThatPromisesTooMuchIsRefused(t *testing.T) {
	body := page.AppendPage(nil, make([]byte, maxIndexPage), 0, page.DefaultLevel)
	for _, claimed := range []int{maxIndexPage, 100} {
		h := Header{Tenant: tenant, Sum: xxhash.Sum64(body), pages: []indexPage{{len(body), claimed}}}
		b, err := appendHeader(nil, &h)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, body...)
		fuzztest.Bounded(t, len(b), func() {
			if _, err := ParseIndex(b, nil); !page.IsCorrupt(err) {
				t.Errorf("claimed %d: %v", claimed, err)
			}
		})
	}
}

// realistic returns n blocks as they may be in a store: random keys, checksums and sizes, some compacted, some cut.
func realistic(n int) *List {
	r := rand.New(rand.NewPCG(3, 4))
	l := newList(tenant)
	for i := range n {
		m := metaOf(i * 60)
		u := []byte(m.ID)
		const letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
		for j := 10; j < len(u); j++ {
			u[j] = letters[r.IntN(len(letters))]
		}
		m.ID = block.ID(u)
		for j := range m.MinKey {
			m.MinKey[j], m.MaxKey[j] = byte(r.Uint32()), byte(r.Uint32())
		}
		m.MinKey[0], m.MaxKey[0] = 0, 255
		m.MinStart += r.Int64N(1e12)
		m.MaxStart = m.MinStart + r.Int64N(1e12)
		m.MaxEnd = m.MaxStart + r.Int64N(1e10)
		m.Created = m.Created.Add(time.Duration(r.Int64N(1e12)))
		m.Keys = r.Int64N(1e6)
		m.Rows = 20 * m.Keys
		for name := range m.Objects {
			m.Objects[name] = block.Object{Bytes: r.Int64N(1 << 30), Checksum: block.Sum(r.Uint64())}
		}
		m.Data = page.Root{Offset: r.Int64N(1 << 20), Length: r.Int64N(1 << 15)}
		m.Summary = page.Root{Offset: r.Int64N(1 << 25), Length: r.Int64N(1 << 15)}
		if i%4 == 0 {
			m.Sources = []string{fmt.Sprintf("ingester-%d/%08d", i%7, i)}
		} else {
			m.Level = 1 + i%3
			for range 8 {
				m.Parents = append(m.Parents, idOf(r.IntN(1e9)))
			}
		}
		l.present[m.ID] = m
	}
	return l.finish()
}

func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{10_000, 125_000} {
		l := realistic(n)
		content := mustIndex(b, l, Header{})
		b.Run(fmt.Sprintf("blocks=%d/append", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				content = mustIndex(b, l, Header{})
			}
			b.ReportMetric(float64(len(content))/float64(n), "bytes/block")
		})
		for name, known := range map[string]func(block.ID) *block.Meta{"all new": nil, "all known": l.Meta} {
			b.Run(fmt.Sprintf("blocks=%d/parse/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ParseIndex(content, known); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("blocks=%d/next", n), func(b *testing.B) {
			x, err := ParseIndex(content, l.Meta)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				s := situation{tenant: tenant, prev: l, index: x, now: epoch}
				s.next(nil)
			}
		})
		b.Run(fmt.Sprintf("blocks=%d/holding", n), func(b *testing.B) {
			at := epoch.Add(time.Duration(n/2) * time.Minute).UnixNano()
			b.ReportAllocs()
			found := 0
			for b.Loop() {
				found = 0
				for range l.Holding(block.Key{100}, at, at+int64(time.Hour)) {
					found++
				}
			}
			b.ReportMetric(float64(found), "found")
		})
		// What the same would be as the metas' own JSON.
		b.Run(fmt.Sprintf("blocks=%d/json and zstd", n), func(b *testing.B) {
			var content []byte
			for b.Loop() {
				var all []byte
				for _, m := range l.Live {
					one, err := json.Marshal(m)
					if err != nil {
						b.Fatal(err)
					}
					all = append(all, one...)
				}
				content = content[:0]
				for len(all) > 0 {
					piece := all[:min(len(all), indexPageBytes)]
					content = page.AppendPage(content, piece, 0, page.DefaultLevel)
					all = all[len(piece):]
				}
			}
			b.ReportMetric(float64(len(content))/float64(n), "bytes/block")
		})
		b.Run(fmt.Sprintf("blocks=%d/parse json", n), func(b *testing.B) {
			all, err := json.Marshal(l.Live)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				var metas []*block.Meta
				if err := json.Unmarshal(all, &metas); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
