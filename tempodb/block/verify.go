package block

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Verify reads all of the block and checks it: every object's length and checksum, every page, and that the objects
// agree with each other and with meta.json. It reads what the object store has now, whatever a cache or the Block has of it.
// The error joins all that was found; damage is a *page.CorruptError.
func (b *Block) Verify(ctx context.Context) error {
	b = b.over(beneath(b.bucket))
	var found []error
	for _, object := range objectNames {
		if err := b.verifyBytes(ctx, object); err != nil {
			found = append(found, b.fail(err))
		}
		if ctx.Err() != nil {
			return errors.Join(found...)
		}
	}
	return errors.Join(append(found, b.verifyKeys(ctx), b.verifySearch(ctx))...)
}

// verifyBytes compares an object with the length and checksum that meta.json gives it.
func (b *Block) verifyBytes(ctx context.Context, object string) error {
	r := b.open(ctx, object)
	want := b.meta.Objects[object]
	corrupt := func(offset int64, reason string, args ...any) error {
		return &page.CorruptError{Object: b.objectName(object), What: "object", Offset: offset, Reason: fmt.Sprintf(reason, args...)}
	}
	var hash xxhash.Digest
	hash.Reset()
	buf := make([]byte, min(want.Bytes+1, 1<<20))
	for offset := int64(0); ; {
		// One byte more than there should be, to see that there is none.
		p := buf[:min(int64(len(buf)), want.Bytes+1-offset)]
		n, err := r.ReadAt(p, offset)
		_, _ = hash.Write(p[:n])
		offset += int64(n)
		switch {
		case offset > want.Bytes:
			return corrupt(want.Bytes, "is longer than the %d bytes it should have", want.Bytes)
		case errors.Is(err, io.EOF) && offset < want.Bytes:
			return corrupt(offset, "ends before the %d bytes it should have", want.Bytes)
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("object %s: %w", object, err)
		case offset == want.Bytes:
			if sum := Sum(hash.Sum64()); sum != want.Checksum {
				return corrupt(0, "checksum is %016x, should be %016x", uint64(sum), uint64(want.Checksum))
			}
			return nil
		}
	}
}

// verifyKeys checks that data, summary and filter hold the same keys, and those that meta.json says.
func (b *Block) verifyKeys(ctx context.Context) error {
	corrupt := func(object, reason string, args ...any) error {
		return b.fail(&page.CorruptError{Object: b.objectName(object), What: "object", Reason: fmt.Sprintf(reason, args...)})
	}
	data, err := b.openData(ctx)
	if err != nil {
		return err
	}
	summary, err := b.summaryTable(ctx)
	if err != nil {
		return err
	}
	for _, t := range []*page.Table{data, summary} {
		if err := t.Check(); err != nil {
			return b.fail(err)
		}
	}
	keys, err := b.keyFilter(ctx)
	if err != nil {
		return err
	}
	if err := keys.Load(); err != nil {
		return b.fail(err)
	}
	if int64(keys.Keys()) != b.meta.Keys {
		return corrupt(filterObject, "has %d keys, should have %d", keys.Keys(), b.meta.Keys)
	}
	digest := func(object string, scan func(context.Context, [16]byte, func([16]byte, []byte) (bool, error)) error) (uint64, error) {
		var hash xxhash.Digest
		hash.Reset()
		n := int64(0)
		var first, last Key
		err := scan(ctx, [16]byte{}, func(key [16]byte, _ []byte) (bool, error) {
			if n++; n == 1 {
				first = key
			}
			last = key
			_, _ = hash.Write(key[:])
			maybe, err := keys.MayContain(key)
			if err == nil && !maybe {
				err = corrupt(filterObject, "denies key %x", key)
			}
			return true, err
		})
		if err == nil && (n != b.meta.Keys || first != b.meta.MinKey || last != b.meta.MaxKey) {
			err = corrupt(object, "has %d keys from %s to %s, should have %d from %s to %s", n, first, last, b.meta.Keys, b.meta.MinKey, b.meta.MaxKey)
		}
		return hash.Sum64(), err
	}
	values, err := digest(dataObject, b.Scan)
	if err != nil {
		return err
	}
	summaries, err := digest(summaryObject, b.ScanSummaries)
	if err != nil {
		return err
	}
	if values != summaries {
		return corrupt(summaryObject, "has other keys than the data")
	}
	return nil
}

func (b *Block) verifySearch(ctx context.Context) error {
	o, err := b.searchObject(ctx)
	if err != nil {
		return err
	}
	if err := o.Check(ctx); err != nil {
		return b.failSearch(err)
	}
	if int64(o.Rows()) != b.meta.Rows {
		return b.fail(&page.CorruptError{Object: b.objectName(searchObject), What: "object",
			Reason: fmt.Sprintf("has %d rows, should have %d", o.Rows(), b.meta.Rows)})
	}
	return nil
}
