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
// keys; a longer one is read shard by shard). Blocks keep that on a [Shelf], which bounds it for all of them; what finds no room there is
// opened again by each question.
//
// If the bucket is a *cache.Bucket, all objects but meta.json are read through its cache, by [Merge] as a scan. [Block.Verify], [Salvage] and
// who makes a directory anew read beneath it. Nothing else caches.
//
// With the parts opened, Get of a key that the filter denies reads nothing; of one that is there, one page of data, after one
// leaf of the directory if the block is so large that it has leaves. A value of more than a mebibyte takes
// a read for each mebibyte.
//
// # Damage
//
// What is damaged is not served, and everything else is:
//
//	data       a key that is, or may be, in the damaged page is an error; [Block.ScanAround] goes on behind it
//	index      the directory is made anew from the pages, once: a pass over the data that is affected
//	filter     is not asked: a key that is not there costs a read
//	search     Search is an error; [Block.SearchByScan] answers from the values
//	summary    Summary is an error; the value tells
//	meta.json  there is no Block to be opened
//
// [Block.Damage] and [Block.Detours] tell what was met. [Salvage] then sets the block aside: all that is whole goes into a new block, and the objects
// as they were, with a report, to quarantine/<tenant>/<block id>/, where [ListQuarantine] and [ReadReport] find them.
//
//	report, err := block.Salvage(ctx, bucket, tenant, id, codec, block.SalvageOptions{By: "tempo 1.0"})
//
// # Promises
//
// An answer is right or it is an error. What a cache has is not taken for damage: it is read again beneath it first. Damage is a *page.CorruptError that names object and offset; an object
// that is gone because the block was deleted meanwhile is backend.ErrNotExist. Pages are bound to their block: an object of another
// block in the place of its own is damage as well.
//
// A [Writer] is for one goroutine. A [Block] and all functions may be used concurrently. Who calls is
// package tempodb. The formats are in docs/format.md.
package block
