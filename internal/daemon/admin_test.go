package daemon

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/config"
)

func noEnv(string) (string, bool) { return "", false }

func TestReadyOnlyWhenTheProgramSaysSo(t *testing.T) {
	a := NewAdmin("tempo-plugin", "plugin", config.Default(noEnv), NewLog("error", io.Discard))
	answer := func(path string) (int, string) {
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		why  error
		code int
		want map[string]string
	}{
		{errors.New("it replays its log"), 503, map[string]string{"/ready": "not ready: it replays its log\n", "/": "it replays its log", "/metrics": "tempo_plugin_ready 0"}},
		{nil, 200, map[string]string{"/ready": "ready\n", "/": "Ready.", "/metrics": "tempo_plugin_ready 1"}},
	} {
		a.SetReady(func() error { return c.why })
		for path, want := range c.want {
			if code, body := answer(path); !strings.Contains(body, want) || path == "/ready" && code != c.code {
				t.Errorf("%s while %v: status %d, %q", path, c.why, code, body)
			}
		}
	}
}

func TestStatusPageShowsTablesAndLinks(t *testing.T) {
	a := NewAdmin("tempo", "ingester", config.Default(noEnv), NewLog("error", io.Discard))
	a.Handle("ring", "/ring", http.NotFoundHandler())
	a.Section("Tenants", func() Table {
		return Table{Head: []string{"Tenant", "Blocks"}, Rows: [][]any{{"a<b", 7, Bytes(1536), Bad{3}, BadIf(false, 4), time.Minute, time.Time{}}}}
	})
	a.Section("Empty", func() Table { return Table{} })
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, want := range []string{
		"<h2>Tenants</h2>", "<th>Blocks</th>", "a&lt;b", `<td class="n">7</td>`, "1.5 KiB", `<td class="n bad">3</td>`, `<td class="n">4</td>`, "1m0s",
		"None yet.", `<a href="ring">ring</a>`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in %s", want, w.Body)
		}
	}
}

func TestAutoTakesAnotherPortWhereTheDefaultIsTaken(t *testing.T) {
	if l, err := net.Listen("tcp", config.AdminDefaultAddress); err == nil {
		defer l.Close() // else someone else has it, which serves as well
	}
	l, err := listen(config.AdminAuto)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Addr().String() == config.AdminDefaultAddress {
		t.Errorf("listens on %s", l.Addr())
	}
}

func TestLogLinesKeepLevelAndAttributes(t *testing.T) {
	var out bytes.Buffer
	log := NewLog("info", &out)
	log.Debug("not written")
	log.With("tenant", "a").WithGroup("block").Warn("slow", "took", 1500*time.Millisecond,
		slog.Group("data", "bytes", 7), "error", errors.New("disk"), slog.Attr{})
	got := out.String()
	for _, want := range []string{
		`"@level":"warn"`, `"@message":"slow"`, `"tenant":"a"`, `"block.took":"1.5s"`, `"block.data.bytes":7`, `"block.error":"disk"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Count(got, "\n") != 1 {
		t.Errorf("more than a line: %s", got)
	}
	if list := log.recent.list(); len(list) != 1 || formatArgs(list[0].Args) != "tenant=a block.took=1.5s block.data.bytes=7 block.error=disk" {
		t.Errorf("remembered: %v", list)
	}
}

func TestStatusPageShowsTheNewestWarnings(t *testing.T) {
	log := NewLog("off", io.Discard)
	for i := range maxRecent + 5 {
		log.recent.add(entry{Message: strings.Repeat("x", i+1) + "<script>"})
	}
	list := log.recent.list()
	if len(list) != maxRecent || len(list[0].Message) != maxRecent+5+len("<script>") {
		t.Errorf("%d entries, first %q", len(list), list[0].Message)
	}
	w := httptest.NewRecorder()
	NewAdmin("tempo", "x", config.Default(noEnv), log).Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "x<script>") || !strings.Contains(w.Body.String(), "x&lt;script&gt;") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestBytesAreReadable(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 3 << 30: "3.0 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestLockSaysWhoHoldsTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	first, err := lockDir(dir, "one", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir, "two", 0, nil); err == nil || !strings.Contains(err.Error(), "(one, since ") {
		t.Errorf("a second lock: %v", err)
	}
	first.Release()
	second, err := lockDir(dir, "two", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	second.Release()
}
