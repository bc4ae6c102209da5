package tenancy

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// A file of tokens: what is taken gives access to tenants that can be, and an error tells a line and no word of it.
func FuzzTokens(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var found tokens
		var err error
		fuzztest.Bounded(t, 4096+400*len(data), func() { found, err = parseTokens(data, nil) })
		if err != nil {
			for _, word := range strings.Fields(string(data)) {
				if len(word) >= minToken && strings.Contains(err.Error(), word) && !strings.Contains(known, word) {
					t.Fatalf("%q tells %q", err, word)
				}
			}
			return
		}
		for _, a := range found {
			if a.all == (len(a.tenants) > 0) {
				t.Fatalf("%+v", a)
			}
			for _, tenant := range a.tenants {
				if err := tracedb.CheckName(tenant); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// known has words that errors say by themselves.
const known = "2027-01-31T12:00:00Z. tenancy.allowed hexadecimal"

// The metadata of a call: a tenant that may be, or a status that blames the caller.
func FuzzMetadata(f *testing.F) {
	all, err := parseTokens([]byte("of-acme-aaaaaaaaaaaa acme\nof-all-cccccccccccc * 2999-01-01T00:00:00Z"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, second, token, authorization string) {
		md := metadata.MD{}
		for key, values := range map[string][]string{"x-tenant": {first, second}, "bearer.token": {token}, "authorization": {authorization}} {
			for _, v := range values {
				if v != "" {
					md.Append(key, v)
				}
			}
		}
		ctx := metadata.NewIncomingContext(context.Background(), md)
		for _, with := range []*tokens{nil, &all} {
			tenants := &Tenants{o: Options{Enabled: true, Header: DefaultHeader, Default: "def"}, now: time.Now}
			tenants.tokens.Store(with)
			tenant, err := tenants.Of(ctx)
			if err != nil {
				if s, ok := status.FromError(err); !ok || tenant != "" || len(s.Message()) > 400 {
					t.Fatalf("%q, %v", tenant, err)
				}
				continue
			}
			if err := tracedb.CheckName(tenant); err != nil || tracedb.IsArchive(tenant) || tenant != first && tenant != second && tenant != "def" && tenant != "acme" {
				t.Fatalf("%q, %v", tenant, err)
			}
		}
	})
}
