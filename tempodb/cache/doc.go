// Package cache stands between blocks and object stores: what is read of an immutable object goes through it,
// and nothing else caches.
//
//	c, err := cache.New(cache.Options{MemoryBytes: 256 << 20})
//	bucket := c.Over(bucket, "gs://name/prefix")       // a backend.Bucket still
//	r := bucket.Reader(ctx, "tenant/block/data", size, cache.KindData)
//	n, err := r.ReadAt(p, off)
//
// # Frames
//
// Objects are cached in frames: the bytes from k*FrameBytes to (k+1)*FrameBytes of an object, or to its end. A frame has nothing
// to do with the pages of package page, which are of any length and lie where they lie: reading a page reads the one, two or few frames
// that it lies in.
//
//	object:   │ frame 0      │ frame 1      │ frame 2      │ frame 3 │
//	pages:    │ page │ page       │ page │ page     │ page           │
//
// # Where a frame comes from
//
//	caller ── ReadAt ──▶ memory ──▶ flight ──▶ disk ──▶ memcached ──▶ object store
//	            copy ◀──────┴──── copy ─┘ one for each frame at a time; one request
//
// A frame that is not in memory is read by a flight, which belongs to nobody: all who want the frame wait for the one flight,
// and who goes away takes nothing from the others. When nobody waits any more it is cancelled. Neighbours that are missing fly
// together, up to MaxReadBytes and over a few that are not missing, and ask the store once; what the caller did not ask for is read only to the ends of the frames, never ahead.
// A failure is answered to those who waited, and is not kept.
//
// Disk and memcached are optional, and never needed: what they hold is checked, and whatever goes wrong with them is a miss. They are written behind
// the flights' backs, from a queue that drops what it has no room for. A server or a disk that fails is left alone for a while.
//
// Who reads something that can't be what was written, though all tiers call it whole, reads it again from the store: Reader.ReadAgain
// replaces it everywhere.
//
// # What stays
//
// Memory and disk each keep their frames by S3-FIFO: a frame must be used twice within some time to get into the nine tenths of
// the tier that scans do not touch. Reading on in a frame counts as the same use. Frames of directories
// (KindIndex, KindFilter) have a share that the others do not take from them. Compaction reads by Scanning and leaves no trace at all.
//
// # Bounds
//
// MemoryBytes bounds the frames in memory and what is known of them; they lie outside of the heap. Beside it there are the reads
// in flight, up to InFlightBytes, and up to 8 MiB waiting for each lower tier. The disk tier takes about 200 bytes of memory for each of its frames.
//
// # Promises
//
// ReadAt gives the bytes that the store has, or an error: the store's own, the context's, or ErrClosed. An object is told from all others
// by its bucket's place and its name, and must never change. A hit allocates nothing.
//
// All of it may be used concurrently. Who calls is package tempodb; package block reads its objects through Bucket.Reader.
package cache
