package block

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// List returns the IDs of tenant's blocks, in ascending order, oldest first. It asks once for the list and
// once for each folder in it.
func List(ctx context.Context, bucket backend.Bucket, tenant string) ([]ID, error) {
	var blocks []ID
	err := eachFolder(ctx, bucket, tenant, func(id ID, whole bool) error {
		if whole {
			blocks = append(blocks, id)
		}
		return nil
	})
	return blocks, err
}

// Delete removes a block: first meta.json, so that there is no block any more, then the rest. What a
// crash in between leaves is garbage. Deleting a block that is not there is no error.
func Delete(ctx context.Context, bucket backend.Bucket, tenant string, id ID) error {
	for _, object := range append([]string{metaObject}, objectNames...) {
		if err := bucket.Delete(ctx, objectName(tenant, id, object)); err != nil {
			return fmt.Errorf("delete block %s of tenant %s: object %s: %w", id, tenant, object, err)
		}
	}
	return nil
}

// Hollow reports whether a block's values are gone while its meta.json is there; and whether all else is gone too, so that there is nothing to set
// aside. A block becomes so if its meta.json is put in place after the rest was deleted: a store may do that when a request was
// given up, or its sender killed, and is carried out all the same. Nothing is in such a block: it supersedes none, and no segment of a log is in it.
func Hollow(ctx context.Context, bucket backend.Bucket, tenant string, id ID) (hollow, empty bool, err error) {
	if err := checkNames(tenant, id); err != nil {
		return false, false, err
	}
	var objects []string
	err = bucket.List(ctx, tenant+"/"+string(id), func(name string) error {
		objects = append(objects, name)
		return nil
	})
	if err != nil {
		return false, false, fmt.Errorf("list block %s of tenant %s: %w", id, tenant, err)
	}
	return slices.Contains(objects, metaObject) && !slices.Contains(objects, dataObject), len(objects) == 1, nil
}

// RemoveGarbage removes what writers and deletions that did not come to their end have left: the objects of
// folders without a meta.json. Only those whose ID is from before the time given are touched; it must be so long ago
// that no writer of then still writes. It returns the IDs it has removed, also with an error.
func RemoveGarbage(ctx context.Context, bucket backend.Bucket, tenant string, before time.Time) ([]ID, error) {
	var removed []ID
	err := eachFolder(ctx, bucket, tenant, func(id ID, whole bool) error {
		if whole || !id.Time().Before(before) {
			return nil
		}
		if err := Delete(ctx, bucket, tenant, id); err != nil {
			return err
		}
		removed = append(removed, id)
		return nil
	})
	return removed, err
}

// eachFolder calls fn with each folder of tenant that has a block's name, and whether it is a block.
func eachFolder(ctx context.Context, bucket backend.Bucket, tenant string, fn func(id ID, whole bool) error) error {
	if err := CheckTenant(tenant); err != nil {
		return err
	}
	var folders []ID
	err := bucket.List(ctx, tenant, func(name string) error {
		folder, ok := strings.CutSuffix(name, "/")
		if id, err := ParseID(folder); ok && err == nil {
			folders = append(folders, id)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list blocks of tenant %s: %w", tenant, err)
	}
	for _, id := range folders {
		_, err := bucket.Size(ctx, objectName(tenant, id, metaObject))
		if err != nil && !errors.Is(err, backend.ErrNotExist) {
			return fmt.Errorf("block %s of tenant %s: %w", id, tenant, err)
		}
		if err := fn(id, err == nil); err != nil {
			return err
		}
	}
	return nil
}
