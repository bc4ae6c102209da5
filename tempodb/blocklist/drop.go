package blocklist

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// A block is dropped by an object beside its folder, <tenant>/<block id>.dropped.<time>: one that lists finds it without a further
// request, and it is there whatever becomes of the index.
const (
	markInfix = ".dropped."
	markTime  = "20060102T150405Z"
)

// markName returns the name of a mark in its tenant's folder.
func markName(id block.ID, at time.Time) string {
	return string(id) + markInfix + at.UTC().Format(markTime)
}

// parseMark reads the name of a mark.
func parseMark(name string) (id block.ID, at time.Time, ok bool) {
	folder, when, ok := strings.Cut(name, markInfix)
	if !ok {
		return "", at, false
	}
	id, err := block.ParseID(folder)
	if err != nil {
		return "", at, false
	}
	at, err = time.Parse(markTime, when)
	return id, at, err == nil && at.Format(markTime) == when
}

// Dropping says who drops blocks and why, for a person to read.
type Dropping struct {
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Drop marks blocks as dropped. Whoever lists or reads an index written from now on sees them retired, for good; and a block that
// is made of one of them meanwhile is void. Reap deletes them. At.At must be set.
//
// With an error some are marked: another try does no harm.
func Drop(ctx context.Context, bucket backend.Bucket, tenant string, ids []block.ID, at Dropping) error {
	if err := block.CheckTenant(tenant); err != nil {
		return err
	}
	at.At = at.At.UTC()
	content, err := json.Marshal(at)
	if err != nil {
		return err
	}
	content = append(content, '\n')
	var mu sync.Mutex
	var errs []error
	inParallel(8, ids, func(id block.ID) {
		if err := put(ctx, bucket, tenant+"/"+markName(id, at.At), content); err != nil {
			mu.Lock()
			defer mu.Unlock()
			if len(errs) < maxReapErrors {
				errs = append(errs, fmt.Errorf("drop block %s of tenant %s: %w", id, tenant, err))
			}
		}
	})
	return errors.Join(errs...)
}

// put writes a small object.
func put(ctx context.Context, bucket backend.Bucket, name string, content []byte) error {
	w, err := bucket.Create(ctx, name)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(content); err != nil {
		return err
	}
	return w.Commit()
}

// uselessMarks returns the marks of a list that hold nothing down any more. A mark has to outlive its block by as long as any writer
// writes: a block that is made of the dropped one may still come.
func uselessMarks(l *List, o ReapOptions) (ids []block.ID) {
	if len(l.marks) == 0 || len(l.Damaged) > 0 {
		return nil // of a damaged block is not known what it was made of
	}
	named := make(map[block.ID]bool)
	for _, m := range l.present {
		for _, parent := range m.Parents {
			named[parent] = true
		}
	}
	for _, u := range l.Unfinished {
		if abandoned(u.ID, o) {
			return nil // until it is deleted it might be finished
		}
	}
	for id, at := range l.marks {
		_, there := slices.BinarySearch(l.listed, id)
		if !there && !named[id] && o.Now.Sub(at) > o.Abandoned {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b block.ID) int { return cmp.Compare(a, b) })
	return ids
}

// Marks returns when blocks of a tenant were dropped.
func Marks(ctx context.Context, bucket backend.Bucket, tenant string) (map[block.ID]time.Time, error) {
	_, marks, err := listFolders(ctx, bucket, tenant)
	return marks, err
}

// RemoveMarks removes marks. It is for who has the tenant's blocks alone: nobody else makes one of a dropped block any more.
func RemoveMarks(ctx context.Context, bucket backend.Bucket, tenant string, marks map[block.ID]time.Time) error {
	for id, at := range marks {
		name := tenant + "/" + markName(id, at)
		if err := bucket.Delete(ctx, name); err != nil {
			return fmt.Errorf("object %s: %w", name, err)
		}
	}
	return nil
}
