// Package s3 opens object stores that speak the S3 protocol: AWS, MinIO, Ceph, Cloudflare R2 and the like.
//
//	bucket, err := s3.Open(ctx, s3.Options{Endpoint: "s3.eu-central-1.amazonaws.com", Bucket: "traces"})
//	defer bucket.Close()
//
// Without keys in Options they are found as usual: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, the shared
// credentials file, the role of the machine or pod.
//
// Objects bigger than a part are sent as multipart uploads. One that fails is aborted; should even that fail, its parts
// are invisible but billed: give the bucket a lifecycle rule that removes incomplete multipart uploads after some days.
package s3
