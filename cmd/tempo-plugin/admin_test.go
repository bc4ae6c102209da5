package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/config"
)

func TestReadyOnlyWhenTheStoreIsOpen(t *testing.T) {
	a := newAdmin(config.Config{}, &recent{})
	for _, path := range []string{"/ready", "/"} {
		w := httptest.NewRecorder()
		a.handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if !strings.Contains(w.Body.String(), "replays its log") {
			t.Errorf("%s before the store is open: %q", path, w.Body)
		}
		if path == "/ready" && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", path, w.Code)
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
	var seen recent
	log := newLogger(newLog("info", &out), &seen)
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
	if list := seen.list(); len(list) != 1 || formatArgs(list[0].Args) != "tenant=a block.took=1.5s block.data.bytes=7 block.error=disk" {
		t.Errorf("remembered: %v", list)
	}
}

func TestStatusPageShowsTheNewestWarnings(t *testing.T) {
	var seen recent
	for i := range maxRecent + 5 {
		seen.add(entry{Message: strings.Repeat("x", i+1) + "<script>"})
	}
	list := seen.list()
	if len(list) != maxRecent || len(list[0].Message) != maxRecent+5+len("<script>") {
		t.Errorf("%d entries, first %q", len(list), list[0].Message)
	}
	w := httptest.NewRecorder()
	newAdmin(config.Default(func(string) (string, bool) { return "", false }), &seen).handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
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
