// Package block keeps sorted keys and their values as an immutable block of an object store.
//
// A block is a folder of objects, each written once:
//
//	<tenant>/<block id>/data       the values, a table of pages
//	                    index      the directory of data's pages
//	                    filter     which keys the block may hold
//	                    search     which rows match: see package index
//	                    summary    a short value for each key, a table of small pages
//	                    meta.json  what the block is, and where its tables begin
//
// meta.json is written last and deleted first. A folder without it is no block: it is one that is being
// written, or what a crash has left, which [RemoveGarbage] takes away when it is old enough. So a block is
// visible whole or not at all.
//
//	w, err := block.NewWriter(ctx, bucket, tenant, block.WriterOptions{Codec: codec})
//	err = w.Add(key, value)                  // ascending keys; a value holds all there is of its key
//	meta, err := w.Finish(ctx)               // or w.Abort()
//
//	b, err := block.Open(ctx, bucket, tenant, meta.ID, codec)
//	value, found, err := b.Get(ctx, nil, key)
//	hits, err := b.Search(ctx, query)
//
// # What is read when
//
// Open reads meta.json. Each other object is opened at its first use, or by [Block.Load]; what is then kept in
// memory is the root of its directory, and the whole filter if it is no longer than a mebibyte (some 400,000
// keys; a longer one is read shard by shard). So damage to one object leaves the questions to the others answered.
//
// With the parts opened, Get of a key that the filter denies reads nothing; of one that is there, one page of data, after one
// leaf of the directory if the block is so large that it has leaves. A value of more than a mebibyte takes
// a read for each mebibyte.
//
// # Promises
//
// An answer is right or it is an error. Damage is a *page.CorruptError that names object and offset; an object
// that is gone, as when the block was deleted meanwhile, is backend.ErrNotExist.
//
// A [Writer] is for one goroutine. A [Block] and all functions may be used concurrently. Who calls is
// package tempodb. The formats are in docs/format.md.
package block
