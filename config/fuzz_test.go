package config

import (
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

// A configuration file: what is taken is printed as a file that means the same; what is not says which file and why.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "storage: {path: '${A:-b}$$'}", "wal:\n  sync: never\n", "a: &a [*a]\n", "? {a: b} : c\n",
		"storage: &s {path: /x}\nwal: *s\n", "cut: {bytes: 64MiB, age: 1h}\n---\n", "admin: {listen_address: \"[::1]:0\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Config
		var err error
		// A node of YAML has some hundred bytes, and one of input is enough for one.
		fuzztest.Bounded(t, 4096*len(data), func() { c, err = Parse("f.yaml", data, env("A", "a")) })
		if err != nil {
			if !strings.Contains(err.Error(), "f.yaml") {
				t.Fatalf("%q does not name the file", err)
			}
			return
		}
		var b strings.Builder
		if err := Print(&b, c); err != nil {
			t.Fatal(err)
		}
		again, err := Parse("printed", []byte(b.String()), env())
		if err != nil || again != c {
			t.Fatalf("%q parsed to %+v, printed as %q, which parsed to %+v, %v", data, c, b.String(), again, err)
		}
	})
}

// Every value of the table of keys: what it takes it prints, and takes again.
func FuzzValue(f *testing.F) {
	for _, text := range []string{"", "64MiB", "9223372036854775807", "8388608 TiB", "1h30m0s", "-1ns", "[::1]:0", "off", "single-tenant", "~/x", "always"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, k := range Keys() {
			c := Default(env())
			v := k.field(&c)
			if v.set(text) != nil {
				continue
			}
			printed := v.String()
			again := Default(env())
			if err := k.field(&again).set(printed); err != nil || again != c {
				t.Fatalf("%s: %q is printed as %q, which is %+v, %v", k.Name, text, printed, again, err)
			}
		}
		if n, err := parseSize(text); err == nil {
			if again, err := parseSize(formatSize(n)); n < 0 || err != nil || again != n {
				t.Fatalf("%q is %d bytes, printed as %q: %d, %v", text, n, formatSize(n), again, err)
			}
		}
		if d, err := time.ParseDuration(text); err == nil {
			if again, err := time.ParseDuration(formatDuration(d)); err != nil || again != d {
				t.Fatalf("%v is printed as %q", d, formatDuration(d))
			}
		}
	})
}
