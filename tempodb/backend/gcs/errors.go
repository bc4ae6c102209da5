package gcs

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// objectError says what failed on which object of which bucket.
type objectError struct {
	do   string
	name string
	err  error
}

func (e *objectError) Error() string { return fmt.Sprintf("%s %s: %v", e.do, e.name, e.err) }
func (e *objectError) Unwrap() error { return e.err }

// Permanent says that another try will fail as well. It is what instrument.Retry asks for.
func (e *objectError) Permanent() bool {
	switch code := status(e.err); {
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return false
	default:
		return code >= 400 && code < 500 || errors.Is(e.err, storage.ErrBucketNotExist)
	}
}

// fail describes an error. A missing object is backend.ErrNotExist, and whatever the client makes of a context that is done is the
// context's error.
func (b *Bucket) fail(ctx context.Context, do, name string, err error) error {
	name = b.Name() + name
	switch {
	case errors.Is(err, storage.ErrObjectNotExist):
		return fmt.Errorf("%s %s: %w", do, name, backend.ErrNotExist)
	case errors.Is(err, storage.ErrBucketNotExist):
		err = fmt.Errorf("%w: create the bucket, or correct its name in the configuration", err)
	}
	if done := ctx.Err(); done != nil && !errors.Is(err, done) {
		err = fmt.Errorf("%w: %w", done, err)
	}
	return &objectError{do: do, name: name, err: err}
}

// status returns the HTTP status of an error, or 0.
func status(err error) int {
	var e *googleapi.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
