package backend

import (
	"context"
	"errors"
	"fmt"
)

// Claimer is what a Bucket also is where its store can put an object only if there is none of that name:
// of several callers exactly one wins, and it stays so until the object is deleted. It is for small objects that
// say who does a job. Not every store can do it: CreateIfAbsent below asks.
type Claimer interface {
	// CreateIfAbsent stores an object if there is none of that name, durably, and says whether it did. The
	// content should name the caller, since that is all that tells a claim of ours from another's.
	//
	// An error that is errors.ErrUnsupported means that the store can't do this, as it may turn out at the first try. After
	// any other error the object may be there, ours or another's, or not; a caller that must know reads it.
	CreateIfAbsent(ctx context.Context, name string, content []byte) (created bool, err error)
}

// CreateIfAbsent is the Claimer's, where b is one. Otherwise the error is errors.ErrUnsupported, and the caller must do
// without claims.
func CreateIfAbsent(ctx context.Context, b Bucket, name string, content []byte) (created bool, err error) {
	c, ok := b.(Claimer)
	if !ok {
		return false, fmt.Errorf("create %q if absent: %w in this object store", name, errors.ErrUnsupported)
	}
	return c.CreateIfAbsent(ctx, name, content)
}
