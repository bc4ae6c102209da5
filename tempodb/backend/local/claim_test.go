package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

func TestOneOfManyClaimsWins(t *testing.T) {
	dir := t.TempDir()
	for round := range 20 {
		name := fmt.Sprintf("claims/%d/job", round)
		var wins atomic.Int64
		var winner atomic.Value
		var wg sync.WaitGroup
		for caller := range 6 {
			b := newBucket(t, dir) // each as another process would
			wg.Go(func() {
				me := fmt.Sprintf("caller %d", caller)
				created, err := b.CreateIfAbsent(ctx, name, []byte(me))
				if err != nil {
					t.Error(err)
				}
				if created {
					wins.Add(1)
					winner.Store(me)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("%d callers have won", wins.Load())
		}
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != winner.Load() {
			t.Errorf("%q won, and %q, %v is there", winner.Load(), got, err)
		}
		left, err := os.ReadDir(filepath.Dir(filepath.Join(dir, name)))
		if err != nil || len(left) != 1 {
			t.Errorf("%d files are left, %v", len(left), err)
		}
	}
}

func TestAClaimCanBeMadeAgainAfterItWasDeleted(t *testing.T) {
	b := newBucket(t, t.TempDir())
	for _, want := range []bool{true, false} {
		if created, err := b.CreateIfAbsent(ctx, "a", []byte("x")); created != want || err != nil {
			t.Errorf("%v, %v", created, err)
		}
	}
	if err := b.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if created, err := b.CreateIfAbsent(ctx, "a", []byte("yz")); !created || err != nil {
		t.Errorf("%v, %v", created, err)
	}
	if size, err := b.Size(ctx, "a"); size != 2 || err != nil {
		t.Error(size, err)
	}
}

func TestClaimsThatCannotBe(t *testing.T) {
	b := newBucket(t, t.TempDir())
	if _, err := b.CreateIfAbsent(ctx, "../a", nil); !errors.Is(err, backend.ErrName) {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.CreateIfAbsent(cancelled, "a", nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := b.Size(ctx, "a"); !errors.Is(err, backend.ErrNotExist) {
		t.Error(err)
	}
}
