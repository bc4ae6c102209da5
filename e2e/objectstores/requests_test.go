package objectstores

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/jaeger-tempo/tempo/e2e/cluster/faults"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// TestRequestsOfEachOperation: requests cost money, and what one call costs is part of the promise.
func TestRequestsOfEachOperation(t *testing.T) {
	ctx := context.Background()
	var p *faults.Proxy
	for store, c := range map[string]struct {
		open func(t *testing.T) backend.Bucket
		big  int // requests of an object of three and a half chunks or parts
	}{
		"gcs": {func(t *testing.T) backend.Bucket {
			fakeGCS(t, func(address string) string { p = newProxy(t, address, 0); return p.Address() })
			return openGCS(t, p.Address(), "f")
		}, 1 + 4},
		"s3": {func(t *testing.T) backend.Bucket {
			server, _ := s3Server(t)
			p = newProxy(t, server, 0)
			return openS3(t, p.Address(), "f")
		}, 1 + 4 + 1},
	} {
		t.Run(store, func(t *testing.T) {
			b := c.open(t)
			unit := map[string]int{"gcs": chunkSize, "s3": partSize}[store]
			claimer := b.(backend.Claimer)
			if created, err := claimer.CreateIfAbsent(ctx, "claims/0", []byte("me")); !created || err != nil {
				t.Fatal(created, err) // the first one may ask more
			}
			before := 0
			for _, o := range []struct {
				name string
				want int
				do   func() error
			}{
				{"open and first claim", p.Passed(), func() error { return nil }},
				{"put", 1, func() error { return tryPut(b, "a/b", random(1000)) }},
				{"put nothing", 1, func() error { return tryPut(b, "a/empty", nil) }},
				{"put big", c.big, func() error { return tryPut(b, "a/big", random(unit*7/2)) }},
				{"abort", 0, func() error {
					w, err := b.Create(ctx, "a/c")
					if err == nil {
						_, err = w.Write(random(1000))
						w.Abort()
					}
					return err
				}},
				{"read", 1, func() error { _, err := b.ReadAt(ctx, "a/b", make([]byte, 100), 10); return err }},
				{"read to the end and beyond", 1, func() error { _, err := b.ReadAt(ctx, "a/b", make([]byte, 100), 950); return err }},
				{"read beyond the end", 1, func() error { _, err := b.ReadAt(ctx, "a/b", make([]byte, 100), 1000); return err }},
				{"read what is not there", 1, func() error { _, err := b.ReadAt(ctx, "a/x", make([]byte, 100), 0); return err }},
				{"size", 1, func() error { _, err := b.Size(ctx, "a/b"); return err }},
				{"list", 1, func() error { return b.List(ctx, "a", func(string) error { return nil }) }},
				{"delete", 1, func() error { return b.Delete(ctx, "a/b") }},
				{"claim", 1, func() error { _, err := claimer.CreateIfAbsent(ctx, "claims/1", []byte("me")); return err }},
			} {
				if err := o.do(); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, backend.ErrNotExist) {
					t.Errorf("%s: %v", o.name, err)
				}
				p.Settle()
				if got := p.Passed() - before; got != o.want {
					t.Errorf("%s: %d requests, want %d", o.name, got, o.want)
				}
				before = p.Passed()
			}
		})
	}
}
