package fuzztest

import (
	"runtime/metrics"
	"testing"
)

// Slack is what Bounded allows besides the bound: buffers of a fixed size that pools have to make anew, error texts, and small objects
// that the runtime counts late.
const Slack = 4 << 20

// Bounded calls decode and fails t if that allocates more than limit bytes and Slack. It counts what the whole process
// allocates meanwhile: nothing else may run.
func Bounded(t testing.TB, limit int, decode func()) {
	t.Helper()
	before := allocated()
	decode()
	if n := allocated() - before; n > perByte*uint64(limit)+Slack {
		t.Errorf("%d bytes were allocated, where the input justifies %d", n, limit)
	}
}

// allocated returns the bytes allocated so far. It stops nothing, and so does not slow fuzzing down.
func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}
