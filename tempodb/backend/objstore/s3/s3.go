package s3

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/minio/minio-go/v7"
	"github.com/thanos-io/objstore/exthttp"
	"github.com/thanos-io/objstore/providers/s3"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/objstore"
)

// Options say which bucket, and how it is reached.
type Options struct {
	// Endpoint is the server's host, or host:port, without a scheme.
	Endpoint string
	// Insecure is for servers without TLS.
	Insecure bool
	// Region of the bucket. It may be empty where the endpoint says it.
	Region string
	// Bucket is the name of the bucket. It must exist.
	Bucket string
	// Prefix is the folder inside the bucket that holds all objects; none if empty.
	Prefix string
	// AccessKey, SecretKey and SessionToken, or none of them: see the package comment.
	AccessKey, SecretKey, SessionToken string
	// PathStyle puts the bucket's name into the path and not into the host name.
	PathStyle bool
	// PartSize is how many bytes a part of a multipart upload has, at least 5 MiB, and the size from which on uploads have parts.
	// An upload holds one part in memory. 16 MiB if zero; an object has at most 10,000 parts.
	PartSize int
	// PartTries is how often a part is sent before the upload fails. 5 if zero.
	PartTries int
	// TempDir is the folder for objects between Create and Commit that are bigger than a part. The system's if empty.
	TempDir string
	// Stall is how long a request may take until its answer begins, beyond a second for each 256 KiB of its body; and how long nothing
	// of the answer may come then. 30 s if zero.
	Stall time.Duration
	// Adjust may change what has no option above: encryption, storage class, TLS, the signature's version.
	Adjust func(*s3.Config)
}

// Bucket is a bucket of an S3 service, or a folder in one.
type Bucket struct {
	*objstore.Bucket
	client  *s3.Bucket
	http    http.RoundTripper // of all clients
	claimed atomic.Bool       // the store has refused to replace an object when asked to
}

var (
	_ backend.Bucket  = (*Bucket)(nil)
	_ backend.Claimer = (*Bucket)(nil)
)

// Open connects to a bucket. It lists once, so that a bucket that does not exist or may not be read is an
// error now: later it could not be told from an empty one.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	o.PartSize = cmp.Or(o.PartSize, 16<<20)
	o.PartTries = cmp.Or(o.PartTries, 5)
	o.Stall = cmp.Or(o.Stall, 30*time.Second)
	name := "s3://" + o.Bucket
	config := s3.DefaultConfig
	config.Endpoint, config.Insecure, config.Region, config.Bucket = o.Endpoint, o.Insecure, o.Region, o.Bucket
	config.AccessKey, config.SecretKey, config.SessionToken = o.AccessKey, o.SecretKey, o.SessionToken
	config.PartSize = uint64(o.PartSize)
	config.PutUserMetadata = map[string]string{}
	config.MaxRetries = 1 // tries
	if o.PathStyle {
		config.BucketLookupType = s3.PathLookup
	}
	if o.Adjust != nil {
		o.Adjust(&config)
	}
	if config.HTTPConfig.Transport == nil {
		t, err := exthttp.DefaultTransport(config.HTTPConfig)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		config.HTTPConfig.Transport = t // for both clients
	}
	wrap := func(next http.RoundTripper) http.RoundTripper { return &transport{next: next, stall: o.Stall} }
	small, err := s3.NewBucketWithConfig(log.NewNopLogger(), config, "tempo", wrap)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	config.MaxRetries = o.PartTries
	big, err := s3.NewBucketWithConfig(log.NewNopLogger(), config, "tempo", wrap)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b, err := objstore.New(small, objstore.Options{
		Name: name, Prefix: o.Prefix, Memory: o.PartSize, TempDir: o.TempDir,
		Big: big, PastEnd: pastEnd, Permanent: permanent,
	})
	if err != nil {
		return nil, err
	}
	if err := b.Check(ctx); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return &Bucket{Bucket: b, client: small, http: config.HTTPConfig.Transport}, nil
}

// Close ends the connections. The bucket must not be used afterwards.
func (b *Bucket) Close() error {
	err := b.Bucket.Close()
	if t, ok := b.http.(interface{ CloseIdleConnections() }); ok { // the clients leave them open
		t.CloseIdleConnections()
	}
	return err
}

// CreateIfAbsent implements backend.Claimer with one request, a PUT with If-None-Match. AWS, MinIO, R2, Ceph and others know it, but
// some stores ignore it, and would let everybody win. So the first claim that succeeds is made twice: if that succeeds too, the
// error is errors.ErrUnsupported, from then on, and the caller must do without claims.
func (b *Bucket) CreateIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	created, err := b.putIfAbsent(ctx, name, content)
	if err != nil || !created || b.claimed.Load() {
		return created, err
	}
	again, err := b.putIfAbsent(ctx, name, content)
	if err != nil {
		return false, err
	}
	if again {
		err := fmt.Errorf("the store ignores If-None-Match: %w", errors.ErrUnsupported)
		return false, b.Fail(ctx, "create if absent", name, err)
	}
	b.claimed.Store(true)
	return true, nil
}

// maxClaim keeps claims from becoming multipart uploads, whose parts know no conditions.
const maxClaim = 1 << 20

func (b *Bucket) putIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	full, err := b.FullName(ctx, name)
	if err != nil {
		return false, err
	}
	if len(content) > maxClaim {
		return false, b.Fail(ctx, "create if absent", name, fmt.Errorf("%d bytes are more than the %d that a claim may have", len(content), maxClaim))
	}
	err = b.client.Upload(context.WithValue(ctx, ifAbsent{}, true), full, bytes.NewReader(content))
	switch {
	case err == nil:
		return true, nil
	case response(err).StatusCode == http.StatusPreconditionFailed:
		return false, nil
	default:
		return false, b.Fail(ctx, "create if absent", name, err)
	}
}

// response returns what the server answered, or the zero value.
func response(err error) minio.ErrorResponse {
	var r minio.ErrorResponse
	errors.As(err, &r)
	return r
}

func pastEnd(err error) bool {
	r := response(err)
	return r.StatusCode == http.StatusRequestedRangeNotSatisfiable || r.Code == "InvalidRange"
}

// permanent says whether the server's answer will be the same the next time.
func permanent(err error) bool {
	if errors.Is(err, errors.ErrUnsupported) {
		return true
	}
	switch code := response(err).StatusCode; code {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return false // a conflict is another conditional request for the same object
	case http.StatusBadRequest: // also of a body that was cut on its way
		return false
	default:
		return code >= 400 && code < 500
	}
}
