package tracedb

import (
	"bytes"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// Pages of columns carry nothing over from page to page, so they may be put beside those of other blocks.
func TestPagesOfTracesAreReadFromWhereTheyWereCopiedTo(t *testing.T) {
	ctx := t.Context()
	bucket, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	traces := shopTraces(t, 600)
	merge := func(blocks ...*block.Block) *block.Block {
		m, err := block.Merge(ctx, bucket, "shop", blocks, block.MergeOptions{Codec: Codec{}})
		if err != nil {
			t.Fatal(err)
		}
		return block.New(bucket, m, Codec{})
	}
	// Pages that were copied are copied again.
	blocks := shopBlocks(t, bucket, traces, 3, func(input, i int) bool { return i*3/len(traces) == input })
	merged := merge(merge(blocks[0], blocks[1]), blocks[2])
	for _, want := range traces {
		value, found, err := merged.Get(ctx, nil, want.id)
		if err != nil || !found || !bytes.Equal(value, want.value) {
			t.Fatalf("trace %x: %d bytes, %t, %v", want.id, len(value), found, err)
		}
	}
	if err := merged.Verify(ctx); err != nil {
		t.Fatal(err)
	}
	var pages int64
	for _, b := range blocks {
		pages += b.Meta().Objects["data"].Bytes
	}
	if got := merged.Meta().Objects["data"].Bytes; got < pages*9/10 || got > pages*11/10 {
		t.Errorf("data of %d bytes became %d", pages, got)
	}
}
