package ring

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// consul does what Consul does for one key, as far as rings need it: reads that wait for a change, and writes that compare.
// It stands in for the real one, which can't be built from Go modules alone.
type consul struct {
	mu      sync.Mutex
	value   []byte
	index   uint64        // of the last change
	changed chan struct{} // closed with the next one
}

func (c *consul) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, ok := strings.CutPrefix(r.URL.Path, "/v1/kv/")
	if !ok {
		http.Error(w, "no such service", http.StatusNotFound)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.Method {
	case http.MethodGet:
		known, _ := strconv.ParseUint(r.FormValue("index"), 10, 64)
		patience, _ := time.ParseDuration(r.FormValue("wait"))
		timer := time.NewTimer(patience)
		defer timer.Stop()
		for patience > 0 && known == c.index {
			changed := c.changed
			c.mu.Unlock()
			select {
			case <-changed:
			case <-r.Context().Done():
				patience = 0
			case <-timer.C:
				patience = 0
			}
			c.mu.Lock()
		}
		w.Header().Set("X-Consul-Index", fmt.Sprint(c.index))
		if c.value == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode([]map[string]any{{"Key": key, "Value": c.value, "CreateIndex": 1, "ModifyIndex": c.index}})
	case http.MethodPut:
		body, err := io.ReadAll(r.Body)
		compare, err2 := strconv.ParseUint(r.FormValue("cas"), 10, 64)
		if err != nil || err2 != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		taken := compare == c.index || compare == 0 && c.value == nil
		if taken {
			c.value = body
			c.index++
			close(c.changed)
			c.changed = make(chan struct{})
		}
		_, _ = fmt.Fprint(w, taken)
	default:
		http.Error(w, "no such method", http.StatusMethodNotAllowed)
	}
}

func TestARingLiesInConsul(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(&consul{index: 1, changed: make(chan struct{})})
	defer server.Close()
	open := func() *Store {
		s, err := OpenStore(t.Context(), StoreConfig{Kind: Consul, Endpoints: []string{strings.TrimPrefix(server.URL, "http://")}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	seen, err := open().Watch(t.Context(), steady)
	if err != nil {
		t.Fatal(err)
	}
	var members []*Member
	for i, id := range []string{"a", "b", "c"} {
		members = append(members, join(t, open(), steady, Self{ID: id, Address: "127.0.0.1:" + strconv.Itoa(i+1)}))
	}
	await(t, "all are seen", func() bool {
		return states(t, seen) == "127.0.0.1:1 ACTIVE, 127.0.0.1:2 ACTIVE, 127.0.0.1:3 ACTIVE"
	})
	taken := 0
	if err := seen.Batch(t.Context(), []uint32{1}, func(p *Push) { taken++; p.End(nil) }); err != nil || taken != 3 {
		t.Errorf("a batch: %d pushes, %v", taken, err)
	}
	if err := members[2].Leave(); err != nil {
		t.Fatal(err)
	}
	await(t, "who left is gone", func() bool { return states(t, seen) == "127.0.0.1:1 ACTIVE, 127.0.0.1:2 ACTIVE" })
	stopAll(t, members[:2]...)
	if err := seen.Close(); err != nil {
		t.Error(err)
	}
}
