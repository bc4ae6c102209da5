package trace

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestIDsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		s := id.String()
		for _, form := range []string{s, strings.ToUpper(s), strings.TrimLeft(s[:31], "0") + s[31:]} {
			if got, err := ParseID(form); got != id || err != nil {
				t.Fatalf("%s: %s, error %v", form, got, err)
			}
		}
	})
}

func TestParseID(t *testing.T) {
	for s, want := range map[string]ID{
		"1":                                {15: 1},
		"abc":                              {14: 0x0a, 15: 0xbc},
		"0":                                {},
		"10000000000000000":                {7: 1},
		"0123456789abcdef0123456789ABCDEF": {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
	} {
		if got, err := ParseID(s); got != want || err != nil {
			t.Errorf("%s: %s, error %v", s, got, err)
		}
	}
	for _, s := range []string{"", strings.Repeat("0", 33), "g", "0x1", "-1", "1 ", "é"} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q is %s", s, id)
		}
	}
	if !(ID{}).IsZero() || (ID{15: 1}).IsZero() {
		t.Error("IsZero")
	}
}

func TestKinds(t *testing.T) {
	for n, want := range []string{"unspecified", "internal", "server", "client", "producer", "consumer"} {
		k := Kind(n)
		if k.String() != want || Kinds[n] != k {
			t.Errorf("kind %d is %q", n, k)
		}
		if got, err := ParseKind(want); got != k || err != nil {
			t.Errorf("%q is %d, error %v", want, got, err)
		}
	}
	if s := Kind(99).String(); s != "unspecified" {
		t.Errorf("a kind of the future is %q", s)
	}
	if _, err := ParseKind("SERVER"); err == nil {
		t.Error("SERVER was accepted")
	}
}
