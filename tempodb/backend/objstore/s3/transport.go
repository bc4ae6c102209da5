package s3

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// ifAbsent is the key of contexts whose PUT must not replace an object. The client has no option for it.
type ifAbsent struct{}

// transport adds what the client can't do: a condition, and an end to uploads that are stuck.
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
