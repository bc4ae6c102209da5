package index

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

func FuzzChunk(f *testing.F) {
	f.Add(appendChunk(nil, &chunk{keys: make([][16]byte, 2), ends: []uint32{1, 3}, starts: []int64{5, 3, 9}, durations: []int64{1, 0, -1}}))
	f.Add(appendChunk(nil, &chunk{firstOwner: 7, keys: make([][16]byte, 2), ends: []uint32{0, 1}, starts: []int64{-1 << 63}, durations: []int64{1<<63 - 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again chunk
		var err error
		fuzztest.Bounded(t, 16*len(b), func() { err = c.parse(b) })
		if err != nil {
			return
		}
		if err := again.parse(appendChunk(nil, &c)); err != nil || again.firstOwner != c.firstOwner || !slices.Equal(again.keys, c.keys) ||
			!slices.Equal(again.ends, c.ends) || !slices.Equal(again.starts, c.starts) || !slices.Equal(again.durations, c.durations) {
			t.Fatalf("%+v comes back as %+v, %v", c, again, err)
		}
	})
}

func FuzzRowList(f *testing.F) {
	f.Add(appendRowList(nil, []uint32{1, 5, 300}), uint16(1000))
	f.Add(appendRowList(nil, []uint32{7}), uint16(8))
	f.Fuzz(func(t *testing.T, b []byte, rows uint16) {
		set := newRowSet(int(rows))
		if addRowList(set, b, int(rows)) != nil {
			return
		}
		list := set.appendRows(nil)
		if len(list) == 0 {
			return
		}
		if last := list[len(list)-1]; last >= uint32(rows) {
			t.Fatalf("row %d of %d", last, rows)
		}
		again := newRowSet(int(rows))
		if err := addRowList(again, appendRowList(nil, list), int(rows)); err != nil || !slices.Equal(again, set) {
			t.Fatalf("%d rows are written as another list: %v", len(list), err)
		}
	})
}

// Lists of classes, and the column that tells the class of each row.
func FuzzClasses(f *testing.F) {
	f.Add(appendClassList(nil, []uint32{0, 3, 70_000}), uint32(70_001))
	f.Add(appendClassColumn(nil, []uint32{0, 3, 299, 1}, 300), uint32(300))
	f.Fuzz(func(t *testing.T, b []byte, classes uint32) {
		var list, of, again []uint32
		listed := eachClass(b, uint64(classes), func(class uint32) { list = append(list, class) })
		if !slices.IsSorted(list) || len(list) > 0 && list[len(list)-1] >= classes {
			t.Fatalf("%d of %d classes: %v", len(list), classes, list)
		}
		if listed == nil {
			if err := eachClass(appendClassList(nil, list), uint64(classes), func(class uint32) { again = append(again, class) }); err != nil || !slices.Equal(again, list) {
				t.Fatalf("%v comes back as %v, %v", list, again, err)
			}
		}
		rows := len(b) / planes(uint64(classes))
		var err error
		fuzztest.Bounded(t, 4*len(b), func() { of, err = parseClassColumn(nil, b, rows, uint64(classes)) })
		if err == nil && !bytes.Equal(appendClassColumn(nil, of, uint64(classes)), b) {
			t.Fatalf("%v is not what was read", of)
		}
	})
}

func FuzzFooter(f *testing.F) {
	f.Add((&footer{rows: 1, owners: 1, classes: 1, stripes: make([]page.Ref, 1), chunks: make([]chunkInfo, 1)}).append(nil))
	f.Add((&footer{}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		const size = 1 << 20
		var parsed, again footer
		var err error
		fuzztest.Bounded(t, 64*len(b), func() { err = parsed.parse(b, size) })
		if err != nil {
			return
		}
		if parsed.classes > parsed.rows+maxClasses*size {
			t.Fatalf("%d classes of %d rows in %d bytes", parsed.classes, parsed.rows, size)
		}
		if err := again.parse(parsed.append(nil), size); err != nil || !reflect.DeepEqual(again, parsed) {
			t.Fatalf("%+v comes back as %+v, %v", parsed, again, err)
		}
	})
}

func FuzzTermKey(f *testing.F) {
	f.Add(appendStripe(appendValueKey(nil, []byte("a\x00b")), 70000))
	f.Add(appendClasses(appendValueKey(nil, nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		value, kind, stripe, ok := splitTermKey(nil, b)
		key := append(appendFieldKey(nil, []byte("a\x00field")), b...)
		stem, k, s, cut := cutStem(key)
		if cut != ok || ok && (k != kind || s != stripe || !bytes.HasPrefix(key, stem)) {
			t.Fatalf("%q: %v %d %d, cut behind %q: %v %d %d", b, ok, kind, stripe, stem, cut, k, s)
		}
		if !ok {
			return
		}
		again := appendValueKey(nil, value)
		if stem := appendValueKey(appendFieldKey(nil, []byte("a\x00field")), value); !bytes.Equal(stem, key[:len(stem)]) {
			t.Fatalf("%q is cut otherwise than %q is written", key, stem)
		}
		if kind == kindClasses {
			again = appendClasses(again)
		} else {
			again = appendStripe(again, stripe)
		}
		if v, k, s, ok := splitTermKey(nil, again); !ok || k != kind || s != stripe || !bytes.Equal(v, value) {
			t.Fatalf("%q: %q %d %d comes back as %q %d %d", b, value, kind, stripe, v, k, s)
		}
	})
}

// parts is what a search object is made of, without the checksums that a fuzzer can't make.
type parts struct {
	terms   []byte // keys and values in turn, each behind its length in one byte
	classes []byte // content of the page of classes
	columns []byte // contents of pages of columns, each behind its length in two bytes
}

// partsOf takes an object of one stripe apart.
func partsOf(f *testing.F, o *Object) (p parts) {
	err := o.terms.Scan(nil, func(key, value []byte) (bool, error) {
		if len(key) > 255 || len(value) > 255 {
			f.Fatalf("a record of %d and %d bytes", len(key), len(value))
		}
		p.terms = append(append(p.terms, byte(len(key))), key...)
		p.terms = append(append(p.terms, byte(len(value))), value...)
		return true, nil
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, ref := range o.stripes {
		if p.classes, err = page.Read(p.classes, o.r, ref); err != nil {
			f.Fatal(err)
		}
	}
	for _, c := range o.chunks {
		content, err := page.Read(nil, o.r, c.ref)
		if err != nil {
			f.Fatal(err)
		}
		p.columns = append(binary.LittleEndian.AppendUint16(p.columns, uint16(len(content))), content...)
	}
	return p
}

// object returns the object that is made of p, as far as there are keys that ascend.
func (p parts) object(t *testing.T, rows, classes uint32) []byte {
	var b bytes.Buffer
	take := func() (v []byte) {
		if len(p.terms) > 0 {
			n := min(int(p.terms[0]), len(p.terms)-1)
			v, p.terms = p.terms[1:1+n], p.terms[1+n:]
		}
		return v
	}
	pages := page.NewWriter(&b, 0, page.Raw)
	f := footer{rows: uint64(rows), classes: uint64(classes)}
	write := func(content []byte) page.Ref {
		ref, err := pages.Write(content)
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	for begin := uint32(0); begin < rows; begin += stripeRows {
		f.stripes = append(f.stripes, write(p.classes))
	}
	for begin := uint32(0); begin < rows; begin += chunkRows {
		var content []byte
		if len(p.columns) >= 2 {
			n := min(int(binary.LittleEndian.Uint16(p.columns)), len(p.columns)-2)
			content, p.columns = p.columns[2:2+n], p.columns[2+n:]
		}
		f.chunks = append(f.chunks, chunkInfo{ref: write(content), starts: Everything, durations: Everything})
	}
	table := &termTable{TableWriter: page.NewTableWriter(&b, pages.Offset(), page.TableOptions{PageBytes: 64, Level: page.Raw})}
	for last := []byte(nil); len(p.terms) > 0; {
		key, value := take(), take()
		if bytes.Compare(last, key) >= 0 {
			continue
		}
		if err := table.Add(key, value); err != nil {
			t.Fatal(err)
		}
		last = key
	}
	if err := f.writeEnd(&b, table); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A whole object, whose pages are sound and hold anything: what its parts are used for together.
func FuzzObject(f *testing.F) {
	for _, rows := range []int{2, 30, 1100} {
		m, keys := NewMemory(), [][16]byte(nil)
		shopRows(m, rows)
		for owner := range (rows + 19) / 20 {
			keys = append(keys, [16]byte{byte(owner)})
		}
		o, _ := object(f, m, keys)
		p := partsOf(f, o)
		f.Add(p.terms, p.classes, p.columns, uint32(o.rows), uint32(o.footer.classes))
	}
	f.Fuzz(func(t *testing.T, terms, classes, columns []byte, rows, count uint32) {
		if rows > 4*chunkRows {
			return
		}
		content := parts{terms, classes, columns}.object(t, rows, count)
		bad := func(err error) bool {
			if err != nil && !page.IsCorrupt(err) {
				t.Fatal(err)
			}
			return err != nil
		}
		o, err := OpenObject(bytes.NewReader(content), int64(len(content)))
		if bad(err) {
			return
		}
		sound := !bad(o.Check(t.Context()))
		field, value := []byte("resource1"), []byte("value 3")
		_ = o.terms.Scan(nil, func(key, _ []byte) (bool, error) { // the first term there is
			if stem, _, _, ok := cutStem(key); ok {
				n, size := binary.Uvarint(stem)
				field = bytes.Clone(stem[size : size+int(n)])
				value = slices.Clone(bytes.ReplaceAll(stem[size+int(n):], []byte{0, escape}, []byte{0}))
			}
			return false, nil
		})
		wheres := []*Expr{nil, Equal(field, value), Prefix(field, nil), Not(Equal(field, value)), Match(field, nil, func([]byte) bool { return true })}
		found := make([][]Hit, len(wheres))
		for i, where := range wheres {
			fuzztest.Bounded(t, 64*len(content)+2*maxClasses*len(content), func() {
				found[i], err = o.Search(t.Context(), &Query{Where: where, Start: Everything, Duration: Everything})
			})
			if bad(err) && sound {
				t.Fatalf("the object is sound, but condition %d: %v", i, err)
			}
		}
		bad(o.Terms(t.Context(), field, nil, func([]byte) bool { return true }))
		var merged bytes.Buffer
		fuzztest.Bounded(t, 256*len(content)+32*maxClasses*len(content), func() {
			_, err = Merge(t.Context(), &merged, []*Object{o}, keepAll)
		})
		if bad(err) || !sound {
			return
		}
		if !slices.Equal(found[2], found[4]) {
			t.Fatalf("any prefix finds %v, any value %v", found[2], found[4])
		}
		again, err := OpenObject(bytes.NewReader(merged.Bytes()), int64(merged.Len()))
		if err != nil {
			t.Fatal(err)
		}
		for i, where := range wheres {
			hits, err := again.Search(t.Context(), &Query{Where: where, Start: Everything, Duration: Everything})
			if err != nil || len(hits) != len(found[i]) {
				t.Fatalf("condition %d finds %v, and merged %v, %v", i, found[i], hits, err)
			}
		}
	})
}
