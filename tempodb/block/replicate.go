package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Replicate copies a block to another bucket as it is, under the same tenant and ID: its meta.json last, and before that what was read has been compared
// with the lengths and checksums that meta.json says. When it returns nil, all of the block is there. To copy a block that is there already, whole or
// in part, does no harm.
//
// A *page.CorruptError says that the block is damaged where it was copied from; its meta.json was not written. After any other error it may be there or
// not, but never without the rest: as long as nobody takes it for garbage, see RemoveGarbage. So the block must be much younger than what is.
func Replicate(ctx context.Context, to, from backend.Bucket, tenant string, id ID) error {
	content, m, err := rawMeta(ctx, from, tenant, id)
	if err != nil {
		return err
	}
	fail := func(object string, err error) error {
		return fmt.Errorf("copy block %s of tenant %s: object %s: %w", id, tenant, object, err)
	}
	for _, object := range objectNames {
		if err := replicateObject(ctx, to, from, objectName(tenant, id, object), m.Objects[object]); err != nil {
			return fail(object, err)
		}
	}
	if err := put(ctx, to, objectName(tenant, id, metaObject), content); err != nil {
		return fail(metaObject, err)
	}
	there, err := hasObjects(ctx, to, m)
	if err == nil && !there {
		err = errors.New("is in place, while others were deleted meanwhile")
	}
	if err != nil {
		return fail(metaObject, err)
	}
	return nil
}

// Replicated reports whether a bucket has the block of another one: the same meta.json, and all objects in their lengths.
func Replicated(ctx context.Context, to, from backend.Bucket, tenant string, id ID) (bool, error) {
	theirs, m, err := rawMeta(ctx, to, tenant, id)
	switch {
	case errors.Is(err, backend.ErrNotExist), page.IsCorrupt(err):
		return false, nil
	case err != nil:
		return false, err
	}
	ours, _, err := rawMeta(ctx, from, tenant, id)
	if err != nil && !page.IsCorrupt(err) {
		return false, err
	}
	if err == nil && !bytes.Equal(ours, theirs) {
		return false, nil
	}
	return hasObjects(ctx, to, m)
}

// rawMeta returns a meta.json as it is, and what it says.
func rawMeta(ctx context.Context, bucket backend.Bucket, tenant string, id ID) ([]byte, *Meta, error) {
	if err := checkNames(tenant, id); err != nil {
		return nil, nil, err
	}
	content, err := readWhole(ctx, bucket, objectName(tenant, id, metaObject), MaxMeta)
	if err != nil {
		return nil, nil, fmt.Errorf("block %s of tenant %s: %w", id, tenant, err)
	}
	m, err := parseMetaOf(content, tenant, id)
	return content, m, err
}

func hasObjects(ctx context.Context, bucket backend.Bucket, m *Meta) (bool, error) {
	for _, object := range objectNames {
		size, err := bucket.Size(ctx, objectName(m.Tenant, m.ID, object))
		if errors.Is(err, backend.ErrNotExist) || err == nil && size != m.Objects[object].Bytes {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// replicateObject copies an object of which is known what it must be.
func replicateObject(ctx context.Context, to, from backend.Bucket, name string, want Object) error {
	corrupt := func(offset int64, reason string, args ...any) error {
		return &page.CorruptError{Object: name, What: "object", Offset: offset, Reason: fmt.Sprintf(reason, args...)}
	}
	w, err := to.Create(ctx, name)
	if err != nil {
		return err
	}
	defer w.Abort()
	got, err := read(ctx, from, name, w)
	switch {
	case errors.Is(err, backend.ErrNotExist):
		return corrupt(0, "is missing, while meta.json is there")
	case err != nil:
		return err
	case got.Bytes != want.Bytes:
		return corrupt(min(got.Bytes, want.Bytes), "has %d bytes, should have %d", got.Bytes, want.Bytes)
	case got.Checksum != want.Checksum:
		return corrupt(0, "checksum is %016x, should be %016x", uint64(got.Checksum), uint64(want.Checksum))
	}
	return w.Commit()
}
