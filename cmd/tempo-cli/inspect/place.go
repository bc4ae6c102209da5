package inspect

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Place is where a key's value lies in the data of a block.
type Place struct {
	// Offset and Bytes are the page's, or all the pages' of a big value.
	Offset, Bytes int64
	// Keys is how many keys share the page.
	Keys int64
}

var errFound = errors.New("found")

// Find returns where the value of key is, if the block has it. It reads the directory of the data only.
func Find(ctx context.Context, bucket backend.Bucket, meta *block.Meta, key block.Key) (place Place, err error) {
	data := &object{ctx, bucket, objectName(meta, "data"), saltOf(meta.ID, "data")}
	dir := &object{ctx, bucket, objectName(meta, "index"), saltOf(meta.ID, "index")}
	t, err := page.OpenTable(data, dir, meta.Data)
	if err != nil {
		return place, err
	}
	err = t.Pages(func(p page.PageInfo) error {
		if bytes.Compare(p.Key, key[:]) > 0 {
			return errFound
		}
		place = Place{Offset: p.Ref.Offset - p.Chunks, Bytes: p.Ref.Length + p.Chunks, Keys: p.Records}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return place, err
}

// object reads an object, while its context lasts.
type object struct {
	ctx    context.Context
	bucket backend.Bucket
	name   string
	salt   uint64
}

var _ io.ReaderAt = (*object)(nil)

func (o *object) ReadAt(p []byte, off int64) (int, error) {
	return o.bucket.ReadAt(o.ctx, o.name, p, off)
}

// PageSalt returns the salt of the object's pages.
func (o *object) PageSalt() uint64 { return o.salt }

// Name returns the object's name; errors say it.
func (o *object) Name() string { return o.name }
