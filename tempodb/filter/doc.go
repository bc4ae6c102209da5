// Package filter answers whether a block may hold a key, so that blocks that do not are left alone.
//
// A filter is a set of 16-byte keys that forgets the keys: it never denies one that was added, and takes one in
// 65,000 others for one of them. It costs about 2.5 bytes a key. (Fingerprints of half the size would wrongly
// send one question in 256 to the object store, for every block of a store that may have thousands; against what
// a trace takes in a block, the byte saved is nothing.)
//
//	b := filter.NewBuilder()
//	b.Add(key)
//	err := b.Write(object)
//
//	f, err := filter.Open(object, size)
//	maybe, err := f.MayContain(key)
//
// The object is cut into shards of 65,536 keys, each a binary fuse filter in a page of its own (see package page)
// with its own checksum:
//
//	┌─────────┬─────────┬─────────┬───────────┬────────┐
//	│ shard 0 │ shard 1 │ …       │ directory │ footer │
//	└─────────┴─────────┴─────────┴───────────┴────────┘
//
// Opening reads footer and directory; a question reads the one shard that the key's hash falls into, or nothing
// after [Filter.Load] has read them all. Damage is a *page.CorruptError, never a wrong answer.
//
// A [Builder] is for one goroutine; a [Filter] may be asked concurrently. Package block is who calls.
package filter
