package backend

import "context"

// Claimer is what a Bucket also is where its store can put an object only if there is none of that name:
// of several callers exactly one wins, and it stays so until the object is deleted. It is for small objects that
// say who does a job.
//
// Not every store can do it: ask with a type assertion, and do without if it can't.
type Claimer interface {
	// CreateIfAbsent stores an object if there is none of that name, durably, and says whether it did. The
	// content should name the caller, since that is all that tells a claim of ours from another's.
	//
	// After an error the object may be there, ours or another's, or not; a caller that must know reads it.
	CreateIfAbsent(ctx context.Context, name string, content []byte) (created bool, err error)
}
