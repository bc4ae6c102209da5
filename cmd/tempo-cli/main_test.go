package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tracedb"
)

const (
	seed   = 7
	traces = 400
)

// shop is the store that tests read: the workload in several blocks, with traces at their borders.
var shop struct {
	dir   string
	truth *workload.Truth
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tempo-cli-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	shop.dir = filepath.Join(dir, "data")
	shop.truth = workload.New(seed, traces).Truth()
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"gen", "--store=" + shop.dir, fmt.Sprintf("--seed=%d", seed), fmt.Sprintf("--traces=%d", traces), "--block-bytes=1MiB"}, &out, &errs, noEnv); code != 0 {
		fmt.Fprintln(os.Stderr, errs.String())
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func noEnv(string) (string, bool) { return "", false }

// try runs the program.
func try(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs, noEnv)
	return out.String(), errs.String(), code
}

// ask runs the program on a store and expects it to end well.
func ask(t *testing.T, dir string, args ...string) string {
	t.Helper()
	stdout, stderr, code := try(append([]string{"--store=" + dir}, args...)...)
	if code != exitOK {
		t.Fatalf("tempo-cli %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// parse reads an answer in JSON.
func parse[T any](t *testing.T, text string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.500s", err, text)
	}
	return v
}

// copyOf returns a copy of the shop's store, to be changed.
func copyOf(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(shop.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

type listAnswer struct {
	Tenant string
	Blocks []listed
	Totals totals
}

func list(t *testing.T, dir string) listAnswer {
	t.Helper()
	return parse[listAnswer](t, ask(t, dir, "blocks", "list", "-o", "json"))
}

func TestBlocksListCountsWhatWasWritten(t *testing.T) {
	l := list(t, shop.dir)
	if l.Tenant != defaultTenant || l.Totals.Blocks != len(l.Blocks) || len(l.Blocks) < 3 {
		t.Fatalf("%+v", l)
	}
	if got, want := l.Totals.Spans, int64(shop.truth.Spans); got != want {
		t.Errorf("%d spans are listed, %d were written", got, want)
	}
	if l.Totals.Keys <= traces {
		t.Errorf("%d keys: the test wants traces that are in two blocks", l.Totals.Keys)
	}
	var size, onDisk int64
	for _, b := range l.Blocks {
		size += b.Bytes
		if b.State != stateLive || b.MinStart.Before(workload.Base) || !b.MaxEnd.After(*b.MinStart) || b.AgeSeconds < 0 || b.AgeSeconds > 600 {
			t.Errorf("%+v", b)
		}
	}
	files, _ := filepath.Glob(filepath.Join(shop.dir, "blocks", "*", "*", "[^m]*"))
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		onDisk += info.Size()
	}
	if size != l.Totals.Bytes || size != onDisk {
		t.Errorf("sizes: %d of blocks, %d in total, %d on disk", size, l.Totals.Bytes, onDisk)
	}
}

func TestTablesFitInAHundredColumns(t *testing.T) {
	id := string(list(t, shop.dir).Blocks[0].ID)
	for _, args := range [][]string{
		{"blocks", "list"}, {"blocks", "view", id}, {"blocks", "verify", "--all"}, {"search"}, {"services"}, {"operations", "frontend"},
		{"trace", fmt.Sprintf("%x", shop.truth.Answers[5][0].TraceID)}, {"compact", "--dry-run"}, {"retention", "--dry-run", "--max-bytes=1"}, {"tenants"},
	} {
		for line := range strings.Lines(ask(t, shop.dir, args...)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width && !strings.HasPrefix(line, "services") {
				t.Errorf("%s: a line of %d: %s", args, n, line)
			}
		}
	}
}

func TestAStoreIsFoundByThePathOfTheStorageAndOfItsBlocks(t *testing.T) {
	want := list(t, shop.dir).Totals
	for _, dir := range []string{shop.dir + "/", filepath.Join(shop.dir, "blocks"), "file://" + shop.dir} {
		if got := list(t, dir).Totals; got != want {
			t.Errorf("%s: %+v, want %+v", dir, got, want)
		}
	}
	_, stderr, code := try("--store="+filepath.Join(shop.dir, "blocks", defaultTenant), "blocks", "list")
	if code != exitUsage || !strings.Contains(stderr, "--tenant="+defaultTenant) {
		t.Errorf("a tenant's folder: %d, %s", code, stderr)
	}
}

// merge makes one block of all, and leaves the others.
func merge(t *testing.T, dir string) block.ID {
	t.Helper()
	ctx := context.Background()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	ids, err := block.List(ctx, bucket, defaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	var inputs []*block.Block
	for _, id := range ids {
		b, err := block.Open(ctx, bucket, defaultTenant, id, tracedb.Codec{})
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, b)
	}
	m, err := block.Merge(ctx, bucket, defaultTenant, inputs, block.MergeOptions{Codec: tracedb.Codec{}})
	if err != nil {
		t.Fatal(err)
	}
	return m.ID
}

func TestSupersededBlocksAnswerNoMore(t *testing.T) {
	dir := copyOf(t)
	before := list(t, dir)
	child := merge(t, dir)
	l := list(t, dir)
	if l.Totals.Blocks != 1 || l.Totals.Retired != len(before.Blocks) || l.Totals.Spans != int64(shop.truth.Spans) || l.Totals.Keys != traces {
		t.Errorf("%+v", l.Totals)
	}
	for _, b := range l.Blocks {
		switch {
		case b.ID == child && (b.State != stateLive || b.Level != 1 || len(b.Parents) != len(before.Blocks)):
			t.Errorf("child: %+v", b)
		case b.ID != child && (b.State != "superseded" || !slices.Equal(b.SupersededBy, []block.ID{child})):
			t.Errorf("parent: %+v", b)
		}
	}
	id := fmt.Sprintf("%x", shop.truth.Traces[0].TraceID)
	if where := parse[traceAnswer](t, ask(t, dir, "trace", id, "-o", "json")).Parts; len(where) != 1 || where[0].Block != child {
		t.Errorf("the trace lies in %+v", where)
	}
	if table := ask(t, dir, "blocks", "list"); !strings.Contains(table, "superseded") || !strings.Contains(table, fmt.Sprintf("1 of %d", len(before.Blocks))) {
		t.Error(table)
	}
}

func TestNothingIsWrittenToTheStore(t *testing.T) {
	snapshot := func() (names []string) {
		_ = filepath.Walk(shop.dir, func(path string, info os.FileInfo, _ error) error {
			names = append(names, fmt.Sprint(path, info.Size(), info.ModTime().UnixNano()))
			return nil
		})
		return names
	}
	before := snapshot()
	id := string(list(t, shop.dir).Blocks[0].ID)
	file := filepath.Join(t.TempDir(), "f")
	for _, args := range [][]string{
		{"blocks", "list"}, {"blocks", "view", id}, {"blocks", "verify", "--all"}, {"blocks", "cat", id}, {"search"}, {"services"},
		{"compact", "--dry-run"}, {"retention", "--dry-run", "--max-age=1h"}, {"export", "--format=otlp-json", "-o", file}, {"tenants"},
	} {
		ask(t, shop.dir, args...)
	}
	if after := snapshot(); !slices.Equal(before, after) {
		t.Errorf("the store has changed: %q, was %q", after, before)
	}
	b := readOnly{}
	if _, err := b.Create(t.Context(), "x"); err == nil {
		t.Error("created an object")
	}
	if err := b.Delete(t.Context(), "x"); err == nil {
		t.Error("deleted an object")
	}
}

func TestExitCodes(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	store := "--store=" + shop.dir
	unknown, block0 := string(block.NewID()), string(list(t, shop.dir).Blocks[0].ID)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--version"}, exitOK, ""},
		{[]string{"--store=" + shop.dir, "search", "--service=nobody"}, exitOK, ""},
		{[]string{"--help"}, exitOK, ""},
		{[]string{}, exitOK, ""},
		{[]string{"blocks", "list"}, exitUsage, "TEMPO_STORE"},
		{[]string{"nonsense"}, exitUsage, "nonsense"},
		{[]string{"blocks"}, exitUsage, "verify"},
		{[]string{"blocks", "nonsense"}, exitUsage, "nonsense"},
		{[]string{"--nonsense"}, exitUsage, "nonsense"},
		{[]string{store, "search", "--nonsense"}, exitUsage, "search --help"},
		{[]string{store, "search", "--limit=many"}, exitUsage, "many"},
		{[]string{store, "search", "extra"}, exitUsage, "extra"},
		{[]string{store, "trace", "1", "2"}, exitUsage, "one trace"},
		{[]string{store, "blocks", "verify", "--all", unknown}, exitUsage, "--all"},
		{[]string{store, "quarantine", "view", unknown}, exitNotFound, unknown},
		{[]string{store, "blocks", "cat", block0, "--key=12"}, exitNotFound, block0},
		{[]string{store, "blocks", "cat", block0, "--key=xyz"}, exitUsage, "hexadecimal"},
		{[]string{store, "blocks", "list", "extra"}, exitUsage, "extra"},
		{[]string{store, "blocks", "list", "-o", "xml"}, exitUsage, "xml"},
		{[]string{store, "blocks", "view"}, exitUsage, "which block"},
		{[]string{store, "blocks", "view", "x"}, exitUsage, "blocks list"},
		{[]string{store, "blocks", "view", unknown}, exitNotFound, unknown},
		{[]string{store, "blocks", "cat", unknown}, exitNotFound, unknown},
		{[]string{store, "blocks", "verify"}, exitUsage, "--all"},
		{[]string{store, "blocks", "verify", unknown}, exitNotFound, unknown},
		{[]string{store, "trace", "12"}, exitNotFound, "00000000000000000000000000000012"},
		{[]string{store, "trace", "xyz"}, exitUsage, "hexadecimal"},
		{[]string{store, "operations", "nobody"}, exitNotFound, "nobody"},
		{[]string{store, "search", "--tag=x"}, exitUsage, "KEY=VALUE"},
		{[]string{store, "search", "--tag=resource:=x"}, exitUsage, "KEY=VALUE"},
		{[]string{store, "search", "--tag-prefix=x=" + strings.Repeat("y", 241)}, exitUsage, "240"},
		{[]string{store, "search", "--min-duration=-1s"}, exitUsage, "negative"},
		{[]string{store, "search", "--tag-regex=x=["}, exitUsage, "regex"},
		{[]string{store, "search", "--since=soon"}, exitUsage, "soon"},
		{[]string{store, "search", "--since=1h", "--until=2h"}, exitUsage, "later"},
		{[]string{store, "search", "--limit=-1"}, exitUsage, "negative"},
		{[]string{store, "export"}, exitUsage, "--format"},
		{[]string{store, "export", "--format=csv", "-o", "x"}, exitUsage, "csv"},
		{[]string{store, "export", "--format=parquet", "-o", t.TempDir()}, exitUsage, "directory"},
		{[]string{store, "export", "--format=parquet", "-o", filepath.Join(t.TempDir(), "no", "where")}, exitFailed, "no such file"},
		{[]string{store, "--tenant=nobody", "compact"}, exitNotFound, defaultTenant},
		{[]string{store, "retention"}, exitUsage, "--max-age"},
		{[]string{store, "retention", "--dry-run", "--max-bytes=lots"}, exitUsage, "lots"},
		{[]string{store, "--tenant=nobody", "services"}, exitNotFound, defaultTenant},
		{[]string{store, "--tenant=../x", "services"}, exitUsage, "tenant"},
		{[]string{"--store=" + t.TempDir(), "services"}, exitNotFound, "no blocks"},
		{[]string{"--store=/nowhere/at/all", "services"}, exitFailed, "/nowhere/at/all"},
		{[]string{"--store=ftp://x/y", "services"}, exitUsage, "ftp"},
		{[]string{"--store=s3://", "services"}, exitUsage, "BUCKET"},
		{[]string{"--store=gs://b/../c", "services"}, exitUsage, "prefix"},
		{[]string{"--store=azblob://c", "services"}, exitUsage, "AZURE_STORAGE_ACCOUNT"},
		{[]string{"--store=s3://bucket", "--s3-endpoint=http://127.0.0.1:1", "--s3-region=x", "services"}, exitFailed, "127.0.0.1:1"},
		{[]string{"gen", "--store=s3://bucket"}, exitUsage, "directory"},
		{[]string{"gen", "--traces=0"}, exitUsage, "--traces"},
	} {
		_, stderr, code := try(c.args...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("tempo-cli %s: exit code %d, want %d: %s", strings.Join(c.args, " "), code, c.code, stderr)
		}
		if code == exitUsage && strings.Count(stderr, "\n") != 1 {
			t.Errorf("tempo-cli %s: not one line: %s", strings.Join(c.args, " "), stderr)
		}
	}
}

func TestVersionIsALine(t *testing.T) {
	if stdout, stderr, code := try("--version"); code != exitOK || stderr != "" || !strings.HasPrefix(stdout, "tempo-cli dev") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("%d: %s%s", code, stdout, stderr)
	}
}

// Each says what it is for, shows how it is called, and fits on a terminal.
func TestHelpOfEveryCommandTeachesIt(t *testing.T) {
	check := func(path ...string) {
		stdout, _, code := try(append(path, "--help")...)
		if code != exitOK || len(stdout) < 100 || strings.Contains(stdout, "%!") {
			t.Errorf("%s --help: %d, %s", path, code, stdout)
		}
		_, usage, _ := strings.Cut(stdout, "Usage:\n")
		usage, _, _ = strings.Cut(usage, "\n")
		if example := "  tempo-cli " + strings.Join(path, " "); !strings.Contains(strings.Replace(stdout, usage, "", 1), example) {
			t.Errorf("%s --help has no example: %s", path, stdout)
		}
		for line := range strings.Lines(stdout) {
			if strings.HasPrefix(line, "Global Flags") {
				break
			}
			if utf8.RuneCountInString(line) > 121 {
				t.Errorf("%s --help: %s", path, line)
			}
		}
	}
	p := &program{env: noEnv}
	for _, c := range p.command().Commands() {
		if c.Hidden {
			continue
		}
		if !c.HasSubCommands() {
			check(c.Name())
		}
		for _, sub := range c.Commands() {
			check(c.Name(), sub.Name())
		}
	}
}

func TestDryRunsSayWhatIsDue(t *testing.T) {
	type compactAnswer struct {
		Jobs    []job
		Backlog map[string]int64
	}
	c := parse[compactAnswer](t, ask(t, shop.dir, "compact", "--dry-run", "-o", "json"))
	l := list(t, shop.dir)
	if len(c.Jobs) == 0 || c.Backlog["jobs"] < int64(len(c.Jobs)) {
		t.Fatalf("%+v", c)
	}
	seen := make(map[block.ID]bool)
	for _, j := range c.Jobs {
		for _, id := range j.Inputs {
			if seen[id] || !slices.ContainsFunc(l.Blocks, func(b listed) bool { return b.ID == id }) {
				t.Errorf("%s is no block, or in two jobs", id)
			}
			seen[id] = true
		}
	}
	type retainAnswer struct {
		Drop         []listed
		Bytes, Spans int64
	}
	if r := parse[retainAnswer](t, ask(t, shop.dir, "retention", "--dry-run", "--max-age=1h", "-o", "json")); len(r.Drop) != len(l.Blocks) || r.Spans != l.Totals.Spans {
		t.Errorf("after an hour: %+v", r)
	}
	keep := fmt.Sprintf("--max-bytes=%d", l.Totals.Bytes-1)
	if r := parse[retainAnswer](t, ask(t, shop.dir, "retention", "--dry-run", keep, "-o", "json")); len(r.Drop) != 1 || r.Drop[0].ID != l.Blocks[0].ID {
		t.Errorf("a byte too much: %+v", r)
	}
}

func TestTimesAndSizesAreRead(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-01-05T09:00:00Z":       workload.Base,
		"2026-01-05T10:00:00+01:00":  workload.Base,
		"2026-01-05 09:00":           workload.Base,
		"2026-01-05T09:00:00.000001": workload.Base.Add(time.Microsecond),
		"2026-01-05":                 workload.Base.Add(-9 * time.Hour),
		"90m":                        now.Add(-90 * time.Minute),
		"1.5d":                       now.Add(-36 * time.Hour),
	} {
		if got, err := parseWhen("since", text, now, 0); err != nil || got != want.UnixNano() {
			t.Errorf("%s is %v, %v; want %v", text, utc(got), err, want)
		}
	}
	for _, text := range []string{"x", "-1h", "-1d", "1d1h", "2026-13-01"} {
		if got, err := parseWhen("since", text, now, 0); err == nil {
			t.Errorf("%s is %v", text, utc(got))
		}
	}
	for text, want := range map[string]int64{"0": 0, "1024": 1024, "1KiB": 1024, "1.5K": 1500, "2MB": 2_000_000, "3GiB": 3 << 30, "1Ti": 1 << 40, "7B": 7} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "1X", "1KMB", "-1", "9999EiB", "1BB", "NaN"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestProgressIsALineThatGoesAway(t *testing.T) {
	if line := bar("verify", 0.5, "block 1 of 2", 10*time.Second); !strings.Contains(line, " 50%") || !strings.Contains(line, "10s left") || utf8.RuneCountInString(line) >= width {
		t.Error(line)
	}
	if line := bar("x", 7, strings.Repeat("y", 200), 0); utf8.RuneCountInString(line) >= width || !strings.Contains(line, "100%") {
		t.Error(line)
	}
	var out bytes.Buffer
	p := progress{w: &out, what: "x"}
	p.show(0.1, "words")
	p.end()
	if last := out.String(); !strings.HasSuffix(last, "\r") {
		t.Errorf("%q", last)
	}
	quiet := newProgress(&bytes.Buffer{}, "x")
	quiet.show(1, "") // not a terminal: must not print
	if quiet.w != nil {
		t.Error("a buffer is taken for a terminal")
	}
}
