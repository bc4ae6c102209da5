package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// ifAbsent is the key of contexts whose PUT must not replace an object. The client has no option for it.
type ifAbsent struct{}

// transport adds what the client can't do: a condition, an end to requests that are stuck, a length to empty objects, and that a try has ended
// when the next one begins.
type transport struct {
	next  http.RoundTripper
	stall time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	limit := t.stall + time.Duration(max(r.ContentLength, 0)>>18)*time.Second
	ctx, cancel := context.WithCancel(r.Context())
	stuck := time.AfterFunc(limit, cancel)
	r = r.Clone(ctx)
	if ctx.Value(ifAbsent{}) != nil {
		r.Header.Set("If-None-Match", "*") // need not be signed
	}
	if err := setLength(r); err != nil {
		stuck.Stop()
		cancel()
		r.Body.Close()
		return nil, err
	}
	sent := send(r)
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		late := !stuck.Stop()
		cancel()
		<-sent
		if late {
			err = fmt.Errorf("%s of %d bytes took longer than %s: %w", r.Method, r.ContentLength, limit, os.ErrDeadlineExceeded)
		}
		return nil, err
	}
	resp.Body = &answer{ReadCloser: resp.Body, cancel: cancel, sent: sent, stuck: stuck, stall: t.stall}
	stuck.Reset(t.stall)
	return resp, nil
}

// send returns a channel that is closed when the body of the request is read no more. That may be after an answer or an error, and the client
// meanwhile rewinds the same reader for its next try: two requests would share the bytes.
func send(r *http.Request) <-chan struct{} {
	done := make(chan struct{})
	if r.Body == nil || r.Body == http.NoBody {
		close(done)
		return done
	}
	r.Body = &sending{ReadCloser: r.Body, done: sync.OnceFunc(func() { close(done) })}
	r.GetBody = nil // would bring a reader that is not waited for
	return done
}

// sending is a request's body.
type sending struct {
	io.ReadCloser
	done func()
}

// Close implements io.Closer. The transport calls it when it has read for the last time.
func (s *sending) Close() error {
	defer s.done()
	return s.ReadCloser.Close()
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

// answer is a response's body. It may take long, as long as something comes.
type answer struct {
	io.ReadCloser
	cancel context.CancelFunc
	sent   <-chan struct{}
	stuck  *time.Timer
	stall  time.Duration
	late   bool // the request was ended by stuck
}

// Read implements io.Reader.
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	a.late = !a.stuck.Stop() || a.late
	if a.late && err != nil && err != io.EOF {
		return n, fmt.Errorf("nothing has come of the answer for %s: %w", a.stall, os.ErrDeadlineExceeded)
	}
	a.stuck.Reset(a.stall)
	return n, err
}

// Close implements io.Closer. It ends the request, and returns when its body is read no more.
func (a *answer) Close() error {
	err := a.ReadCloser.Close()
	a.stuck.Stop()
	a.cancel()
	<-a.sent
	return err
}
