package cache

import "sync/atomic"

// Stats is what a cache has done since it was made, and what it holds.
type Stats struct {
	Memory, Disk, Memcached TierStats
	Store                   StoreStats
}

// TierStats is a part of Stats. A frame that is read, whole or in part, is one hit or one miss; the readers of a
// Scanning bucket are not counted.
type TierStats struct {
	// LimitBytes is the room for frames, UsedBytes is how much of it is taken, by whole frames. UsedBytes is never
	// more than LimitBytes. Both are zero of Memcached, which has bounds of its own.
	LimitBytes, UsedBytes int64
	// Errors are operations that failed, and damaged frames. They are misses too.
	Errors int64
	// Dropped are frames that were not offered to the tier, since it was busy or out of order.
	Dropped int64
	Kinds   [Kinds]TierKindStats
}

// TierKindStats is what a tier has of one kind.
type TierKindStats struct {
	Hits, Misses int64
	// HitBytes are the bytes that hits gave.
	HitBytes int64
	// Frames are held, with Bytes of content, which is less than they take where objects end within a frame.
	Frames, Bytes int64
	// Evictions are frames that gave way to others.
	Evictions int64
}

// StoreStats is what was asked of the object stores.
type StoreStats struct {
	// InFlightBytes are being read now.
	InFlightBytes int64
	Kinds         [Kinds]StoreKindStats
}

// StoreKindStats is what was asked of the object stores for one kind.
type StoreKindStats struct {
	// Reads are requests, those of scans included; Coalesced of them brought more than one frame.
	Reads, Coalesced int64
	// Bytes are what they brought.
	Bytes int64
	// Errors are reads that failed, cancelled ones included.
	Errors int64
	// Joins are reads of a caller that found the frame in flight already and waited for it.
	Joins int64
	// ScanReads and ScanBytes are the part of scans in Reads and Bytes.
	ScanReads, ScanBytes int64
}

func (t *TierStats) add(p *policy, frameBytes int) {
	for k := range p.used {
		t.Kinds[k].Frames += p.used[k].frames
		t.Kinds[k].Bytes += p.used[k].bytes
		t.Kinds[k].Evictions += p.evicted[k]
		t.UsedBytes += p.used[k].frames * int64(frameBytes)
	}
}

func (t *TierKindStats) add(c *counts) {
	t.Hits += c.hits.Load()
	t.Misses += c.misses.Load()
	t.HitBytes += c.hitBytes.Load()
}

// storeCounts are StoreStats as they grow.
type storeCounts struct {
	inFlight atomic.Int64
	kinds    [Kinds]storeKindCounts
}

type storeKindCounts struct {
	reads, coalesced, bytes, errors, joins, scanReads, scanBytes atomic.Int64
}

func (c *storeCounts) stats() StoreStats {
	s := StoreStats{InFlightBytes: c.inFlight.Load()}
	for i := range c.kinds {
		k := &c.kinds[i]
		s.Kinds[i] = StoreKindStats{
			Reads:     k.reads.Load(),
			Coalesced: k.coalesced.Load(),
			Bytes:     k.bytes.Load(),
			Errors:    k.errors.Load(),
			Joins:     k.joins.Load(),
			ScanReads: k.scanReads.Load(),
			ScanBytes: k.scanBytes.Load(),
		}
	}
	return s
}
