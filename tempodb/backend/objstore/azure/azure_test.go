package azure

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/backendtest"
)

// double answers as Azure's blob service does to what the client asks, as far as its documentation says. There is no real one to test with.
type double struct {
	mu     sync.Mutex
	blobs  map[string]string
	blocks map[string]map[string]string // by blob
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := r.URL.Query()
	name, isBlob := strings.CutPrefix(r.URL.Path, "/acme/traces/")
	fail := func(status int, code string) {
		w.Header().Set("x-ms-error-code", code)
		w.WriteHeader(status)
	}
	body, err := io.ReadAll(r.Body)
	content, ok := d.blobs[name]
	switch {
	case err != nil:
		fail(http.StatusBadRequest, "InvalidInput")
	case !strings.HasPrefix(r.URL.Path, "/acme/traces"):
		fail(http.StatusNotFound, "ContainerNotFound")
	case !isBlob && q.Get("comp") == "list":
		d.list(w, q.Get("prefix"), q.Get("delimiter"), q.Get("marker"))
	case r.Method == http.MethodPut && q.Get("comp") == "block":
		if d.blocks[name] == nil {
			d.blocks[name] = map[string]string{}
		}
		d.blocks[name][q.Get("blockid")] = string(body)
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut && q.Get("comp") == "blocklist":
		var ids struct{ Latest []string }
		if xml.Unmarshal(body, &ids) != nil {
			fail(http.StatusBadRequest, "InvalidXmlDocument")
			return
		}
		whole := ""
		for _, id := range ids.Latest {
			whole += d.blocks[name][id]
		}
		d.blobs[name] = whole
		delete(d.blocks, name)
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut:
		d.blobs[name] = string(body)
		w.WriteHeader(http.StatusCreated)
	case !ok:
		fail(http.StatusNotFound, "BlobNotFound")
	case r.Method == http.MethodDelete:
		delete(d.blobs, name)
		w.WriteHeader(http.StatusAccepted)
	default:
		var from, to int
		asked := r.Header.Get("x-ms-range") + r.Header.Get("Range")
		if n, _ := fmt.Sscanf(asked, "bytes=%d-%d", &from, &to); n == 2 && from >= len(content) {
			fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		} else if n == 2 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, min(to, len(content)-1), len(content)))
			content = content[from:min(to+1, len(content))]
			defer io.WriteString(w, content)
			w.WriteHeader(http.StatusPartialContent)
			return
		}
		w.Header().Set("Last-Modified", "Sun, 22 Nov 2026 12:00:00 GMT")
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method != http.MethodHead {
			io.WriteString(w, content)
		}
	}
}

// list gives pages of 50 names, objects first.
func (d *double) list(w io.Writer, prefix, delimiter, marker string) {
	found := map[string]bool{} // a folder?
	for name := range d.blobs {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			if i := strings.Index(rest, delimiter); i >= 0 && delimiter != "" {
				found[prefix+rest[:i+1]] = true
			} else {
				found[name] = false
			}
		}
	}
	names := slices.Sorted(maps.Keys(found))
	names = slices.DeleteFunc(names, func(n string) bool { return n < marker })
	next := ""
	if len(names) > 50 {
		names, next = names[:50], names[50]
	}
	type blob struct{ Name string }
	var page struct {
		XMLName xml.Name `xml:"EnumerationResults"`
		Blobs   struct {
			Blob       []blob
			BlobPrefix []blob
		}
		NextMarker string
	}
	page.NextMarker = next
	for _, n := range names {
		if found[n] {
			page.Blobs.BlobPrefix = append(page.Blobs.BlobPrefix, blob{n})
		} else {
			page.Blobs.Blob = append(page.Blobs.Blob, blob{n})
		}
	}
	io.WriteString(w, xml.Header)
	xml.NewEncoder(w).Encode(page)
}

func options(t *testing.T, server string) Options {
	key := base64.StdEncoding.EncodeToString([]byte("key"))
	return Options{
		Account: "acme", Container: "traces", TempDir: t.TempDir(),
		ConnectionString: "DefaultEndpointsProtocol=http;AccountName=acme;AccountKey=" + key + ";BlobEndpoint=" + server + "/acme;",
	}
}

func serve(t *testing.T) string {
	s := httptest.NewServer(&double{blobs: map[string]string{}, blocks: map[string]map[string]string{}})
	t.Cleanup(s.Close)
	return s.URL
}

func TestBucketConforms(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backend.Bucket {
		b, err := Open(context.Background(), options(t, serve(t)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	})
}

func TestOpenRefusesAContainerThatIsNotThere(t *testing.T) {
	o := options(t, serve(t))
	o.Container = "typo"
	if _, err := Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), "azure://acme/typo") {
		t.Error(err)
	}
}
