package tempodb

import (
	"bytes"
	"testing"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

// A record of the log: what is read of it is what was written, and all of it or an error.
func FuzzRecord(f *testing.F) {
	f.Add([]byte{})
	var record []byte
	for _, e := range []Entry{{Key{1}, []byte("one")}, {Key{1}, nil}, {Key{2}, bytes.Repeat([]byte("two"), 100)}} {
		record = append(appendEntryHeader(record, &e), e.Value...)
	}
	f.Add(record)
	f.Add(record[:len(record)-1])
	f.Fuzz(func(t *testing.T, record []byte) {
		var again []byte
		var err error
		fuzztest.Bounded(t, 8*len(record), func() {
			err = eachEntry(record, func(key Key, offset int, value []byte) error {
				if !bytes.Equal(record[offset:offset+len(value)], value) {
					t.Fatalf("value at %d does not stand there", offset)
				}
				again = append(appendEntryHeader(again, &Entry{key, value}), value...)
				return nil
			})
		})
		if !bytes.HasPrefix(record, again) || (err == nil) != (len(again) == len(record)) {
			t.Fatalf("%x is read as %x, %v", record, again, err)
		}
	})
}
