package fuzztest

import (
	"runtime"
	"testing"
)

// verdict is a test that only notes that it failed.
type verdict struct {
	testing.TB
	failed bool
}

func (v *verdict) Helper()               {}
func (v *verdict) Errorf(string, ...any) { v.failed = true }

func TestWhatTakesMoreThanItsBoundFails(t *testing.T) {
	var kept []byte
	for _, test := range []struct {
		limit, takes int
		fails        bool
	}{
		{0, 1 << 10, false},
		{64 << 20, 60 << 20, false},
		{1 << 20, 64 << 20, true},
		{0, 2 * Slack, true},
	} {
		v := &verdict{TB: t}
		Bounded(v, test.limit, func() { kept = make([]byte, test.takes) })
		if v.failed != test.fails {
			t.Errorf("%d bytes where %d are justified: failed is %v", test.takes, test.limit, v.failed)
		}
	}
	runtime.KeepAlive(kept)
}
