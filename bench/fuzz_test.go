package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

// A file of requests, which one process writes and others read.
func FuzzFrames(f *testing.F) {
	one := []byte{4, 0, 0, 0, 1, 0, 0, 0}
	one = append(one, make([]byte, 16)...)
	one = append(one, 7, 0, 0, 0, 'd', 'a', 't', 'a')
	f.Add(one)
	f.Add(append(bytes.Clone(one), one...))
	f.Add(one[:8])
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var got []byte
		var err error
		fuzztest.Bounded(t, 64*len(b), func() {
			in := bytes.NewReader(b)
			var request frame
			for err == nil {
				if err = request.read(in); err == nil {
					got = appendFrame(got, request.data, request.parts)
				}
			}
		})
		if !bytes.HasPrefix(b, got) || (err == io.EOF) != (len(got) == len(b)) || err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%x is read as %x, %v", b, got, err)
		}
	})
}

func FuzzGrowth(f *testing.F) {
	f.Add("1,10,100")
	f.Add(" 1 , 2")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseGrowth(text)
		for _, n := range all {
			if err == nil && n < 1 {
				t.Fatalf("%q is growth to %v", text, all)
			}
		}
	})
}

// appendFrame is how generate writes a request.
func appendFrame(dst, data []byte, parts []workload.Part) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(data)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(parts)))
	for _, p := range parts {
		dst = append(dst, p.TraceID[:]...)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(p.Spans))
	}
	return append(dst, data...)
}
