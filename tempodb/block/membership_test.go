package block

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestABlockExcludesKeysWithoutReadingOnceItKnowsItsFilter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	bucket := newMemory()
	entries := randomEntries(rng, 500, 10)
	b := mustOpen(t, bucket, write(t, bucket, entries, WriterOptions{}).ID)
	absent := make([][16]byte, 100)
	for i := range absent {
		binary.BigEndian.PutUint64(absent[i][:], rng.Uint64())
	}
	clear(bucket.reads)
	if b.Excludes([16]byte{}) != true || b.Excludes(entries[7].key) || len(bucket.reads) != 0 {
		t.Fatalf("before the filter is read: reads %v", bucket.reads)
	}
	for _, e := range entries {
		if maybe, err := b.MayContain(ctx, e.key); !maybe || err != nil {
			t.Fatalf("key %x: %t, %v", e.key, maybe, err)
		}
	}
	if len(bucket.reads) != 1 || bucket.reads[filterObject] != 1 {
		t.Fatalf("what the filter takes: reads %v", bucket.reads)
	}
	clear(bucket.reads)
	excluded := 0
	for _, key := range absent {
		if maybe, err := b.MayContain(ctx, key); maybe == b.Excludes(key) || err != nil {
			t.Fatalf("key %x: MayContain says %t, %v, and Excludes the same", key, maybe, err)
		}
		if b.Excludes(key) {
			excluded++
		}
	}
	for _, e := range entries {
		if b.Excludes(e.key) {
			t.Fatalf("key %x is excluded and there", e.key)
		}
	}
	if excluded < len(absent)-1 || len(bucket.reads) != 0 {
		t.Fatalf("%d of %d keys are excluded, reads %v", excluded, len(absent), bucket.reads)
	}
}
