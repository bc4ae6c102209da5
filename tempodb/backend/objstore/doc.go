// Package objstore is an object store in any service for which github.com/thanos-io/objstore has a client. The clients are
// linked only where they are imported: package s3 below this one opens S3 and what speaks its protocol, package azure Azure's
// blobs; others are passed to New.
//
// # Writing
//
// What is written is kept until Commit: in memory while it is small, then in a temporary file. These clients want to
// know an object's size before its first byte (the S3 client otherwise takes 528 MiB of memory for each upload), and a
// Commit that failed can be tried again without asking the caller for the bytes. Until Commit nothing is sent, so Abort has nothing
// to undo. On Unix the temporary file has no name: a crash leaves nothing behind.
//
// # Errors and retries
//
// Nothing is sent twice: there is one retry policy, instrument.Retry, and it counts. The exception are the parts of a multipart
// upload, see Options.Big. Errors name the bucket and the object.
//
// A Bucket may be used by any number of goroutines.
package objstore
