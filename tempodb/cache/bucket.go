package cache

import (
	"context"
	"crypto/sha256"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// Bucket is a backend.Bucket whose objects can be read through a cache: by Reader, that is. What
// backend.Bucket asks for goes to the bucket below; its ReadAt reads what is there now, such as objects that are replaced.
// It may be used concurrently.
type Bucket struct {
	backend.Bucket
	cache *Cache
	place string
	scan  bool
}

var (
	_ backend.Bucket  = (*Bucket)(nil)
	_ backend.Claimer = (*Bucket)(nil)
)

// Over returns bucket with c in front of it. The place is what tells one bucket from another, today and for the lower tiers
// at any time and in any process: such as "gs://bucket/prefix" or a directory.
func (c *Cache) Over(bucket backend.Bucket, place string) *Bucket {
	return &Bucket{Bucket: bucket, cache: c, place: place}
}

// Scanning returns the same bucket for who reads much once, such as a compaction. Its readers use what is cached,
// but bring nothing into the cache, and do not speak for keeping what is in it.
func (b *Bucket) Scanning() *Bucket {
	scanning := *b
	scanning.scan = true
	return &scanning
}

// With returns the same cache in front of another way to the same objects.
func (b *Bucket) With(bucket backend.Bucket) *Bucket {
	with := *b
	with.Bucket = bucket
	return &with
}

// Reader returns a reader of an object of that size, for as long as ctx lasts. The object must never change: it may be
// answered from the cache after it was replaced or deleted.
func (b *Bucket) Reader(ctx context.Context, object string, size int64, kind Kind) *Reader {
	if int(kind) >= Kinds {
		kind = KindData
	}
	return &Reader{ctx: ctx, cache: b.cache, bucket: b.Bucket, object: object, id: idOf(b.place, object), size: size, kind: kind, scan: b.scan}
}

// Delete deletes the object, and forgets it.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	err := b.Bucket.Delete(ctx, name)
	b.Forget(name)
	return err
}

// Forget takes the object out of memory and disk, where its frames would otherwise stay until others need the room. Reads that are in
// flight may bring some of it back. What memcached has of it is left to age.
func (b *Bucket) Forget(object string) {
	id := idOf(b.place, object)
	b.cache.memory.forget(id)
	if b.cache.disk != nil {
		b.cache.disk.forget(id)
	}
}

// CreateIfAbsent implements backend.Claimer where the bucket below does.
func (b *Bucket) CreateIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	return backend.CreateIfAbsent(ctx, b.Bucket, name, content)
}

// idOf hashes names such that nobody can choose two that meet: tenants choose parts of them.
func idOf(place, object string) objectID {
	var buf [256]byte
	b := append(buf[:0], place...)
	b = append(b, 0) // in no name of an object
	b = append(b, object...)
	sum := sha256.Sum256(b)
	return objectID(sum[:len(objectID{})])
}
