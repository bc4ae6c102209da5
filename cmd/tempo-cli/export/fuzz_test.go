package export_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/parquet-go/parquet-go"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export/exporttest"
	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/trace"
)

// What the store takes is written in every format, and what is written can be read.
func FuzzExport(f *testing.F) {
	for n := range 10 {
		f.Add(rapid.Custom(func(t *rapid.T) []byte { return marshal(t, tracesData(t)) }).Example(n))
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		splitter := trace.Splitter{MaxExpansion: 1 << 20}
		fragments, _, err := splitter.Split(request)
		if err != nil {
			return
		}
		for _, fragment := range fragments[:min(len(fragments), 3)] {
			for _, format := range export.Formats {
				var out bytes.Buffer
				var spans int
				var err error
				// Names of fields, escapes, and the many columns of a table; but nothing else than data makes it longer.
				fuzztest.Bounded(t, 1<<26+4096*len(fragment.Data), func() {
					var w export.Writer
					if w, err = export.New(format, &out); err != nil {
						return
					}
					if spans, err = w.Write(fragment.Data); err == nil {
						err = w.Close()
					}
				})
				if err != nil || spans != fragment.Spans {
					t.Fatalf("%s: %d spans of %d, %v", format, spans, fragment.Spans, err)
				}
				switch format {
				case export.OTLPJSON:
					want := new(otlp.TracesData)
					if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(fragment.Data, want); err != nil {
						t.Fatal(err)
					}
					if got := exporttest.ParseOTLP(t, bytes.TrimSuffix(out.Bytes(), []byte("\n"))); !proto.Equal(got, want) {
						t.Fatalf("%s is not %v", out.Bytes(), want)
					}
				case export.JaegerJSON:
					if !json.Valid(out.Bytes()) {
						t.Fatalf("%q is not JSON", out.Bytes())
					}
				case export.Parquet:
					table, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
					if err != nil || table.NumRows() != int64(spans) {
						t.Fatalf("a table that can't be read: %v", err)
					}
				}
			}
		}
	})
}
