// Package gcs is an object store in Google Cloud Storage, or in a folder of a bucket there.
//
//	bucket, err := gcs.Open(ctx, gcs.Options{Bucket: "traces", Prefix: "tempo"})
//	defer bucket.Close()
//
// # Writing
//
// An object that fits in one chunk is kept in memory and sent with its checksum, in one request, at Commit.
// A bigger one is sent chunk by chunk while it is written, as a resumable upload: a chunk that fails is sent again, and the
// object exists when the last one has arrived. Abort sends nothing: GCS forgets what was sent after a week, and
// neither lists nor bills it.
//
// # Errors and retries
//
// Apart from chunks nothing is sent twice: there is one retry policy, instrument.Retry, and it counts. Errors name the bucket and
// the object. Those that are of no use to retry (no permission, no such bucket) say so by a method Permanent.
//
// # Credentials
//
// They are found as by all of Google's programs (GOOGLE_APPLICATION_CREDENTIALS, the machine's service account, ...).
// With STORAGE_EMULATOR_HOST=host:port in the environment that server is used, and no credentials.
//
// A Bucket may be used by any number of goroutines.
package gcs
