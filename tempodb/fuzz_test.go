package tempodb

import (
	"bytes"
	"encoding/json"
	"slices"
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

// A claim of another compactor: what is taken is of somebody, has an end, and is written again the same.
func FuzzClaim(f *testing.F) {
	f.Add([]byte(`{"owner":"host/1 01ARZ3NDEKTSV4RRFFQ69G5FAV","since":"2026-01-02T03:04:05Z","until":"2026-01-02T03:09:05Z","inputs":["01ARZ3NDEKTSV4RRFFQ69G5FAV"]}`))
	f.Add([]byte(`{"owner":"","until":"2026-01-02T03:09:05Z"}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > maxClaim {
			return
		}
		var body claimBody
		var err error
		fuzztest.Bounded(t, 64*len(content), func() { body, err = parseClaim(content) })
		if err != nil {
			return
		}
		if body.Owner == "" || body.Until.IsZero() {
			t.Fatalf("%q is taken, of nobody or without end", content)
		}
		written, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseClaim(written)
		if err != nil || again.Owner != body.Owner || !again.Until.Equal(body.Until) || !again.Since.Equal(body.Since) || !slices.Equal(again.Inputs, body.Inputs) {
			t.Fatalf("%q is read as %+v, and written again %+v, %v", content, body, again, err)
		}
	})
}
