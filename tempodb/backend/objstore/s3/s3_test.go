package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The suite runs on a real server, in e2e/objectstores. Here is what such a server does not do.

// open returns a bucket on a server that lists nothing, and what handle makes of PUTs.
func open(t *testing.T, handle http.HandlerFunc) *Bucket {
	t.Helper()
	return openOn(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			handle(w, r)
		}
		return r.Method == http.MethodPut
	})
}

const (
	stall        = 200 * time.Millisecond
	smallestPart = 5 << 20
)

// openOn returns a bucket on a server that lists nothing, unless handle says that it has answered.
func openOn(t *testing.T, handle func(w http.ResponseWriter, r *http.Request) bool) *Bucket {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !handle(w, r) {
			io.WriteString(w, "<ListBucketResult></ListBucketResult>")
		}
	}))
	t.Cleanup(server.Close)
	b, err := Open(context.Background(), Options{
		Endpoint: strings.TrimPrefix(server.URL, "http://"), Insecure: true, Region: "us-east-1", Bucket: "traces", PathStyle: true,
		AccessKey: "access", SecretKey: "secret", Stall: stall, PartSize: smallestPart, PartTries: 1, TempDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestClaimsAreRefusedOnAStoreThatIgnoresTheCondition(t *testing.T) {
	b := open(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	for range 2 {
		created, err := b.CreateIfAbsent(t.Context(), "claim", []byte("me"))
		var p interface{ Permanent() bool }
		if created || !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &p) || !p.Permanent() {
			t.Errorf("%v, %v", created, err)
		}
	}
}

func TestOnlyTheFirstClaimIsMadeTwice(t *testing.T) {
	var mu sync.Mutex
	var names []string
	b := open(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("If-None-Match") != "*" {
			t.Errorf("no condition: %v", r.Header)
		}
		if slices.Contains(names, r.URL.Path) {
			w.WriteHeader(http.StatusPreconditionFailed)
		}
		names = append(names, r.URL.Path)
	})
	for _, name := range []string{"a", "b", "c"} {
		if created, err := b.CreateIfAbsent(t.Context(), name, []byte("me")); !created || err != nil {
			t.Errorf("%v, %v", created, err)
		}
	}
	if created, err := b.CreateIfAbsent(t.Context(), "c", []byte("you")); created || err != nil {
		t.Errorf("%v, %v", created, err)
	}
	if strings.Join(names, " ") != "/traces/a /traces/a /traces/b /traces/c /traces/c" {
		t.Errorf("asked: %q", names)
	}
	if _, err := b.CreateIfAbsent(t.Context(), "big", make([]byte, maxClaim+1)); err == nil {
		t.Error("a big claim was made")
	}
}

func TestAnEmptyObjectIsSentWithItsLength(t *testing.T) {
	b := open(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("length %d, %q", r.ContentLength, r.TransferEncoding)
		}
		io.Copy(io.Discard, r.Body)
	})
	if err := commit(t, b, "empty", nil); err != nil {
		t.Fatal(err)
	}
}

func TestAnUploadThatIsStuckFails(t *testing.T) {
	release := make(chan struct{})
	b := open(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	defer close(release)
	if err := commit(t, b, "a", []byte("content")); !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAnUploadWhosePartsAreNotEvenBegunFails(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	b := openOn(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			<-release
		}
		return r.Method == http.MethodPost
	})
	if err := commit(t, b, "a", make([]byte, smallestPart+1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestAnAnswerThatEndsInSilenceFails(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	b := openOn(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/a") {
			return false
		}
		w.Header().Set("Content-Length", "10")
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		<-release
		return true
	})
	if n, err := b.ReadAt(t.Context(), "a", make([]byte, 10), 0); n != 4 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(n, err)
	}
}

func TestAnAnswerMayTakeLongIfSomethingComes(t *testing.T) {
	b := openOn(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/a") {
			return false
		}
		w.Header().Set("Content-Length", "10")
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.WriteHeader(http.StatusPartialContent)
		for range 10 {
			time.Sleep(stall / 4)
			io.WriteString(w, "x")
			http.NewResponseController(w).Flush()
		}
		return true
	})
	if n, err := b.ReadAt(t.Context(), "a", make([]byte, 10), 0); n != 10 || err != nil {
		t.Error(n, err)
	}
}

func commit(t *testing.T, b *Bucket, name string, content []byte) error {
	t.Helper()
	w, err := b.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	return w.Commit()
}

// eager is a transport that answers before it has read the body, and reads on.
type eager struct{ released chan struct{} }

func (e eager) RoundTrip(r *http.Request) (*http.Response, error) {
	go func() {
		<-r.Context().Done()
		close(e.released)
		r.Body.Close()
	}()
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: io.NopCloser(strings.NewReader("slow down"))}, nil
}

func TestATryHasEndedWhenItsAnswerIsClosed(t *testing.T) {
	e := eager{make(chan struct{})}
	r := httptest.NewRequest(http.MethodPut, "http://store/traces/a", strings.NewReader("part"))
	resp, err := (&transport{next: e, stall: time.Minute}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	select {
	case <-e.released:
	default:
		t.Error("the body is still being read")
	}
}
