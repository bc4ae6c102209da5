package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// ifAbsent is the key of contexts whose PUT must not replace an object. The client has no option for it.
type ifAbsent struct{}

// transport adds what the client can't do: a condition, an end to uploads that are stuck, and a length to empty objects.
type transport struct {
	next  http.RoundTripper
	stall time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPut {
		return t.next.RoundTrip(r)
	}
	limit := t.stall + time.Duration(max(r.ContentLength, 0)>>18)*time.Second
	ctx, cancel := context.WithCancel(r.Context())
	stuck := time.AfterFunc(limit, cancel)
	defer stuck.Stop()
	r = r.Clone(ctx)
	if ctx.Value(ifAbsent{}) != nil {
		r.Header.Set("If-None-Match", "*") // need not be signed
	}
	if err := setLength(r); err != nil {
		cancel()
		r.Body.Close()
		return nil, err
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		late := !stuck.Stop()
		cancel()
		if late {
			err = fmt.Errorf("PUT of %d bytes took longer than %s: %w", r.ContentLength, limit, os.ErrDeadlineExceeded)
		}
		return nil, err
	}
	resp.Body = &body{resp.Body, cancel}
	return resp, nil
}

// setLength gives a request with a small body of unknown length its length. Without TLS the client signs the body in pieces, and sends
// that of an empty object, 86 bytes of signature, with Transfer-Encoding: chunked: AWS has no use for that, and versitygw takes its end for
// the next request.
func setLength(r *http.Request) error {
	if r.ContentLength > 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	const small = 64 << 10
	content, err := io.ReadAll(io.LimitReader(r.Body, small))
	if err != nil || len(content) == small {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(content), r.Body), r.Body}
		return err
	}
	r.Body.Close()
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(content)), int64(len(content))
	if len(content) == 0 {
		r.Body = http.NoBody
	}
	return nil
}

// body ends its request's context when it is closed.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
