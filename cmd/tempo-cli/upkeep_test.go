package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export/exporttest"
	"github.com/jaeger-tempo/tempo/internal/daemon"
)

type upkeepAnswer struct {
	Merges          []merged
	Dropped         int64
	Blocks, Retired int
}

// spansOf returns how many spans each trace has.
func spansOf(t *testing.T, dir string) map[string]int {
	t.Helper()
	spans := make(map[string]int)
	for line := range bytes.Lines(exported(t, dir, export.OTLPJSON)) {
		spans[idOf(t, line)] += exporttest.CountSpans(exporttest.ParseOTLP(t, line))
	}
	return spans
}

func TestCompactMergesWhatIsDueAndReadersGoOn(t *testing.T) {
	dir := filepath.Join(copyOf(t), "blocks")
	before, traces := list(t, dir), spansOf(t, dir)
	got := parse[upkeepAnswer](t, ask(t, dir, "compact", "-o", "json"))
	if len(got.Merges) == 0 || got.Blocks >= len(before.Blocks) || got.Retired == 0 {
		t.Fatalf("of %d blocks: %+v", len(before.Blocks), got)
	}
	for _, b := range before.Blocks { // there for those who have listed them already
		if _, err := os.Stat(filepath.Join(dir, defaultTenant, string(b.ID), "meta.json")); err != nil {
			t.Error(err)
		}
	}
	if after := list(t, dir); len(after.Blocks) != got.Blocks+got.Retired {
		t.Errorf("afterwards there are %d blocks", len(after.Blocks))
	}
	if !maps.Equal(spansOf(t, dir), traces) {
		t.Error("afterwards there are other traces")
	}
	if again := parse[upkeepAnswer](t, ask(t, dir, "compact", "-o", "json")); len(again.Merges) != 0 {
		t.Errorf("again: %+v", again)
	}
	if text := ask(t, dir, "compact"); !strings.Contains(text, "0 merges") {
		t.Errorf("in words: %s", text)
	}
}

func TestRetentionDropsTheOldest(t *testing.T) {
	dir := filepath.Join(copyOf(t), "blocks")
	l := list(t, dir)
	got := parse[upkeepAnswer](t, ask(t, dir, "retention", fmt.Sprintf("--max-bytes=%d", l.Totals.Bytes-1), "-o", "json"))
	if got.Dropped != 1 || got.Blocks != len(l.Blocks)-1 {
		t.Errorf("a byte too much: %+v", got)
	}
	if text := ask(t, dir, "retention", "--max-age=1h"); !strings.Contains(text, fmt.Sprintf("%d blocks dropped; 0 blocks", len(l.Blocks)-1)) {
		t.Errorf("after an hour: %s", text)
	}
}

// The storage.path of an embedded store: nobody else reads it, and nobody may write to it meanwhile.
func TestTheStoreOfOneProcessIsLockedAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := copyOf(t)
	lock, err := daemon.LockDir(dir, "a test", daemon.NewLog("error", os.Stderr))
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := try("--store="+dir, "compact"); code != exitFailed || !strings.Contains(stderr, "in use") {
		t.Errorf("while it is in use: exit code %d: %s", code, stderr)
	}
	lock.Release()
	if got := parse[upkeepAnswer](t, ask(t, dir, "compact", "-o", "json")); len(got.Merges) == 0 || got.Retired != 0 {
		t.Errorf("%+v", got)
	}
	folders, err := os.ReadDir(filepath.Join(dir, "blocks", defaultTenant))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(list(t, dir).Blocks); n == 0 || len(folders) > n+2 {
		t.Errorf("%d blocks in %d folders", n, len(folders))
	}
}
