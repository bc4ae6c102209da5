// Package backend is the store of objects under the database: what tempodb asks of a directory, of GCS, S3
// and the like, and nothing more.
//
// # Promise
//
// An object is written once, whole, and seen by readers at Commit or not at all, whatever is killed in
// between. After Commit it is durable, and every later call on any Bucket of the same place sees it.
//
// # Use
//
//	w, err := bucket.Create(ctx, "tenant/block/data")
//	if err != nil { ... }
//	defer w.Abort() // does nothing after Commit
//	w.Write(pages)
//	err = w.Commit()
//
//	n, err := bucket.ReadAt(ctx, "tenant/block/data", p, off)
//	if errors.Is(err, backend.ErrNotExist) { ... }
//
// # Implementations
//
// backend/local is a directory. Every implementation passes the suite in backend/backendtest, which says in
// code what this package says in words.
package backend
