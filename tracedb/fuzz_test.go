package tracedb

import (
	"bytes"
	"testing"

	"github.com/jaeger-tempo/tempo/trace/columnar"
)

// A page of packed records in the two ways that package page reads it. (Package columnar has the fuzz tests of what a page may hold and take.)
func FuzzPacked(f *testing.F) {
	keys := [][]byte{make([]byte, 16), bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16)}
	packed, err := Codec{}.Pack(nil, keys, [][]byte{nil, []byte("not OTLP"), bytes.Repeat([]byte("abc"), 50)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add(packed[:len(packed)/2])
	f.Fuzz(func(t *testing.T, packed []byte) {
		var last, value, keys, outline []byte
		ordered, n := true, 0
		err := Codec{}.Each(packed, func(key, v []byte) (bool, error) {
			ordered = ordered && (n == 0 || bytes.Compare(last, key) < 0)
			last, value = append(last[:0], key...), append(value[:0], v...)
			keys = append(keys, key...)
			n++
			return n < 100, nil
		})
		_, listed := Codec{}.Keys(packed, func(key []byte) { outline = append(outline, key...) })
		if err == nil && (listed != nil || !bytes.HasPrefix(outline, keys)) {
			t.Fatalf("keys %x, unpacked %x, %v", outline, keys, listed)
		}
		var p columnar.Page
		if parsed := p.Parse(packed, nil); err == nil && (parsed != nil || n != min(p.Len(), 100)) {
			t.Fatalf("%d records, the page has %d, %v", n, p.Len(), parsed)
		}
		if n == 0 || err != nil || !ordered || n < p.Len() {
			return
		}
		// Keys that ascend are found.
		if got, found, err := (Codec{}).Find(nil, packed, last); !found || err != nil || !bytes.Equal(got, value) {
			t.Fatalf("%x: %x, %v, %v; the last record is %x", last, got, found, err, value)
		}
	})
}
