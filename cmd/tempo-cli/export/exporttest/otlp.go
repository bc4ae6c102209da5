// Package exporttest reads what package export writes, for tests: by protobuf's own JSON, and not by the code that wrote it.
package exporttest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// ParseOTLP reads a line of OTLP JSON: protobuf's JSON, but for IDs, which are in hexadecimal.
func ParseOTLP(t testing.TB, line []byte) *otlp.TracesData {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(line)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.200s", err, line)
	}
	text, err := json.Marshal(withIDs(t, v))
	if err != nil {
		t.Fatal(err)
	}
	m := new(otlp.TracesData)
	if err := protojson.Unmarshal(text, m); err != nil {
		t.Fatalf("%v in %.200s", err, line)
	}
	return m
}

// withIDs returns v with IDs in base64.
func withIDs(t testing.TB, v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = withIDs(t, v[i])
		}
	case map[string]any:
		for key, value := range v {
			text, isText := value.(string)
			if isText && (key == "traceId" || key == "spanId" || key == "parentSpanId") {
				id, err := hex.DecodeString(text)
				if err != nil {
					t.Fatalf("%s %q is not hexadecimal", key, text)
				}
				v[key] = base64.StdEncoding.EncodeToString(id)
				continue
			}
			v[key] = withIDs(t, value)
		}
	}
	return v
}

// CountSpans returns the number of spans.
func CountSpans(m *otlp.TracesData) (n int) {
	for _, r := range m.ResourceSpans {
		for _, s := range r.ScopeSpans {
			n += len(s.Spans)
		}
	}
	return n
}
